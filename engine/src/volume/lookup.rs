//! Looking at entries without opening what they hold: status, symlink targets, extended attributes.
//!
//! Nothing is followed. A regular file or directory is opened for its attributes and its kind checked again; links and
//! special files are never opened, their attributes are read by `/proc/self/fd/DIRECTORY/NAME`, whose last component is
//! not followed (engine-rules 11).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};

use super::dir::{Dir, open_quietly};
use super::error::{Cannot, Error, XattrError};
use super::foothold::stands_in;
use super::status::Status;
use super::xattrs::{DEFAULT_ACL, Place, read_xattrs};
use crate::types::{EntryKind, Name, Xattrs};

impl Dir {
    /// What the kernel says about `name`; `None` when there is no such entry.
    ///
    /// # Errors
    /// When this directory is gone or may not be searched.
    pub fn status_of(&self, name: &Name) -> Result<Option<Status>, Error> {
        Status::of_name(&*self.descriptor()?, name)
    }

    /// Where the symlink `name` points: 1 to 4095 bytes.
    ///
    /// # Errors
    /// When it is no symlink or gone.
    pub fn target_of(&self, name: &Name) -> Result<Box<[u8]>, Error> {
        let descriptor = self.descriptor()?;
        let target = retry_on_intr(|| rustix::fs::readlinkat(&descriptor, name.as_bytes(), Vec::new()))
            .cannot("read a symlink")?;
        Ok(target.into_bytes().into_boxed_slice())
    }

    /// The extended attributes of `name` that `wants` accepts; none where the file system has none.
    ///
    /// # Errors
    /// When they cannot be read, are too large, or `name` is no longer a `kind`.
    pub fn xattrs_of(&self, name: &Name, kind: EntryKind, wants: &dyn Fn(&[u8]) -> bool) -> Result<Xattrs, XattrError> {
        let descriptor = self.descriptor()?;
        match kind {
            EntryKind::File | EntryKind::Dir => {
                match open_quietly(descriptor.as_fd(), name.as_bytes(), OFlags::RDONLY) {
                    Ok(opened) => {
                        if Status::of_open(&opened)?.kind != kind {
                            return Err(replaced().into());
                        }
                        read_xattrs(&Place::Open(opened.as_fd()), wants)
                    }
                    // Attributes may be read where content may not.
                    Err(Errno::ACCESS) => Ok(unopened_xattrs(descriptor.as_fd(), name, wants)?),
                    Err(errno) => Err(Error { op: "open for extended attributes", errno }.into()),
                }
            }
            EntryKind::Symlink
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharDevice
            | EntryKind::BlockDevice => unopened_xattrs(descriptor.as_fd(), name, wants),
        }
    }

    /// Status and extended attributes of `name` in one go, for fewer system calls than both apart: two on a thread that
    /// stands alone ([`super::stand_alone`]), four for a regular file elsewhere. `None` when there is no such entry.
    ///
    /// `kind` is what the listing said; where it said nothing or something else is there now, the kernel is asked.
    ///
    /// # Errors
    /// As [`Self::status_of`] and [`Self::xattrs_of`].
    pub fn inspect(
        &self,
        name: &Name,
        kind: Option<EntryKind>,
        wants: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<(Status, Xattrs)>, XattrError> {
        let descriptor = self.descriptor()?;
        if stands_in(&descriptor) {
            let Some(status) = Status::of_name(&*descriptor, name)? else { return Ok(None) };
            return match read_xattrs(&Place::Unfollowed(name.as_bytes()), wants) {
                Ok(xattrs) => Ok(Some((status, xattrs))),
                Err(XattrError::Fs(error)) if error.errno == Errno::NOENT => Ok(None),
                Err(error) => Err(error),
            };
        }
        if kind == Some(EntryKind::File)
            && let Ok(opened) = open_quietly(descriptor.as_fd(), name.as_bytes(), OFlags::RDONLY)
        {
            let status = Status::of_open(&opened)?;
            if status.kind == EntryKind::File {
                return Ok(Some((status, read_xattrs(&Place::Open(opened.as_fd()), wants)?)));
            }
        }
        let Some(status) = Status::of_name(&*descriptor, name)? else { return Ok(None) };
        match self.xattrs_of(name, status.kind, wants) {
            Ok(xattrs) => Ok(Some((status, xattrs))),
            Err(XattrError::Fs(error)) if error.errno == Errno::NOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The extended attributes of this directory itself that `wants` accepts.
    ///
    /// # Errors
    /// When they cannot be read or are too large.
    pub fn xattrs(&self, wants: &dyn Fn(&[u8]) -> bool) -> Result<Xattrs, XattrError> {
        read_xattrs(&Place::Open(self.descriptor()?.as_fd()), wants)
    }

    /// True when entries made here inherit an ACL.
    ///
    /// # Errors
    /// When this directory is gone or cannot be read.
    pub fn has_default_acl(&self) -> Result<bool, Error> {
        let descriptor = self.descriptor()?;
        Place::Open(descriptor.as_fd()).has(DEFAULT_ACL).cannot("read the default ACL")
    }
}

/// The attributes of an entry that is not opened.
fn unopened_xattrs(dir: BorrowedFd<'_>, name: &Name, wants: &dyn Fn(&[u8]) -> bool) -> Result<Xattrs, XattrError> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    match read_xattrs(&Place::Unfollowed(&path), wants) {
        // Without /proc everything seems to be gone.
        Err(XattrError::Fs(error)) if error.errno == Errno::NOENT && Status::of_name(dir, name)?.is_some() => {
            Err(Error { op: error.op, errno: Errno::NOSYS }.into())
        }
        read => read,
    }
}

fn replaced() -> Error {
    Error { op: "open for extended attributes", errno: Errno::STALE }
}
