//! An operator that knows a transfer by its log alone: the last five lines, each cut after 60 bytes, and the last match of
//! two patterns in them. It refuses to look at anything else, as the operator does.

use anyhow::{Result, ensure};
use regex::Regex;

/// Lines it asks for.
const TAIL: usize = 5;
/// Bytes of each that it keeps.
const CUT: usize = 60;

/// What it makes of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Percent, if any was found.
    pub percent: Option<u32>,
    /// The rate, if any was found.
    pub rate: Option<String>,
}

/// What it sees in a log that reads like this now.
#[must_use]
pub fn see(log: &str) -> Seen {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    let message: Vec<String> = last.iter().map(|line| cut(line.trim())).filter(|line| !line.is_empty()).collect();
    let message = message.join("\n");
    let percent = last_match(r"(?-u)\d+\%", &message).and_then(|text| text.trim_end_matches('%').parse().ok());
    Seen { percent, rate: last_match(r"(?-u)\d+\.\w*\/s", &message) }
}

fn cut(line: &str) -> String {
    String::from_utf8_lossy(line.as_bytes().get(..CUT).unwrap_or(line.as_bytes())).into_owned()
}

fn last_match(pattern: &str, text: &str) -> Option<String> {
    let pattern = Regex::new(pattern).ok()?;
    pattern.find_iter(text).last().map(|found| found.as_str().to_owned())
}

/// Fails unless a log is one it can read at every moment from its first line of progress on: both patterns found, percent
/// never falling and at most 100, lines of progress at most 60 bytes and ended by LF alone.
///
/// # Errors
/// Which prefix of the log it would misread.
pub fn reads_always(log: &str) -> Result<()> {
    ensure!(!log.contains('\r'), "a carriage return: {log:?}");
    let mut told = None;
    let mut so_far = String::new();
    for line in log.split_inclusive('\n') {
        so_far.push_str(line);
        let seen = see(&so_far);
        if told.is_none() && seen.percent.is_none() {
            continue;
        }
        let percent = seen.percent.unwrap_or(u32::MAX);
        ensure!(percent <= 100 && told.is_none_or(|told| told <= percent), "{told:?} became {seen:?} after {line:?}");
        ensure!(seen.rate.is_some(), "no rate after {line:?}");
        told = Some(percent);
    }
    ensure!(told.is_some(), "no progress at all: {log:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_of_the_last_five_lines_counts() {
        let log = "a 9%\n1  10%  1.00MB/s\n2  20%  2.00MB/s\nx\ny\nz\n";
        assert_eq!(see(log), Seen { percent: Some(20), rate: Some("2.00MB/s".into()) });
        assert_eq!(see("1  10%  1.00MB/s\na\nb\nc\nd\ne\n"), Seen::default());
    }

    #[test]
    fn a_name_that_looks_like_progress_is_caught() {
        assert!(reads_always("1  60%  1.00MB/s\n50%_off\n").is_err());
        assert!(reads_always("1  60%  1.00MB/s\n50\\045_off\n1  61%  1.00MB/s\n").is_ok());
        assert!(reads_always("nothing\n").is_err());
        let long = format!("{}99%\n1  5%  1.00MB/s\n", "x".repeat(CUT));
        assert!(reads_always(&long).is_ok());
    }
}
