//! Moving bytes into an open file: from memory, from another file, or zeros.
//!
//! Everything arrives whole or it is an error; short writes and interrupted calls are gone on with. Copies stay in the
//! kernel where it can, and share blocks where the file system can.

use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};

use super::error::{Cannot, Error};
use super::source::{read_at, seek};
use super::status::Status;

/// Bytes copied at a time where the kernel does not copy.
const CHUNK_LEN: usize = 262_144;

static ZEROS: [u8; 65_536] = [0; 65_536];

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all_at(file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<(), Error> {
    let (mut rest, mut at) = (bytes, offset);
    while !rest.is_empty() {
        let len = match retry_on_intr(|| rustix::io::pwrite(file, rest, at)) {
            Ok(0) => Err(Errno::NOSPC), // A file system that takes nothing and gives no reason.
            written => written,
        }
        .cannot("write a file")?;
        rest = rest.get(len..).unwrap_or_default();
        at = at.saturating_add(len as u64);
    }
    Ok(())
}

/// Copies `len` bytes at `start` of `from` to `offset` in `to`, where nothing is stored yet: holes stay holes.
pub(super) fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, offset: u64, len: u64) -> Result<(), Error> {
    let end = start.checked_add(len).ok_or(Errno::FBIG).cannot("copy within a file")?;
    let status = Status::of_open(from)?;
    if status.size < end {
        return Err(Error { op: "copy from the file's old content", errno: Errno::STALE });
    }
    let mut at = start;
    while at < end {
        // Looking for the end of data costs time in proportion to it on some file systems (tmpfs): a file that stores
        // everything is not asked.
        let (data, data_end) = if status.may_have_holes() { next_data(from, at, end) } else { (at, end) };
        // The two places differ by the same all the way, within 64 bits both.
        let target = |at: u64| offset.saturating_add(at - start);
        let copied = copy_by_kernel((from, data), (to, target(data)), data_end - data)?;
        copy_by_hand((from, data + copied), (to, target(data + copied)), data_end - data - copied)?;
        at = data_end;
    }
    Ok(())
}

/// The next stretch of `file` from `at` on that is stored, cut at `end`; empty at `end` when there is none.
fn next_data(file: &OwnedFd, at: u64, end: u64) -> (u64, u64) {
    let data = match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.clamp(at, end),
        Err(Errno::NXIO) => end,
        // A file system that does not tell stores everything.
        Err(_) => return (at, end),
    };
    let data_end = seek(file, SeekFrom::Hole(data)).map_or(end, |hole| hole.clamp(data, end));
    (data, if data_end > data { data_end } else { end })
}

/// Returns how many of the `len` bytes it copied: all, or as many as the kernel would.
fn copy_by_kernel((from, start): (&OwnedFd, u64), (to, target): (&OwnedFd, u64), len: u64) -> Result<u64, Error> {
    let (mut read_at, mut write_at) = (start, target);
    let end = start.saturating_add(len);
    while read_at < end {
        let rest = usize::try_from(end - read_at).unwrap_or(usize::MAX);
        match retry_on_intr(|| rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), rest)) {
            // Zero is the end of the file, or a file system that does not do it and does not say so.
            Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => break,
            Ok(_) => {}
            Err(errno) => return Err(Error { op: "copy within a file", errno }),
        }
    }
    Ok(read_at - start)
}

fn copy_by_hand((from, start): (&OwnedFd, u64), (to, target): (&OwnedFd, u64), len: u64) -> Result<(), Error> {
    if len == 0 {
        return Ok(());
    }
    let mut chunk = vec![0; CHUNK_LEN];
    let mut done = 0;
    while done < len {
        let part = usize::try_from(len - done).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
        let part = chunk.get_mut(..part).unwrap_or_default();
        if read_at(from, part, start.saturating_add(done))? < part.len() {
            return Err(Error { op: "copy from the file's old content", errno: Errno::STALE });
        }
        write_all_at(to, part, target.saturating_add(done))?;
        done += part.len() as u64;
    }
    Ok(())
}

/// True when nothing is stored between `from` and `end`: they read as zeros already.
pub(super) fn is_hole(file: &OwnedFd, from: u64, end: u64) -> bool {
    match seek(file, SeekFrom::Data(from)) {
        Ok(data) => data >= end,
        Err(errno) => errno == Errno::NXIO,
    }
}

/// Makes the bytes from `from` to `end` read as zeros: a hole where the file system or device has holes, a range the
/// kernel zeroes where it offers that, written zeros elsewhere. Both calls promise zeros; a discard would not.
pub(super) fn clear_range(file: &OwnedFd, from: u64, end: u64) -> Result<(), Error> {
    let len = end.saturating_sub(from);
    for way in [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE] {
        match retry_on_intr(|| rustix::fs::fallocate(file, way | FallocateFlags::KEEP_SIZE, from, len)) {
            // Devices take whole sectors only, and the last stretch of an image may be shorter.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            cleared => return cleared.cannot("punch a hole"),
        }
    }
    let mut at = from;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
        write_all_at(file, ZEROS.get(..len).unwrap_or_default(), at)?;
        at = at.saturating_add(len as u64);
    }
    Ok(())
}
