//! Standard output and standard error of this process, a line at a time. A reader that went away is nobody's concern.

use std::io::{Write, stderr, stdout};

/// A line that was asked for.
pub fn result(line: &str) {
    let _ = writeln!(stdout().lock(), "{line}");
}

/// A line for people.
pub fn complain(line: &str) {
    let _ = writeln!(stderr().lock(), "{line}");
}
