//! The line of progress in rsync's columns: what was sent, percent of the set, rate, time.
//!
//! ```text
//!           1.24G  12%  117.09MB/s    0:00:10
//! ```
//! Pure. Percent is what *this* attempt sent of all the source holds: an operator adds up the percent of its attempts. It
//! never falls, stays 0 until the set is known, and is 100 only when everything has come to its end.

use std::time::Duration;

use crate::session::{Estimate, Snapshot};

/// Bytes of a line. An operator cuts every line after as many.
pub const LINE_LEN_MAX: usize = 60;

/// What was told, so that it never falls.
#[derive(Debug, Default)]
pub struct Figures {
    estimate: Estimate,
    percent: u8,
}

impl Figures {
    /// The line for `snapshot`, seen `now` after the run began.
    pub fn line(&mut self, now: Duration, snapshot: &Snapshot) -> String {
        let pace = self.estimate.observe(now, snapshot);
        if snapshot.scan_complete {
            self.percent = self.percent.max(percent(snapshot.bytes_sent, snapshot.bytes_total));
        }
        written(snapshot.bytes_sent, self.percent, pace.sent_a_second, pace.left)
    }

    /// The last line of a run that took `elapsed` and sent `sent` bytes; `clean` when everything is there.
    pub fn last(&mut self, elapsed: Duration, sent: u64, clean: bool) -> String {
        if clean {
            self.percent = 100;
        }
        let rate = u128::from(sent) * 1000 / elapsed.as_millis().max(1);
        written(sent, self.percent, u64::try_from(rate).unwrap_or(u64::MAX), Some(elapsed))
    }
}

fn percent(sent: u64, total: u64) -> u8 {
    let percent = u128::from(sent).saturating_mul(100).checked_div(u128::from(total)).unwrap_or(0);
    u8::try_from(percent).unwrap_or(99).min(99)
}

fn written(sent: u64, percent: u8, rate: u64, time: Option<Duration>) -> String {
    let mut line = format!("{:>15} {percent:>3}% {:>11} {:>10}", size(sent), speed(rate), clock(time));
    line.truncate(LINE_LEN_MAX);
    line
}

/// `1.24G`: powers of 1000, as rsync's `--human-readable` has them.
fn size(bytes: u64) -> String {
    if bytes < 1_000 {
        return bytes.to_string();
    }
    let mut unit = 1_000_u64;
    let mut letters = ['K', 'M', 'G', 'T', 'P', 'E'].into_iter();
    let mut letter = letters.next().unwrap_or('K');
    // 999.995K would be written as 1000.00K.
    while hundredths(bytes, unit) >= 100_000 {
        let (Some(next), Some(larger)) = (letters.next(), unit.checked_mul(1_000)) else { break };
        (letter, unit) = (next, larger);
    }
    let hundredths = hundredths(bytes, unit);
    format!("{}.{:02}{letter}", hundredths / 100, hundredths % 100)
}

/// `117.09MB/s`: powers of 1024, always with a point and no blank before the unit.
fn speed(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x10_0000 => (1 << 10, "kB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MB"),
        _ => (1 << 30, "GB"),
    };
    let hundredths = hundredths(bytes, unit);
    format!("{}.{:02}{name}/s", hundredths / 100, hundredths % 100)
}

fn hundredths(bytes: u64, unit: u64) -> u128 {
    (u128::from(bytes) * 100 + u128::from(unit) / 2) / u128::from(unit)
}

/// `0:01:59`: hours, minutes, seconds.
fn clock(time: Option<Duration>) -> String {
    match time.map(|time| time.as_secs()) {
        Some(seconds) if seconds < 9_999 * 3_600 => {
            format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
        }
        Some(_) | None => "??:??:??".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sent: u64, total: u64, complete: bool) -> Snapshot {
        Snapshot {
            bytes_sent: sent,
            bytes_done: sent,
            bytes_total: total,
            scan_complete: complete,
            ..Snapshot::nothing()
        }
    }

    /// The two patterns an operator searches with: `\d+\%` and `\d+\.\w*\/s`, the last match of each.
    fn read(line: &str) -> (Option<String>, Option<String>) {
        let cut = line.trim().get(..LINE_LEN_MAX.min(line.trim().len())).unwrap();
        let last =
            |pattern: &str| regex::Regex::new(pattern).unwrap().find_iter(cut).last().map(|m| m.as_str().to_owned());
        (last(r"(?-u)\d+\%"), last(r"(?-u)\d+\.\w*\/s"))
    }

    #[test]
    fn the_line_has_rsyncs_columns() {
        let mut figures = Figures::default();
        figures.line(Duration::ZERO, &seen(0, 10_000_000_000, true));
        let line = figures.line(Duration::from_secs(10), &seen(1_240_000_000, 10_000_000_000, true));
        assert_eq!(line, "          1.24G  12%  118.26MB/s    0:01:11");
        assert_eq!(read(&line), (Some("12%".into()), Some("118.26MB/s".into())));
    }

    #[test]
    fn percent_waits_for_the_set_never_falls_and_ends_with_the_run() {
        let mut figures = Figures::default();
        let table = [
            (seen(50, 60, false), "0%"),
            (seen(50, 100, true), "50%"),
            // A second pass begins, and finds more.
            (seen(60, 10, false), "50%"),
            (seen(60, 1_000, true), "50%"),
            (seen(5_000, 1_000, true), "99%"),
        ];
        for (n, (snapshot, percent)) in (1..).zip(table) {
            let line = figures.line(Duration::from_secs(n), &snapshot);
            assert_eq!(read(&line).0.as_deref(), Some(percent), "{line}");
        }
        assert_eq!(read(&figures.last(Duration::from_secs(9), 5_000, false)).0.as_deref(), Some("99%"));
        assert_eq!(read(&figures.last(Duration::from_secs(9), 5_000, true)).0.as_deref(), Some("100%"));
    }

    #[test]
    fn an_empty_set_is_no_division() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(u64::MAX, 1), 99);
        let line = Figures::default().line(Duration::ZERO, &seen(0, 0, true));
        assert_eq!(line, "              0   0%    0.00kB/s    0:00:00");
        assert_eq!(read(&line), (Some("0%".into()), Some("0.00kB/s".into())));
    }

    #[test]
    fn sizes_and_speeds_do_not_round_into_a_fourth_digit() {
        for (bytes, text) in [
            (999, "999"),
            (1_000, "1.00K"),
            (999_994, "999.99K"),
            (999_995, "1.00M"),
            (1_240_000_000, "1.24G"),
            (u64::MAX, "18.45E"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (bytes, text) in [(0, "0.00kB/s"), (1 << 20, "1.00MB/s"), (123 << 20, "123.00MB/s"), (3 << 30, "3.00GB/s")]
        {
            assert_eq!(speed(bytes), text);
        }
    }

    #[test]
    fn the_longest_line_keeps_both_figures() {
        let line = written(u64::MAX, 100, u64::MAX, Some(Duration::from_secs(u64::MAX)));
        assert!(line.len() <= LINE_LEN_MAX, "{line}");
        assert_eq!(read(&line), (Some("100%".into()), Some("17179869184.00GB/s".into())));
    }
}
