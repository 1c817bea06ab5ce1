//! Volumes that are one file: opened through links, made, locked, and kept apart from what is none. Devices need a loop
//! device and are tried from outside.

use rustix::io::Errno;

use super::*;
use crate::types::{EntryKind, Shape};

#[test]
fn a_file_is_a_volume_with_a_size_and_a_name_through_links_too() {
    let scratch = Scratch::new();
    scratch.put("file", "12345");
    std::os::unix::fs::symlink("file", scratch.path("link")).unwrap();
    let volume = Volume::open_source(&scratch.path("link")).unwrap();
    assert_eq!(volume.shape(), Shape::File { size: 5 });
    assert_eq!(volume.single().unwrap().name(), &name("file"));
    assert!(volume.block_device().is_none());
    let again = Volume::open_single_destination(&scratch.path("file")).unwrap();
    assert_eq!(again.instance_seed(), volume.instance_seed());
    scratch.put("other", "12345");
    assert_ne!(Volume::open_source(&scratch.path("other")).unwrap().instance_seed(), volume.instance_seed());
    assert_eq!(scratch.volume.shape(), Shape::Directory);
}

#[test]
fn what_is_neither_tree_nor_file_nor_device_is_no_volume() {
    let scratch = Scratch::new();
    scratch.root().make_fifo(&name("fifo")).unwrap();
    for path in [scratch.path("fifo"), PathBuf::from("/dev/null")] {
        assert_eq!(Volume::open_source(&path).unwrap_err().errno, Errno::NOTBLK, "{}", path.display());
    }
    assert_eq!(Volume::kind_at(&scratch.path("fifo")), Ok(Some(EntryKind::Fifo)));
    assert_eq!(Volume::kind_at(&scratch.path("missing")), Ok(None));
    assert_eq!(Volume::open_single_destination(&scratch.path).unwrap_err().errno, Errno::NOTBLK);
}

#[test]
fn a_file_is_made_once_empty_and_for_nobody_else() {
    let scratch = Scratch::new();
    let made = Volume::make_single_destination(&scratch.path("file")).unwrap();
    assert_eq!(made.shape(), Shape::File { size: 0 });
    assert_eq!(scratch.status("file").mode, Mode::new(0o600).unwrap());
    assert!(Volume::make_single_destination(&scratch.path("file")).unwrap_err().is_exists());
    assert!(Volume::make_single_destination(&scratch.path("no/file")).unwrap_err().is_vanished());
}

#[test]
fn one_holder_locks_a_file_and_its_neighbours_stay_free() {
    let scratch = Scratch::new();
    scratch.put("file", "");
    scratch.put("other", "");
    let open = |of: &str| Volume::open_single_destination(&scratch.path(of)).unwrap();
    let lock = open("file").lock().unwrap();
    assert!(lock.is_some());
    assert!(open("file").lock().unwrap().is_none());
    assert!(open("other").lock().unwrap().is_some());
    drop(lock);
    assert!(open("file").lock().unwrap().is_some());
}
