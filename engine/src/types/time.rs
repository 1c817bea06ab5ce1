//! Points in time as file systems keep them.

use std::fmt;

use super::limits::{CLOCK_STEP_MAX, CLOCK_TICK, COARSE_TICK};

/// Seconds since 1970 (negative before it) and nanoseconds 0..=999,999,999 after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

impl Timestamp {
    /// `None` when `nanos` is a second or more.
    #[must_use]
    pub fn new(secs: i64, nanos: u32) -> Option<Self> {
        (nanos < 1_000_000_000).then_some(Self { secs, nanos })
    }

    /// Whole seconds, rounded towards the past.
    #[must_use]
    pub fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Nanoseconds from `earlier` to here, negative when it is later, saturating at the ends of `i128`.
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> i128 {
        let whole = i128::from(self.secs) - i128::from(earlier.secs);
        whole * 1_000_000_000 + i128::from(self.nanos) - i128::from(earlier.nanos)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.secs, self.nanos)
    }
}

/// A moment by two clocks of one machine: the one that times of files are taken from, which may be set, and one that only
/// goes on. Of use while the machine is not started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Nanoseconds since the machine was started, those it slept included.
    pub up_ns: u64,
}

impl Moment {
    /// Whether nobody set the wall clock from here to `now`: both clocks went on alike. A clock that was set back and put
    /// right again is not told.
    #[must_use]
    pub fn is_steady_until(&self, now: &Self) -> bool {
        let Some(up) = now.up_ns.checked_sub(self.up_ns) else { return false };
        let wall = now.wall.nanos_since(self.wall);
        wall >= 0 && (wall - i128::from(up)).unsigned_abs() <= CLOCK_STEP_MAX.as_nanos()
    }

    /// Whether an inode that was last changed at `ctime` has not been changed since this moment: its ctime is older by what
    /// the file system's clock may be behind. A ctime with a fraction shows that it has one; whole seconds are taken for steps.
    #[must_use]
    pub fn is_past(&self, ctime: Timestamp) -> bool {
        let margin = if ctime.nanos() == 0 { COARSE_TICK } else { CLOCK_TICK };
        u128::try_from(self.wall.nanos_since(ctime)).is_ok_and(|age| age > margin.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(secs: i64, nanos: u32, up_ns: u64) -> Moment {
        Moment { wall: Timestamp::new(secs, nanos).unwrap(), up_ns }
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_whichever_way() {
        let then = moment(1_000, 0, 5_000_000_000);
        assert!(then.is_steady_until(&then));
        assert!(then.is_steady_until(&moment(1_060, 4_000_000, 65_000_000_000)));
        for (secs, nanos) in [(1_060, 6_000_000), (1_059, 0), (1_061, 0), (999, 0), (i64::MIN, 0), (i64::MAX, 0)] {
            assert!(!then.is_steady_until(&moment(secs, nanos, 65_000_000_000)), "{secs}.{nanos}");
        }
        assert!(!then.is_steady_until(&moment(1_060, 0, 4_999_999_999)), "the machine was started anew");
        assert!(!then.is_steady_until(&moment(999, 999_999_999, 5_000_000_000)), "behind the record");
    }

    #[test]
    fn only_what_is_older_by_a_tick_is_past() {
        let then = moment(1_000, 0, 0);
        let past = |secs, nanos| then.is_past(Timestamp::new(secs, nanos).unwrap());
        assert!(past(999, 979_999_999) && !past(999, 980_000_000) && !past(1_000, 1) && !past(2_000, 1));
        assert!(past(997, 0) && !past(998, 0) && !past(999, 0), "its fractions may be cut off");
        assert!(past(i64::MIN, 1) && !past(i64::MAX, 1));
    }
}
