//! How what went over a relay was spread in time: bytes of the source's side by ticks of a clock, and from these the mean and
//! the busiest second. It keeps a number a tick, never what was carried.

use std::time::{Duration, Instant};

use serde::Serialize;

/// The grain of it: fifty ticks are a second.
const TICK: Duration = Duration::from_millis(20);
const TICKS_A_SECOND: usize = 50;
/// Ticks that are kept, twenty minutes of them: no run is longer.
const TICKS_MAX: usize = 20 * 60 * TICKS_A_SECOND;

/// Bytes by ticks, from its making on.
#[derive(Debug)]
pub struct Trace {
    start: Instant,
    ticks: Vec<u64>,
}

/// What a trace says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// All bytes.
    pub bytes: u64,
    /// From the first byte to the last, in milliseconds, by whole ticks.
    pub span_ms: u64,
    /// The most bytes in any second, wherever it begins.
    pub busiest_second: u64,
}

impl Trace {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now(), ticks: Vec::new() }
    }

    /// Enters bytes that pass now.
    pub fn enter(&mut self, bytes: u64) {
        let tick = self.start.elapsed().as_millis() / TICK.as_millis();
        self.enter_at(usize::try_from(tick).unwrap_or(usize::MAX), bytes);
    }

    fn enter_at(&mut self, tick: usize, bytes: u64) {
        if tick >= TICKS_MAX {
            return;
        }
        if self.ticks.len() <= tick {
            self.ticks.resize(tick + 1, 0);
        }
        if let Some(there) = self.ticks.get_mut(tick) {
            *there += bytes;
        }
    }

    /// What there is so far.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let first = self.ticks.iter().position(|bytes| *bytes > 0).unwrap_or(self.ticks.len());
        let ticks = self.ticks.get(first..).unwrap_or_default();
        // What came in the second that ends with each tick.
        let (mut second, mut busiest) = (0, 0);
        for (at, bytes) in ticks.iter().enumerate() {
            second += bytes;
            second -= at.checked_sub(TICKS_A_SECOND).and_then(|gone| ticks.get(gone)).unwrap_or(&0);
            busiest = busiest.max(second);
        }
        let span_ms = ticks.len() as u64 * TICK.as_millis() as u64;
        Flow { bytes: ticks.iter().sum(), span_ms, busiest_second: busiest }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Flow {
    /// Bytes a second from the first byte to the last; nothing of nothing.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.span_ms > 0).then(|| self.bytes as f64 * 1000.0 / self.span_ms as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(entries: &[(usize, u64)]) -> Flow {
        let mut trace = Trace::new();
        entries.iter().for_each(|(tick, bytes)| trace.enter_at(*tick, *bytes));
        trace.flow()
    }

    #[test]
    fn the_mean_is_over_the_time_from_first_to_last() {
        let found = flow(&[(100, 10), (149, 30)]);
        assert_eq!(found, Flow { bytes: 40, span_ms: 1000, busiest_second: 40 });
        assert_eq!(found.mean(), Some(40.0));
        assert_eq!(flow(&[]), Flow { bytes: 0, span_ms: 0, busiest_second: 0 });
        assert_eq!(flow(&[]).mean(), None);
    }

    #[test]
    fn the_busiest_second_begins_anywhere_and_is_no_longer_than_one() {
        // A steady 10 a tick, and a burst that straddles two seconds of the clock.
        let steady: Vec<_> = (0..200).map(|tick| (tick, 10)).collect();
        assert_eq!(flow(&steady).busiest_second, 500);
        let burst: Vec<_> = steady.iter().copied().chain([(99, 70), (100, 30)]).collect();
        assert_eq!(flow(&burst).busiest_second, 600);
        assert_eq!(flow(&[(0, 7), (50, 8)]).busiest_second, 8);
        assert_eq!(flow(&[(0, 7), (49, 8)]).busiest_second, 15);
    }

    #[test]
    fn a_trace_is_bounded() {
        let mut trace = Trace::new();
        trace.enter_at(TICKS_MAX, 1);
        trace.enter_at(usize::MAX, 1);
        assert!(trace.ticks.is_empty());
    }
}
