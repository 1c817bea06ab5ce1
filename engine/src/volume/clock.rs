//! Which times a file system can keep: its range and its steps, found by trying once.
//!
//! ext4 cuts times to 1901..2446 and xfs to 2486 without a word (engine-rules 19); comparing what was asked with what
//! was kept would differ for ever. The trial uses a file that never gets a name, so nobody can see it; where that does
//! not work, every time is taken as it is.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode as Bits, OFlags, Timestamps};
use rustix::io::retry_on_intr;

use super::status::Status;
use crate::types::Timestamp;

/// Range and steps of a file system's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    low: i64,
    high: i64,
    step: Step,
}

/// The smallest difference between two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A fraction of a second, in nanoseconds; 1,000,000,000 at most.
    Nanos(u32),
    /// Whole seconds, two at a time (FAT).
    TwoSeconds,
}

impl Clock {
    /// Tries out the file system of a held directory; `None` where it cannot be tried.
    pub(super) fn probe(dir: impl AsFd) -> Option<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let made = retry_on_intr(|| rustix::fs::openat(&dir, c".", flags, Bits::RUSR | Bits::WUSR));
        Self::probe_with(&made.ok()?)
    }

    fn probe_with(file: &OwnedFd) -> Option<Self> {
        let kept = |secs, nanos| {
            set_mtime(file, Timestamp::new(secs, nanos)?).ok()?;
            Status::of_open(file).ok().map(|status| status.mtime)
        };
        // An odd second with all nanoseconds: what is missing afterwards is the step.
        let odd = 1_000_000_001;
        let step = step_from(kept(odd, 999_999_999)?, odd)?;
        Some(Self { low: kept(i64::MIN, 0)?.secs(), high: kept(i64::MAX, 0)?.secs(), step })
    }

    /// What the file system makes of `time`: the same rule the kernel applies before it writes an inode.
    pub(super) fn clamp(&self, time: Timestamp) -> Timestamp {
        let secs = time.secs().clamp(self.low, self.high);
        // At the ends of its range the kernel drops the fraction.
        let nanos = if secs == self.low || secs == self.high { 0 } else { time.nanos() };
        let (secs, nanos) = match self.step {
            Step::Nanos(step) => (secs, nanos - nanos % step.max(1)),
            Step::TwoSeconds => (secs - secs.rem_euclid(2).min(secs.saturating_sub(self.low)), 0),
        };
        Timestamp::new(secs, nanos).unwrap_or(time)
    }
}

impl Clock {
    /// Whether its steps are finer than the kernel's tick.
    pub(super) fn is_fine(&self) -> bool {
        matches!(self.step, Step::Nanos(step) if step <= 1_000_000)
    }
}

/// The step that turns (`odd`, 999,999,999) into `kept`.
fn step_from(kept: Timestamp, odd: i64) -> Option<Step> {
    if kept.secs() != odd {
        return Some(Step::TwoSeconds);
    }
    let step = 1_000_000_000_u32.checked_sub(kept.nanos())?;
    1_000_000_000_u32.is_multiple_of(step).then_some(Step::Nanos(step))
}

/// Sets an open file's mtime and leaves its atime.
pub(super) fn set_mtime(file: impl AsFd, mtime: Timestamp) -> rustix::io::Result<()> {
    retry_on_intr(|| rustix::fs::futimens(&file, &mtime_alone(mtime)))
}

/// The kernel's form of "this mtime, and the atime as it is".
pub(super) fn mtime_alone(mtime: Timestamp) -> Timestamps {
    let last_access = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let last_modification = rustix::fs::Timespec { tv_sec: mtime.secs(), tv_nsec: i64::from(mtime.nanos()) };
    Timestamps { last_access, last_modification }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(secs: i64, nanos: u32) -> Timestamp {
        Timestamp::new(secs, nanos).unwrap()
    }

    #[test]
    fn times_out_of_range_become_its_ends_without_a_fraction() {
        let ext4 = Clock { low: -2_147_483_648, high: 15_032_385_535, step: Step::Nanos(1) };
        assert_eq!(ext4.clamp(time(i64::MIN, 5)), time(-2_147_483_648, 0));
        assert_eq!(ext4.clamp(time(i64::MAX, 5)), time(15_032_385_535, 0));
        assert_eq!(ext4.clamp(time(-1, 5)), time(-1, 5));
        let tmpfs = Clock { low: i64::MIN, high: i64::MAX, step: Step::Nanos(1) };
        assert_eq!(tmpfs.clamp(time(i64::MIN, 5)), time(i64::MIN, 0));
        assert_eq!(tmpfs.clamp(time(i64::MAX - 1, 5)), time(i64::MAX - 1, 5));
    }

    #[test]
    fn steps_cut_towards_the_past() {
        let clock = |step| Clock { low: -1_000, high: i64::MAX, step };
        assert_eq!(step_from(time(7, 999_999_900), 7), Some(Step::Nanos(100)));
        assert_eq!(step_from(time(7, 0), 7), Some(Step::Nanos(1_000_000_000)));
        assert_eq!(step_from(time(6, 0), 7), Some(Step::TwoSeconds));
        assert_eq!(step_from(time(7, 3), 7), None);
        assert_eq!(clock(Step::Nanos(100)).clamp(time(9, 123_456_789)), time(9, 123_456_700));
        assert_eq!(clock(Step::Nanos(1_000_000_000)).clamp(time(9, 1)), time(9, 0));
        assert_eq!(clock(Step::TwoSeconds).clamp(time(9, 1)), time(8, 0));
        assert_eq!(clock(Step::TwoSeconds).clamp(time(-9, 1)), time(-10, 0));
    }
}
