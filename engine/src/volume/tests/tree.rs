//! Held directories, listings, locks and clocks.

use std::collections::BTreeSet;

use super::*;
use crate::types::EntryKind;
use crate::volume::names::Limit;

#[test]
fn a_tree_deeper_than_a_path_is_made_listed_and_removed() {
    let scratch = Scratch::new();
    let long = "d".repeat(200);
    let depth = 1_500; // 300,000 bytes of path; more directories than descriptors are kept.
    let mut dirs = vec![Arc::clone(scratch.root())];
    for _ in 0..depth {
        let next = dirs.last().unwrap().make_dir(&name(&long)).unwrap();
        dirs.push(next);
    }
    write_small(dirs.last().unwrap(), &name("bottom"), None, b"x", &plain()).unwrap();
    // The first ones were closed meanwhile and are opened again, and so are the last ones after them.
    assert_eq!(names_of(dirs[1].listing().unwrap(), 10).0, [long.as_bytes()]);
    let bottom = dirs.pop().unwrap();
    assert_eq!(bottom.depth(), depth);
    assert_eq!(bottom.path().as_bytes().len(), depth * 201 - 1);
    drop(dirs);
    assert_eq!(bottom.status_of(&name("bottom")).unwrap().unwrap().size, 1);
    drop(bottom);

    let top = scratch.status(&long);
    assert_eq!(scratch.root().count_tree(&name(&long), &top, 1_000_000).unwrap(), depth as u64 + 1);
    assert_eq!(scratch.root().count_tree(&name(&long), &top, 17).unwrap(), 17);
    let mut failed = 0;
    let removed = scratch.root().remove_tree(&name(&long), &top, scratch.volume.device(), &mut |r| {
        failed += u32::from(r.result.is_err());
    });
    assert_eq!((removed, failed), (depth as u64 + 1, 0));
    assert!(scratch.volume.is_empty().unwrap());
}

#[test]
fn a_very_deep_chain_of_directories_is_dropped_without_recursion() {
    let scratch = Scratch::new();
    let identity = scratch.root().identity();
    let mut at = Arc::clone(scratch.root());
    for _ in 0..crate::types::limits::DEPTH_MAX {
        at = at.child(&name("x"), identity).unwrap();
    }
    assert!(at.child(&name("x"), identity).is_err());
    std::thread::Builder::new().stack_size(64 * 1024).spawn(move || drop(at)).unwrap().join().unwrap();
}

#[test]
fn a_directory_swapped_for_a_symlink_or_another_directory_is_refused() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    outside.put("secret", "secret");
    std::fs::create_dir(scratch.path("a")).unwrap();
    scratch.put("a/secret", "ours");
    let before = scratch.dir("a");
    std::fs::rename(scratch.path("a"), scratch.path("b")).unwrap();
    symlink(&outside.path, &scratch.path("a"));
    let error = before.status_of(&name("secret")).unwrap_err();
    assert!(error.is_vanished(), "{error}");

    std::fs::remove_file(scratch.path("a")).unwrap();
    std::fs::create_dir(scratch.path("a")).unwrap();
    let error = FileWriter::create(&before, &name("new")).unwrap_err();
    assert!(error.is_vanished(), "{error}");
    assert_eq!(std::fs::read_dir(scratch.path("a")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(&outside.path).unwrap().count(), 1);
}

#[test]
fn a_held_descriptor_goes_on_to_mean_the_directory_it_was_opened_for() {
    let scratch = Scratch::new();
    let dir = scratch.root().make_dir(&name("a")).unwrap();
    std::fs::rename(scratch.path("a"), scratch.path("b")).unwrap();
    std::fs::create_dir(scratch.path("a")).unwrap();
    write_small(&dir, &name("f"), None, b"x", &plain()).unwrap();
    assert_eq!(scratch.get("b/f"), b"x");
}

#[test]
fn many_threads_use_the_same_directories_while_few_stay_open() {
    let scratch = Scratch::new();
    let root = std::fs::File::open(&scratch.path).unwrap();
    let volume = Volume::with(root.into(), 3, scratch.volume.privilege().clone()).unwrap();
    let dirs: Vec<Arc<Dir>> = (0..20).map(|n| volume.root().make_dir(&name(&format!("d{n}"))).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dirs = &dirs;
            scope.spawn(move || {
                for dir in dirs {
                    write_small(dir, &name(&format!("f{thread}")), None, b"x", &plain()).unwrap();
                }
            });
        }
    });
    for dir in &dirs {
        assert_eq!(names_of(dir.listing().unwrap(), 3).0, [b"f0", b"f1", b"f2", b"f3"]);
    }
}

#[test]
fn a_listing_in_ranges_gives_every_name_once_and_in_order() {
    let scratch = Scratch::new();
    let mut expected = BTreeSet::new();
    for n in 0..600_u32 {
        // Clustered, of very different lengths: quantiles are no equal steps here.
        let len = if n.is_multiple_of(3) { 250 } else { 7 };
        let name = format!("{:0len$}", u64::from(n) * u64::from(n));
        std::fs::write(scratch.path(&name), "").unwrap();
        expected.insert(name.into_bytes());
    }
    for (limit, samples) in [(100, 2), (1_000, 16), (16_000, 4_096), (1 << 20, 10)] {
        let listing = Listing::with_limit(scratch.root(), Limit::new(limit, samples));
        let (names, end) = names_of(listing, 100);
        assert!(names.is_sorted_by(|a, b| a < b), "limit {limit}");
        assert!(names.iter().eq(expected.iter()), "limit {limit}");
        assert_eq!(end, ListingEnd::Complete);
        if limit == 100 {
            expected.retain(|name| name.len() > 7 || name.ends_with(b"4"));
            for name in names.iter().filter(|name| !expected.contains(*name)) {
                std::fs::remove_file(scratch.path(std::str::from_utf8(name).unwrap())).unwrap();
            }
        }
    }
}

#[test]
fn a_listing_tells_kinds_and_notices_a_change() {
    let scratch = Scratch::new();
    scratch.put("file", "");
    std::fs::create_dir(scratch.path("dir")).unwrap();
    symlink(Path::new("nowhere"), &scratch.path("link"));
    let mut listing = scratch.root().listing().unwrap();
    let chunk = listing.next_chunk(10).unwrap();
    let kinds: Vec<_> = chunk.iter().map(|l| l.kind.unwrap_or(EntryKind::Socket)).collect();
    assert_eq!(kinds, [EntryKind::Dir, EntryKind::File, EntryKind::Symlink]);
    assert_eq!(chunk[1].ino, scratch.status("file").identity.ino);
    assert_eq!(listing.finish(), ListingEnd::Complete);

    let mut changing = Listing::with_limit(scratch.root(), Limit::new(20, 2));
    assert!(!changing.next_chunk(1).unwrap().is_empty());
    scratch.put("another", "");
    assert_eq!(names_of(changing, 1).1, ListingEnd::Changed);

    let unfinished = scratch.root().listing().unwrap();
    assert_eq!(unfinished.finish(), ListingEnd::Changed);
}

#[test]
fn a_lock_excludes_until_it_is_dropped() {
    let scratch = Scratch::new();
    let other = Volume::open_destination(&scratch.path).unwrap();
    let lock = scratch.volume.lock().unwrap().unwrap();
    assert!(other.lock().unwrap().is_none());
    assert!(scratch.volume.lock().unwrap().is_none());
    drop(lock);
    assert!(other.lock().unwrap().is_some());
}

#[test]
fn clamped_times_are_what_the_file_system_keeps() {
    let scratch = Scratch::new();
    let far = [
        time(i64::MIN, 999_999_999),
        time(-3_000_000_000, 5),
        time(-1, 999_999_999),
        time(0, 1),
        time(5_000_000_000, 987_654_321),
        time(i64::MAX, 1),
    ];
    let before = scratch.root().status().unwrap();
    for (n, mtime) in far.into_iter().enumerate() {
        let file = name(&format!("{n}"));
        let done = write_small(scratch.root(), &file, None, b"", &Attributes { mtime, ..plain() }).unwrap();
        let kept = scratch.root().status_of(&file).unwrap().unwrap().mtime;
        assert_eq!(kept, scratch.volume.clamp(mtime));
        assert_eq!(done.applied.losses.is_empty(), kept == mtime);
    }
    assert_ne!(before, scratch.root().status().unwrap());
    let quiet = scratch.root().status().unwrap();
    let probing = Volume::open_source(&scratch.path).unwrap();
    let _ = probing.clamp(time(0, 0));
    assert_eq!(quiet, scratch.root().status().unwrap());
    assert_eq!(names_of(scratch.root().listing().unwrap(), 100).0.len(), far.len());
}

#[test]
fn a_volume_is_a_directory_made_below_an_existing_one() {
    let scratch = Scratch::new();
    scratch.put("file", "");
    assert!(Volume::open_source(&scratch.path("missing")).unwrap_err().is_vanished());
    assert!(Volume::open_destination(&scratch.path("file")).is_err());
    assert!(Volume::open_destination(&scratch.path("no/such")).is_err());
    let made = Volume::open_destination(&scratch.path("made")).unwrap();
    assert_eq!(made.root().status().unwrap().mode.bits(), 0o700);
    assert!(made.is_empty().unwrap());
    assert!(!made.root_is_mount_point());
    assert!(!scratch.volume.is_empty().unwrap());
    assert!(made.free().unwrap().bytes > 0);
    made.sync().unwrap();
    assert_eq!(made.instance_seed(), Volume::open_source(&scratch.path("made")).unwrap().instance_seed());
    assert_ne!(made.instance_seed(), scratch.volume.instance_seed());
}

#[test]
fn a_users_lost_and_found_is_no_file_systems() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("lost+found")).unwrap();
    assert!(!scratch.volume.skips(scratch.root(), &name("lost+found")));
    assert!(!scratch.volume.is_empty().unwrap());
}
