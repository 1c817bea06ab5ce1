//! How a run ends in rsync's numbers and words, and what else is told of it.
//!
//! Pure: from the session's report to an exit code, a sentence and a few lines. What an operator does next hangs on the
//! code alone, so each is told apart by values, never by reading sentences.

use crate::session::{RunReport, VolumeReport};
use crate::types::{Cause, LossKind, LossSet, Outcome, Problem};

/// Problems that are told one by one; the rest is a number.
const PROBLEMS_TOLD_MAX: usize = 10;

/// rsync's exit codes, as far as ferry ends with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Everything is there.
    Clean,
    /// The command line.
    Syntax,
    /// Something other than ferry at the other end, or a certificate that is not ours.
    Protocol,
    /// A source or a destination that cannot be used.
    FileSelect,
    /// The daemon refused: its password, its module, its list of hosts.
    StartClient,
    /// No connection.
    Socket,
    /// The disk.
    FileIo,
    /// A connection that broke.
    Stream,
    /// A signal.
    Signal,
    /// Not everything could be copied.
    Partial,
    /// Nothing was deleted, for safety.
    DeleteLimit,
    /// Nothing was heard any more.
    Timeout,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The exit code.
    pub code: Code,
    /// Why, when it is not clean.
    pub text: Option<String>,
    /// What else is told, most important first.
    pub notes: Vec<String>,
}

/// Who runs: the remedy for what is not permitted depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

impl Code {
    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Syntax => 1,
            Self::Protocol => 2,
            Self::FileSelect => 3,
            Self::StartClient => 5,
            Self::Socket => 10,
            Self::FileIo => 11,
            Self::Stream => 12,
            Self::Signal => 20,
            Self::Partial => 23,
            Self::DeleteLimit => 25,
            Self::Timeout => 30,
        }
    }
}

impl Ending {
    /// An end without anything to tell but why.
    #[must_use]
    pub fn with(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: Some(text.into()), notes: Vec::new() }
    }

    /// The end of the run that this is the report of.
    #[must_use]
    pub fn of(report: &RunReport, user: User) -> Self {
        let code = code(report.outcome, report.volumes.first().and_then(|volume| volume.cause));
        let Some(volume) = report.volumes.first() else {
            return Self {
                code,
                text: (code != Code::Clean).then(|| "nothing was copied".to_owned()),
                notes: Vec::new(),
            };
        };
        // A living source is what a stage copies: rsync takes what it finds there and ends well, and so do we where some state of
        // everything is at the destination and the next run will tell it from the source's.
        let code = if is_only_unsettled(volume, user) { Code::Clean } else { code };
        Self { code, text: text(code, volume, user), notes: notes(volume, user) }
    }

    /// The last line: rsync's, with ferry's sentence.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.text.as_ref().map(|text| format!("rsync error: {text} (code {})", self.code.number()))
    }
}

/// Losses that are no failure. Whoever is not root knows that owners and devices are not kept, and rsync ends with 0
/// then; times that a file system stores less finely are nobody's fault.
#[must_use]
pub fn accepted(user: User) -> LossSet {
    let mut accepted = LossSet::default();
    accepted.insert(LossKind::Times);
    if user.uid != 0 {
        let unprivileged = [
            LossKind::Ownership,
            LossKind::Devices,
            LossKind::TrustedXattrs,
            LossKind::FileCapabilities,
            LossKind::Selinux,
        ];
        unprivileged.into_iter().for_each(|kind| accepted.insert(kind));
    }
    accepted
}

fn is_only_unsettled(volume: &VolumeReport, user: User) -> bool {
    volume.outcome == Outcome::Problems
        && volume.unsettled > 0
        && volume.unsettled == volume.problems.total()
        && accepted(user).covers(&volume.loss)
}

fn code(outcome: Outcome, cause: Option<Cause>) -> Code {
    match (outcome, cause) {
        (Outcome::Clean, _) => Code::Clean,
        (Outcome::Problems | Outcome::Differences, _) => Code::Partial,
        (Outcome::SafetyHalt, _) => Code::DeleteLimit,
        (_, Some(Cause::Foreign | Cause::Distrust)) => Code::Protocol,
        (_, Some(Cause::Password)) | (Outcome::Refused, _) => Code::StartClient,
        (_, Some(Cause::Silence)) => Code::Timeout,
        (Outcome::Network, Some(Cause::Cut)) => Code::Stream,
        (Outcome::Network, Some(Cause::NoConnection) | None) => Code::Socket,
        (Outcome::Failed, _) => Code::FileIo,
        (Outcome::Usage, _) => Code::FileSelect,
        (Outcome::Interrupted | Outcome::Terminated, _) => Code::Signal,
    }
}

fn text(code: Code, volume: &VolumeReport, user: User) -> Option<String> {
    let text = volume.text.clone();
    match code {
        Code::Clean => None,
        Code::Partial => {
            let first = volume.problems.kept().first().map(|problem| format!("; {}", sentence(problem)));
            let remedy = forbidden(volume).then(|| remedy(user)).flatten();
            let whole = text.unwrap_or_else(|| "some files could not be copied".to_owned());
            Some(format!("{whole}{}{}", remedy.unwrap_or_default(), first.unwrap_or_default()))
        }
        Code::Signal => Some("stopped by a signal; run it again to finish, what is on disk is kept".to_owned()),
        _ => Some(text.unwrap_or_else(|| "ended without a word".to_owned())),
    }
}

fn sentence(problem: &Problem) -> String {
    format!("{} ({}): {}", problem.path, problem.stage.word(), problem.cause)
}

/// Whether something was not permitted: problems carry the kernel's word for it.
fn forbidden(volume: &VolumeReport) -> bool {
    let is = |problem: &Problem| problem.cause.contains("EACCES") || problem.cause.contains("EPERM");
    volume.problems.kept().iter().any(is)
}

fn remedy(user: User) -> Option<String> {
    (user.uid != 0).then(|| {
        format!(
            "; uid {} gid {} may not do that: run as root (MigMigration runAsRoot: true, and the label \
             pod-security.kubernetes.io/enforce=privileged on the namespace), or as the owner (runAsUser, runAsGroup)",
            user.uid, user.gid
        )
    })
}

fn notes(volume: &VolumeReport, user: User) -> Vec<String> {
    let mut notes = Vec::new();
    let told = volume.problems.kept().iter().take(PROBLEMS_TOLD_MAX);
    notes.extend(told.map(|problem| format!("rsync: {}", sentence(problem))));
    let more = volume.problems.total().saturating_sub(PROBLEMS_TOLD_MAX as u64);
    if more > 0 {
        notes.push(format!("rsync: and {more} more problems"));
    }
    let lost: Vec<String> =
        volume.loss.iter().map(|(kind, count)| format!("{} of {count} entries", kind.word())).collect();
    if !lost.is_empty() {
        notes.push(format!("warning: not kept: {} (uid {} gid {})", lost.join(", "), user.uid, user.gid));
    }
    if volume.unsettled > 0 {
        let count = volume.unsettled;
        notes.push(format!("warning: {count} paths changed while they were copied; the next run copies them again"));
    }
    if volume.entries.vanished > 0 {
        notes.push(format!("warning: {} files vanished before they could be copied", volume.entries.vanished));
    }
    notes.extend(volume.notes.iter().map(|note| format!("note: {note}")));
    notes
}

#[cfg(test)]
mod tests;
