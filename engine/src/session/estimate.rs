//! Rate and time left, from what was seen in the last seconds. Pure: the clock is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use super::Snapshot;

/// The rate is the mean of this long: steady enough to read, soon enough to show a stall.
const WINDOW: Duration = Duration::from_secs(10);
/// Observations kept: one every 200 ms fills the window with 50.
const SAMPLES_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    sent: u64,
    done: u64,
}

/// What the last seconds tell.
#[derive(Debug, Default)]
pub struct Estimate {
    samples: VecDeque<Sample>,
}

/// Speed and time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Content bytes a second that were sent.
    pub sent_a_second: u64,
    /// Time until all bytes are done; `None` while the scan runs or nothing moves.
    pub left: Option<Duration>,
}

impl Estimate {
    /// Takes note of `snapshot`, seen at `now` (time since any fixed moment, never going back).
    pub fn observe(&mut self, now: Duration, snapshot: &Snapshot) -> Pace {
        let sample = Sample { at: now, sent: snapshot.bytes_sent, done: snapshot.bytes_done };
        // A new pass or session counts from the start again; what was seen before says nothing about it.
        if self.samples.back().is_some_and(|last| sample.sent < last.sent || sample.done < last.done) {
            self.samples.clear();
        }
        self.samples.push_back(sample);
        let old = |first: &Sample| now.saturating_sub(first.at) > WINDOW;
        while self.samples.len() > SAMPLES_MAX || (self.samples.len() > 2 && self.samples.front().is_some_and(old)) {
            self.samples.pop_front();
        }
        let first = self.samples.front().copied().unwrap_or(sample);
        let span = now.saturating_sub(first.at);
        let done_a_second = a_second(sample.done - first.done, span);
        let remaining = snapshot.bytes_total.saturating_sub(snapshot.bytes_done);
        let left = match (snapshot.scan_complete, remaining, done_a_second) {
            (false, _, _) => None,
            (true, 0, _) => Some(Duration::ZERO),
            (true, _, 0) => None,
            (true, remaining, speed) => Some(Duration::from_secs(remaining.div_ceil(speed))),
        };
        Pace { sent_a_second: a_second(sample.sent - first.sent, span), left }
    }
}

fn a_second(amount: u64, span: Duration) -> u64 {
    match span.as_millis() {
        0 => 0,
        ms => u64::try_from(u128::from(amount) * 1000 / ms).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sent: u64, done: u64, complete: bool) -> Snapshot {
        Snapshot {
            bytes_sent: sent,
            bytes_done: done,
            bytes_total: 1000,
            scan_complete: complete,
            ..Snapshot::nothing()
        }
    }

    #[test]
    fn time_left_is_not_guessed_before_the_scan_is_complete() {
        let mut estimate = Estimate::default();
        estimate.observe(Duration::ZERO, &seen(0, 0, false));
        assert_eq!(estimate.observe(Duration::from_secs(1), &seen(100, 200, false)).left, None);
        let pace = estimate.observe(Duration::from_secs(2), &seen(200, 400, true));
        assert_eq!(pace, Pace { sent_a_second: 100, left: Some(Duration::from_secs(3)) });
    }

    #[test]
    fn a_stall_shows_within_the_window_and_a_restart_starts_anew() {
        let mut estimate = Estimate::default();
        for second in 0..30 {
            estimate.observe(Duration::from_secs(second), &seen(500, 500, true));
        }
        let stalled = estimate.observe(Duration::from_secs(30), &seen(500, 500, true));
        assert_eq!(stalled, Pace { sent_a_second: 0, left: None });
        let anew = estimate.observe(Duration::from_secs(31), &seen(0, 0, false));
        assert_eq!(anew, Pace { sent_a_second: 0, left: None });
    }

    #[test]
    fn observations_are_bounded() {
        let mut estimate = Estimate::default();
        for ms in 0..10_000 {
            estimate.observe(Duration::from_millis(ms), &seen(ms, ms, true));
        }
        assert!(estimate.samples.len() <= SAMPLES_MAX);
    }
}
