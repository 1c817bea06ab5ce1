//! `ferry completions SHELL`: prints what makes a shell complete ferry's command line.

use std::sync::Arc;

use anyhow::Context as _;
use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use super::console::Console;
use super::job::Failure;
use crate::types::Outcome;

/// Prints the completions.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &CompletionsArgs, console: &Arc<Console>) -> Result<Outcome, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ferry", &mut text);
    let text = String::from_utf8_lossy(&text);
    console.result(text.trim_end()).context("cannot print the completions").map_err(Failure::failed)?;
    Ok(Outcome::Clean)
}
