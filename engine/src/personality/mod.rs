//! Room `personality`: the programs that an operator runs by name and that are ferry in truth. One binary answers to all
//! of them; which one it is called as decides.
//!
//! ```text
//!  rsync     args, filters, conf -> local | client | daemon -> lines, ending
//!  stunnel   conf -> run (a relay), behind whoever called it or in front (detach)
//!  proxy, blockrsync   block: devices and disk images
//!  nc, touch, sleep    tools
//! ```
//! Each translates the arguments and files of that program into what the engine does, and the engine's words into those
//! that are expected. Takes no decision about data, and no part of another program's protocol.

mod block;
mod console;
mod files;
mod rsync;
mod stunnel;
mod tools;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// One of those programs: takes its arguments, the name left out, and ends as that program would.
type Program = fn(&[OsString]) -> ExitCode;

/// The names, and what each does.
const PROGRAMS: [(&str, Program); 7] = [
    ("rsync", rsync::main),
    ("stunnel", stunnel::main),
    ("proxy", block::proxy),
    ("blockrsync", block::blockrsync),
    ("nc", tools::nc),
    ("touch", tools::touch),
    ("sleep", tools::sleep),
];

/// Runs the program this process was called as; `None` when that is none of them, and it is ferry itself.
#[must_use]
pub fn main() -> Option<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (called, args) = args.split_first()?;
    program(called).map(|program| program(args))
}

fn program(called: &OsStr) -> Option<Program> {
    let base = Path::new(called).file_name()?;
    PROGRAMS.iter().find(|(name, _)| base == *name).map(|(_, program)| *program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_name_decides_and_any_other_is_ferry() {
        for called in ["rsync", "/usr/bin/rsync", "./nc", "/usr/bin/touch", "sleep"] {
            assert!(program(OsStr::new(called)).is_some(), "{called}");
        }
        for called in ["ferry", "/usr/bin/ferry", "rsync2", "/rsync/ferry", "", "/", "ferry-rsync", "RSYNC"] {
            assert!(program(OsStr::new(called)).is_none(), "{called}");
        }
    }
}
