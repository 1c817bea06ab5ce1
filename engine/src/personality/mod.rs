//! Room `personality`: the programs that ferry also answers as, by the name it was called.
//!
//! Thin: each translates its arguments and configuration into what the rooms below do. What is called by any other name is
//! ferry itself.

mod stunnel;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program this process was called as; `ferry` when that is none of them.
#[must_use]
pub fn main_or(ferry: fn() -> ExitCode) -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let name = Path::new(&called).file_name().map(OsString::from).unwrap_or_default();
    match name.to_str() {
        Some("stunnel") => stunnel::main(&args.collect::<Vec<_>>()),
        _ => ferry(),
    }
}
