//! How what went over a relay was spread in time: bytes of the source's side by ticks of a clock, and from these the mean and
//! the busiest second. It keeps a number for each tick, never what was carried.

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
    /// Those of them between the first hundredth and the last: what comes before and after is greetings and farewells.
    pub middle_bytes: u64,
    /// The time these took, in milliseconds, by whole ticks.
    pub middle_ms: u64,
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
        let all: u64 = self.ticks.iter().sum();
        let (mut so_far, mut second, mut busiest_second) = (0, 0, 0);
        let (mut begin, mut end) = (None, None);
        for (at, bytes) in self.ticks.iter().enumerate() {
            so_far += bytes;
            // What came in the second that ends with this tick.
            second += bytes;
            second -= at.checked_sub(TICKS_A_SECOND).and_then(|gone| self.ticks.get(gone)).unwrap_or(&0);
            busiest_second = busiest_second.max(second);
            if so_far > all / 100 {
                begin.get_or_insert((at, so_far));
            }
            if so_far >= all - all / 100 {
                end.get_or_insert((at, so_far));
            }
        }
        let ((begin, before), (end, after)) = begin.zip(end).unwrap_or_default();
        let middle_ms = (end - begin) as u64 * TICK.as_millis() as u64;
        Flow { bytes: all, middle_bytes: after - before, middle_ms, busiest_second }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Flow {
    /// Bytes a second in the middle; nothing where that is too short.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.middle_ms > 0).then(|| self.middle_bytes as f64 * 1000.0 / self.middle_ms as f64)
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
    fn the_mean_is_that_of_the_middle_whatever_comes_before_and_after() {
        // 10 a tick for two seconds; a greeting long before, a farewell long after.
        let steady = (500..600).map(|tick| (tick, 10));
        let entries: Vec<_> = [(3, 1)].into_iter().chain(steady).chain([(900, 2)]).collect();
        let found = flow(&entries);
        assert_eq!((found.bytes, found.middle_bytes, found.middle_ms), (1003, 990, 99 * 20));
        assert_eq!((found.mean(), found.busiest_second), (Some(500.0), 500));
        let nothing = Flow { bytes: 0, middle_bytes: 0, middle_ms: 0, busiest_second: 0 };
        assert_eq!((flow(&[]), nothing.mean()), (nothing, None));
        assert_eq!(flow(&[(7, 100)]).mean(), None);
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
