//! Reading a source: what is read is what was scanned, or it is said.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::*;
use crate::types::{EntryKind, limits};

fn read(scratch: &Scratch, file: &str, scanned: &Status) -> (Stability, Vec<u8>) {
    let mut into = b"before".to_vec();
    let stability = scratch.root().read_small(&name(file), scanned, &mut into).unwrap();
    (stability, into)
}

#[test]
fn a_quiet_file_is_read_whole_and_appended() {
    let scratch = Scratch::new();
    scratch.put("f", "content");
    scratch.put("empty", "");
    assert_eq!(read(&scratch, "f", &scratch.status("f")), (Stability::AsScanned, b"beforecontent".to_vec()));
    assert_eq!(read(&scratch, "empty", &scratch.status("empty")), (Stability::AsScanned, b"before".to_vec()));
}

#[test]
fn a_file_that_is_no_longer_what_was_scanned_is_not_read() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    outside.put("f", "content");
    for change in ["grown", "shrunk", "rewritten", "swapped", "a link", "a fifo", "a socket", "gone"] {
        scratch.put("f", "content");
        let scanned = scratch.status("f");
        std::thread::sleep(limits::CLOCK_TICK);
        if !matches!(change, "grown" | "shrunk" | "rewritten") {
            std::fs::rename(scratch.path("f"), scratch.path("old")).unwrap();
        }
        match change {
            "grown" => scratch.put("f", "content and more than that"),
            "shrunk" => scratch.put("f", "con"),
            "rewritten" => scratch.put("f", "CONTENT"),
            "swapped" => scratch.put("f", "content"),
            "a link" => symlink(&outside.path("f"), &scratch.path("f")),
            "a fifo" => scratch.root().make_fifo(&name("f")).unwrap(),
            "a socket" => scratch.root().make_socket(&name("f")).unwrap(),
            _ => {}
        }
        let expected = if change == "gone" { Stability::Vanished } else { Stability::Changed };
        assert_eq!(read(&scratch, "f", &scanned), (expected, b"before".to_vec()), "{change}");
        match scratch.root().open_source_file(&name("f"), &scanned).unwrap() {
            Opened::File(_) => panic!("{change} was opened"),
            Opened::Changed(_) => assert_ne!(change, "gone"),
            Opened::Vanished => assert_eq!(change, "gone"),
        }
        let _ = std::fs::remove_file(scratch.path("f"));
    }
}

#[test]
fn a_fresh_file_is_waited_for_once_so_that_no_change_is_invisible() {
    let scratch = Scratch::new();
    scratch.put("f", "content");
    let scanned = scratch.status("f");
    let begun = Instant::now();
    assert_eq!(read(&scratch, "f", &scanned).0, Stability::AsScanned);
    let first = begun.elapsed();
    assert!(first >= limits::CLOCK_TICK - Duration::from_millis(5), "{first:?}");
    assert_eq!(read(&scratch, "f", &scanned).0, Stability::AsScanned);
}

#[test]
fn extents_of_a_sparse_file_cover_it_and_skip_its_holes() {
    let scratch = Scratch::new();
    let len = 10 << 20;
    let file = std::fs::File::create(scratch.path("sparse")).unwrap();
    file.set_len(len).unwrap();
    file.write_all_at(&[1; 65_536], 1 << 20).unwrap();
    file.write_all_at(&[2; 65_536], 5 << 20).unwrap();
    drop(file);
    let scanned = scratch.status("sparse");
    let Opened::File(file) = scratch.root().open_source_file(&name("sparse"), &scanned).unwrap() else {
        panic!("not opened")
    };
    let (mut at, mut data) = (0, 0);
    let mut seen = Vec::new();
    while at < len {
        let extent = file.next_extent(at, len).unwrap();
        seen.push(extent);
        at += match extent {
            Extent::Data { len } => {
                data += len;
                len
            }
            Extent::Hole { len } => len,
        };
    }
    assert_eq!((at, data), (len, 131_072), "{seen:?}");
    assert!(matches!(
        seen[..],
        [Extent::Hole { .. }, Extent::Data { .. }, Extent::Hole { .. }, Extent::Data { .. }, _]
    ));
    // Cut at the end asked for.
    assert_eq!(file.next_extent(0, 7).unwrap(), Extent::Hole { len: 7 });
    let mut content = [0; 4];
    assert!(file.read_exact_at(&mut content, (5 << 20) + 65_534).unwrap());
    assert_eq!(content, [2, 2, 0, 0]);
    assert!(!file.read_exact_at(&mut content, len - 2).unwrap());
    assert_eq!(file.stability().unwrap(), Stability::AsScanned);
    scratch.put("sparse", "x");
    assert_eq!(file.stability().unwrap(), Stability::Changed);
}

#[test]
fn attributes_of_every_kind_are_read_without_following() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    outside.put("f", "");
    let set = |at: &Path, name: &str| rustix::fs::lsetxattr(at, name, b"v", rustix::fs::XattrFlags::empty()).unwrap();
    set(&outside.path("f"), "user.secret");
    scratch.put("file", "");
    std::fs::create_dir(scratch.path("dir")).unwrap();
    symlink(&outside.path("f"), &scratch.path("link"));
    scratch.root().make_fifo(&name("fifo")).unwrap();
    set(&scratch.path("file"), "user.b");
    set(&scratch.path("file"), "user.a");
    set(&scratch.path("dir"), "user.d");
    set(&scratch.path("link"), "trusted.l");
    set(&scratch.path("fifo"), "trusted.p");
    let root = scratch.root();
    let of = |file: &str, kind| root.xattrs_of(&name(file), kind, &all).unwrap();
    assert_eq!(of("file", EntryKind::File), xattrs(&[("user.a", b"v"), ("user.b", b"v")]));
    assert_eq!(of("dir", EntryKind::Dir), xattrs(&[("user.d", b"v")]));
    assert_eq!(of("link", EntryKind::Symlink), xattrs(&[("trusted.l", b"v")]));
    assert_eq!(of("fifo", EntryKind::Fifo), xattrs(&[("trusted.p", b"v")]));
    assert_eq!(scratch.dir("dir").xattrs(&all).unwrap(), xattrs(&[("user.d", b"v")]));
    let picky = |name: &[u8]| name == b"user.b";
    assert_eq!(root.xattrs_of(&name("file"), EntryKind::File, &picky).unwrap(), xattrs(&[("user.b", b"v")]));
    let inspect = || {
        for (file, kind) in
            [("file", Some(EntryKind::File)), ("link", Some(EntryKind::File)), ("fifo", None), ("dir", None)]
        {
            let (status, read) = root.inspect(&name(file), kind, &all).unwrap().unwrap();
            assert_eq!(status, scratch.status(file));
            assert_eq!(read, of(file, status.kind));
        }
        assert!(root.inspect(&name("none"), Some(EntryKind::File), &all).unwrap().is_none());
    };
    inspect();
    // The same on a thread that stands in the directory; the others stay where they are.
    let stands = std::env::current_dir().unwrap();
    let stood = || {
        stand_alone();
        inspect();
        std::fs::read_link("/proc/thread-self/cwd").unwrap()
    };
    let stood = std::thread::scope(|scope| scope.spawn(stood).join().unwrap());
    assert_eq!(stood, scratch.path("."), "no working directory of its own");
    assert_eq!(std::env::current_dir().unwrap(), stands);
    assert!(root.xattrs_of(&name("link"), EntryKind::File, &all).is_err());
    assert_eq!(&*root.target_of(&name("link")).unwrap(), outside.path("f").as_os_str().as_bytes());
}

#[test]
fn reading_leaves_the_access_time_alone() {
    let scratch = Scratch::new();
    scratch.put("f", "content");
    let atime = || std::fs::metadata(scratch.path("f")).unwrap().accessed().unwrap();
    let long_ago = std::fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    std::fs::File::options().write(true).open(scratch.path("f")).unwrap().set_times(long_ago).unwrap();
    assert_eq!(read(&scratch, "f", &scratch.status("f")).0, Stability::AsScanned);
    assert_eq!(atime(), std::time::UNIX_EPOCH);
}
