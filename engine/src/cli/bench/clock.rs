//! What a stretch of work took: time, processor time of this process, how busy the whole machine was, bytes fetched from a
//! device.
//!
//! Reads the kernel's own figures and makes none up: what the kernel does not tell is `None` or nothing.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What a stretch of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// By the clock on the wall.
    pub wall: Duration,
    /// Processor time of all threads of this process.
    pub cpu: Duration,
    /// The share of all processor time of the machine that somebody used, 0 to 1; `None` where that cannot be told or the
    /// stretch was too short.
    pub machine: Option<f64>,
    /// Bytes this process had to wait for until a device brought them.
    pub fetched: u64,
}

/// A stretch of work that began.
#[derive(Debug)]
pub struct Clock {
    begun: Instant,
    cpu: Duration,
    ticks: Option<Ticks>,
    fetched: u64,
}

/// Processor time of the machine since it was started, in steps of the kernel's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

/// Fewer ticks than this say nothing: they are 10 ms long.
const TICKS_MIN: u64 = 20;

impl Clock {
    /// The stretch begins.
    #[must_use]
    pub fn start() -> Self {
        let (ticks, fetched) = (ticks_now(), fetched_now());
        Self { begun: Instant::now(), cpu: cpu_now(), ticks, fetched }
    }

    /// The stretch ends.
    #[must_use]
    pub fn stop(self) -> Spent {
        let (wall, cpu) = (self.begun.elapsed(), cpu_now());
        let machine = self.ticks.zip(ticks_now()).and_then(|(before, after)| busy(before, after));
        Spent { wall, cpu: cpu.saturating_sub(self.cpu), machine, fetched: fetched_now().saturating_sub(self.fetched) }
    }
}

fn cpu_now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn ticks_now() -> Option<Ticks> {
    ticks(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn fetched_now() -> u64 {
    std::fs::read_to_string("/proc/self/io").ok().and_then(|text| fetched(&text)).unwrap_or(0)
}

/// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let numbers: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
    let idle = numbers.get(3)?.checked_add(*numbers.get(4)?)?;
    let all = numbers.iter().try_fold(0_u64, |sum, number| sum.checked_add(*number))?;
    Some(Ticks { all, idle })
}

fn busy(before: Ticks, after: Ticks) -> Option<f64> {
    let all = after.all.checked_sub(before.all).filter(|all| *all >= TICKS_MIN)?;
    // The kernel may count idle time backwards a little.
    let idle = after.idle.saturating_sub(before.idle).min(all);
    Some((all - idle) as f64 / all as f64)
}

fn fetched(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_understood() {
        let text = "cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(ticks(text), Some(Ticks { all: 1_000, idle: 850 }));
        assert_eq!(ticks("cpu  1 2 x 4 5"), None);
        assert_eq!(fetched("rchar: 9\nread_bytes: 4096\nwrite_bytes: 5\n"), Some(4_096));
        assert_eq!(fetched("rchar: 9\n"), None);
    }

    #[test]
    fn a_machine_is_as_busy_as_it_is_not_idle() {
        let before = Ticks { all: 1_000, idle: 500 };
        assert_eq!(busy(before, Ticks { all: 1_200, idle: 550 }), Some(0.75));
        assert_eq!(busy(before, Ticks { all: 1_010, idle: 500 }), None, "too short to say");
        assert_eq!(busy(before, Ticks { all: 1_100, idle: 490 }), Some(1.0));
    }

    #[test]
    fn work_takes_processor_time_and_waiting_does_not() {
        let clock = Clock::start();
        let mut sum = 0_u64;
        while clock.begun.elapsed() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let spent = clock.stop();
        assert!(spent.wall >= Duration::from_millis(50) && spent.cpu > Duration::ZERO, "{spent:?}");
    }
}
