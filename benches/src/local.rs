//! Programs that copy on one machine, in the clear: what a first copy costs without a network. `tar | tar` through a pipe,
//! `cp -a`, and rclone from one directory to another, which is its best case: its servers keep less (no times over WebDAV, no
//! owners over SFTP). They take part in first copies only, and never over a line with a delay.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cases::{Case, Kind, Start};
use crate::contender::{Contender, Job, Keeps, Reach, Stage, Targets};
use crate::machine;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// `tar | tar`.
    Tar,
    /// `cp -a`.
    Cp,
    /// `rclone copy`.
    Rclone,
}

impl Contender for Local {
    fn id(&self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Cp => "cp",
            Self::Rclone => "rclone",
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Tar => "tar to tar, local",
            Self::Cp => "cp -a, local",
            Self::Rclone => "rclone, local",
        }
    }

    fn version(&self) -> Result<String> {
        let (program, flag, word) = match self {
            Self::Tar => ("tar", "--version", "tar "),
            Self::Cp => ("cp", "--version", "cp "),
            Self::Rclone => ("rclone", "version", "rclone v"),
        };
        machine::said(program, &[flag], word).with_context(|| format!("{program} is not installed"))
    }

    fn options(&self, case: &Case) -> Option<Vec<&'static str>> {
        let sparse = case.rsync.contains(&"--sparse");
        if case.start != Start::Empty || case.kind != Kind::Tree {
            return None;
        }
        Some(match self {
            // Its default format keeps whole seconds only.
            Self::Tar if sparse => vec!["--format=posix", "--sparse"],
            Self::Tar => vec!["--format=posix"],
            Self::Cp => vec!["-a"],
            Self::Rclone => vec!["copy", "--metadata", "--links"],
        })
    }

    fn reach(&self) -> Reach {
        Reach::Local
    }

    fn targets(&self, case: &Case) -> Option<Targets> {
        let owed = case.beside.iter().find(|(id, _)| *id == self.id());
        owed.map(|(_, must)| Targets { must: *must, aim: None })
    }

    fn keeps(&self) -> Keeps {
        match self {
            Self::Tar | Self::Cp => Keeps::Everything,
            // Directories get the time and the mode of their making.
            Self::Rclone => Keeps::Contents,
        }
    }

    fn stage(&self, job: &Job<'_>) -> Result<Stage> {
        let mut client;
        match self {
            Self::Tar => {
                // $0 is the source, $1 the destination, the rest are options.
                let script = "set -o pipefail; from=$0 to=$1; shift; \
                              tar \"$@\" -C \"$from\" -cf - . | tar -C \"$to\" --numeric-owner -xpf -";
                client = Command::new("bash");
                client.arg("-c").arg(script).arg(job.source).arg(job.destination).args(job.options);
            }
            Self::Cp => {
                client = Command::new("cp");
                client.args(job.options).arg(job.source.join(".")).arg(job.destination);
            }
            Self::Rclone => {
                client = Command::new("rclone");
                // An empty name: no configuration.
                client.args(["--config", ""]).args(job.options).arg(job.source).arg(job.destination);
            }
        }
        Ok(Stage { daemons: Vec::new(), client, relay: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn they_take_part_in_first_copies_of_trees_only() {
        for case in cases::all() {
            let first = case.start == Start::Empty && case.kind == Kind::Tree;
            for local in [Local::Tar, Local::Cp, Local::Rclone] {
                assert_eq!(local.options(case).is_some(), first, "{local:?} in {}", case.name);
            }
        }
    }

    #[test]
    fn what_is_owed_against_them_is_owed_in_one_case_each() {
        let owed = |local: Local, name| local.targets(Case::named(name).unwrap()).map(|targets| targets.must);
        assert_eq!((owed(Local::Tar, "small"), owed(Local::Tar, "big")), (Some(1.0), None));
        assert_eq!((owed(Local::Cp, "big"), owed(Local::Cp, "small")), (Some(0.5), None));
        assert_eq!(owed(Local::Rclone, "small"), None);
    }
}
