//! `ferry keygen DIR`: certificates for one receiver and its sender, and what to do with them.

use std::sync::Arc;

use super::args::KeygenArgs;
use super::console::Console;
use super::files::shown;
use super::job::Failure;
use crate::tunnel;
use crate::types::Outcome;

/// Makes the keys.
///
/// # Errors
/// What [`tunnel::keygen`] failed with: names, days, or a directory that cannot be written or already holds keys.
pub fn run(args: &KeygenArgs, console: &Arc<Console>) -> Result<Outcome, Failure> {
    tunnel::keygen(&args.dir, &args.hosts, args.days).map_err(Failure::usage)?;
    let dir = shown(&args.dir);
    console.say(&format!("{dir}/receiver and {dir}/sender are made, valid for {} days.", args.days));
    console.say("Keep the first at the destination and the second at the source; nothing else can join them.");
    console.say(&format!("  ferry receive --listen 0.0.0.0:8443 --identity {dir}/receiver --volume NAME=PATH"));
    let host = args.hosts.first().map_or("HOST", String::as_str);
    console.say(&format!("  ferry send --to {host}:8443 --identity {dir}/sender --volume NAME=PATH"));
    Ok(Outcome::Clean)
}
