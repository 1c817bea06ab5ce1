//! What the kernel says about an inode, as values that cannot be wrong.
//!
//! Nothing is followed and nothing is interpreted here: a `stat` goes in, a [`Status`] comes out. Owners and times the
//! kernel could not mean (an unmapped owner, nanoseconds beyond a second) are brought into range, never a panic.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, SeekFrom, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::error::{Cannot, Error};
use crate::types::{Device, EntryKind, Mode, Name, Owner, Timestamp, limits};

/// Which inode: its file system's device number and its own number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// What the kernel says about an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: Mode,
    /// Owner and group.
    pub owner: Owner,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Time of the last change of any kind; nobody can set it.
    pub ctime: Timestamp,
    /// Bytes; of a block device only when it was opened for its content.
    pub size: u64,
    /// Allocated units of 512 bytes.
    pub blocks_512: u64,
    /// Which device a device node stands for; zeros for everything else.
    pub device: Device,
    /// Names of this inode.
    pub nlink: u64,
    /// Which inode it is.
    pub identity: Identity,
}

impl Status {
    /// Of an open descriptor.
    pub(super) fn of_open(fd: impl AsFd) -> Result<Self, Error> {
        retry_on_intr(|| rustix::fs::fstat(&fd)).and_then(|stat| Self::from_stat(&stat)).cannot("read the status")
    }

    /// Of an open descriptor that holds content: a block device has the size of what it stands for, and no holes.
    pub(super) fn of_content(file: &OwnedFd) -> Result<Self, Error> {
        let mut status = Self::of_open(file)?;
        if status.kind == EntryKind::BlockDevice {
            status.size = retry_on_intr(|| rustix::fs::seek(file, SeekFrom::End(0))).cannot("measure a device")?;
            status.blocks_512 = status.size.div_ceil(512);
        }
        Ok(status)
    }

    /// Of a name in a held directory; links are not followed. `None` when there is none.
    pub(super) fn of_name(dir: impl AsFd, name: &Name) -> Result<Option<Self>, Error> {
        let stat = retry_on_intr(|| rustix::fs::statat(&dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW));
        match stat.and_then(|stat| Self::from_stat(&stat)) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error { op: "read the status", errno }),
        }
    }

    fn from_stat(stat: &Stat) -> rustix::io::Result<Self> {
        let kind = kind_of(FileType::from_raw_mode(stat.st_mode)).ok_or(Errno::INVAL)?;
        Ok(Self {
            kind,
            mode: Mode::from_st_mode(stat.st_mode),
            owner: owner(stat.st_uid, stat.st_gid).ok_or(Errno::INVAL)?,
            mtime: timestamp(stat.st_mtime, stat.st_mtime_nsec),
            ctime: timestamp(stat.st_ctime, stat.st_ctime_nsec),
            size: u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?,
            blocks_512: figure(stat.st_blocks),
            device: device(stat.st_rdev),
            nlink: figure(stat.st_nlink),
            identity: Identity { dev: stat.st_dev, ino: stat.st_ino },
        })
    }

    /// True for what holds bytes: regular files and block devices.
    pub(super) fn has_content(&self) -> bool {
        matches!(self.kind, EntryKind::File | EntryKind::BlockDevice)
    }

    /// True when a file of this status may have holes: fewer blocks than bytes.
    pub(super) fn may_have_holes(&self) -> bool {
        self.blocks_512.saturating_mul(512) < self.size
    }

    /// True when `later` is the same inode with no sign of a change since.
    pub(super) fn is_unchanged(&self, later: &Self) -> bool {
        self.kind == later.kind
            && self.identity == later.identity
            && self.size == later.size
            && self.mtime == later.mtime
            // The node of a device is changed by others than those who write to it.
            && (self.kind == EntryKind::BlockDevice || self.ctime == later.ctime)
    }

    /// Waits until a change from now on would show in the ctime: at most one clock tick, and only when the last change
    /// is younger than that, or in the future. Engine-rules 3: within one tick of the kernel's clock a second change
    /// leaves no trace.
    pub(super) fn wait_for_tick(&self) {
        let wait = until_tick(self.ctime, SystemTime::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }
}

/// How long until `now` is a clock tick after `changed`; a whole tick when `changed` lies in the future.
fn until_tick(changed: Timestamp, now: SystemTime) -> Duration {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = timestamp(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX), since_epoch.subsec_nanos());
    match u64::try_from(now.nanos_since(changed)) {
        Ok(age) => limits::CLOCK_TICK.saturating_sub(Duration::from_nanos(age)),
        Err(_) if now < changed => limits::CLOCK_TICK,
        Err(_) => Duration::ZERO,
    }
}

/// The kind of a file type; `None` when the kernel did not say.
pub(super) fn kind_of(file_type: FileType) -> Option<EntryKind> {
    match file_type {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Dir),
        FileType::Symlink => Some(EntryKind::Symlink),
        FileType::Fifo => Some(EntryKind::Fifo),
        FileType::Socket => Some(EntryKind::Socket),
        FileType::CharacterDevice => Some(EntryKind::CharDevice),
        FileType::BlockDevice => Some(EntryKind::BlockDevice),
        _ => None,
    }
}

/// The number that means "leave" cannot be stored; a file system that shows it is brought to the number before it.
fn owner(uid: u32, gid: u32) -> Option<Owner> {
    Owner::new(uid.min(u32::MAX - 1), gid.min(u32::MAX - 1))
}

/// The width of these fields differs between machines.
fn figure(value: impl TryInto<u64>) -> u64 {
    value.try_into().unwrap_or(0)
}

fn timestamp(secs: i64, nanos: impl TryInto<u32>) -> Timestamp {
    let nanos = nanos.try_into().unwrap_or(u32::MAX).min(999_999_999);
    Timestamp::new(secs, nanos).unwrap_or_default()
}

fn device(number: u64) -> Device {
    Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_out_of_range_are_brought_into_it() {
        assert_eq!(timestamp(-5, u64::MAX), Timestamp::new(-5, 999_999_999).unwrap());
        assert_eq!(owner(u32::MAX, 7).unwrap().uid(), u32::MAX - 1);
    }

    #[test]
    fn only_a_fresh_change_is_waited_for_and_never_longer_than_a_tick() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let at = |secs, nanos| until_tick(Timestamp::new(secs, nanos).unwrap(), now);
        assert_eq!(at(999, 0), Duration::ZERO);
        assert_eq!(at(i64::MIN, 0), Duration::ZERO);
        assert_eq!(at(999, 995_000_000), Duration::from_millis(15));
        assert_eq!(at(1_000, 0), limits::CLOCK_TICK);
        assert_eq!(at(i64::MAX, 0), limits::CLOCK_TICK);
    }
}
