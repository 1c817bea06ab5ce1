//! Standard output as an operator reads it: of the last five lines it takes what looks like a percentage and a rate.
//!
//! So one line of progress is always among them, and nothing else looks like either: at most [`BETWEEN_MAX`] other lines
//! stand between two lines of progress, which is said again for that, and in every other line the characters that would
//! be mistaken are written as `\045` and `\057`. Whether anybody reads is no concern: a closed pipe ends no copy.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Other lines between two lines of progress. The reader looks at five.
const BETWEEN_MAX: u8 = 4;
/// Bytes of one line: a name may have 4096 of them, each written as four.
const LINE_LEN_MAX: usize = 1_000;

/// Where lines go.
#[derive(Debug)]
pub struct Lines<W>(Mutex<State<W>>);

#[derive(Debug)]
struct State<W> {
    out: W,
    progress: Option<String>,
    since: u8,
}

impl<W: Write> Lines<W> {
    /// Lines to `out`.
    pub fn new(out: W) -> Self {
        Self(Mutex::new(State { out, progress: None, since: 0 }))
    }

    /// A line of progress.
    pub fn progress(&self, line: String) {
        let mut state = self.lock();
        state.write(&line);
        state.since = 0;
        state.progress = Some(line);
    }

    /// Any other line.
    pub fn say(&self, text: &str) {
        let mut state = self.lock();
        state.write(&quiet(text));
        state.since += 1;
        if state.since >= BETWEEN_MAX {
            state.again();
        }
    }

    /// The line of progress once more, when something stands after it.
    pub fn again(&self) {
        let mut state = self.lock();
        if state.since > 0 {
            state.again();
        }
    }

    /// The last line of progress.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.lock().progress.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written, for tests.
    #[cfg(test)]
    pub fn into_inner(self) -> W {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).out
    }
}

impl<W: Write> State<W> {
    fn write(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn again(&mut self) {
        self.since = 0;
        if let Some(line) = self.progress.clone() {
            self.write(&line);
        }
    }
}

/// `text` as one line of at most [`LINE_LEN_MAX`] bytes that holds no percentage and no rate.
#[must_use]
pub fn quiet(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for next in text.chars() {
        match next {
            '%' => out.push_str("\\045"),
            '/' if ends_like_a_rate(&out) => out.push_str("\\057"),
            _ if next.is_control() => out.extend(next.escape_default()),
            _ => out.push(next),
        }
        if out.len() > LINE_LEN_MAX {
            let mut end = LINE_LEN_MAX;
            while !out.is_char_boundary(end) {
                end -= 1;
            }
            out.truncate(end);
            break;
        }
    }
    out
}

/// Whether `/s` after this would be a rate: a digit, a point, and letters, digits or `_`.
fn ends_like_a_rate(text: &str) -> bool {
    let before = text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    before.strip_suffix('.').is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_line_looks_like_progress() {
        for (text, written) in [
            ("50%_off", "50\\045_off"),
            ("v1.2/src", "v1.2\\057src"),
            ("at 117.09MB/s now", "at 117.09MB\\057s now"),
            ("a/b.c/s", "a/b.c/s"),
            ("1.2.x_3/s", "1.2.x_3\\057s"),
            ("5./s", "5.\\057s"),
            ("10.1.2.3:22/s", "10.1.2.3:22/s"),
            ("two\nlines\r", "two\\nlines\\r"),
        ] {
            assert_eq!(quiet(text), written);
        }
        assert!(quiet(&"é".repeat(2_000)).len() <= LINE_LEN_MAX);
    }

    #[test]
    fn a_line_of_progress_is_always_among_the_last_five() {
        let lines = Lines::new(Vec::new());
        lines.progress("1.00K   7%    1.00MB/s    0:00:10".to_owned());
        for name in 0..23 {
            lines.say(&format!("file {name}"));
        }
        lines.again();
        lines.again();
        let text = String::from_utf8(lines.into_inner()).unwrap();
        let written: Vec<&str> = text.lines().collect();
        for end in 1..=written.len() {
            let seen = &written[end.saturating_sub(5)..end];
            assert!(seen.iter().any(|line| line.contains("7%")), "{seen:?}");
        }
        assert!(written[written.len() - 1].contains("7%") && !written[written.len() - 2].contains("7%"));
    }

    #[test]
    fn before_any_progress_lines_are_lines() {
        let lines = Lines::new(Vec::new());
        (0..10).for_each(|_| lines.say("x"));
        lines.again();
        assert_eq!(lines.into_inner(), b"x\n".repeat(10));
    }
}
