//! How much crosses the wire, and how fast it may.
//!
//! [`Meter`] counts, [`Pace`] delays. A pace is one bucket for all connections of a process: whoever wants to send
//! books the next stretch of time and sleeps until it begins, so all take turns in the order they asked, and a sleep
//! that ends late is made up for by the next one, as long as it was late by less than the burst.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time that may be made up for. With one chunk in flight it is what a second can hold too much: 7 %.
const BURST: Duration = Duration::from_millis(50);
/// Chunks a second, for rates at which a chunk is between the bounds below.
const CHUNKS_PER_SECOND: u64 = 50;
/// Bytes of the smallest chunk: even the slowest pace lets every connection say something in time.
const CHUNK_LEN_MIN: u64 = 64;
/// Bytes of the largest chunk: four records.
const CHUNK_LEN_MAX: u64 = 65_536;
/// Bytes of content in a TLS record, and bytes that a record has besides (RFC 8446, 5.2: header 5, type 1, tag 16).
const RECORD: (u64, u64) = (16_384, 22);

/// Bytes of frames that were sent and received over all connections it was given to; TLS records are not counted.
#[derive(Debug, Default)]
pub struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
}

/// A bound on the bytes that all connections together send in a second, TLS records included: the mean is met within
/// 3 %, no second exceeds it by 10 %.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: NonZeroU64,
    /// When the next byte may leave.
    next: Mutex<Instant>,
}

impl Meter {
    /// Bytes sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Pace {
    /// At most this many bytes a second.
    #[must_use]
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, next: Mutex::new(Instant::now()) }
    }

    /// Bytes to be booked at once.
    pub(super) fn chunk_len(&self) -> usize {
        let len = (self.bytes_per_second.get() / CHUNKS_PER_SECOND).clamp(CHUNK_LEN_MIN, CHUNK_LEN_MAX);
        usize::try_from(len).unwrap_or(usize::MAX)
    }

    /// Books `bytes` and returns when they may leave, which may have passed already. What is booked is not given back.
    pub(super) fn book(&self, bytes: usize) -> Instant {
        self.book_at(Instant::now(), bytes)
    }

    fn book_at(&self, now: Instant, bytes: usize) -> Instant {
        let cost = self.cost(bytes as u64);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = now.checked_sub(BURST).map_or(now, |earliest| earliest.max(*next));
        *next = start + cost;
        start
    }

    /// The time that `bytes` take.
    fn cost(&self, bytes: u64) -> Duration {
        let (content, overhead) = RECORD;
        let on_the_wire = u128::from(bytes) + u128::from(bytes.div_ceil(content)) * u128::from(overhead);
        let nanos = on_the_wire * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends for `seconds` over three connections whose sleeps end late by a few milliseconds, and returns when how
    /// many bytes left. The clock is a number here.
    fn simulate(rate: u64, seconds: u64) -> Vec<(Instant, u64)> {
        let pace = Pace::new(NonZeroU64::new(rate).unwrap());
        let begin = *pace.next.lock().unwrap();
        let mut lanes = [begin; 3];
        let mut left = Vec::new();
        for turn in 0_u64.. {
            let lane = lanes.iter_mut().min().unwrap();
            if *lane > begin + Duration::from_secs(seconds) {
                break;
            }
            let late = Duration::from_micros(turn * 7_919 % 9_000);
            let start = pace.book_at(*lane, pace.chunk_len());
            *lane = if start > *lane { start + late } else { *lane };
            left.push((*lane, pace.chunk_len() as u64));
        }
        left
    }

    #[test]
    fn the_mean_is_met_within_three_percent_and_no_second_exceeds_it_by_ten() {
        for rate in [20_000, 1_000_000, 10_000_000, 125_000_000] {
            let mut left = simulate(rate, 20);
            left.sort_unstable();
            let begin = left[0].0;
            let sum: u64 = left.iter().map(|(_, bytes)| bytes).sum();
            let mean = sum as f64 / 20.0 / rate as f64;
            let overhead = 22.0 / (rate / CHUNKS_PER_SECOND).clamp(CHUNK_LEN_MIN, RECORD.0) as f64;
            assert!((0.97 - overhead..1.03).contains(&mean), "{rate}: {mean}");
            let mut first = 0;
            let mut window = 0;
            for (at, bytes) in &left {
                window += bytes;
                while left[first].0 + Duration::from_secs(1) < *at {
                    window -= left[first].1;
                    first += 1;
                }
                assert!(
                    window as f64 <= rate as f64 * 1.1,
                    "{rate}: {window} bytes in the second before {:?}",
                    *at - begin
                );
            }
        }
    }

    #[test]
    fn time_in_which_nothing_was_sent_is_not_saved_up() {
        let pace = Pace::new(NonZeroU64::new(1_000_000).unwrap());
        let later = Instant::now() + Duration::from_secs(3_600);
        let mut last = later;
        for _ in 0..100 {
            last = pace.book_at(later, 10_000);
        }
        assert!(last - later > Duration::from_millis(900));
    }

    #[test]
    fn the_slowest_pace_still_books_something() {
        let pace = Pace::new(NonZeroU64::MIN);
        assert_eq!(pace.chunk_len(), 64);
        assert!(pace.cost(u64::MAX / 2) > Duration::from_secs(1));
    }
}
