//! The last step of an entry with content: attributes, publication, counting, and the links that waited for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::plan::{Policy, Verdict};
use crate::session::fate::Ended;
use crate::types::{Entry, EntryKind, LinkGroup, Stage, limits};
use crate::volume::{self, FileWriter, Finished, Identity, Status};
use crate::wire::{Item, ItemChange};

use super::batches::{How, OpenBatch, Place, Plan, status_of};
use super::context::{PassMode, Receiving};
use super::links::{Failure, Joined, Leader, Waiter};

impl Receiving {
    /// A small file whose content is here.
    pub fn write_packed(&self, batch: &OpenBatch, plan: Plan, content: &[u8]) -> Result<(), Ended> {
        let place = &batch.place;
        place.touch();
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let attributes = self.attributes(&plan.entry, &wants, place.inherited);
        let temporary = (!matches!(plan.how, How::Create)).then(|| self.temporary());
        let written = self.write_small_to_device(batch, &plan, content).unwrap_or_else(|| {
            volume::write_small(&place.dir, &plan.entry.name, temporary.as_ref(), content, &attributes)
        });
        if written.is_ok() {
            self.tally.add(|t| &t.literal, content.len() as u64);
        }
        self.published(batch, &plan, written)
    }

    /// A large file that is whole: length, attributes, name.
    pub fn finish_file(&self, batch: &OpenBatch, plan: &Plan, writer: FileWriter) -> Result<(), Ended> {
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let mut attributes = self.attributes(&plan.entry, &wants, batch.place.inherited);
        attributes.existing = writer.basis_is_in_place();
        let finished = writer.finish(plan.entry.size(), &attributes, Some(&plan.entry.name));
        self.published(batch, plan, finished)
    }

    fn published(
        &self,
        batch: &OpenBatch,
        plan: &Plan,
        finished: Result<Finished, volume::Error>,
    ) -> Result<(), Ended> {
        let path = || batch.place.dir.path().join(&plan.entry.name);
        match finished {
            Ok(Finished { applied, identity }) => {
                self.applied(path, applied);
                match plan.how {
                    How::Create | How::CreateAlike(_) | How::CreateBeside => self.tally.add(|t| &t.created, 1),
                    _ if self.was_just_made() => self.tally.add(|t| &t.created, 1),
                    _ => self.tally.add(|t| &t.updated, 1),
                }
                self.file_ready(&batch.place, &plan.entry, identity)
            }
            Err(error) => {
                self.failed(path(), Stage::Write, error)?;
                self.file_failed(plan.entry.link, Failure::Problem)
            }
        }
    }

    /// The destination's content turned out to be the source's: only attributes are left.
    pub fn content_is_same(&self, batch: &OpenBatch, plan: Plan) -> Result<(), Ended> {
        self.progress.bytes_verified.fetch_add(plan.entry.size(), Relaxed);
        if plan.entry.size() <= limits::PACKED_FILE_LEN_MAX {
            self.progress.bytes_done.fetch_add(plan.entry.size(), Relaxed);
            self.tally.add(|t| &t.copied, plan.entry.size());
        }
        let Plan { entry, how } = plan;
        match how {
            How::Compare(status) => self.file_ready(&batch.place, &entry, status.identity),
            How::InPlace(_) | How::Rebuild(_) => self.keep_or_break(&batch.place, &Plan { entry, how }),
            How::Create | How::CreateAlike(_) | How::CreateBeside | How::Replace | How::Discard => {
                Err(self.broke("it calls a file the same that is not there"))
            }
        }
    }

    /// Gives an existing file the attributes that differ.
    pub fn keep_with_attributes(&self, place: &Arc<Place>, entry: &Entry, status: &Status) -> Result<(), Ended> {
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let mut attributes = self.attributes(entry, &wants, false);
        attributes.existing = true;
        match place.dir.apply_to(&entry.name, entry.kind(), &attributes) {
            Ok(applied) => {
                self.applied(|| place.dir.path().join(&entry.name), applied);
                self.tally.add(|t| &t.updated, 1);
                self.file_ready(place, entry, status.identity)
            }
            Err(error) => {
                self.failed(place.dir.path().join(&entry.name), Stage::Attributes, error)?;
                self.file_failed(entry.link, Failure::Problem)
            }
        }
    }

    /// A file whose content is the source's already: attributes only, in an inode of its own.
    pub fn keep_or_break(&self, place: &Arc<Place>, plan: &Plan) -> Result<(), Ended> {
        let Some(status) = status_of(&plan.how) else {
            return Err(self.broke("it calls a file the same that is not there"));
        };
        if self.keeps_content_only() {
            return Ok(());
        }
        // Only its content was in doubt: it is kept as one that was trusted.
        let existing = self.describe(place, &plan.entry).ok().flatten();
        let existing = existing.filter(|existing| existing.status.identity == status.identity);
        let trusting = Policy { checksum: false, verify: false, ..self.policy() };
        if let Some(existing) = &existing
            && let Verdict::Keep { attributes } = self.verdict(&plan.entry, Some(existing), trusting)
        {
            return self.keep(place, &plan.entry, existing, attributes);
        }
        if existing.map_or(status.nlink > 1, |existing| self.must_break(&plan.entry, &existing)) {
            return self.break_links(place, &plan.entry, status);
        }
        self.keep_with_attributes(place, &plan.entry, status)
    }

    /// Replaces a name of an inode that has others by an inode of its own with the same content, copied here.
    pub fn break_links(&self, place: &Arc<Place>, entry: &Entry, status: &Status) -> Result<(), Ended> {
        place.touch();
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let attributes = self.attributes(entry, &wants, place.inherited);
        let copied =
            FileWriter::temporary(&place.dir, &self.temporary(), Some((&entry.name, status))).and_then(|writer| {
                if let Err(error) = writer.copy_from_basis(0, status.size) {
                    writer.abandon();
                    return Err(error);
                }
                writer.finish(status.size, &attributes, Some(&entry.name))
            });
        match copied {
            Ok(Finished { applied, identity }) => {
                self.applied(|| place.dir.path().join(&entry.name), applied);
                self.tally.add(|t| &t.updated, 1);
                self.file_ready(place, entry, identity)
            }
            Err(error) => {
                self.failed(place.dir.path().join(&entry.name), Stage::Write, error)?;
                self.file_failed(entry.link, Failure::Problem)
            }
        }
    }

    /// An entry stands; the links that waited for it are made.
    pub fn file_ready(&self, place: &Arc<Place>, entry: &Entry, identity: Identity) -> Result<(), Ended> {
        let Some(group) = entry.link else { return Ok(()) };
        let leader = Leader { place: Arc::clone(place), name: entry.name.clone(), identity };
        for waiter in self.links.ready(group, leader.clone()) {
            self.link(&leader, &waiter.batch.place, &waiter.entry, waiter.existing.as_ref())?;
            self.settled(&waiter.batch, 1);
        }
        Ok(())
    }

    /// An entry did not come to stand, and neither do the links that waited for it.
    pub fn file_failed(&self, group: Option<LinkGroup>, why: Failure) -> Result<(), Ended> {
        let Some(group) = group else { return Ok(()) };
        for waiter in self.links.failed(group, why) {
            self.link_failed(&waiter.batch.place, &waiter.entry, why);
            self.settled(&waiter.batch, 1);
        }
        Ok(())
    }

    fn link_failed(&self, place: &Place, entry: &Entry, why: Failure) {
        let path = || place.dir.path().join(&entry.name);
        match (why, self.mode()) {
            (Failure::Problem, PassMode::Verify) => {
                self.difference(path(), "the file it is a hard link to is not there")
            }
            // Its leader is in a directory that would be made: so would this link.
            (Failure::Problem, PassMode::DryRun) => {
                let stands = matches!(place.dir.status_of(&entry.name), Ok(Some(_)));
                self.say(if stands { ItemChange::Update } else { ItemChange::Create }, entry.kind(), path());
            }
            (Failure::Problem, PassMode::Transfer | PassMode::Clear) => {
                let cause = "the file it is a hard link to could not be written";
                self.problem(path(), Stage::Link, cause);
            }
            (Failure::Lost(kind), _) => self.lost(kind),
        }
    }

    /// A further name of a group, when its batch is registered: linked, waiting, or failed with its leader.
    /// Whether it waits.
    pub fn join(&self, group: LinkGroup, waiter: Waiter) -> Result<bool, Ended> {
        let batch = Arc::clone(&waiter.batch);
        let entry = waiter.entry.clone();
        match self.links.join(group, waiter) {
            Joined::Waiting => Ok(true),
            Joined::Ready(leader, waiter) => {
                self.link(&leader, &batch.place, &waiter.entry, waiter.existing.as_ref())?;
                Ok(false)
            }
            Joined::Failed(why) => {
                self.link_failed(&batch.place, &entry, why);
                Ok(false)
            }
            Joined::Postponed(waiter) => {
                let identity = waiter.existing.map(|status| status.identity);
                self.inodes.found(group, (batch.place.dir.identity(), entry.name), identity);
                Ok(false)
            }
        }
    }

    /// Makes `entry` a name of the leader's inode, unless it is one.
    pub fn link(&self, leader: &Leader, place: &Place, entry: &Entry, existing: Option<&Status>) -> Result<(), Ended> {
        if existing.is_some_and(|status| status.identity == leader.identity) {
            return Ok(());
        }
        let path = || place.dir.path().join(&entry.name);
        match self.mode() {
            PassMode::Verify => {
                self.difference(path(), "it is not a hard link to the same file as at the source");
                return Ok(());
            }
            PassMode::DryRun => {
                self.say(existing.map_or(ItemChange::Create, |_| ItemChange::Update), entry.kind(), path());
                return Ok(());
            }
            PassMode::Transfer | PassMode::Clear => place.touch(),
        }
        if existing.is_some_and(|status| status.kind == EntryKind::Dir) {
            self.in_the_way(place, entry);
            return Ok(());
        }
        let linked = match existing {
            None => place.dir.link(&entry.name, &leader.place.dir, &leader.name, leader.identity),
            Some(_) => {
                let temporary = self.temporary();
                place
                    .dir
                    .link(&temporary, &leader.place.dir, &leader.name, leader.identity)
                    .and_then(|()| place.dir.rename(&temporary, &entry.name))
            }
        };
        match linked {
            Ok(()) => {
                match existing {
                    None => self.tally.add(|t| &t.created, 1),
                    Some(_) => self.tally.add(|t| &t.updated, 1),
                }
                Ok(())
            }
            Err(error) => self.failed(path(), Stage::Link, error),
        }
    }

    /// A directory stands where something else belongs, and is not removed in this pass.
    pub fn in_the_way(&self, place: &Place, entry: &Entry) {
        let path = place.dir.path().join(&entry.name);
        if self.options.delete {
            self.blocked.store(true, std::sync::atomic::Ordering::Relaxed);
            tracing::debug!(%path, "a directory is in the way until the deletes");
        } else {
            let cause =
                format!("a directory that is not empty stands where a {} belongs; add --delete", entry.kind().word());
            self.problem(path, Stage::Write, cause);
        }
    }

    /// Verification or a dry run: the content is not the source's.
    pub fn say_content_differs(&self, batch: &OpenBatch, entry: &Entry) {
        let path = batch.place.dir.path().join(&entry.name);
        match self.mode() {
            PassMode::Verify => self.difference(path, "its content differs from the source's"),
            PassMode::DryRun => self.say(ItemChange::Update, entry.kind(), path),
            PassMode::Transfer | PassMode::Clear => self.problem(path, Stage::Compare, "its content differs"),
        }
    }

    /// One line of a dry run.
    pub fn say(&self, change: ItemChange, kind: EntryKind, path: crate::types::RelPath) {
        let item = Item { change, kind, path };
        self.tally.item(&item);
        self.post(&crate::wire::Message::Item(item));
    }
}
