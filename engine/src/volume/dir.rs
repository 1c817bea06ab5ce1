//! A directory of a volume, known by its place in the tree and by which inode it is; opened when it is needed.
//!
//! ```text
//! root (always open) <- Dir <- Dir <- Dir      each: parent, name, identity, perhaps a descriptor
//! ```
//!
//! Every operation of this room is (descriptor of a `Dir`, one `Name`). A directory whose descriptor was closed is
//! opened again from its nearest open ancestor, name by name, never through a link, and only if each is still the inode
//! it was: whoever swaps directories beneath us gets an error that reads as vanished. No path is ever made, so trees
//! may be deeper than a path is long.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{Mode as Bits, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::descriptors::Slot;
use super::error::{Cannot, Error};
use super::root::Site;
use super::status::{Identity, Status};
use crate::types::{EntryKind, Name, Owner, RelPath, limits};

/// A directory of a volume. Shared as `Arc<Dir>` by any number of threads.
#[derive(Debug)]
pub struct Dir {
    pub(super) site: Arc<Site>,
    /// `None` for the root.
    below: Option<Below>,
    identity: Identity,
    depth: usize,
    /// Held while this directory's own times are put back.
    pub(super) times: Mutex<()>,
    /// The owner the kernel gave to the first file we made here: a guess for the next one, always checked.
    pub(super) newborn: OnceLock<Owner>,
}

/// A directory's place, and its descriptor while it is open.
#[derive(Debug)]
struct Below {
    parent: Arc<Dir>,
    name: Name,
    slot: Arc<Slot>,
}

impl Dir {
    /// The root, whose descriptor the volume holds.
    pub(super) fn root(site: &Arc<Site>) -> Arc<Self> {
        Arc::new(Self::new(site, None, site.status.identity, 0))
    }

    fn new(site: &Arc<Site>, below: Option<Below>, identity: Identity, depth: usize) -> Self {
        Self { site: Arc::clone(site), below, identity, depth, times: Mutex::default(), newborn: OnceLock::new() }
    }

    /// The directory `name` in this one, which was seen to be `identity`. Opens nothing.
    ///
    /// # Errors
    /// When it would be deeper than `DEPTH_MAX`.
    pub fn child(self: &Arc<Self>, name: &Name, identity: Identity) -> Result<Arc<Self>, Error> {
        let depth = self.depth.saturating_add(1);
        if depth > limits::DEPTH_MAX {
            return Err(Error { op: "go deeper than 16384 directories", errno: Errno::NAMETOOLONG });
        }
        let below = Below { parent: Arc::clone(self), name: name.clone(), slot: Arc::default() };
        Ok(Arc::new(Self::new(&self.site, Some(below), identity, depth)))
    }

    /// The same, with the descriptor that is open already.
    pub(super) fn opened_child(self: &Arc<Self>, name: &Name, descriptor: OwnedFd) -> Result<Arc<Self>, Error> {
        let child = self.child(name, Status::of_open(&descriptor)?.identity)?;
        if let Some(below) = &child.below {
            child.site.open.keep(&below.slot, &Arc::new(descriptor));
        }
        Ok(child)
    }

    /// The path below the root, for people. Long in deep trees: made on demand, never kept.
    #[must_use]
    pub fn path(&self) -> RelPath {
        let mut names = Vec::with_capacity(self.depth);
        let mut at = self;
        while let Some(below) = &at.below {
            names.push(&below.name);
            at = &below.parent;
        }
        RelPath::from_names(names.into_iter().rev())
    }

    /// Directories above this one; 0 for the root.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Which inode it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The directory it is in and its name there; `None` for the root.
    #[must_use]
    pub fn place(&self) -> Option<(&Arc<Self>, &Name)> {
        self.below.as_ref().map(|below| (&below.parent, &below.name))
    }

    /// What the kernel says about it.
    ///
    /// # Errors
    /// When it cannot be opened, or is not there any more.
    pub fn status(&self) -> Result<Status, Error> {
        Status::of_open(&*self.descriptor()?)
    }

    /// The descriptor, opened if need be.
    pub(super) fn descriptor(&self) -> Result<Arc<OwnedFd>, Error> {
        let mut closed = Vec::new();
        let mut at = self;
        let mut descriptor = loop {
            let Some(below) = &at.below else { break Arc::clone(&at.site.root) };
            if let Some(open) = below.slot.get() {
                break open;
            }
            closed.push((below, at.identity));
            at = &below.parent;
        };
        while let Some((below, identity)) = closed.pop() {
            descriptor = Arc::new(open_dir(descriptor.as_fd(), &below.name, identity)?);
            self.site.open.keep(&below.slot, &descriptor);
        }
        Ok(descriptor)
    }

    /// A second description of the same directory, with a reading position and locks of its own.
    pub(super) fn reopen(&self) -> Result<OwnedFd, Error> {
        let descriptor = self.descriptor()?;
        open_quietly(descriptor.as_fd(), b".", OFlags::RDONLY | OFlags::DIRECTORY).cannot("open a directory")
    }
}

impl Drop for Dir {
    /// Lets go of the parents one after the other: a tree may be deeper than the stack.
    fn drop(&mut self) {
        let mut below = self.below.take();
        while let Some(last) = below {
            below = Arc::into_inner(last.parent).and_then(|mut parent| parent.below.take());
        }
    }
}

/// Opens the directory `name`, which must be `identity`.
pub(super) fn open_dir(dir: BorrowedFd<'_>, name: &Name, identity: Identity) -> Result<OwnedFd, Error> {
    let opened = open_quietly(dir, name.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY).cannot("open a directory")?;
    expect(&Status::of_open(&opened)?, EntryKind::Dir, identity, "open a directory")?;
    Ok(opened)
}

/// Opens a name without following it, without waiting for a device, and without a trace in its atime where that is
/// permitted.
pub(super) fn open_quietly(dir: BorrowedFd<'_>, name: &[u8], how: OFlags) -> rustix::io::Result<OwnedFd> {
    let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match retry_on_intr(|| rustix::fs::openat(dir, name, how | OFlags::NOATIME, Bits::empty())) {
        // Only the owner may ask for that.
        Err(Errno::PERM) => retry_on_intr(|| rustix::fs::openat(dir, name, how, Bits::empty())),
        opened => opened,
    }
}

/// Refuses what is not the inode it should be: something was put in its place.
pub(super) fn expect(status: &Status, kind: EntryKind, identity: Identity, op: &'static str) -> Result<(), Error> {
    if status.kind == kind && status.identity == identity { Ok(()) } else { Err(Error { op, errno: Errno::STALE }) }
}
