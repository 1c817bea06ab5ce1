//! What to do about how a run ended: one sentence an outcome, made from the figures.

use super::report::{Ending, Side};
use crate::types::{LossKind, Outcome};

/// What to do; `None` when nothing is to be done.
#[must_use]
pub fn of(ending: &Ending) -> Option<String> {
    let totals = ending.totals();
    Some(match ending.outcome {
        Outcome::Clean => return None,
        Outcome::Problems if totals.problems == 0 => {
            let kinds: Vec<&str> = totals.loss.iter().map(|(kind, _)| kind.word()).collect();
            if kinds.is_empty() {
                return Some("run it again: something changed while it was copied".into());
            }
            let ways: Vec<&str> = totals.loss.iter().map(|(kind, _)| keep(kind)).collect();
            let (kinds, ways) = (kinds.join(","), ways.join("; "));
            format!("everything else is in place; if losing this is fine, add --accept-loss {kinds}; to keep it, {ways}")
        }
        Outcome::Problems => "see to the problems listed, then run it again: what is in place stays in place".into(),
        Outcome::Differences => "run the copy again with --checksum, and make sure nothing writes to either side".into(),
        Outcome::SafetyHalt => {
            "check that the source is the right one and mounted, then permit it with --allow-empty-source or a larger \
             --max-delete"
                .into()
        }
        Outcome::Refused => {
            "check that both identities come from one `ferry keygen` and are still valid, that --server-name is in the \
             receiver's certificate, and that the receiver serves this volume"
                .into()
        }
        Outcome::Network if ending.side == Side::Receives => {
            "check that the sender runs, and that its --to, the route and any proxy lead here; then run both again, they go \
             on from what is there"
                .into()
        }
        Outcome::Network => {
            "check the address, the route and any proxy between, and that the receiver runs; then run it again, it goes on \
             from what is there"
                .into()
        }
        Outcome::Failed => "see to the cause, then run it again: it goes on from what is there".into(),
        Outcome::Usage => "correct the command line; `ferry help` lists the options".into(),
        // A receiver that serves until it is told to stop was told; nothing is left to finish.
        Outcome::Interrupted | Outcome::Terminated
            if !ending.volumes.is_empty() && ending.volumes.iter().all(|v| v.outcome == Outcome::Clean) =>
        {
            return None;
        }
        Outcome::Interrupted | Outcome::Terminated => "run it again to finish: it goes on from what is there".into(),
    })
}

/// What keeps a kind of loss from happening.
#[must_use]
pub fn keep(kind: LossKind) -> &'static str {
    match kind {
        LossKind::Ownership => "run the receiver with CAP_CHOWN, or leave owners out with --no-owner",
        LossKind::Devices => "run the receiver with CAP_MKNOD",
        LossKind::TrustedXattrs => "run both sides with CAP_SYS_ADMIN",
        LossKind::FileCapabilities => "run the receiver with CAP_SETFCAP",
        LossKind::Selinux => "leave labels to the destination with --selinux skip",
        LossKind::Acls => "use a destination whose file system keeps POSIX ACLs, or leave them out with --no-xattrs",
        LossKind::Xattrs => {
            "use a destination whose file system keeps extended attributes, or leave them out with --no-xattrs"
        }
        LossKind::Times => "use a destination whose file system keeps such times",
    }
}
