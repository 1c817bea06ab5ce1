//! `rsync`: the client and the daemon an operator starts, with ferry's protocol between them, and the plain local copy.
//!
//! ```text
//!  argv -> args (options) -> asked ─┬─ local    session::sync                 lines, progress   while it runs
//!          filters: excludes        ├─ client   session::send    by the port  ending            its code and words
//!          conf: rsyncd.conf        └─ daemon   session::receive by the port
//! ```
//! Takes rsync's words and gives rsync's numbers. Speaks no word of rsync's own protocol: a stock peer is told so.

mod args;
mod asked;
mod client;
mod conf;
mod daemon;
mod ending;
mod filters;
mod lines;
mod local;
mod options;
mod progress;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use asked::{Asked, CopyAsked, Destination};
use options::Meaning;

pub(super) use ending::{Code, Ending};
pub(super) use run::{Teller, block_on, copy, lanes, no_runtime, run_id};

use super::console::result;
use super::files;
use crate::types::{LossKind, LossSet, OwnerPolicy};

/// Runs `rsync` with these arguments, its name left out.
pub fn main(args: &[OsString]) -> ExitCode {
    let teller = Arc::new(Teller::new());
    match Asked::parse(args) {
        Ok(Asked::Version) => {
            // Scripts look for the first word; the number is ferry's own.
            result(&format!("rsync  as ferry {} knows it, speaking ferry's own protocol", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Ok(Asked::Help) => {
            result(&help());
            ExitCode::SUCCESS
        }
        Ok(Asked::Daemon(asked)) => daemon::run(&asked, &teller),
        Ok(Asked::Copy(copy)) => copied(*copy, &teller),
        Err(error) => teller.end(&Ending::with(Code::Syntax, error.to_string())),
    }
}

fn copied(mut copy: CopyAsked, teller: &Arc<Teller>) -> ExitCode {
    for note in std::mem::take(&mut copy.notes) {
        teller.say(&note);
    }
    let accepted = ending::accepted(run::user()).bits() | copy.options.accept_loss.bits();
    copy.options.accept_loss = LossSet::from_bits(accepted);
    if copy.options.owner == OwnerPolicy::Ignore {
        // Owners were not asked for; setuid bits that go with one stay off another's file, and are told of.
        copy.options.accept_loss.insert(LossKind::Ownership);
    }
    if let Err(ending) = read_excludes(&mut copy) {
        return teller.end(&ending);
    }
    match copy.destination.clone() {
        Destination::Here(place) => local::run(copy, &place, teller),
        Destination::There(remote) => client::run(copy, remote, teller),
    }
}

/// Adds the rules of the files that `--exclude-from` names.
fn read_excludes(copy: &mut CopyAsked) -> Result<(), Ending> {
    for path in &copy.exclude_from {
        let text = files::read(path).map_err(|error| Ending::with(Code::FileSelect, error.to_string()))?;
        for line in filters::lines(&text) {
            let rule = asked::follow(&mut copy.options.excludes, line);
            rule.map_err(|error| Ending::with(Code::Syntax, format!("{}: {error}", files::shown(path))))?;
        }
    }
    Ok(())
}

/// The usage, with every option and what becomes of it.
fn help() -> String {
    let mut text = "ferry as rsync\n\n\
        rsync OPTIONS SRC/ DST/\n\
        rsync OPTIONS SRC/ rsync://[USER@]HOST[:PORT]/MODULE    password in RSYNC_PASSWORD\n\
        rsync --daemon --no-detach [--port=N] [--config=FILE] [--address=ADDRESS]\n"
        .to_owned();
    let groups = [
        ("used", true, false),
        ("without effect, ferry does so anyway or does not need it", false, false),
        ("refused, for other data would arrive", false, true),
    ];
    for (title, used, refused) in groups {
        text.push_str(&format!("\n{title}:\n"));
        let belongs = |known: &&options::Known| match known.meaning {
            Meaning::On(_) | Meaning::Off(_) | Meaning::Value(_) => used,
            Meaning::Needless(_) => !used && !refused,
            Meaning::Refused(..) => refused,
        };
        for known in options::OPTIONS.iter().filter(belongs) {
            let letter = known.letter.map(|letter| format!("-{letter}"));
            let long = (!known.long.is_empty()).then(|| format!("--{}", known.long));
            let names: Vec<String> = letter.into_iter().chain(long).collect();
            let value = if known.meaning.takes() == options::Takes::One { "=VALUE" } else { "" };
            text.push_str(&format!("  {}{value}\n", names.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_option() {
        let help = help();
        for known in options::OPTIONS.iter().filter(|known| !known.long.is_empty()) {
            assert!(help.contains(&format!("--{}", known.long)), "{}", known.long);
        }
    }
}
