//! `ferry man [DIR]`: the manual, generated from the command line itself so that they cannot differ.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::CommandFactory;

use super::args::{BENCH_WORDS, Cli, ManArgs};
use super::console::Console;
use super::files::shown;
use super::job::Failure;
use crate::types::Outcome;

/// Prints ferry.1, or writes it and a page a subcommand.
///
/// # Errors
/// Standard output is closed, or the directory cannot be written.
pub fn run(args: &ManArgs, console: &Arc<Console>) -> Result<Outcome, Failure> {
    match &args.dir {
        None => {
            let page = page(whole()).context("cannot make the page").map_err(Failure::failed)?;
            let page = String::from_utf8_lossy(&page);
            console.result(page.trim_end()).context("cannot print the page").map_err(Failure::failed)?;
        }
        Some(dir) => {
            let written = write_all(dir).with_context(|| format!("cannot write the pages into {}", shown(dir)));
            let count = written.map_err(Failure::usage)?;
            console.say(&format!("{count} pages are in {}", shown(dir)));
        }
    }
    Ok(Outcome::Clean)
}

/// The command line without `help`, which has no page: every page here is what it would show.
fn whole() -> clap::Command {
    Cli::command().disable_help_subcommand(true)
}

fn write_all(dir: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(dir)?;
    let mut command = whole();
    command.build();
    let mut count = 1;
    std::fs::write(dir.join("ferry.1"), page(command.clone())?)?;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_display_name().unwrap_or_else(|| subcommand.get_name());
        std::fs::write(dir.join(format!("{name}.1")), page(subcommand.clone())?)?;
        count += 1;
    }
    Ok(count)
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let (parent, below) = (command.has_subcommands(), command.get_after_long_help().map(ToString::to_string));
    let versioned = command.get_version().is_some();
    let man = clap_mangen::Man::new(command).title(name);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if parent {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = below {
        let heading = if text == BENCH_WORDS { "LIMITS" } else { "EXIT STATUS" };
        page.extend_from_slice(section(heading, &text).as_bytes());
    }
    if versioned {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// What stands below the options in help, under a heading as manuals have them instead of its first line.
fn section(heading: &str, text: &str) -> String {
    let lines = text.lines().skip(1).map(|line| line.replace('-', "\\-"));
    format!(".SH \"{heading}\"\n.nf\n{}\n.fi\n", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_a_page_a_subcommand_and_the_exit_codes() {
        let dir = std::env::temp_dir().join(format!("ferry-man-{}", std::process::id()));
        let count = write_all(&dir).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), count);
        let main = std::fs::read_to_string(dir.join("ferry.1")).unwrap();
        assert!(main.contains("EXIT STATUS") && main.contains("143") && main.contains("safety halt"), "{main}");
        assert!(!main.contains("help(1)"), "{main}");
        assert!(main.contains("FERRY_LOG sets"), "{main}");
        let bench = std::fs::read_to_string(dir.join("ferry-bench.1")).unwrap();
        assert!(bench.contains("LIMITS") && bench.contains("other programs") && !bench.contains("143"), "{bench}");
        let send = std::fs::read_to_string(dir.join("ferry-send.1")).unwrap();
        assert!(send.contains("accept\\-loss"), "{send}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
