//! Making, linking, removing; directories' times.

use super::*;
use crate::types::{Device, EntryKind};

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    assert!(std::process::Command::new(program).args(arguments).status().unwrap().success());
}

#[test]
fn special_files_are_made_as_asked_and_never_over_something() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let device = Device { major: 1, minor: 3 };
    root.make_device(&name("null"), EntryKind::CharDevice, device).unwrap();
    root.make_device(&name("disk"), EntryKind::BlockDevice, Device { major: 259, minor: 262_143 }).unwrap();
    root.make_symlink(&name("link"), b"../\xff out").unwrap();
    root.make_fifo(&name("fifo")).unwrap();
    root.make_socket(&name("socket")).unwrap();
    assert_eq!(scratch.status("null").device, device);
    assert_eq!(scratch.status("disk").device, Device { major: 259, minor: 262_143 });
    assert_eq!(scratch.status("fifo").mode.bits(), 0o600);
    assert_eq!(scratch.status("socket").kind, EntryKind::Socket);
    assert_eq!(&*root.target_of(&name("link")).unwrap(), b"../\xff out");
    assert!(root.make_fifo(&name("link")).unwrap_err().is_exists());
    assert!(root.make_dir(&name("fifo")).unwrap_err().is_exists());
    assert!(root.make_device(&name("no"), EntryKind::File, device).is_err());
}

#[test]
fn a_hard_link_is_made_to_the_leader_or_not_at_all() {
    let scratch = Scratch::new();
    scratch.put("leader", "x");
    let leader = scratch.status("leader").identity;
    let sub = scratch.root().make_dir(&name("sub")).unwrap();
    sub.link(&name("new"), scratch.root(), &name("leader"), leader).unwrap();
    assert_eq!(sub.status_of(&name("new")).unwrap().unwrap().identity, leader);
    assert_eq!(scratch.status("leader").nlink, 2);

    std::fs::rename(scratch.path("leader"), scratch.path("kept")).unwrap();
    scratch.put("leader", "another");
    let error = sub.link(&name("wrong"), scratch.root(), &name("leader"), leader).unwrap_err();
    assert!(error.is_vanished());
    assert!(sub.status_of(&name("wrong")).unwrap().is_none());
    assert_eq!(scratch.status("leader").nlink, 1);
    // A link to a symlink is a link to the symlink.
    symlink(Path::new("kept"), &scratch.path("link"));
    let link = scratch.status("link").identity;
    sub.link(&name("link"), scratch.root(), &name("link"), link).unwrap();
    assert_eq!(sub.status_of(&name("link")).unwrap().unwrap().kind, EntryKind::Symlink);
}

#[test]
fn only_what_is_still_the_expected_entry_is_removed() {
    let scratch = Scratch::new();
    scratch.put("f", "");
    let seen = scratch.status("f");
    std::fs::rename(scratch.path("f"), scratch.path("g")).unwrap();
    scratch.put("f", "new");
    assert!(scratch.root().remove(&name("f"), &seen).unwrap_err().is_vanished());
    scratch.root().remove(&name("g"), &seen).unwrap();
    assert!(scratch.root().remove(&name("g"), &seen).unwrap_err().is_vanished());
    std::fs::create_dir_all(scratch.path("d/e")).unwrap();
    let full = scratch.status("d");
    assert!(scratch.root().remove(&name("d"), &full).unwrap_err().is_not_empty());
    assert_eq!(scratch.get("f"), b"new");
}

#[test]
fn removing_a_tree_goes_on_past_what_cannot_be_removed() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    outside.put("kept", "x");
    std::fs::create_dir_all(scratch.path("t/a/mounted")).unwrap();
    std::fs::create_dir_all(scratch.path("t/b/c")).unwrap();
    scratch.put("t/a/f", "");
    scratch.put("t/b/c/f", "");
    symlink(&outside.path, &scratch.path("t/b/link"));
    // A bind mount of the same file system: the device number does not tell it from a directory.
    run("mount", &["--bind".as_ref(), outside.path.as_ref(), scratch.path("t/a/mounted").as_ref()]);
    let mut failed = Vec::new();
    let top = scratch.status("t");
    let removed = scratch.root().remove_tree(&name("t"), &top, scratch.volume.device(), &mut |r| {
        if let Err(error) = r.result {
            failed.push(format!("{}: {error}", r.path()));
        }
    });
    run("umount", &[scratch.path("t/a/mounted").as_ref()]);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("t/a/mounted: ") && failed[0].contains("EBUSY"), "{failed:?}");
    assert_eq!(removed, 5);
    assert_eq!(outside.get("kept"), b"x");
    assert!(scratch.path("t/a/mounted").is_dir());
    assert!(!scratch.path("t/b").exists());
}

#[test]
fn another_device_is_not_entered() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("d")).unwrap();
    scratch.put("d/f", "");
    let mut failed = 0;
    let status = scratch.status("d");
    let removed = scratch.root().remove_tree(&name("d"), &status, scratch.volume.device() + 1, &mut |r| {
        failed += u32::from(r.result.is_err());
    });
    assert_eq!((removed, failed), (0, 1));
    assert_eq!(scratch.get("d/f"), b"");
}

#[test]
fn a_directory_keeps_its_time_through_a_change() {
    let scratch = Scratch::new();
    let dir = scratch.root().make_dir(&name("d")).unwrap();
    dir.apply(&Attributes { mode: Mode::new(0o755).unwrap(), ..plain() }).unwrap();
    let (made, kept) = dir.keep_times(|| dir.make_fifo(&name("p")));
    made.unwrap();
    kept.unwrap();
    assert_eq!(scratch.status("d").mtime, plain().mtime);
    let before = scratch.status("d");
    let ((), kept) = dir.keep_times(|| ());
    kept.unwrap();
    assert_eq!(scratch.status("d"), before);
}

#[test]
fn without_privilege_our_own_closed_directories_are_opened_before_they_are_emptied() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path("t/closed")).unwrap();
    scratch.put("t/closed/f", "");
    let close = |dir: &str| {
        let none = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(scratch.path(dir), none).unwrap();
    };
    close("t/closed");
    close("t");
    let root = std::fs::File::open(&scratch.path).unwrap();
    let held = Privilege { dac_override: false, ..scratch.volume.privilege().clone() };
    let volume = Volume::with(root.into(), 10, held).unwrap();
    let dir = volume.root().child(&name("t"), scratch.status("t").identity).unwrap();
    dir.make_accessible().unwrap();
    assert_eq!(scratch.status("t").mode.bits(), 0o700);
    close("t");
    let mut modes = Vec::new();
    let removed = volume.root().remove_tree(&name("t"), &scratch.status("t"), volume.device(), &mut |r| {
        r.result.unwrap();
        modes
            .push(std::fs::metadata(scratch.path("t")).map_or(0, |m| std::os::unix::fs::MetadataExt::mode(&m) & 0o777));
    });
    // Both were opened up before what is in them was removed.
    assert_eq!((removed, modes), (3, vec![0o700, 0o700, 0]));
}
