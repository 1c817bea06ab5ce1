//! One entry of the source against what stands at its name: made now, kept, or awaited.
//!
//! What is right is decided in `plan`; here it is done (transfer), said (dry run) or counted (verification).

mod device;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::delta::FileLeaves;
use crate::plan::{Policy, Verdict};
use crate::session::extent::Compared;
use crate::session::fate::Ended;
use crate::types::{BatchId, Content, Entry, EntryIndex, EntryKind, LinkGroup, Name, RelPath, Stage, limits};
use crate::volume::{Identity, Status};
use crate::wire::{Have, ItemChange, Message, Need, NeedItem};

use super::alike::Standing;
use super::basis::Job;
use super::batches::{How, OpenBatch, Place, Plan, Slot};
use super::context::{PassMode, Receiving};
use super::ledger::Close;
use super::level::{Level, Stands};
use super::links::{Failure, Waiter};
use super::moved::Newcomer;

pub use super::existing::Existing;

/// Files at least this large are patched in place: below, a second copy costs less than it protects.
pub const IN_PLACE_LEN_MIN: u64 = 4 * 1_048_576;

/// A directory that was announced, and what of it stands.
pub struct Subdir {
    pub place: Option<Arc<Place>>,
    pub close: Option<Close>,
    pub stood: bool,
    /// Dry run: where it would be made.
    pub imagined: Option<RelPath>,
}

impl Subdir {
    /// A directory in which nothing can be done.
    pub fn none() -> Self {
        Self { place: None, close: None, stood: false, imagined: None }
    }
}

/// A batch while the generator is in it.
pub struct InBatch<'a> {
    pub(super) receiving: &'a Receiving,
    pub(super) batch: Option<Arc<OpenBatch>>,
    id: BatchId,
    pub(super) slots: Vec<Slot>,
    need: Vec<NeedItem>,
    jobs: Vec<Job>,
    /// Directories that stand where something else belongs; they go with the deletes.
    pub in_the_way: Vec<Name>,
    /// New files that may be found among what is to be deleted.
    pub newcomers: Vec<Newcomer>,
    imagined: Option<RelPath>,
    /// Its directory is not there: nothing in it can be placed.
    pub(super) lost: bool,
}

impl<'a> InBatch<'a> {
    pub fn new(receiving: &'a Receiving, id: BatchId, level: &Level, entries: usize) -> Self {
        let lost = level.place.is_none();
        // Nothing is ever written in the root's place then: contents only come to be let go.
        let nowhere = || Arc::new(Place::new(Arc::clone(receiving.volume.root()), false, false));
        let place = level.place.clone().or_else(|| receiving.unasked.load(Relaxed).then(nowhere));
        let batch = place.map(|place| {
            let (slots, remaining) = (Mutex::new(Vec::new()), AtomicU32::new(1));
            Arc::new(OpenBatch { id, dir: level.id, place, slots, remaining })
        });
        if batch.is_none() {
            receiving.batches.register(id, None);
            receiving.batch_done(id, level.id);
        }
        let (slots, imagined) = (Vec::with_capacity(entries), level.imagined.clone());
        Self {
            receiving,
            batch,
            id,
            slots,
            need: Vec::new(),
            jobs: Vec::new(),
            in_the_way: Vec::new(),
            newcomers: Vec::new(),
            imagined,
            lost,
        }
    }

    /// Goes through one entry. A directory is announced, whatever became of it.
    pub fn consider(&mut self, entry: Entry, stands: Stands) -> Result<Option<Subdir>, Ended> {
        let is_dir = entry.kind() == EntryKind::Dir;
        let receiving = self.receiving;
        if self.lost {
            return self.let_go(entry);
        }
        let Some(batch) = self.batch.clone() else { return Ok(None) };
        if receiving.mode() == PassMode::Clear && !is_dir {
            self.slots.push(Slot::Settled);
            return Ok(None);
        }
        let device = receiving.volume.block_device();
        let existing = if device.is_none() { self.look(&batch.place, &entry, stands)? } else { None };
        if is_dir {
            self.slots.push(Slot::Settled);
            return self.consider_dir(&batch.place, entry, existing).map(Some);
        }
        let slot = match (device, receiving.mode()) {
            (Some(device), _) => self.device(&batch, entry, device)?,
            (None, PassMode::Transfer) => self.act(&batch, entry, existing)?,
            (None, PassMode::DryRun | PassMode::Verify | PassMode::Clear) => self.tell(&batch, entry, existing)?,
        };
        if !matches!(slot, Slot::Settled) {
            batch.remaining.fetch_add(1, Relaxed);
        }
        self.slots.push(slot);
        Ok(None)
    }

    /// The generator is through: lanes may look, and the sender hears what is needed.
    pub fn publish(self) -> Result<(), Ended> {
        let Some(batch) = self.batch else { return Ok(()) };
        *crate::session::fate::lock(&batch.slots) = self.slots;
        self.receiving.batches.register(self.id, Some(Arc::clone(&batch)));
        if !self.need.is_empty() && !self.receiving.unasked.load(Relaxed) {
            self.receiving.post(&Message::Need(Need { batch: self.id, items: self.need }));
        }
        for job in self.jobs {
            self.receiving.basis.push(job);
        }
        self.receiving.settled(&batch, 1);
        self.receiving.fate.check()
    }

    fn index(&self) -> EntryIndex {
        EntryIndex(u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
    }

    fn look(&self, place: &Arc<Place>, entry: &Entry, stands: Stands) -> Result<Option<Existing>, Ended> {
        let ino = match stands {
            Stands::No => return Ok(None),
            Stands::Perhaps => None,
            Stands::Listed(ino) => Some(ino),
        };
        match self.receiving.describe(place, entry) {
            Ok(existing) => Ok(existing.map(|existing| self.receiving.listed_as(existing, ino))),
            Err(error) => {
                self.receiving.failed(place.dir.path().join(&entry.name), Stage::Compare, error)?;
                Ok(None)
            }
        }
    }

    /// An entry of a directory that is not there. Contents that come unasked are awaited all the same, and a group it
    /// leads has failed: no later name may take the lead, the sender has no content for it.
    fn let_go(&mut self, entry: Entry) -> Result<Option<Subdir>, Ended> {
        let receiving = self.receiving;
        let is_dir = entry.kind() == EntryKind::Dir;
        let path = self.imagined.as_ref().map(|dir| dir.join(&entry.name));
        if let Some(path) = &path {
            receiving.say(ItemChange::Create, entry.kind(), path.clone());
        }
        let leads = entry.link.is_none_or(|group| receiving.links.lead(group));
        if let Some(group) = entry.link.filter(|_| leads && receiving.ctimes.looks_again()) {
            // Its directory may be one that waits to be looked at.
            receiving.links.postpone(group);
        } else if leads {
            receiving.file_failed(entry.link, Failure::Problem)?;
        }
        let slot = match &self.batch {
            Some(batch) if leads && entry.kind() == EntryKind::File => {
                batch.remaining.fetch_add(1, Relaxed);
                Slot::Awaited(Box::new(Plan { entry, how: How::Discard }))
            }
            _ => Slot::Settled,
        };
        self.slots.push(slot);
        Ok(is_dir.then_some(Subdir { imagined: path, ..Subdir::none() }))
    }

    /// Does what the plan says of one entry that is no directory.
    fn act(&mut self, batch: &Arc<OpenBatch>, entry: Entry, existing: Option<Existing>) -> Result<Slot, Ended> {
        let receiving = self.receiving;
        if let Some(group) = entry.link
            && !receiving.links.lead(group)
        {
            return self.follow_past(batch, entry, group, existing.map(|e| e.status));
        }
        let mut verdict = receiving.verdict(&entry, existing.as_ref(), receiving.policy());
        let unasked = receiving.unasked.load(Relaxed) && entry.kind() == EntryKind::File;
        if unasked && matches!(verdict, Verdict::Content | Verdict::Keep { .. }) {
            // Its content comes in any case, and is the newer one.
            verdict = Verdict::Replace;
        }
        let place = &batch.place;
        if let Some(existing) = &existing {
            if !receiving.inodes.take(existing.status.identity, entry.link) {
                // Another entry changes that inode in this pass: there is nothing to read or to keep in it.
                verdict = Verdict::Replace;
            }
            if receiving.waits_for_its_names(place, &entry, existing, verdict) {
                return Ok(Slot::Settled);
            }
        }
        match (verdict, existing) {
            (Verdict::Create | Verdict::MakeWay, _) | (_, None) => self.make(batch, entry, How::Create),
            (Verdict::Replace, Some(_)) => self.make(batch, entry, How::Replace),
            (Verdict::Blocked, Some(existing)) => self.blocked(batch, entry, &existing.status),
            (Verdict::Content, Some(existing)) if receiving.only_shares_its_inode(&entry, &existing) => {
                receiving.break_links(place, &entry, &existing.status)?;
                Ok(Slot::Settled)
            }
            (Verdict::Content, Some(existing)) => Ok(self.ask(batch, entry, &existing)),
            (Verdict::Keep { attributes }, Some(existing)) => {
                receiving.progress.bytes_done.fetch_add(entry.size(), Relaxed);
                receiving.stands(place, &entry.name, &existing.status);
                receiving.keep(place, &entry, &existing, attributes)?;
                receiving.remember_unchanged(place, &entry, &existing.status);
                Ok(Slot::Settled)
            }
        }
    }

    /// A further name of a group, when a directory may stand in its way.
    fn follow_past(
        &mut self,
        batch: &Arc<OpenBatch>,
        entry: Entry,
        group: LinkGroup,
        existing: Option<Status>,
    ) -> Result<Slot, Ended> {
        match existing {
            Some(status) if status.kind == EntryKind::Dir => {
                if self.clears(batch, &entry, &status) {
                    self.follow(batch, entry, group, None)
                } else {
                    Ok(Slot::Settled)
                }
            }
            existing => self.follow(batch, entry, group, existing),
        }
    }

    /// Removes an empty directory that is in the way; a full one waits for the deletes.
    fn clears(&mut self, batch: &OpenBatch, entry: &Entry, status: &Status) -> bool {
        batch.place.touch();
        if batch.place.dir.remove(&entry.name, status).is_ok() {
            return true;
        }
        self.receiving.in_the_way(&batch.place, entry);
        self.in_the_way.push(entry.name.clone());
        false
    }

    fn follow(
        &self,
        batch: &Arc<OpenBatch>,
        entry: Entry,
        group: LinkGroup,
        existing: Option<Status>,
    ) -> Result<Slot, Ended> {
        // Counted before it can be settled by another thread.
        batch.remaining.fetch_add(1, Relaxed);
        let waits = self.receiving.join(group, Waiter { batch: Arc::clone(batch), entry, existing })?;
        if !waits {
            batch.remaining.fetch_sub(1, Relaxed);
        }
        Ok(Slot::Settled)
    }

    /// Something new: files are awaited, the rest is made now.
    fn make(&mut self, batch: &Arc<OpenBatch>, entry: Entry, how: How) -> Result<Slot, Ended> {
        if matches!(entry.content, Content::File(_)) {
            if matches!(how, How::Create) && self.receiving.may_have_moved(&entry) {
                self.newcomers.push(Newcomer { size: entry.size(), mtime: entry.mtime, name: entry.name });
                return Ok(Slot::Settled);
            }
            if let (How::Create, Some(standing)) = (&how, self.receiving.alike(&entry)) {
                return Ok(self.compare_to(&standing, entry, How::CreateAlike(Arc::clone(&standing))));
            }
            let atomic = self.receiving.options.atomic && matches!(how, How::Create);
            let how = if atomic { How::CreateBeside } else { how };
            self.need.push(NeedItem { index: self.index(), have: Have::Nothing });
            return Ok(Slot::Awaited(Box::new(Plan { entry, how })));
        }
        self.receiving.make_special(&batch.place, &entry, &how)?;
        Ok(Slot::Settled)
    }

    fn blocked(&mut self, batch: &Arc<OpenBatch>, entry: Entry, status: &Status) -> Result<Slot, Ended> {
        if self.clears(batch, &entry, status) {
            return self.make(batch, entry, How::Create);
        }
        self.receiving.file_failed(entry.link, Failure::Problem)?;
        if self.receiving.unasked.load(Relaxed) && entry.kind() == EntryKind::File {
            return Ok(Slot::Awaited(Box::new(Plan { entry, how: How::Discard })));
        }
        Ok(Slot::Settled)
    }

    /// A file whose content must come, with what is here as a basis where that can help.
    fn ask(&mut self, batch: &Arc<OpenBatch>, entry: Entry, existing: &Existing) -> Slot {
        let status = existing.status;
        let compares = self.receiving.options.checksum || self.receiving.mode() != PassMode::Transfer;
        let large = entry.size() > limits::PACKED_FILE_LEN_MAX;
        let useful = status.size > 0 && entry.size() > 0 && (large || compares);
        let in_place = self.receiving.may_be_in_place(existing)
            && !self.receiving.must_break(&entry, existing)
            && (!large || entry.size().max(status.size) >= IN_PLACE_LEN_MIN);
        if !useful {
            self.need.push(NeedItem { index: self.index(), have: Have::Nothing });
            // A single file was made or emptied to be filled: it is where a run that is cut is taken up again.
            let fills = self.receiving.single.is_some() && large && in_place && status.size == 0;
            let how = if fills { How::InPlace(status) } else { How::Replace };
            return Slot::Awaited(Box::new(Plan { entry, how }));
        }
        let how = match (self.receiving.mode(), in_place) {
            (PassMode::Transfer, true) => How::InPlace(status),
            (PassMode::Transfer, false) => How::Rebuild(status),
            (PassMode::DryRun | PassMode::Verify | PassMode::Clear, _) => How::Compare(status),
        };
        self.compare_with(batch, entry, &status, how)
    }

    /// A file that is compared with what stands at its name, and what becomes of it.
    fn compare_with(&mut self, batch: &Arc<OpenBatch>, entry: Entry, status: &Status, how: How) -> Slot {
        let standing = Standing { place: Arc::clone(&batch.place), name: entry.name.clone(), status: *status };
        self.compare_to(&standing, entry, how)
    }

    /// The same with any file that stands.
    fn compare_to(&mut self, basis: &Standing, entry: Entry, how: How) -> Slot {
        let status = &basis.status;
        let movable = self.receiving.may_move(&entry, status, &how);
        let compared = Compared { source_len: entry.size(), basis_len: status.size, movable };
        self.need.push(NeedItem { index: self.index(), have: Have::Basis { len: status.size, movable } });
        self.jobs.push(Job {
            batch: self.id,
            index: self.index(),
            place: Arc::clone(&basis.place),
            name: basis.name.clone(),
            identity: status.identity,
            compared,
            cached: self.trusted(&entry, status),
            sent: Mutex::default(),
        });
        Slot::Awaited(Box::new(Plan { entry, how }))
    }

    /// What is remembered of a file's content, where that may stand for reading it.
    fn trusted(&self, entry: &Entry, status: &Status) -> Option<Arc<FileLeaves>> {
        let transfers = self.receiving.mode() == PassMode::Transfer;
        transfers.then(|| self.receiving.cache.trusted(status, entry.size())).flatten()
    }

    /// Says what would be done, or what differs.
    fn tell(&mut self, batch: &Arc<OpenBatch>, entry: Entry, existing: Option<Existing>) -> Result<Slot, Ended> {
        let receiving = self.receiving;
        let path = batch.place.dir.path().join(&entry.name);
        if let Some(group) = entry.link {
            if !receiving.links.lead(group) {
                return self.follow(batch, entry, group, existing.map(|e| e.status));
            }
            let identity = existing.as_ref().map_or(Identity { dev: 0, ino: 0 }, |e| e.status.identity);
            receiving.file_ready(&batch.place, &entry, identity)?;
        }
        let policy = Policy { checksum: false, verify: false, ..receiving.policy() };
        let verdict = receiving.verdict(&entry, existing.as_ref(), policy);
        let Some(existing) = existing else {
            receiving.tell_missing(&entry, path);
            return Ok(Slot::Settled);
        };
        match verdict {
            Verdict::Create => receiving.tell_missing(&entry, path),
            Verdict::Replace | Verdict::MakeWay | Verdict::Blocked => receiving.tell_other(&entry, &existing, path),
            Verdict::Content => receiving.tell_content(&entry, &existing, path),
            Verdict::Keep { .. } => {
                receiving.say_attributes(&entry, &existing, &path);
                let compares = receiving.mode() == PassMode::Verify || receiving.options.checksum;
                if compares && entry.size() > 0 {
                    return Ok(self.ask(batch, entry, &existing));
                }
            }
        }
        Ok(Slot::Settled)
    }

    /// A directory: made, entered or followed.
    fn consider_dir(&self, place: &Arc<Place>, entry: Entry, existing: Option<Existing>) -> Result<Subdir, Ended> {
        let receiving = self.receiving;
        let path = place.dir.path().join(&entry.name);
        let existing_is_dir = existing.as_ref().is_some_and(|e| e.status.kind == EntryKind::Dir);
        match (existing, receiving.mode()) {
            (_, PassMode::Clear) if !existing_is_dir => Ok(Subdir::none()),
            (Some(existing), mode) if existing.status.kind == EntryKind::Dir => {
                if matches!(mode, PassMode::DryRun | PassMode::Verify) {
                    receiving.say_attributes(&entry, &existing, &path);
                }
                receiving.enter_dir(place, entry, &existing)
            }
            (Some(existing), PassMode::Transfer) => {
                place.touch();
                if let Err(error) = place.dir.remove(&entry.name, &existing.status) {
                    receiving.failed(path, Stage::Write, error)?;
                    return Ok(Subdir::none());
                }
                receiving.make_dir(place, entry)
            }
            (None, PassMode::Transfer) => receiving.make_dir(place, entry),
            (Some(existing), PassMode::DryRun | PassMode::Verify | PassMode::Clear) => {
                receiving.tell_other(&entry, &existing, path.clone());
                Ok(Subdir { imagined: receiving.imagines(path), ..Subdir::none() })
            }
            (None, PassMode::DryRun | PassMode::Verify | PassMode::Clear) => {
                receiving.tell_missing(&entry, path.clone());
                Ok(Subdir { imagined: receiving.imagines(path), ..Subdir::none() })
            }
        }
    }
}
