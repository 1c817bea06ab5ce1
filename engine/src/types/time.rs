//! Points in time as file systems keep them.

use std::fmt;

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
