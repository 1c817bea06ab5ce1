//! What makes the ctimes of a volume trustworthy, and from where it is seen.
//!
//! A ctime tells a change only where this kernel makes it, by this machine's clock, for every change: on a few local file
//! systems. A list of inodes is the same list only while the same process would see the same volume: its powers, its user
//! namespace, the labels it is shown. It refuses to guess: what cannot be read makes a vantage of its own or none.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::retry_on_intr;
use rustix::time::{ClockId, clock_gettime};

use super::root::Volume;
use super::status::{Identity, Status};
use super::xattrs::SELINUX;
use crate::types::{Moment, Timestamp, Vantage};

/// Local file systems whose ctimes are made by this kernel for changes of extended attributes and for renames too: ext2 to
/// ext4, xfs, btrfs. Never network file systems (another machine's clock) nor those that lie over others.
const TRUSTED: [u32; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
/// tmpfs, which on older kernels changes extended attributes without a trace.
const TMPFS: u32 = 0x0102_1994;
/// From this kernel on it leaves one.
const TMPFS_SINCE: (u32, u32) = (6, 6);
/// Attempts to read both clocks without being interrupted in between, and how long that may take.
const READINGS: usize = 5;
const READING_NS_MAX: u64 = 1_000_000;

/// Now, by both clocks of this machine. `None` when the wall clock is beyond what a time can be.
#[must_use]
pub fn moment() -> Option<Moment> {
    let mut last = None;
    for _ in 0..READINGS {
        let before = up_ns();
        let wall = clock_gettime(ClockId::Realtime);
        let after = up_ns();
        let wall = Timestamp::new(wall.tv_sec, u32::try_from(wall.tv_nsec).ok()?)?;
        last = Some(Moment { wall, up_ns: before });
        if after.saturating_sub(before) <= READING_NS_MAX {
            break;
        }
    }
    last
}

fn up_ns() -> u64 {
    let up = clock_gettime(ClockId::Boottime);
    let (secs, nanos) = (u64::try_from(up.tv_sec).unwrap_or(0), u64::try_from(up.tv_nsec).unwrap_or(0));
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl Volume {
    /// Whether a ctime of this volume's file system tells every change of an inode and of its name, by this machine's clock.
    #[must_use]
    pub fn tells_changes(&self) -> bool {
        let Ok(root) = self.root().descriptor() else { return false };
        let Ok(stat) = retry_on_intr(|| rustix::fs::fstatfs(&root)) else { return false };
        // The field's width and sign differ between machines; the numbers have 32 bits.
        let kind = stat.f_type as u32;
        TRUSTED.contains(&kind) || (kind == TMPFS && kernel().is_some_and(|kernel| kernel >= TMPFS_SINCE))
    }

    /// Whether an inode stands where the directory's own entry says and on the root's file system: nothing is mounted over it.
    #[must_use]
    pub fn is_uncovered(&self, identity: Identity, listed_ino: u64) -> bool {
        identity.dev == self.device() && identity.ino == listed_ino
    }

    /// From where this process sees this volume, with what else `decides` what it sees; the same until the machine is
    /// started anew. `labels`: SELinux labels are looked at, and may depend on how the volume is mounted.
    ///
    /// # Errors
    /// When the file system does not say what it is.
    pub fn vantage(&self, labels: bool, decides: &[u8]) -> Result<Vantage, super::Error> {
        let root = self.root().descriptor()?;
        let mut hasher = blake3::Hasher::new_derive_key("ferry 1 vantage");
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(env!("CARGO_PKG_VERSION").as_bytes());
        field(&self.instance_seed());
        field(&self.state_id()?);
        // Device numbers are used again, for another file system with the same root inode; when that was made tells it.
        field(born(&root).as_bytes());
        field(format!("{:?} {:?}", self.privilege(), self.root_is_mount_point()).as_bytes());
        for map in ["/proc/self/uid_map", "/proc/self/gid_map"] {
            field(&std::fs::read(map).unwrap_or_default());
        }
        if labels {
            let label = self.root().xattrs(&|name| name == SELINUX).unwrap_or_default();
            field(label.value(SELINUX).unwrap_or_default());
        }
        field(decides);
        Ok(Vantage(*hasher.finalize().as_bytes()))
    }
}

fn born(root: impl AsFd) -> String {
    let stat = rustix::fs::statx(root, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME);
    stat.map_or_else(|_| String::new(), |stat| format!("{}.{}", stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}

/// The running kernel's version: the first two numbers.
fn kernel() -> Option<(u32, u32)> {
    release(&std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
}

fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Status {
    /// Whether it is certain that this inode was not changed since `then`, and no name was given to it or taken from it.
    #[must_use]
    pub fn is_unchanged_since(&self, then: &Moment) -> bool {
        then.is_past(self.ctime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_tell_their_version() {
        assert_eq!(release("6.6.0-rc1+"), Some((6, 6)));
        assert_eq!(release("5.14.0-427.el9.x86_64\n"), Some((5, 14)));
        assert_eq!(release("4.18"), Some((4, 18)));
        assert_eq!(release("six"), None);
        assert!((5, 14) < TMPFS_SINCE && (6, 10) >= TMPFS_SINCE);
    }

    #[test]
    fn both_clocks_go_on_alike() {
        let before = moment().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let after = moment().unwrap();
        assert!(before.is_steady_until(&after) && !after.is_steady_until(&before));
    }
}
