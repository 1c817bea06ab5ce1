//! What is done with one entry without waiting for its content: it stays, with the attributes that differ, or it is made.

use std::sync::Arc;

use crate::plan::{AttributeDiff, must_break};
use crate::session::fate::Ended;
use crate::types::{Content, Entry, EntryKind, LossKind, Stage};

use super::batches::{How, Place};
use super::context::Receiving;
use super::existing::Existing;
use super::links::Failure;

impl Receiving {
    /// Whether a file is as it should be but for being one of several names of its inode.
    pub(super) fn only_shares_its_inode(&self, entry: &Entry, existing: &Existing) -> bool {
        must_break(entry, &existing.plan)
            && !self.options.checksum
            && entry.size() == existing.status.size
            && self.volume.clamp(entry.mtime) == existing.status.mtime
    }

    /// Keeps an entry, giving it the attributes that differ, in an inode of its own where that is called for.
    pub(super) fn keep(
        &self,
        place: &Arc<Place>,
        entry: &Entry,
        existing: &Existing,
        diff: AttributeDiff,
    ) -> Result<(), Ended> {
        let status = &existing.status;
        let unclaimed = entry.link.is_none_or(|group| self.links.claim(status.identity, group));
        let differs = self.attributes_differ(entry, existing, diff);
        let breaks = entry.kind() == EntryKind::File && self.must_break(entry, existing);
        if breaks && differs || (entry.kind() == EntryKind::File && !unclaimed) {
            return self.break_links(place, entry, status);
        }
        if !differs {
            return self.file_ready(place, entry, status.identity);
        }
        self.keep_with_attributes(place, entry, status)
    }

    /// Makes something that is neither file nor directory.
    pub(super) fn make_special(&self, place: &Arc<Place>, entry: &Entry, how: &How) -> Result<(), Ended> {
        let is_device = matches!(entry.content, Content::CharDevice(_) | Content::BlockDevice(_));
        if is_device && (self.bounds.no_devices || !self.volume.privilege().mknod) {
            self.lost(LossKind::Devices);
            return self.file_failed(entry.link, Failure::Lost(LossKind::Devices));
        }
        place.touch();
        match self.try_special(place, entry, how) {
            Ok(identity) => {
                match how {
                    How::Create => self.tally.add(|t| &t.created, 1),
                    _ => self.tally.add(|t| &t.updated, 1),
                }
                self.file_ready(place, entry, identity)
            }
            Err(error) if is_device && error.is_privilege() => {
                self.lost(LossKind::Devices);
                self.file_failed(entry.link, Failure::Lost(LossKind::Devices))
            }
            Err(error) => {
                self.failed(place.dir.path().join(&entry.name), Stage::Write, error)?;
                self.file_failed(entry.link, Failure::Problem)
            }
        }
    }
}
