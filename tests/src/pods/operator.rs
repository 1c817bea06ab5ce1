//! How the operator watches a copy: the last five lines of one container's log, each cut at 60 bytes, two patterns; success by the
//! pod's phase; another pod after a failure until the limit. It refuses to look at anything else, as the operator does.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::pod::{Phase, Pod};
use crate::command::LOOK;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Lines of the log it asks for.
const LINES: usize = 5;
/// Bytes of a line it keeps.
const LINE_MAX: usize = 60;

/// What it reads out of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `N%`.
    pub percent: Option<u32>,
    /// `N.N…/s`.
    pub rate: Option<String>,
}

/// One pod of one copy, from start to end.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What was read at each look while the pod ran.
    pub samples: Vec<Progress>,
    /// How the pod ended.
    pub phase: Phase,
    /// The exit code of the container that copies.
    pub exit: i32,
    /// What that container left in its termination log.
    pub message: String,
    /// All it printed.
    pub log: String,
    /// How long it ran.
    pub elapsed: Duration,
}

/// Reads a log as the operator does.
#[must_use]
pub fn read(log: &str) -> Progress {
    let lines: Vec<&str> = log.strip_suffix('\n').unwrap_or(log).split('\n').collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    let cut = last.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).map(|line| {
        // A backslash and an r, not a carriage return.
        let line = line.rsplit_once("\\r").map_or(line, |(_, rest)| rest);
        line.as_bytes().get(..LINE_MAX).unwrap_or(line.as_bytes())
    });
    let text: Vec<u8> = cut.collect::<Vec<_>>().join(&b'\n');
    Progress { percent: percent(&text), rate: rate(&text) }
}

/// The last match of `\d+%`.
fn percent(text: &[u8]) -> Option<u32> {
    let sign = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'%');
    let digits = |at: usize| {
        let before = text.get(..at)?;
        let start = before.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |other| other + 1);
        std::str::from_utf8(before.get(start..)?).ok()?.parse().ok()
    };
    sign.map(|(at, _)| at).find_map(digits)
}

/// The last match of `\d+\.\w*/s`.
fn rate(text: &[u8]) -> Option<String> {
    let ends = text.windows(2).enumerate().rev().filter(|(_, pair)| pair == b"/s").map(|(at, _)| at);
    let whole = |end: usize| {
        let before = text.get(..end)?;
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let dot = before.iter().rposition(|byte| !word(byte)).filter(|at| before.get(*at) == Some(&b'.'))?;
        let digits = before.get(..dot)?;
        let start = digits.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |other| other + 1);
        (start < dot).then(|| String::from_utf8_lossy(text.get(start..end + 2).unwrap_or_default()).into_owned())
    };
    ends.into_iter().find_map(whole)
}

/// Watches `pod` to its end.
///
/// # Errors
/// When it does not end within `limit`; what it printed is in the message.
pub fn watch(pod: &mut Pod<'_>, container: &str, limit: Duration) -> Result<Attempt> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut next = begun;
    let phase = loop {
        let phase = pod.phase()?;
        if phase != Phase::Running {
            break phase;
        }
        if begun.elapsed() > limit {
            bail!("a pod still runs after {limit:?}:\n{}", pod.story());
        }
        let copying = pod.container(container)?;
        if Instant::now() >= next && copying.exit()?.is_none() {
            samples.push(read(&copying.log()?));
            next += PERIOD;
        }
        std::thread::sleep(LOOK);
    };
    let copying = pod.container(container)?;
    let exit = copying.exit()?.unwrap_or(-1);
    Ok(Attempt {
        samples,
        phase,
        exit,
        message: copying.termination()?,
        log: copying.log()?,
        elapsed: copying.elapsed(),
    })
}

/// A copy with all its attempts: pods from `start` (given the attempt's number, from 1) until one succeeds or `limit` failed.
///
/// # Errors
/// When a pod cannot be started or watched.
pub fn operate<'s>(
    container: &str,
    limit: u32,
    each: Duration,
    mut start: impl FnMut(u32) -> Result<Pod<'s>>,
) -> Result<Vec<Attempt>> {
    let mut attempts = Vec::new();
    for number in 1..=limit {
        let attempt = watch(&mut start(number)?, container, each)?;
        let succeeded = attempt.phase == Phase::Succeeded;
        attempts.push(attempt);
        if succeeded {
            break;
        }
    }
    Ok(attempts)
}

impl Attempt {
    /// Fails unless the pod succeeded.
    ///
    /// # Errors
    /// When it did not; what it printed is in the message.
    pub fn succeeded(&self) -> Result<&Self> {
        let Self { phase, exit, message, log, .. } = self;
        ensure!(*phase == Phase::Succeeded, "the pod {phase:?}, exit {exit}\n{log}\nmessage: {message}");
        Ok(self)
    }

    /// Fails unless the copying container ended with this code.
    ///
    /// # Errors
    /// When it did not.
    pub fn exits(&self, code: i32) -> Result<&Self> {
        let Self { phase, exit, message, log, .. } = self;
        ensure!(*exit == code, "exit {exit} instead of {code}, the pod {phase:?}\n{log}\nmessage: {message}");
        Ok(self)
    }

    /// The percentages that were seen, in their order.
    #[must_use]
    pub fn percents(&self) -> Vec<u32> {
        self.samples.iter().filter_map(|sample| sample.percent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_the_last_match_of_the_last_five_lines() {
        let log = "  1.00M  1%  1.00MB/s  0:00:01\n1.24G  12%  117.09MB/s    0:00:10\nother\n";
        assert_eq!(read(log), Progress { percent: Some(12), rate: Some("117.09MB/s".to_owned()) });
        let late = format!("{log}a\nb\nc\nd\ne\n");
        assert_eq!(read(&late), Progress::default());
        assert_eq!(read("").percent, None);
    }

    #[test]
    fn a_name_with_a_percent_sign_wins_as_it_does_there() {
        assert_eq!(read("10%  1.0MB/s\n50%_off\n").percent, Some(50));
        assert_eq!(read("10%  1.0MB/s\n\\04550 % off\n").percent, Some(10));
    }

    #[test]
    fn lines_are_cut_at_sixty_bytes_and_at_a_written_carriage_return() {
        let long = format!("{}77%", "x".repeat(60));
        assert_eq!(read(&long).percent, None);
        assert_eq!(read("33% \\r nothing").percent, None);
    }

    #[test]
    fn a_rate_needs_digits_a_point_and_a_unit_of_letters() {
        assert_eq!(read("117MB/s").rate, None);
        assert_eq!(read(".5MB/s").rate, None);
        assert_eq!(read("1.5 MB/s").rate, None);
        assert_eq!(read("9.1kB/s, then 0.00kB/s (x)").rate, Some("0.00kB/s".to_owned()));
    }
}
