//! Where state is kept: made with its magic or not at all, replaced as a whole, and nobody else's taken for ours.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn read(store: &StateStore) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    store.open().unwrap()?.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn write(store: &StateStore, bytes: &[u8]) -> Result<(), Error> {
    store.replace(|to| to.write_all(bytes))
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn state_in_the_volume_leaves_no_other_trace_in_its_root() {
    let scratch = Scratch::new();
    let before = scratch.root().status().unwrap();
    let store = StateStore::within(&scratch.volume);
    assert_eq!(read(&store), None);
    write(&store, b"one").unwrap();
    write(&store, b"two").unwrap();
    assert_eq!(read(&store).unwrap(), b"two");
    assert_eq!(scratch.root().status().unwrap().mtime, before.mtime);
    assert_eq!((mode(scratch.path(".ferry")), mode(scratch.path(".ferry/leaves"))), (0o700, 0o600));
    assert_eq!(std::fs::read_dir(scratch.path(".")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(scratch.path(".ferry")).unwrap().count(), 2);
    assert!(scratch.volume.skips(scratch.root(), &name(".ferry")));
    assert!(scratch.volume.is_empty().unwrap());
}

#[test]
fn a_directory_of_that_name_without_the_magic_is_somebody_elses() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path(".ferry")).unwrap();
    scratch.put(".ferry/magic", "mine");
    let store = StateStore::within(&scratch.volume);
    assert!(store.open().unwrap_err().to_string().contains("not ours"));
    assert!(write(&store, b"x").is_err());
    assert!(!scratch.volume.skips(scratch.root(), &name(".ferry")));
    assert!(scratch.volume.is_reserved(scratch.root(), &name(".ferry")));
    assert_eq!(std::fs::read_dir(scratch.path(".ferry")).unwrap().count(), 1);
}

#[test]
fn a_failed_write_leaves_what_was_kept_and_nothing_beside_it() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let id = scratch.volume.state_id().unwrap();
    assert_ne!(id, other.volume.state_id().unwrap());
    let store = StateStore::outside(&other.path("made"), "data", &id);
    assert_eq!(read(&store), None);
    write(&store, b"kept").unwrap();
    let failed = store.replace(|to| {
        to.write_all(b"half")?;
        Err(std::io::Error::other("no"))
    });
    assert!(failed.is_err());
    assert_eq!(read(&store).unwrap(), b"kept");
    assert_eq!(std::fs::read_dir(other.path("made")).unwrap().count(), 1);
    assert_eq!(mode(other.path("made")), 0o700);
}

#[test]
fn a_link_in_the_place_of_the_state_is_not_followed() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let store = StateStore::outside(&other.path("made"), "data", &scratch.volume.state_id().unwrap());
    write(&store, b"kept").unwrap();
    scratch.put("theirs", "secret");
    let file = std::fs::read_dir(other.path("made")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(scratch.path("theirs"), &file).unwrap();
    assert!(store.open().is_err());
    write(&store, b"new").unwrap();
    assert_eq!(scratch.get("theirs"), b"secret");
}
