//! An inode we hold, and the changes that can be made to it and to nothing else.
//!
//! Regular files and directories are held open. What must not or cannot be opened (links, devices, unreadable files) is
//! held by an `O_PATH` descriptor and reached by the kernel's own name for it, `/proc/self/fd/N`, which leads to exactly
//! that inode whatever happens to its name meanwhile. It refuses to change anything by name.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Gid, Mode as Bits, OFlags, Uid};
use rustix::io::{Errno, Result, retry_on_intr};

use super::clock::{mtime_alone, set_mtime};
use super::dir::open_quietly;
use super::xattrs::Place;
use crate::types::{EntryKind, Mode, Name, Timestamp};

/// A held inode.
#[derive(Debug)]
pub(super) enum Handle<'a> {
    /// Held open by somebody else.
    Borrowed(BorrowedFd<'a>),
    /// Held open.
    Open(OwnedFd),
    /// Pointed at, with its name in `/proc/self/fd`.
    Pointed(OwnedFd, String),
}

impl Handle<'static> {
    /// Takes hold of `name`, which was seen to be a `kind`; it is not followed.
    pub(super) fn take(dir: BorrowedFd<'_>, name: &Name, kind: EntryKind) -> Result<Self> {
        if matches!(kind, EntryKind::File | EntryKind::Dir) {
            match open_quietly(dir, name.as_bytes(), OFlags::RDONLY) {
                Err(Errno::ACCESS) => {}
                opened => return Ok(Self::Open(opened?)),
            }
        }
        Self::point(dir, name)
    }

    /// Points at `name` without opening it; needs no permission on it.
    pub(super) fn point(dir: BorrowedFd<'_>, name: &Name) -> Result<Self> {
        let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let pointer = retry_on_intr(|| rustix::fs::openat(dir, name.as_bytes(), how, Bits::empty()))?;
        let path = format!("/proc/self/fd/{}", pointer.as_raw_fd());
        Ok(Self::Pointed(pointer, path))
    }
}

impl Handle<'_> {
    pub(super) fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        retry_on_intr(|| match self {
            Self::Borrowed(fd) => rustix::fs::fchown(fd, uid, gid),
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            Self::Pointed(fd, _) => rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH),
        })
    }

    pub(super) fn chmod(&self, mode: Mode) -> Result<()> {
        let mode = Bits::from_raw_mode(mode.bits());
        retry_on_intr(|| match self {
            Self::Borrowed(fd) => rustix::fs::fchmod(fd, mode),
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            Self::Pointed(_, path) => by_proc(rustix::fs::chmod(path, mode)),
        })
    }

    pub(super) fn set_mtime(&self, mtime: Timestamp) -> Result<()> {
        match self {
            Self::Borrowed(fd) => set_mtime(fd, mtime),
            Self::Open(fd) => set_mtime(fd, mtime),
            Self::Pointed(_, path) => {
                retry_on_intr(|| by_proc(rustix::fs::utimensat(CWD, path, &mtime_alone(mtime), AtFlags::empty())))
            }
        }
    }

    /// Its extended attributes.
    pub(super) fn xattrs(&self) -> Place<'_> {
        match self {
            Self::Borrowed(fd) => Place::Open(*fd),
            Self::Open(fd) => Place::Open(fd.as_fd()),
            Self::Pointed(_, path) => Place::Pointed(path),
        }
    }
}

impl AsFd for Handle<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Borrowed(fd) => *fd,
            Self::Open(fd) | Self::Pointed(fd, _) => fd.as_fd(),
        }
    }
}

/// We hold the inode, so it cannot be gone: what is missing is /proc.
fn by_proc(done: Result<()>) -> Result<()> {
    match done {
        Err(Errno::NOENT) => Err(Errno::NOSYS),
        done => done,
    }
}
