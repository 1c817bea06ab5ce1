//! What a table must say about the machine it was made on: processors, memory, kernel, load, the day, and versions of what ran.
//! Reads /proc and asks programs for their versions; guesses nothing.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Serialize;

/// The machine, as it was when the contest began.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// When, in UTC.
    pub date: String,
    /// How many processors we may use.
    pub processors: usize,
    /// Their model.
    pub model: String,
    /// Bytes of memory at hand.
    pub memory_available: u64,
    /// The kernel's release, without what its builder added.
    pub kernel: String,
    /// How many tasks wanted a processor, over 1, 5 and 15 minutes.
    pub load: String,
}

impl Machine {
    /// This one, now.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn now() -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let text = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
        Ok(Self {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"], "UTC").unwrap_or_else(|| "unknown".to_owned()),
            processors,
            model: model.trim_start_matches(['\t', ' ', ':']).to_owned(),
            memory_available: memory_available()?,
            kernel: kernel(),
            load: load(),
        })
    }
}

fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().split('-').next().unwrap_or_default().to_owned()
}

/// The load averages now.
#[must_use]
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Bytes of memory that may be taken without harm.
///
/// # Errors
/// When the kernel does not say.
pub fn memory_available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let found = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 =
        found.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok()).context("no MemAvailable")?;
    Ok(kib * 1024)
}

/// The first line a program prints that holds `word`, on either output; nothing when there is no such program.
#[must_use]
pub fn said(program: impl AsRef<OsStr>, args: &[&str], word: &str) -> Option<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let printed = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&printed);
    text.lines().map(str::trim).find(|line| line.contains(word)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_memory_and_a_day() {
        let found = Machine::now().unwrap();
        assert!(found.processors > 0 && found.memory_available > 0);
        assert!(found.date.starts_with("20") && found.date.ends_with("UTC"), "{}", found.date);
        assert_eq!(found.load.split(' ').count(), 3);
    }

    #[test]
    fn a_program_that_is_missing_says_nothing() {
        assert_eq!(said("no-such-program-anywhere", &[], ""), None);
    }
}
