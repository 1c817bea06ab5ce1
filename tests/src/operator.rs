//! What a log must be for an operator that knows a transfer by it alone: it looks at the last five lines whenever it likes,
//! and finds both patterns each time. It refuses to read the log in any other way than `pods::operator` does.

use anyhow::{Result, ensure};

pub use crate::pods::operator::{Progress, read};

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
        let seen = read(&so_far);
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
    fn a_name_that_looks_like_progress_is_caught() {
        assert!(reads_always("1  60%  1.00MB/s\n50%_off\n").is_err());
        assert!(reads_always("1  60%  1.00MB/s\n50\\045_off\n1  61%  1.00MB/s\n").is_ok());
        assert!(reads_always("nothing\n").is_err());
        let long = format!("{}99%\n1  5%  1.00MB/s\n", "x".repeat(60));
        assert!(reads_always(&long).is_ok());
    }
}
