//! Reading a source's content, and saying honestly whether it stayed the same meanwhile.
//!
//! A file is read only if it is the inode that was scanned, and its content counts only if size, mtime and ctime are
//! the same after the last byte as when it was scanned (engine-rules 3). Nothing is followed, no device is waited for,
//! and never more is read than the scan promised, however fast a file grows.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, OFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};

use super::copying::is_hole;
use super::dir::{Dir, open_quietly};
use super::error::{Cannot, Error};
use super::status::Status;
use crate::types::{EntryKind, Name};

/// Whether what was read is what was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// The same inode, size and times: the content is one state of the file.
    AsScanned,
    /// Something changed; what was read may be a mixture.
    Changed,
    /// There is no such entry any more.
    Vanished,
}

/// A source file that was to be opened.
#[derive(Debug)]
pub enum Opened {
    /// It is what was scanned.
    File(SourceFile),
    /// It is something else, or the same file and was changed since: then it can be read as it is now.
    Changed(Option<SourceFile>),
    /// There is no such entry any more.
    Vanished,
}

/// An open regular file or block device of a source. Several threads may read it at once.
#[derive(Debug)]
pub struct SourceFile {
    descriptor: OwnedFd,
    scanned: Status,
}

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes that must be read.
    Data {
        /// Bytes.
        len: u64,
    },
    /// So many zeros that need not be read.
    Hole {
        /// Bytes.
        len: u64,
    },
}

impl Dir {
    /// Appends the whole content of `name` to `into`; leaves `into` as it was unless the file stayed as scanned.
    ///
    /// Never reads more than one byte beyond `scanned.size`. Waits one clock tick at most, for a file that was changed
    /// within the last one.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn read_small(&self, name: &Name, scanned: &Status, into: &mut Vec<u8>) -> Result<Stability, Error> {
        scanned.wait_for_tick();
        let file = match self.open_content(name)? {
            Ok(file) => file,
            Err(otherwise) => return Ok(otherwise),
        };
        let start = into.len();
        let size =
            usize::try_from(scanned.size).map_err(|_| Error { op: "read a file at once", errno: Errno::FBIG })?;
        let stability = match read_up_to(&file, size.saturating_add(1), into) {
            Ok(len) if len == size && scanned.is_unchanged(&Status::of_content(&file)?) => Stability::AsScanned,
            Ok(_) => Stability::Changed,
            Err(error) => {
                into.truncate(start);
                return Err(error);
            }
        };
        if stability != Stability::AsScanned {
            into.truncate(start);
        }
        Ok(stability)
    }

    /// Appends what the file `scanned` holds now, in one read, whether it holds still or not. `false`, and nothing is appended, when
    /// it is another file or has more than `room` bytes.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn read_as_found(&self, name: &Name, scanned: &Status, room: usize, into: &mut Vec<u8>) -> Result<bool, Error> {
        let Ok(file) = self.open_content(name)? else { return Ok(false) };
        let found = Status::of_content(&file)?;
        if found.identity != scanned.identity || found.kind != scanned.kind {
            return Ok(false);
        }
        let start = into.len();
        let read = read_up_to(&file, room.saturating_add(1), into);
        let fits = matches!(read, Ok(len) if len <= room);
        if !fits {
            into.truncate(start);
        }
        read.map(|_| fits)
    }

    /// Opens `name` to be read in pieces. Waits one clock tick at most, for a file that was changed within the last one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_source_file(&self, name: &Name, scanned: &Status) -> Result<Opened, Error> {
        scanned.wait_for_tick();
        let descriptor = match self.open_content(name)? {
            Ok(descriptor) => descriptor,
            Err(Stability::Vanished) => return Ok(Opened::Vanished),
            Err(Stability::Changed | Stability::AsScanned) => return Ok(Opened::Changed(None)),
        };
        let now = Status::of_content(&descriptor)?;
        if !scanned.has_content() || now.kind != scanned.kind || now.identity != scanned.identity {
            return Ok(Opened::Changed(None));
        }
        // Only advice: a file system that takes none reads as well.
        let _ = rustix::fs::fadvise(&descriptor, 0, None, Advice::Sequential);
        let source = SourceFile { descriptor, scanned: *scanned };
        Ok(if scanned.is_unchanged(&now) { Opened::File(source) } else { Opened::Changed(Some(source)) })
    }

    /// Opens `name` for reading; the inner `Err` says what became of it.
    fn open_content(&self, name: &Name) -> Result<Result<OwnedFd, Stability>, Error> {
        let opened = self
            .descriptor()
            .and_then(|dir| open_quietly(dir.as_fd(), name.as_bytes(), OFlags::RDONLY).cannot("open a file"));
        match opened {
            Ok(descriptor) => Ok(Ok(descriptor)),
            // A symlink or a socket stands there now.
            Err(Error { errno: Errno::LOOP | Errno::NXIO, .. }) => Ok(Err(Stability::Changed)),
            Err(error) if error.is_vanished() => Ok(Err(Stability::Vanished)),
            Err(error) => Err(error),
        }
    }
}

impl SourceFile {
    /// True when holes cannot be told from zeros: what is zero is found by reading it.
    #[must_use]
    pub fn hides_holes(&self) -> bool {
        self.scanned.kind == EntryKind::BlockDevice
    }

    /// Fills `buffer` with what the file holds from `offset` on; false when the file ends before that.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<bool, Error> {
        Ok(read_at(&self.descriptor, buffer, offset)? == buffer.len())
    }

    /// Whether nothing is stored from `from` to before `end`. Asks no further than that: where data ends is costly to find
    /// on some file systems.
    #[must_use]
    pub fn is_hole(&self, from: u64, end: u64) -> bool {
        self.scanned.may_have_holes() && is_hole(&self.descriptor, from, end)
    }

    /// The stretch that begins at `from`, cut at `end`; at least one byte when `from < end`.
    ///
    /// Looks for holes only in files that have fewer blocks than bytes; where the file system does not tell holes,
    /// everything is data.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_extent(&self, from: u64, end: u64) -> Result<Extent, Error> {
        let rest = end.saturating_sub(from);
        if !self.scanned.may_have_holes() || rest == 0 {
            return Ok(Extent::Data { len: rest });
        }
        let data = match seek(&self.descriptor, SeekFrom::Data(from)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(Extent::Hole { len: rest }),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Extent::Data { len: rest }),
            Err(errno) => return Err(Error { op: "look for holes", errno }),
        };
        if data > from {
            return Ok(Extent::Hole { len: rest.min(data - from) });
        }
        match seek(&self.descriptor, SeekFrom::Hole(from)) {
            Ok(hole) if hole > from => Ok(Extent::Data { len: rest.min(hole - from) }),
            Ok(_) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NXIO) => Ok(Extent::Data { len: rest }),
            Err(errno) => Err(Error { op: "look for holes", errno }),
        }
    }

    /// Whether the file is still as it was scanned; asked after the last byte was read.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stability(&self) -> Result<Stability, Error> {
        let now = Status::of_content(&self.descriptor)?;
        Ok(if self.scanned.is_unchanged(&now) { Stability::AsScanned } else { Stability::Changed })
    }
}

/// Where the next data or hole begins. Threads that share the descriptor do not disturb each other: the answer is the
/// call's own, and nobody reads at the descriptor's position.
pub(super) fn seek(file: &OwnedFd, to: SeekFrom) -> rustix::io::Result<u64> {
    retry_on_intr(|| rustix::fs::seek(file, to))
}

/// Reads at `offset` until `buffer` is full or the file ends; returns the bytes read.
pub(super) fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(done as u64);
        match retry_on_intr(|| rustix::io::pread(file, &mut *rest, at)).cannot("read a file")? {
            0 => break,
            len => done += len,
        }
    }
    Ok(done)
}

/// Appends at most `max` bytes from the start of `file`; returns how many there were.
fn read_up_to(file: &OwnedFd, max: usize, into: &mut Vec<u8>) -> Result<usize, Error> {
    let start = into.len();
    into.resize(start.saturating_add(max), 0);
    let mut done = 0;
    while let Some(rest) = into.get_mut(start + done..).filter(|rest| !rest.is_empty()) {
        match retry_on_intr(|| rustix::io::read(file, &mut *rest)).cannot("read a file")? {
            0 => break,
            len => done += len,
        }
        // One byte short of the buffer is all that was promised: no second call to be told that it is the end. The
        // status that is read next would show a file that has grown.
        if done + 1 == max {
            break;
        }
    }
    into.truncate(start + done);
    Ok(done)
}
