//! Writing content: what ends at the name is the old file, the new one, or one that looks incomplete.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::types::{EntryKind, LossKind};

const LEAF: u64 = 65_536;

fn finish(writer: FileWriter, size: u64, to: Option<&Name>) -> Finished {
    writer.finish(size, &plain(), to).unwrap()
}

fn in_place(scratch: &Scratch, file: &str, mtime: Timestamp) -> Option<FileWriter> {
    let seen = scratch.status(file);
    FileWriter::in_place(scratch.root(), &name(file), &seen, mtime).unwrap()
}

#[test]
fn a_small_file_is_the_same_however_it_is_written() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let kept = xattrs(&[("user.x", b"1"), ("trusted.y", b"2")]);
    let variants = [
        plain(),
        Attributes { owner: owner(33, 44), ..plain() },
        Attributes { owner: owner(33, 44), mode: Mode::new(0o6755).unwrap(), ..plain() },
        Attributes { mode: Mode::new(0o444).unwrap(), xattrs: Some(&kept), ..plain() },
        Attributes { mode: Mode::new(0).unwrap(), mtime: time(-5, 1), ..plain() },
        Attributes { owner: None, mode: Mode::new(0o1640).unwrap(), ..plain() },
    ];
    for (n, attributes) in variants.iter().enumerate() {
        let names = ["small", "replaced", "written"].map(|way| name(&format!("{way}{n}")));
        let temp = name(".temp");
        let small = write_small(root, &names[0], None, b"content", attributes).unwrap();
        std::fs::write(scratch.path(format!("replaced{n}")), "old").unwrap();
        write_small(root, &names[1], Some(&temp), b"content", attributes).unwrap();
        let writer = FileWriter::create(root, &names[2]).unwrap();
        writer.write_at(b"content", 0).unwrap();
        let written = writer.finish(7, attributes, None).unwrap();
        assert_eq!(small.applied, written.applied);
        assert_eq!(small.applied, Applied::default());
        let seen = names.map(|name| {
            let status = root.status_of(&name).unwrap().unwrap();
            let xattrs = root.xattrs_of(&name, EntryKind::File, &all).unwrap();
            let content = std::fs::read(scratch.path(name.to_string())).unwrap();
            (status.mode, status.owner, status.mtime, xattrs, content)
        });
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
        assert_eq!(seen[0].0, attributes.mode);
        assert_eq!(seen[0].1, attributes.owner.unwrap_or(owner(0, 0).unwrap()));
        assert_eq!(seen[0].2, attributes.mtime);
        assert_eq!(small.identity, root.status_of(&name(&format!("small{n}"))).unwrap().unwrap().identity);
        assert!(root.status_of(&temp).unwrap().is_none());
    }
}

#[test]
fn a_setgid_directory_does_not_give_its_group_to_what_has_another() {
    let scratch = Scratch::new();
    let dir = scratch.root().make_dir(&name("d")).unwrap();
    write_small(&dir, &name("before"), None, b"", &plain()).unwrap();
    std::os::unix::fs::chown(scratch.path("d"), None, Some(77)).unwrap();
    std::fs::set_permissions(scratch.path("d"), std::fs::Permissions::from_mode(0o2775)).unwrap();
    // The owner seen in this directory before is not the one new files get now.
    write_small(&dir, &name("root's"), None, b"x", &plain()).unwrap();
    write_small(&dir, &name("theirs"), None, b"x", &Attributes { owner: owner(5, 77), ..plain() }).unwrap();
    let gid = |file: &str| std::fs::metadata(scratch.path("d").join(file)).unwrap().gid();
    assert_eq!((gid("root's"), gid("theirs")), (0, 77));
    let mode = std::fs::metadata(scratch.path("d/root's")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
}

#[test]
fn nothing_is_written_over_or_through_what_is_there() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    outside.put("target", "outside");
    symlink(&outside.path("target"), &scratch.path("link"));
    scratch.put("file", "old");
    let root = scratch.root();
    for there in ["link", "file"] {
        assert!(write_small(root, &name(there), None, b"x", &plain()).unwrap_err().is_exists());
        assert!(FileWriter::create(root, &name(there)).unwrap_err().is_exists());
        assert!(FileWriter::temporary(root, &name(there), None).unwrap_err().is_exists());
    }
    let link = scratch.status("link");
    assert!(FileWriter::in_place(root, &name("link"), &link, time(0, 0)).unwrap_err().is_vanished());
    assert!(BasisFile::open(root, &name("link"), link.identity).unwrap_err().is_vanished());
    // A temporary replaces the link, not what it points to.
    write_small(root, &name("link"), Some(&name(".t")), b"new", &plain()).unwrap();
    assert_eq!(scratch.status("link").kind, EntryKind::File);
    assert_eq!((outside.get("target"), scratch.get("file")), (b"outside".to_vec(), b"old".to_vec()));
}

#[test]
fn holes_at_start_middle_and_end_take_no_space() {
    let scratch = Scratch::new();
    let writer = FileWriter::create(scratch.root(), &name("sparse")).unwrap();
    let size = 1 << 24;
    writer.hole(0, 16 * LEAF).unwrap();
    writer.write_at(&[7; LEAF as usize], 16 * LEAF).unwrap();
    writer.hole(17 * LEAF, 64 * LEAF).unwrap();
    writer.write_at(&[8; 100], 81 * LEAF).unwrap();
    writer.hole(81 * LEAF + 100, size - 81 * LEAF - 100).unwrap();
    let done = finish(writer, size, None);
    let status = scratch.status("sparse");
    assert_eq!((status.size, status.identity), (size, done.identity));
    assert!(status.blocks_512 * 512 <= 3 * LEAF, "{}", status.blocks_512);
    let content = scratch.get("sparse");
    let sum: u64 = content.iter().map(|b| u64::from(*b)).sum();
    assert_eq!(sum, 7 * LEAF + 800);
    assert_eq!((content[16 * LEAF as usize], content[81 * LEAF as usize]), (7, 8));

    let empty = FileWriter::create(scratch.root(), &name("only a hole")).unwrap();
    empty.hole(0, size).unwrap();
    finish(empty, size, None);
    assert_eq!((scratch.status("only a hole").size, scratch.status("only a hole").blocks_512), (size, 0));
}

#[test]
fn several_threads_write_one_file_in_any_order() {
    let scratch = Scratch::new();
    let writer = FileWriter::create(scratch.root(), &name("f")).unwrap();
    std::thread::scope(|scope| {
        for lane in 0..4_u8 {
            let writer = &writer;
            scope.spawn(move || {
                for n in (0..8).rev() {
                    let at = (n * 4 + u64::from(lane)) * LEAF;
                    writer.write_at(&[lane + 1; LEAF as usize], at).unwrap();
                }
            });
        }
    });
    finish(writer, 32 * LEAF, None);
    let content = scratch.get("f");
    assert!(content.chunks(LEAF as usize).zip([1, 2, 3, 4].iter().cycle()).all(|(leaf, lane)| leaf[0] == *lane));
    assert_eq!(content.len() as u64, 32 * LEAF);
}

#[test]
fn a_file_in_place_that_looks_like_the_source_is_marked_before_its_first_change() {
    let scratch = Scratch::new();
    let mtime = plain().mtime;
    let old = vec![1; 3 * LEAF as usize];
    write_small(scratch.root(), &name("f"), None, &old, &plain()).unwrap();
    let before = scratch.status("f");
    let writer = in_place(&scratch, "f", mtime).unwrap();
    assert!(writer.basis_is_in_place());
    writer.copy_from_basis(0, 2 * LEAF).unwrap();
    // Nothing was changed yet: no trace.
    assert_eq!(scratch.status("f"), before);
    writer.write_at(b"new", 2 * LEAF).unwrap();
    assert_ne!(scratch.status("f").mtime, mtime);
    writer.abandon();
    assert_ne!(scratch.status("f").mtime, mtime);
    assert_eq!(scratch.status("f").identity, before.identity);

    let writer = in_place(&scratch, "f", mtime).unwrap();
    writer.copy_from_basis(0, 2 * LEAF + 3).unwrap();
    let done = finish(writer, 2 * LEAF + 3, None);
    let after = scratch.status("f");
    assert_eq!((after.size, after.mtime, after.identity), (2 * LEAF + 3, mtime, before.identity));
    assert_eq!(done.identity, before.identity);
    assert_eq!(&scratch.get("f")[2 * LEAF as usize..], b"new");
}

#[test]
fn a_file_in_place_that_needs_nothing_is_left_without_a_trace() {
    let scratch = Scratch::new();
    write_small(scratch.root(), &name("f"), None, &[0; LEAF as usize], &plain()).unwrap();
    let sparse = FileWriter::create(scratch.root(), &name("s")).unwrap();
    finish(sparse, LEAF, None);
    let before = [scratch.status("f"), scratch.status("s")];
    let writer = in_place(&scratch, "f", plain().mtime).unwrap();
    writer.copy_from_basis(0, LEAF).unwrap();
    finish(writer, LEAF, None);
    let writer = in_place(&scratch, "s", plain().mtime).unwrap();
    writer.hole(0, LEAF).unwrap();
    finish(writer, LEAF, None);
    assert_eq!([scratch.status("f"), scratch.status("s")], before);
}

#[test]
fn a_hole_in_place_frees_what_was_stored() {
    let scratch = Scratch::new();
    scratch.put("f", vec![9; 8 * LEAF as usize]);
    let writer = in_place(&scratch, "f", plain().mtime).unwrap();
    writer.copy_from_basis(0, LEAF).unwrap();
    writer.hole(LEAF, 6 * LEAF).unwrap();
    writer.copy_from_basis(7 * LEAF, LEAF).unwrap();
    finish(writer, 8 * LEAF, None);
    let content = scratch.get("f");
    assert_eq!(content.iter().filter(|b| **b == 9).count() as u64, 2 * LEAF);
    assert!(scratch.status("f").blocks_512 * 512 < 4 * LEAF);
}

#[test]
fn what_carries_privilege_is_not_written_in_place() {
    let scratch = Scratch::new();
    scratch.put("suid", "x");
    std::fs::set_permissions(scratch.path("suid"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    scratch.put("cap", "x");
    let capability = super::attributes::CAP_NET_RAW;
    let how = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(scratch.path("cap"), "security.capability", &capability, how).unwrap();
    scratch.put("plain", "x");
    assert!(in_place(&scratch, "suid", plain().mtime).is_none());
    assert!(in_place(&scratch, "cap", plain().mtime).is_none());
    assert!(in_place(&scratch, "plain", plain().mtime).is_some());
    let other = scratch.status("cap");
    assert!(FileWriter::in_place(scratch.root(), &name("plain"), &other, time(0, 0)).unwrap_err().is_vanished());
}

#[test]
fn a_file_that_got_another_name_is_not_written_in_place() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    scratch.put("f", [1; 9]);
    let seen = scratch.status("f");
    let writer = in_place(&scratch, "f", time(0, 0)).unwrap();
    std::fs::hard_link(scratch.path("f"), outside.path("g")).unwrap();
    assert!(FileWriter::in_place(scratch.root(), &name("f"), &seen, time(0, 0)).unwrap().is_none());
    assert!(writer.write_at(&[2; 3], 0).is_err(), "it was open already");
    assert!(writer.hole(0, 9).is_err());
    assert_eq!(outside.get("g"), [1; 9]);
    assert_eq!(scratch.status("f").mtime, seen.mtime);
    // With all its names known it is, and with fewer too.
    let writer = in_place(&scratch, "f", time(0, 0)).unwrap();
    std::fs::remove_file(outside.path("g")).unwrap();
    writer.write_at(&[2; 3], 0).unwrap();
}

#[test]
fn a_new_file_takes_content_from_one_that_stays_as_it_was() {
    let scratch = Scratch::new();
    let sub = scratch.root().make_dir(&name("sub")).unwrap();
    scratch.put("f", vec![1; 3 * LEAF as usize]);
    let seen = scratch.status("f");
    let alike = |file: &str| FileWriter::create_alike(&sub, &name(file), (scratch.root(), &name("f"), &seen)).unwrap();
    let writer = alike("g");
    writer.copy_from_basis(0, 2 * LEAF).unwrap();
    writer.write_at(&[2; LEAF as usize], 2 * LEAF).unwrap();
    assert_ne!(finish(writer, 3 * LEAF, None).identity, seen.identity);
    let content = scratch.get("sub/g");
    assert!(content.len() as u64 == 3 * LEAF && content[2 * LEAF as usize - 1] == 1 && content[2 * LEAF as usize] == 2);
    let writer = alike("h");
    writer.copy_from_basis(0, 3 * LEAF).unwrap();
    std::fs::write(scratch.path("f"), vec![3; 3 * LEAF as usize]).unwrap();
    assert!(writer.finish(3 * LEAF, &plain(), None).is_err(), "it was changed meanwhile");
    assert_ne!(std::fs::metadata(scratch.path("sub/h")).unwrap().mtime(), plain().mtime.secs());
    scratch.put("other", "x");
    let other = scratch.status("other");
    assert!(FileWriter::create_alike(&sub, &name("i"), (scratch.root(), &name("f"), &other)).is_err());
    assert!(!scratch.path("sub/i").exists());
}

#[test]
fn a_temporary_takes_old_content_and_replaces_it() {
    let scratch = Scratch::new();
    let old: Vec<u8> = (0..5 * LEAF).map(|n| (n / LEAF) as u8).collect();
    scratch.put("f", &old);
    let seen = scratch.status("f");
    let temp = name(".ferry-1-1");
    let writer = FileWriter::temporary(scratch.root(), &temp, Some((&name("f"), &seen))).unwrap();
    writer.write_at(&[9; LEAF as usize], 0).unwrap();
    writer.copy_from_basis(LEAF, 4 * LEAF).unwrap();
    // What the old content does not have cannot be taken from it.
    assert!(writer.copy_from_basis(4 * LEAF, 2 * LEAF).is_err());
    assert!(writer.copy_from_basis(u64::MAX, 2).is_err());
    assert_eq!(scratch.get("f"), old);
    let done = finish(writer, 5 * LEAF, Some(&name("f")));
    let new = scratch.get("f");
    assert_eq!((new[0], new[LEAF as usize], new[5 * LEAF as usize - 1]), (9, 1, 4));
    assert_eq!(scratch.status("f").identity, done.identity);
    assert_ne!(done.identity, seen.identity);
    assert_eq!(names_of(scratch.root().listing().unwrap(), 9).0, [b"f"]);

    let created = FileWriter::create(scratch.root(), &name("new")).unwrap();
    assert!(created.copy_from_basis(0, 1).is_err());
    let lone = FileWriter::temporary(scratch.root(), &temp, None).unwrap();
    assert!(lone.copy_from_basis(0, 1).is_err());
    let place = in_place(&scratch, "f", plain().mtime).unwrap();
    assert!(place.copy_from_basis(5 * LEAF, 1).is_err());
}

#[test]
fn a_temporary_does_not_take_the_name_when_its_basis_was_written_meanwhile() {
    let scratch = Scratch::new();
    scratch.put("f", [1; 2 * LEAF as usize]);
    let seen = scratch.status("f");
    let temp = name(".ferry-1-1");
    let writer = FileWriter::temporary(scratch.root(), &temp, Some((&name("f"), &seen))).unwrap();
    writer.write_at(&[9; LEAF as usize], 0).unwrap();
    std::fs::write(scratch.path("f"), [2; 2 * LEAF as usize]).unwrap();
    writer.copy_from_basis(LEAF, LEAF).unwrap();
    let error = writer.finish(2 * LEAF, &plain(), Some(&name("f"))).unwrap_err();
    assert!(error.to_string().contains("somebody else is writing"), "{error}");
    assert_eq!(scratch.get("f"), [2; 2 * LEAF as usize]);
    assert!(!scratch.path(".ferry-1-1").exists());
}

#[test]
fn a_temporary_that_is_given_up_is_gone() {
    let scratch = Scratch::new();
    let temp = name(".ferry-1-1");
    let writer = FileWriter::temporary(scratch.root(), &temp, None).unwrap();
    writer.write_at(b"x", 0).unwrap();
    writer.abandon();
    drop(FileWriter::temporary(scratch.root(), &temp, None).unwrap());
    std::fs::create_dir(scratch.path("dir")).unwrap();
    let writer = FileWriter::temporary(scratch.root(), &temp, None).unwrap();
    assert!(writer.finish(0, &plain(), Some(&name("dir"))).is_err());
    assert!(write_small(scratch.root(), &name("dir"), Some(&temp), b"x", &plain()).is_err());
    assert_eq!(names_of(scratch.root().listing().unwrap(), 9).0, [b"dir"]);
}

/// A source that is written to at this moment may get any time from now on: the time of our own writing is no mark then.
#[test]
fn what_is_left_unfinished_is_older_than_the_source_was_and_what_is_empty_is_gone() {
    let scratch = Scratch::new();
    let scanned = time(1_700_000_000, 5);
    let created = FileWriter::create(scratch.root(), &name("new")).unwrap();
    created.write_at(b"content", 0).unwrap();
    created.leave_unfinished(&name("new"), scanned).unwrap();
    std::fs::write(scratch.path("old"), "before").unwrap();
    let patched = in_place(&scratch, "old", scanned).unwrap();
    patched.write_at(b"after", 0).unwrap();
    patched.leave_unfinished(&name("old"), scanned).unwrap();
    for file in ["new", "old"] {
        assert!(scratch.status(file).mtime < scanned, "{file}");
    }
    std::fs::write(scratch.path("same"), "before").unwrap();
    let before = scratch.status("same").mtime;
    in_place(&scratch, "same", scanned).unwrap().leave_unfinished(&name("same"), scanned).unwrap();
    assert_eq!(scratch.status("same").mtime, before);
    FileWriter::create(scratch.root(), &name("empty")).unwrap().leave_unfinished(&name("empty"), scanned).unwrap();
    assert!(!scratch.path("empty").exists());
    // Somebody else's file of that name stays.
    let created = FileWriter::create(scratch.root(), &name("other")).unwrap();
    std::fs::remove_file(scratch.path("other")).unwrap();
    std::fs::write(scratch.path("other"), "theirs").unwrap();
    created.leave_unfinished(&name("other"), scanned).unwrap();
    assert_eq!(std::fs::read(scratch.path("other")).unwrap(), b"theirs");
}

#[test]
fn a_created_file_that_is_given_up_does_not_look_done() {
    let scratch = Scratch::new();
    let writer = FileWriter::create(scratch.root(), &name("f")).unwrap();
    writer.write_at(b"content", 0).unwrap();
    writer.abandon();
    assert_eq!(scratch.status("f").mode.bits(), 0o600);
    assert_ne!(scratch.status("f").mtime, plain().mtime);
}

#[test]
fn a_length_no_file_can_have_is_an_error() {
    let scratch = Scratch::new();
    let writer = FileWriter::create(scratch.root(), &name("f")).unwrap();
    assert!(writer.write_at(b"x", u64::MAX).is_err());
    assert!(writer.hole(u64::MAX, 2).is_err());
    assert!(writer.finish(u64::MAX, &plain(), None).is_err());
}

#[test]
fn a_basis_is_read_as_it_is() {
    let scratch = Scratch::new();
    scratch.put("f", "content");
    let seen = scratch.status("f");
    let basis = BasisFile::open(scratch.root(), &name("f"), seen.identity).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(basis.read_at(&mut buffer, 3).unwrap(), 4);
    assert_eq!(&buffer[..4], b"tent");
    basis.drop_cache();
    assert_eq!(basis.read_at(&mut buffer, 7).unwrap(), 0);
    assert_eq!(basis.status(), &seen);
}

#[test]
fn a_time_out_of_range_is_a_loss_and_not_an_endless_difference() {
    let scratch = Scratch::new();
    let far = Attributes { mtime: time(i64::MAX - 1, 7), ..plain() };
    if scratch.volume.clamp(far.mtime) == far.mtime {
        return; // This file system keeps every time there is.
    }
    let done = write_small(scratch.root(), &name("f"), None, b"", &far).unwrap();
    assert_eq!(done.applied.losses, [LossKind::Times]);
    let before = scratch.status("f");
    scratch.root().apply_to(&name("f"), EntryKind::File, &far).unwrap();
    assert_eq!(scratch.status("f"), before);
}
