//! Room `cli`: what a person types and reads. Arguments, environment, terminal, signals, exit codes.
//!
//! ```text
//!  args, flags, values   what was typed        config   what it means: one sentence a conflict, exit 2
//!  send, receive, sync, verify, keygen, demo, bench   what is then done, through the session's face
//!  loopback              both sides in this process, for demo and bench
//!  progress   while it runs                    summary, report, remedy   at its end
//!  console, log, signals, files, units         this process: its terminal, logs, signals, the files it names
//! ```
//! Decides nothing about data: it hands a checked configuration to the session and tells what came of it. The only
//! place that reads the environment, prints, or ends the process.

mod addresses;
mod args;
mod bench;
mod completions;
mod config;
mod console;
mod demo;
mod demo_data;
mod files;
mod flags;
mod items;
mod job;
mod keygen;
mod log;
mod loopback;
mod man;
mod offer;
mod progress;
mod receive;
mod remedy;
mod report;
mod send;
mod signals;
mod summary;
mod sync;
mod units;
mod values;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use args::{Cli, Command};
use console::Console;
use log::Voice;

use crate::types::{Exit, Outcome};

/// The whole program: reads the command line and the environment of this process, does it, and says how it ended.
/// Help, versions and mistakes in the command line are answered by clap, the latter with exit code 2.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Arc::new(Console::default());
    let voice = match cli.command {
        Command::Receive(_) => Voice::Sessions,
        Command::Keygen(_)
        | Command::Send(_)
        | Command::Sync(_)
        | Command::Verify(_)
        | Command::Demo(_)
        | Command::Bench(_)
        | Command::Completions(_)
        | Command::Man(_) => Voice::Quiet,
    };
    if let Err(error) = log::start(&console, cli.verbose, voice, variable("FERRY_LOG").as_deref()) {
        console.say(&format!("ferry: {error}"));
        return code(Outcome::Usage.exit());
    }
    code(run(&cli.command, &console))
}

fn run(command: &Command, console: &Arc<Console>) -> Exit {
    match command {
        Command::Keygen(args) => job::plain(console, || keygen::run(args, console)),
        Command::Receive(args) => receive::run(args, console),
        Command::Send(args) => send::run(args, variable("FERRY_TICKET"), console),
        Command::Sync(args) => sync::run(args, console),
        Command::Verify(args) => job::plain(console, || verify::run(args, console)),
        Command::Demo(args) => job::plain(console, || demo::run(args, console)),
        Command::Bench(args) => bench::run(args, console),
        Command::Completions(args) => job::plain(console, || completions::run(args, console)),
        Command::Man(args) => job::plain(console, || man::run(args, console)),
    }
}

/// A variable of the environment; set to nothing is not set, and bytes that are no text become a text nothing accepts.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit.0)
}
