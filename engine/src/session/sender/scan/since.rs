//! What certainly did not change at the source since a baseline: an inode by its ctime, and where it stands by those of the
//! directories above it. See `receiver::ctimes`, which keeps the baseline and asks the same of the destination.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::types::Name;
use crate::volume::{Dir, Listed, Status};

use super::{Level, Scan, Seen};

/// What is known of a directory of the source since the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Constancy {
    /// It is the directory that stood here then.
    same: bool,
    /// No name was made, renamed or removed in it.
    quiet: bool,
}

impl Scan<'_> {
    /// The root is the same: the vantage names it.
    pub(super) fn constancy_of_root(&self, root: &Arc<Dir>) -> Constancy {
        let quiet = root.status().is_ok_and(|status| self.is_unchanged(&status));
        Constancy { same: self.baseline.is_some(), quiet }
    }

    /// A renamed directory shows it, and so does the one it was renamed in: one of both that shows nothing is enough. Of a
    /// `lost+found` it takes more: it may not have been listed while it belonged to the file system, and be the volume's now.
    pub(super) fn constancy(&self, above: &Level, name: &Name, seen: &Seen) -> Constancy {
        let uncovered = self.sending.volume.is_uncovered(seen.status.identity, seen.listed_ino);
        let quiet = self.is_unchanged(&seen.status);
        let certain = quiet || (above.since.quiet && name.as_bytes() != b"lost+found");
        Constancy { same: above.since.same && uncovered && certain, quiet }
    }

    /// The status of a name whose extended attributes need not be looked at.
    pub(super) fn unchanged(&self, level: &Level, listed: &Listed) -> Option<Status> {
        if !level.since.same {
            return None;
        }
        // What cannot be looked at is looked at again, and told then.
        let status = level.dir.status_of(&listed.name).ok().flatten()?;
        let uncovered = self.sending.volume.is_uncovered(status.identity, listed.ino);
        (uncovered && self.is_unchanged(&status)).then_some(status)
    }

    /// What is mounted over a name, or not any more, changes no ctime: no baseline is made of what was listed there.
    pub(super) fn note_mount(&self, seen: &Seen) {
        if !self.sending.volume.is_uncovered(seen.status.identity, seen.listed_ino) {
            self.sending.mounted.store(true, Relaxed);
        }
    }

    fn is_unchanged(&self, status: &Status) -> bool {
        self.baseline.is_some_and(|baseline| status.is_unchanged_since(&baseline))
    }
}
