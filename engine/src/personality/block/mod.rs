//! `proxy` and `blockrsync`: the way of an operator's block volumes and VM disks, one single-file volume each.
//!
//! ```text
//!  source pod                                                        destination pod
//!  blockrsync FILE ── errand ──> proxy --source (identifier, tunnel)   proxy --target: receives id-IDENTIFIER
//!       └───────────── ferry's protocol ──> stunnel ══ TLS ══> stunnel ──────┘
//! ```
//! Both sides try again inside the process as long as there is hope: an operator takes the end of a container for the end
//! of the migration. Nobody proves a password here, for the operator has none for this way; the tunnel's certificate
//! does. The control files are made when the receiver has confirmed everything, never before.

mod args;
mod proxy;
mod send;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// `proxy`, on either side.
pub fn proxy(args: &[OsString]) -> ExitCode {
    parsed("proxy", args).map_or_else(|code| code, |asked| proxy::run(&asked))
}

/// `blockrsync`, at the source.
pub fn blockrsync(args: &[OsString]) -> ExitCode {
    parsed("blockrsync", args).map_or_else(|code| code, |asked| send::run(&asked))
}

/// What was asked; help, versions and mistakes are answered here, the latter with exit code 2.
fn parsed<T: Parser>(name: &str, args: &[OsString]) -> Result<T, ExitCode> {
    let line = std::iter::once(OsString::from(name)).chain(args.iter().cloned());
    T::try_parse_from(line).map_err(|error| {
        // A terminal that is gone hears nothing.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}
