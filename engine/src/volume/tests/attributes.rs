//! Attributes: the end state is the source's, and what is right already is not touched.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::types::{EntryKind, LossKind};

/// `cap_net_raw=ep`, as the kernel stores it (VFS_CAP_REVISION_2).
pub(super) const CAP_NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An ACL as the kernel shows it: the owner, user 1000, the group, the mask, others.
fn acl(owner: u16, user: u16, group: u16, mask: u16, other: u16) -> Vec<u8> {
    let entries = [(0x01, owner, u32::MAX), (0x02, user, 1_000), (0x04, group, u32::MAX), (0x10, mask, u32::MAX)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries.into_iter().chain([(0x20_u16, other, u32::MAX)]) {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn mode(bits: u32) -> Mode {
    Mode::new(bits).unwrap()
}

/// What an entry has after all: mode bits and attributes.
fn seen(scratch: &Scratch, file: &str) -> (u32, Xattrs) {
    let status = scratch.status(file);
    (status.mode.bits(), scratch.root().xattrs_of(&name(file), status.kind, &all).unwrap())
}

#[test]
fn an_acl_and_its_mode_end_as_they_are_at_the_source() {
    let scratch = Scratch::new();
    let access = acl(6, 7, 5, 7, 0);
    let source = xattrs(&[("system.posix_acl_access", &access)]);
    let want = Attributes { mode: mode(0o670), xattrs: Some(&source), owner: owner(3, 4), ..plain() };
    write_small(scratch.root(), &name("new"), None, b"x", &want).unwrap();
    assert_eq!(seen(&scratch, "new"), (0o670, source.clone()));
    // A file with another ACL and mode becomes the same, and is then left alone.
    scratch.put("old", "x");
    let other = acl(7, 0, 7, 4, 7);
    let how = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(scratch.path("old"), "system.posix_acl_access", &other, how).unwrap();
    let again = Attributes { existing: true, ..want };
    let done = scratch.root().apply_to(&name("old"), EntryKind::File, &again).unwrap();
    assert_eq!(done, Applied::default());
    assert_eq!(seen(&scratch, "old"), (0o670, source.clone()));
    let before = scratch.status("old");
    scratch.root().apply_to(&name("old"), EntryKind::File, &again).unwrap();
    assert_eq!(scratch.status("old"), before);
    // And back to a file without one.
    let none = Xattrs::default();
    let bare = Attributes { mode: mode(0o640), xattrs: Some(&none), existing: true, ..plain() };
    scratch.root().apply_to(&name("old"), EntryKind::File, &bare).unwrap();
    assert_eq!(seen(&scratch, "old"), (0o640, none));
}

#[test]
fn what_a_default_acl_gave_is_taken_away() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let passed_on = acl(7, 7, 7, 7, 7);
    let how = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&scratch.path, "system.posix_acl_default", &passed_on, how).unwrap();
    assert!(root.has_default_acl().unwrap());
    let none = Xattrs::default();
    let want = Attributes { xattrs: Some(&none), inherited: true, ..plain() };
    write_small(root, &name("small"), None, b"x", &want).unwrap();
    let writer = FileWriter::create(root, &name("large")).unwrap();
    writer.finish(0, &want, None).unwrap();
    root.make_fifo(&name("fifo")).unwrap();
    root.apply_to(&name("fifo"), EntryKind::Fifo, &want).unwrap();
    let dir = root.make_dir(&name("dir")).unwrap();
    assert!(dir.has_default_acl().unwrap());
    dir.apply(&want).unwrap();
    assert!(!dir.has_default_acl().unwrap());
    for entry in ["small", "large", "fifo", "dir"] {
        assert_eq!(seen(&scratch, entry), (0o644, Xattrs::default()), "{entry}");
    }
}

#[test]
fn a_directory_gets_its_default_acl_its_mode_and_its_time() {
    let scratch = Scratch::new();
    let (access, default) = (acl(7, 5, 5, 5, 0), acl(7, 7, 0, 7, 0));
    let source = xattrs(&[("system.posix_acl_access", &access), ("system.posix_acl_default", &default)]);
    let dir = scratch.root().make_dir(&name("d")).unwrap();
    let want = Attributes { mode: mode(0o2750), xattrs: Some(&source), owner: owner(8, 9), ..plain() };
    assert_eq!(dir.apply(&want).unwrap(), Applied::default());
    assert_eq!(seen(&scratch, "d"), (0o2750, source.clone()));
    let before = dir.status().unwrap();
    assert_eq!((before.mtime, before.owner), (plain().mtime, owner(8, 9).unwrap()));
    dir.apply(&Attributes { existing: true, ..want }).unwrap();
    assert_eq!(dir.status().unwrap(), before);
}

#[test]
fn setuid_and_capabilities_survive_a_change_of_owner() {
    let scratch = Scratch::new();
    let source = xattrs(&[("security.capability", &CAP_NET_RAW), ("user.a", b"1")]);
    let want = Attributes { owner: owner(33, 34), mode: mode(0o6755), xattrs: Some(&source), ..plain() };
    write_small(scratch.root(), &name("f"), None, b"program", &want).unwrap();
    assert_eq!(seen(&scratch, "f"), (0o6755, source.clone()));
    let moved = Attributes { owner: owner(44, 45), existing: true, ..want };
    assert_eq!(scratch.root().apply_to(&name("f"), EntryKind::File, &moved).unwrap(), Applied::default());
    assert_eq!(seen(&scratch, "f"), (0o6755, source.clone()));
    assert_eq!(scratch.status("f").owner, owner(44, 45).unwrap());
    assert_eq!(scratch.status("f").mtime, plain().mtime);
}

#[test]
fn setuid_without_its_owner_is_dropped_and_counted() {
    let scratch = Scratch::new();
    let want = Attributes { owner: None, mode: mode(0o4755), ..plain() };
    let done = write_small(scratch.root(), &name("f"), None, b"x", &want).unwrap();
    assert_eq!(done.applied.losses, [LossKind::Ownership]);
    assert_eq!(scratch.status("f").mode.bits(), 0o755);
}

#[test]
fn only_differing_and_surplus_attributes_are_changed_and_only_ours() {
    let scratch = Scratch::new();
    scratch.put("f", "x");
    for (name, value) in [("user.same", "1"), ("user.differs", "1"), ("user.surplus", "1"), ("trusted.foreign", "1")] {
        let how = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(scratch.path("f"), name, value.as_bytes(), how).unwrap();
    }
    let ours = |name: &[u8]| name.starts_with(b"user.");
    let source = xattrs(&[("user.same", b"1"), ("user.differs", b"2"), ("user.new", b"3"), ("trusted.no", b"4")]);
    let want = Attributes { xattrs: Some(&source), wants: &ours, existing: true, ..plain() };
    assert_eq!(scratch.root().apply_to(&name("f"), EntryKind::File, &want).unwrap(), Applied::default());
    let expected =
        xattrs(&[("trusted.foreign", b"1"), ("user.differs", b"2"), ("user.new", b"3"), ("user.same", b"1")]);
    assert_eq!(seen(&scratch, "f").1, expected);
}

#[test]
fn links_and_special_files_get_theirs_and_nothing_behind_a_link_is_touched() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    outside.put("target", "x");
    let before = std::fs::metadata(outside.path("target")).unwrap();
    let root = scratch.root();
    symlink(&outside.path("target"), &scratch.path("link"));
    root.make_fifo(&name("fifo")).unwrap();
    root.make_socket(&name("socket")).unwrap();
    root.make_device(&name("null"), EntryKind::CharDevice, crate::types::Device { major: 1, minor: 3 }).unwrap();
    let source = xattrs(&[("trusted.t", b"1")]);
    let want = Attributes { owner: owner(5, 6), mode: mode(0o640), xattrs: Some(&source), ..plain() };
    for (file, kind) in [
        ("link", EntryKind::Symlink),
        ("fifo", EntryKind::Fifo),
        ("socket", EntryKind::Socket),
        ("null", EntryKind::CharDevice),
    ] {
        assert_eq!(root.apply_to(&name(file), kind, &want).unwrap(), Applied::default(), "{file}");
        let status = scratch.status(file);
        assert_eq!((status.owner, status.mtime), (owner(5, 6).unwrap(), plain().mtime), "{file}");
        assert_eq!(seen(&scratch, file).1, source, "{file}");
        let bits = if kind == EntryKind::Symlink { 0o777 } else { 0o640 };
        assert_eq!(status.mode.bits(), bits, "{file}");
        let again = Attributes { existing: true, ..want };
        root.apply_to(&name(file), kind, &again).unwrap();
        assert_eq!(scratch.status(file), status, "{file}");
    }
    let after = std::fs::metadata(outside.path("target")).unwrap();
    assert_eq!((after.ctime(), after.ctime_nsec(), after.uid()), (before.ctime(), before.ctime_nsec(), before.uid()));
    assert!(root.apply_to(&name("link"), EntryKind::File, &want).unwrap_err().is_vanished());
    assert!(root.apply_to(&name("fifo"), EntryKind::File, &want).unwrap_err().is_vanished());
}

#[test]
fn an_attribute_too_large_for_the_file_system_is_a_problem_of_the_entry() {
    let scratch = Scratch::new();
    let source = xattrs(&[("user.large", &[0; 65_536])]);
    let want = Attributes { xattrs: Some(&source), ..plain() };
    let done = write_small(scratch.root(), &name("f"), None, b"x", &want).unwrap();
    // ext4 refuses it; a file system that takes it has it.
    match done.applied.problems.as_slice() {
        [] => assert_eq!(seen(&scratch, "f").1, source),
        problems => assert!(problems[0].starts_with("cannot set the extended attribute user.large: "), "{problems:?}"),
    }
    assert_eq!(done.applied.losses, []);
    assert_eq!(scratch.status("f").mtime, plain().mtime);
}

#[test]
fn an_unreadable_mode_is_no_obstacle() {
    let scratch = Scratch::new();
    scratch.put("f", "x");
    std::fs::set_permissions(scratch.path("f"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let dir = scratch.root();
    let pointed =
        super::super::handle::Handle::point(std::os::fd::AsFd::as_fd(&*dir.descriptor().unwrap()), &name("f"));
    let handle = pointed.unwrap();
    let have = scratch.status("f");
    let source = xattrs(&[("user.a", b"1")]);
    let want = Attributes { xattrs: Some(&source), owner: owner(1, 2), ..plain() };
    let known = super::super::attributes::MtimeSeen::Valid;
    super::super::attributes::apply(&dir.site, &handle, &have, known, &want).unwrap();
    assert_eq!(seen(&scratch, "f"), (0o644, source));
    assert_eq!((scratch.status("f").owner, scratch.status("f").mtime), (owner(1, 2).unwrap(), plain().mtime));
}

#[test]
fn without_the_privilege_the_owner_is_a_loss_and_nothing_acts_for_another() {
    let scratch = Scratch::new();
    let held =
        Privilege { chown: false, fsetid: false, egid: 0, groups: vec![7], ..scratch.volume.privilege().clone() };
    let root = std::fs::File::open(&scratch.path).unwrap();
    let volume = Volume::with(root.into(), 10, held).unwrap();
    let foreign = Attributes { owner: owner(33, 0), mode: mode(0o6755), ..plain() };
    let done = write_small(volume.root(), &name("f"), None, b"x", &foreign).unwrap();
    assert_eq!(done.applied, Applied { losses: vec![LossKind::Ownership], problems: vec![] });
    let status = scratch.status("f");
    assert_eq!((status.mode.bits(), status.owner), (0o755, owner(0, 0).unwrap()));
    assert_eq!(status.mtime, plain().mtime);
    // A second run loses the same and changes nothing.
    let again = Attributes { existing: true, ..foreign };
    assert_eq!(volume.root().apply_to(&name("f"), EntryKind::File, &again).unwrap(), done.applied);
    assert_eq!(scratch.status("f"), status);
}
