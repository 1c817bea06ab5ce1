//! Entries whose extended attributes the sender did not look at, because nothing changed there since the baseline: trusted
//! when nothing changed here either, by one look at the status; else left for the next pass, in which all is looked at.
//!
//! It refuses to make, write, replace or give attributes to anything: what such an entry should have is not known here.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::plan::{self, AttributeDiff, Policy, Verdict};
use crate::session::fate::Ended;
use crate::types::{Entry, EntryKind};
use crate::volume::Error;

use super::batches::{Place, Slot};
use super::consider::{InBatch, Subdir};
use super::context::Receiving;
use super::existing::Existing;
use super::ledger::Close;
use super::level::Stands;

impl InBatch<'_> {
    /// Goes through one entry that was not looked at. A directory is announced, whatever became of it.
    pub fn consider_unlooked(&mut self, entry: Entry, stands: Stands) -> Result<Option<Subdir>, Ended> {
        let receiving = self.receiving;
        self.slots.push(Slot::Settled);
        let is_dir = entry.kind() == EntryKind::Dir;
        // A name of which nobody knows whether it stands, or that cannot be looked at, is looked at again.
        let existing = match (&self.batch, stands) {
            (Some(batch), Stands::Listed(ino)) if !self.lost => {
                let seen = receiving.glance(&batch.place, &entry, ino).ok().flatten();
                seen.map(|existing| (Arc::clone(batch), existing))
            }
            _ => None,
        };
        let Some((batch, existing)) = existing else {
            receiving.leave(&entry);
            return Ok(is_dir.then(Subdir::none));
        };
        if is_dir {
            return Ok(Some(receiving.enter_unlooked(&batch.place, entry, &existing)));
        }
        receiving.trust_or_leave(&batch.place, &entry, &existing)?;
        Ok(None)
    }
}

impl Receiving {
    /// What stands, with the inode number its directory lists it by, if any.
    pub fn listed_as(&self, mut existing: Existing, ino: Option<u64>) -> Existing {
        existing.uncovered = ino.is_some_and(|ino| self.volume.is_uncovered(existing.status.identity, ino));
        if !existing.uncovered {
            self.ctimes.note_mount();
        }
        existing
    }

    /// What stands at an entry's name, without a look at extended attributes.
    fn glance(&self, place: &Place, entry: &Entry, ino: u64) -> Result<Option<Existing>, Error> {
        let Some(status) = place.dir.status_of(&entry.name)? else { return Ok(None) };
        let both_links = status.kind == EntryKind::Symlink && entry.kind() == EntryKind::Symlink;
        let target = if both_links { Some(place.dir.target_of(&entry.name)?) } else { None };
        Ok(Some(self.listed_as(Existing::new(status, target, None), Some(ino))))
    }

    /// Whether what stands was settled by an earlier run and is as it was then, and the entry does not differ in anything
    /// that was looked at. What an unprivileged receiver cannot keep is no excuse here.
    fn is_constant(&self, place: &Place, entry: &Entry, existing: &Existing) -> bool {
        let policy = Policy { owner: self.options.owner, checksum: false, verify: false };
        let equal = Verdict::Keep { attributes: AttributeDiff::default() };
        place.since.same
            && existing.uncovered
            && self.ctimes.is_unchanged(&existing.status)
            && plan::compare(entry, Some(&existing.plan), &policy, |time| self.volume.clamp(time)) == equal
    }

    /// Nothing is done about an entry in this pass, nor about its group if it leads one.
    fn leave(&self, entry: &Entry) {
        self.ctimes.look_again();
        if let Some(group) = entry.link
            && self.links.lead(group)
        {
            self.links.postpone(group);
        }
    }

    fn trust_or_leave(&self, place: &Arc<Place>, entry: &Entry, existing: &Existing) -> Result<(), Ended> {
        let status = &existing.status;
        if let Some(group) = entry.link
            && !self.links.lead(group)
        {
            // A further name is right when it is one of the leader's inode, whose attributes are the leader's business.
            if self.links.leading(group) == Some(status.identity) {
                self.tally.add(|t| &t.unlooked, 1);
            } else {
                self.ctimes.look_again();
            }
            return Ok(());
        }
        let kept = self.is_constant(place, entry, existing)
            && self.inodes.take(status.identity, entry.link)
            && entry.link.is_none_or(|group| self.links.claim(status.identity, group));
        if !kept {
            self.ctimes.look_again();
            if let Some(group) = entry.link {
                self.links.postpone(group);
            }
            return Ok(());
        }
        self.tally.add(|t| &t.unlooked, 1);
        self.progress.bytes_done.fetch_add(entry.size(), Relaxed);
        self.stands(place, &entry.name, status);
        self.remember_unchanged(place, entry, status);
        self.file_ready(place, entry, status.identity)
    }

    /// Enters a directory that was not looked at, whether or not it is trusted itself: what is below it is a question of its
    /// own.
    fn enter_unlooked(&self, parent: &Place, entry: Entry, existing: &Existing) -> Subdir {
        let status = &existing.status;
        let opened = match status.kind {
            EntryKind::Dir => parent.dir.child(&entry.name, status.identity).ok(),
            _ => None,
        };
        let Some(dir) = opened.filter(|dir| self.volume.sync_too(dir).is_ok()) else {
            self.ctimes.look_again();
            return Subdir::none();
        };
        let place = self.place(&dir, status, self.ctimes.constancy(parent, existing));
        let unreadable = place.restricted && status.mode.bits() & 0o500 != 0o500;
        if unreadable {
            place.touch();
        }
        let close = if self.is_constant(parent, &entry, existing) {
            self.tally.add(|t| &t.unlooked, 1);
            Some(Close { entry, differs: unreadable, knows_xattrs: false })
        } else {
            self.ctimes.look_again();
            None
        };
        Subdir { place: Some(Arc::new(place)), close, stood: true, imagined: None }
    }
}
