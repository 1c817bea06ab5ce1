//! Tests of this room on real file systems. They run as root, in directories of their own that they remove.

mod attributes;
mod entries;
mod reading;
mod single;
mod state;
mod tree;
mod writing;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::types::{Mode, Name, Owner, Timestamp, Xattr, Xattrs};

/// A directory that is gone when the test ends, with a volume open on it.
struct Scratch {
    path: PathBuf,
    volume: Volume,
}

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/tmp/ferry-volume-{}-{n}", std::process::id()));
        let volume = Volume::open_destination(&path).unwrap();
        Self { path, volume }
    }

    fn root(&self) -> &Arc<Dir> {
        self.volume.root()
    }

    fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.path.join(below)
    }

    /// Writes a file by the standard library.
    fn put(&self, below: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(below), content).unwrap();
    }

    fn get(&self, below: &str) -> Vec<u8> {
        std::fs::read(self.path(below)).unwrap()
    }

    fn status(&self, of: &str) -> Status {
        self.root().status_of(&name(of)).unwrap().unwrap()
    }

    /// The directory `of` directly under the root.
    fn dir(&self, of: &str) -> Arc<Dir> {
        self.root().child(&name(of), self.status(of).identity).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn time(secs: i64, nanos: u32) -> Timestamp {
    Timestamp::new(secs, nanos).unwrap()
}

fn owner(uid: u32, gid: u32) -> Option<Owner> {
    Owner::new(uid, gid)
}

fn xattrs(list: &[(&str, &[u8])]) -> Xattrs {
    let mut list: Vec<Xattr> =
        list.iter().map(|(name, value)| Xattr { name: name.as_bytes().into(), value: (*value).into() }).collect();
    list.sort();
    Xattrs::new(list).unwrap()
}

/// What a run with all privileges keeps.
fn all(name: &[u8]) -> bool {
    name != b"security.selinux"
}

/// A new file of root's, mode 0644, from 2001, without further attributes.
fn plain() -> Attributes<'static> {
    Attributes {
        owner: owner(0, 0),
        mode: Mode::new(0o644).unwrap(),
        mtime: time(1_000_000_000, 123_456_789),
        xattrs: None,
        wants: &all,
        inherited: false,
        existing: false,
    }
}

/// Every name of a directory, `max` at a time, and how the listing ended.
fn names_of(listing: Listing, max: usize) -> (Vec<Vec<u8>>, ListingEnd) {
    let mut listing = listing;
    let mut names = Vec::new();
    loop {
        let chunk = listing.next_chunk(max).unwrap();
        if chunk.is_empty() {
            return (names, listing.finish());
        }
        names.extend(chunk.iter().map(|listed| listed.name.as_bytes().to_vec()));
    }
}

fn symlink(target: &Path, at: &Path) {
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target.as_os_str().as_bytes()), at).unwrap();
}
