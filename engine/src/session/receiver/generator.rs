//! The generator: the one thread that follows the sender's control messages in order, merges each directory with what
//! stands at the destination, and decides what is made, kept, asked for and deleted.
//!
//! ```text
//!  Pass -> Batch* -> PassEnd: merge, act, Need ... wait until all is settled, delete, PassDone
//!  Finish: sync, Report
//! ```
//! It never waits for a lane but at the end of a pass, when no lane waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use crate::plan::Excludes;
use crate::session::error::SessionError;
use crate::session::fate::{Ended, LOOK_AGAIN, lock};
use crate::session::progress::Phase;
use crate::types::{Content, DirId, Entry, Name, Outcome, Stage};
use crate::wire::{Batch, ListEnd, Message, Pass, PassEnd, PassKind, Report, RootEntry};

use super::batches::Place;
use super::consider::{InBatch, Subdir};
use super::context::{PassMode, Receiving};
use super::extras::{Extras, Sweep};
use super::ledger::Close;
use super::level::Level;
use super::moved::Newcomers;

/// What the control task hands over, in the order it came.
#[derive(Debug)]
pub enum Order {
    Pass(Pass),
    Batch(Batch),
    PassEnd(PassEnd),
    Finish { problems: u64 },
}

/// The generator of a session.
pub struct Generator {
    pub receiving: Arc<Receiving>,
    pub orders: Receiver<Order>,
    excludes: Excludes,
    levels: HashMap<DirId, Level>,
    next_dir: u64,
    next_batch: u64,
    in_pass: bool,
    extras: Extras,
    newcomers: Newcomers,
    has_sought: bool,
    halted: Option<String>,
}

impl Generator {
    pub fn new(receiving: Arc<Receiving>, orders: Receiver<Order>, excludes: Excludes) -> Self {
        Self {
            receiving,
            orders,
            excludes,
            levels: HashMap::new(),
            next_dir: 0,
            next_batch: 0,
            in_pass: false,
            extras: Extras::default(),
            newcomers: Newcomers::default(),
            has_sought: false,
            halted: None,
        }
    }

    /// Follows the sender to its Finish; the report that was sent.
    pub fn run(mut self) -> Result<Report, Ended> {
        loop {
            match self.next()? {
                Order::Pass(pass) if !self.in_pass => self.begin(pass)?,
                Order::Batch(batch) if self.in_pass => self.batch(batch)?,
                Order::PassEnd(end) if self.in_pass => match self.end(&end)? {
                    again if again || !end.last || self.receiving.incomplete.load(Relaxed) => {
                        self.receiving.post(&Message::PassDone { again });
                    }
                    // The sender has nothing more to say either: a round trip less.
                    _ => return self.finish(0),
                },
                Order::Finish { problems } if !self.in_pass => return self.finish(problems),
                _ => return Err(self.receiving.broke("a message came outside its place in a pass")),
            }
        }
    }

    fn next(&self) -> Result<Order, Ended> {
        loop {
            self.receiving.fate.check()?;
            match self.orders.recv_timeout(LOOK_AGAIN) {
                Ok(order) => {
                    if !matches!(order, Order::Batch(_)) {
                        self.receiving.uncredited.fetch_sub(1, Relaxed);
                    }
                    return Ok(order);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Ended),
            }
        }
    }

    fn begin(&mut self, pass: Pass) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        if let (PassKind::Clear, Some(why)) = (pass.kind, &receiving.refuses_clear) {
            receiving.fate.fail(SessionError::Bound(why.clone()));
            return Err(Ended);
        }
        self.in_pass = true;
        self.next_dir = 1;
        self.extras = Extras::default();
        receiving.links.clear();
        receiving.alike.clear();
        receiving.blocked.store(false, Relaxed);
        receiving.incomplete.store(false, Relaxed);
        let first = pass.number == 0 && pass.kind == PassKind::Transfer;
        receiving.unasked.store(first && receiving.empty && !receiving.options.dry_run, Relaxed);
        let seeks = receiving.options.delete && !receiving.empty && !self.has_sought;
        receiving.seeks_moves.store(seeks && pass.kind == PassKind::Transfer, Relaxed);
        let waits = !receiving.empty && !self.has_sought && pass.kind == PassKind::Transfer;
        receiving.inodes.begin_pass(waits);
        self.has_sought |= pass.kind == PassKind::Transfer;
        self.newcomers = Newcomers::default();
        receiving.newcomers.store(0, Relaxed);
        receiving.progress.new_pass();
        *lock(&receiving.pass) = pass.kind;
        match pass.kind {
            PassKind::Transfer | PassKind::Clear => {
                receiving.progress.enter(Phase::Transferring);
                receiving.tally.begin_pass();
                if pass.kind == PassKind::Transfer {
                    receiving.tally.scanned.store(0, Relaxed);
                }
            }
            PassKind::Verify => {
                receiving.progress.enter(Phase::Verifying);
                self.sync()?;
            }
        }
        self.open_root(pass.root)
    }

    fn open_root(&mut self, root: RootEntry) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        if receiving.missing {
            let imagined = Some(crate::types::RelPath::root());
            return self.enter(DirId(0), None, Subdir { imagined, ..Subdir::none() });
        }
        if receiving.single.is_some() {
            return self.enter_single();
        }
        let dir = Arc::clone(receiving.volume.root());
        let RootEntry { mode, owner, mtime, xattrs } = root;
        // The root has no name; this one is never used as one.
        let Ok(name) = Name::new(b"root") else { return Err(Ended) };
        let entry = receiving.adjusted(Entry { name, mode, owner, mtime, xattrs, link: None, content: Content::Dir });
        let status = dir.status().map_err(|e| receiving.fatal("cannot read the destination's root".to_owned(), e))?;
        let existing = receiving.describe_dir(&dir, &status)?;
        let place = Arc::new(receiving.place(&dir, &status, existing.has_default_acl()));
        let differs = receiving.copies_root && receiving.dir_differs(&entry, &existing);
        if receiving.mode() == PassMode::Verify && receiving.copies_root {
            receiving.say_attributes(&entry, &existing, &crate::types::RelPath::root());
        }
        let close = receiving.copies_root.then_some(Close { entry, differs });
        self.enter(DirId(0), None, Subdir { place: Some(place), close, stood: true, imagined: None })
    }

    /// The directory a single file or device stands in, which keeps its attributes and its other names.
    fn enter_single(&mut self) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let dir = Arc::clone(receiving.volume.root());
        let inherited = receiving.xattrs.enabled && dir.has_default_acl().unwrap_or(true);
        let place = Arc::new(Place::new(dir, inherited, false));
        receiving.ledger.open(DirId(0), None, Some(Arc::clone(&place)), None);
        self.levels.insert(DirId(0), Level::unlisted(DirId(0), place));
        receiving.fate.check()
    }

    /// A directory was announced and stands (or does not, and is only followed).
    fn enter(&mut self, id: DirId, parent: Option<DirId>, subdir: Subdir) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let Subdir { place, close, stood, imagined } = subdir;
        receiving.ledger.open(id, parent, place.clone(), close);
        let level = match place {
            Some(place) if stood => {
                let (level, error) = Level::existing(id, Arc::clone(&place), receiving.looks_for_extras());
                if let Some(error) = error {
                    receiving.failed(place.dir.path(), Stage::Compare, error)?;
                }
                level
            }
            place => Level::new_dir(id, place, imagined),
        };
        self.levels.insert(id, level);
        Ok(())
    }

    fn batch(&mut self, batch: Batch) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        if batch.id.0 != self.next_batch {
            return Err(receiving.broke("batches are not numbered one after the other"));
        }
        self.next_batch += 1;
        let Some(mut level) = self.levels.remove(&batch.dir) else {
            return Err(receiving.broke("a batch belongs to no directory that is open"));
        };
        let Batch { id, dir, end, entries } = batch;
        receiving.ledger.hold(dir);
        receiving.progress.entries_scanned.fetch_add(entries.len() as u64, Relaxed);
        if receiving.mode() == PassMode::Transfer {
            receiving.tally.add(|t| &t.scanned, entries.len() as u64);
        }
        let mut work = InBatch::new(&receiving, id, &level, entries.len());
        for entry in entries {
            let entry = receiving.mapped(entry)?;
            if level.place.as_ref().is_some_and(|place| receiving.volume.is_reserved(&place.dir, &entry.name)) {
                return Err(receiving.broke("it sent the name that is kept for the state of a volume"));
            }
            if !level.advance_to(&entry.name) {
                return Err(receiving.broke("names in a directory do not go up"));
            }
            let stands = level.stands(&entry.name);
            let stands = match stands {
                Ok(stands) => stands,
                Err(error) => {
                    receiving.failed(receiving.path_in(&level), Stage::Compare, error)?;
                    true
                }
            };
            let announced = work.consider(receiving.adjusted(entry), stands)?;
            if let Some(subdir) = announced {
                let id = DirId(self.next_dir);
                self.next_dir += 1;
                self.enter(id, Some(dir), subdir)?;
            }
        }
        if receiving.mode() == PassMode::Transfer && receiving.options.delete {
            level.extras.append(&mut work.in_the_way);
        }
        if let Some(place) = &level.place {
            self.newcomers.add(&receiving, place, std::mem::take(&mut work.newcomers));
        }
        work.publish()?;
        match end {
            ListEnd::More => drop(self.levels.insert(dir, level)),
            ListEnd::Complete | ListEnd::Incomplete => self.end_level(level, end)?,
        }
        Ok(())
    }

    /// A directory's listing has ended: its extras are known, if it was complete.
    fn end_level(&mut self, mut level: Level, end: ListEnd) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let known = level.drain();
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                receiving.failed(receiving.path_in(&level), Stage::Compare, error)?;
                false
            }
        };
        if let Some(place) = level.place.clone() {
            let mut names = std::mem::take(&mut level.extras);
            if matches!(receiving.mode(), PassMode::Transfer | PassMode::Clear) {
                receiving.clear_temporaries(&place, &mut names)?;
            }
            let sweep = Sweep { receiving: &receiving, excludes: &self.excludes };
            if known && end == ListEnd::Complete && receiving.looks_for_extras() {
                match receiving.mode() {
                    PassMode::Transfer | PassMode::Clear => {
                        self.extras.add(sweep, &place, names, level.extras_beyond)?
                    }
                    PassMode::DryRun | PassMode::Verify => sweep.say(&place, &names),
                }
            }
        }
        receiving.release_dir(level.id);
        Ok(())
    }

    /// The pass is settled. Whether another is needed.
    fn end(&mut self, end: &PassEnd) -> Result<bool, Ended> {
        let receiving = Arc::clone(&self.receiving);
        if !self.levels.is_empty() {
            return Err(receiving.broke("a pass ended while directories were open"));
        }
        self.warn_of_space(end);
        receiving.progress.bytes_total.store(end.bytes, Relaxed);
        receiving.progress.scan_complete.store(true, Relaxed);
        receiving.ledger.await_idle(&receiving.fate)?;
        receiving.progress.bytes_done.store(end.bytes, Relaxed);
        self.in_pass = false;
        let mut again = false;
        if matches!(receiving.mode(), PassMode::Transfer | PassMode::Clear) {
            receiving.tally.scanned.store(end.entries, Relaxed);
            receiving.tally.bytes_total.store(end.bytes, Relaxed);
            let waited = !self.newcomers.is_empty() || receiving.inodes.any_waits();
            let compares = receiving.compares_again.swap(false, Relaxed);
            again = self.delete(end)? || waited || compares;
        }
        Ok(again)
    }

    /// Says early what will not fit: the scan is through, the contents are not.
    fn warn_of_space(&self, end: &PassEnd) {
        let receiving = &self.receiving;
        if !receiving.unasked.load(Relaxed) {
            return;
        }
        let Ok(free) = receiving.volume.free() else { return };
        let still = end.bytes.saturating_sub(receiving.written.load(Relaxed));
        if still > free.bytes {
            let note = format!("{still} bytes are still to come, and the destination has {} free", free.bytes);
            tracing::warn!("{note}");
            receiving.tally.note(&note);
        }
    }

    /// Deletes what the pass found, unless that is not safe. Whether another pass is needed.
    fn delete(&mut self, end: &PassEnd) -> Result<bool, Ended> {
        let receiving = Arc::clone(&self.receiving);
        let extras = std::mem::take(&mut self.extras);
        let blocked = receiving.blocked.load(Relaxed);
        if extras.is_empty() || self.halted.is_some() {
            return Ok(false);
        }
        if end.source_empty && !receiving.options.allow_empty_source {
            self.halted = Some(
                "the source is empty and the destination is not; nothing was deleted. If the source is mounted and \
                 really empty, add --allow-empty-source"
                    .to_owned(),
            );
            return Ok(false);
        }
        let deleted = receiving.tally.deleted.load(Relaxed);
        if let Some(max) = receiving.options.max_delete.filter(|max| deleted.saturating_add(extras.count) > *max) {
            self.halted = Some(format!(
                "more than {max} entries would be deleted; nothing was deleted. Look with --dry-run, then raise --max-delete"
            ));
            return Ok(false);
        }
        receiving.progress.enter(Phase::Deleting);
        let overflow = extras.overflow;
        let sweep = Sweep { receiving: &receiving, excludes: &self.excludes };
        extras.find(sweep, &mut self.newcomers)?;
        let removed = extras.remove(sweep)?;
        Ok(removed > 0 && (overflow || blocked))
    }

    fn sync(&self) -> Result<(), Ended> {
        self.receiving.volume.sync().map_err(|source| {
            self.receiving.fate.fail(SessionError::Unsynced { source });
            Ended
        })
    }

    /// Everything to disk, then the report.
    fn finish(self, peer_total: u64) -> Result<Report, Ended> {
        let receiving = &self.receiving;
        if !receiving.options.dry_run {
            receiving.progress.enter(Phase::Syncing);
            self.sync()?;
        }
        if receiving.blocked.load(Relaxed) && self.halted.is_none() && receiving.mode() == PassMode::Transfer {
            let cause = "a directory stands where the source has something else, and was not removed";
            receiving.problem(crate::types::RelPath::root(), Stage::Write, cause);
        }
        let problems = receiving.tally.problems();
        for problem in problems.kept() {
            receiving.post(&Message::Problem(problem.clone()));
        }
        let peer = std::mem::take(&mut *lock(&receiving.peer));
        receiving.tally.add_peer(peer, peer_total);
        let (mut outcome, text) = receiving.tally.outcome(receiving.options.accept_loss);
        let mut text = text.unwrap_or_default();
        if let Some(halted) = &self.halted {
            outcome = Outcome::SafetyHalt;
            text.clone_from(halted);
        }
        self.remember(outcome);
        receiving.reported.store(true, Relaxed);
        let report = receiving.report(outcome, text, problems.total());
        receiving.post(&Message::Report(report.clone()));
        Ok(report)
    }

    /// Everything is on disk: what large files hold is remembered. A cache that cannot be kept is no failure.
    fn remember(&self, outcome: Outcome) {
        let receiving = &self.receiving;
        if receiving.options.dry_run {
            return;
        }
        if let Err(error) = receiving.cache.save(&receiving.volume, &receiving.leaf_key, outcome) {
            let note = format!("what large files hold could not be remembered for the next run: {error}");
            tracing::warn!("{note}");
            receiving.tally.note(&note);
        }
    }
}
