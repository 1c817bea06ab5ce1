//! `ferry man [DIR]`: the manual, generated from the command line itself so that they cannot differ.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::CommandFactory;

use super::args::{Cli, ManArgs};
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
            let page = page(Cli::command()).context("cannot make the page").map_err(Failure::failed)?;
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

fn write_all(dir: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(dir)?;
    let mut command = Cli::command();
    command.build();
    let mut count = 1;
    std::fs::write(dir.join("ferry.1"), page(command.clone())?)?;
    for subcommand in command.get_subcommands().filter(|each| each.get_name() != "help") {
        let name = subcommand.get_display_name().unwrap_or_else(|| subcommand.get_name());
        std::fs::write(dir.join(format!("{name}.1")), page(subcommand.clone())?)?;
        count += 1;
    }
    Ok(count)
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
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
        assert!(main.contains("143") && main.contains("safety halt"), "{main}");
        let send = std::fs::read_to_string(dir.join("ferry-send.1")).unwrap();
        assert!(send.contains("accept\\-loss"), "{send}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
