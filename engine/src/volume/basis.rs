//! An existing file of a destination, opened to be compared: its leaves are hashed, it is never written here.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, OFlags};

use super::copying::is_hole;
use super::dir::{Dir, expect, open_quietly};
use super::error::{Cannot, Error};
use super::single::BlockDevice;
use super::source::read_at;
use super::status::{Identity, Status};
use crate::types::{EntryKind, Name};

/// An open regular file or block device. Several threads may read it at once.
#[derive(Debug)]
pub struct BasisFile {
    descriptor: OwnedFd,
    status: Status,
}

impl BasisFile {
    /// Opens the regular file `name`, which must be `identity`.
    ///
    /// # Errors
    /// When it is gone or something else, or may not be read.
    pub fn open(dir: &Dir, name: &Name, identity: Identity) -> Result<Self, Error> {
        let (descriptor, status) = open_file(dir, name, identity, OFlags::RDONLY)?;
        Ok(Self { descriptor, status })
    }

    /// A device that is written to, read where it is.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn of_device(device: &BlockDevice) -> Result<Self, Error> {
        Ok(Self { descriptor: device.share()?, status: *device.status() })
    }

    /// What the kernel said about it when it was opened.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Reads from `offset` on until `buffer` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        read_at(&self.descriptor, buffer, offset)
    }

    /// Whether nothing is stored from `offset` to before `end`: it reads as zeros, and need not be read.
    #[must_use]
    pub fn is_hole(&self, offset: u64, end: u64) -> bool {
        self.status.may_have_holes() && is_hole(&self.descriptor, offset, end)
    }

    /// Asks the kernel to forget what it has of this file, so that it is read from disk. Only what was synced can be
    /// forgotten, and only if nobody else holds it: an attempt, not a promise.
    pub fn drop_cache(&self) {
        // Only advice: there is nothing to be done when it is not taken.
        let _ = rustix::fs::fadvise(&self.descriptor, 0, None, Advice::DontNeed);
    }
}

/// Opens the regular file `name`, which must be `identity`.
pub(super) fn open_file(dir: &Dir, name: &Name, identity: Identity, how: OFlags) -> Result<(OwnedFd, Status), Error> {
    let op = "open a file";
    let above = dir.descriptor()?;
    let descriptor = open_quietly(above.as_fd(), name.as_bytes(), how).cannot(op)?;
    let status = Status::of_open(&descriptor)?;
    expect(&status, EntryKind::File, identity, op)?;
    Ok((descriptor, status))
}
