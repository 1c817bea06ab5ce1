//! What the threads and tasks of one receiving session share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::delta::Anchors;
use crate::plan::{XattrPolicy, temporary_name};
use crate::session::error::SessionError;
use crate::session::fate::{Ended, Fate, lock};
use crate::session::progress::Progress;
use crate::session::report::Tally;
use crate::tunnel::Outbox;
use crate::types::{
    Bounds, Entry, Epoch, LeafKey, LossKind, Name, Options, OwnerPolicy, Problem, Problems, RelPath, SessionKey, Stage,
    Xattrs,
};
use crate::volume::{self, Applied, Attributes, Volume};
use crate::wire::{Message, PassKind};

use super::alike::Alike;
use super::basis::BasisQueue;
use super::batches::Batches;
use super::cache::LeafCache;
use super::inodes::Inodes;
use super::ledger::Ledger;
use super::links::Links;
use super::single::Single;

/// What is done with what the plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassMode {
    /// Do it.
    Transfer,
    /// Say it.
    DryRun,
    /// Count it as a difference.
    Verify,
    /// Only delete.
    Clear,
}

/// One receiving session.
pub struct Receiving {
    pub fate: Fate,
    pub volume: Arc<Volume>,
    pub options: Options,
    pub bounds: Bounds,
    pub xattrs: XattrPolicy,
    pub epoch: Epoch,
    pub leaf_key: LeafKey,
    pub anchors: Anchors,
    pub session_key: SessionKey,
    pub control: Outbox,
    pub ledger: Ledger,
    pub batches: Batches,
    pub links: Links,
    pub inodes: Inodes,
    pub alike: Alike,
    pub basis: BasisQueue,
    /// What is remembered of large files from run to run.
    pub cache: LeafCache,
    pub tally: Arc<Tally>,
    /// What the sender met.
    pub peer: Mutex<Problems>,
    pub progress: Arc<Progress>,
    /// Whether the root directory's own attributes are those of the source.
    pub copies_root: bool,
    /// The volume was empty when the session began: the first pass brings contents unasked.
    pub empty: bool,
    /// The volume is one file or device.
    pub single: Option<Single>,
    /// Dry run: the volume is not there yet; `volume` is the directory it would be made in.
    pub missing: bool,
    /// This pass does.
    pub unasked: AtomicBool,
    /// Messages that no credit bounds and the generator has not yet taken: a pass' begin and end, or the finish.
    pub uncredited: AtomicU32,
    /// The report was made: what breaks now breaks nothing.
    pub reported: AtomicBool,
    pub pass: Mutex<PassKind>,
    /// New files wait to be found among what is to be deleted.
    pub seeks_moves: AtomicBool,
    /// How many do.
    pub newcomers: AtomicU64,
    /// Why no pass may delete before it writes; `None` when the volume was full.
    pub refuses_clear: Option<String>,
    /// Something was in the way; it is gone after the deletes, and another pass puts the entry there.
    pub blocked: AtomicBool,
    /// Some content of this pass did not come whole: the sender decides what follows.
    pub incomplete: AtomicBool,
    /// A delta made something else than it should: none is asked for any more.
    pub mistrusts_deltas: AtomicBool,
    /// Such a file waits for another pass.
    pub compares_again: AtomicBool,
    /// It was said that there is no room for second copies.
    pub told_of_room: AtomicBool,
    pub temporaries: AtomicU64,
    pub written: AtomicU64,
}

impl Receiving {
    /// What the current pass does.
    pub fn mode(&self) -> PassMode {
        if self.options.dry_run {
            return PassMode::DryRun;
        }
        match *lock(&self.pass) {
            PassKind::Transfer => PassMode::Transfer,
            PassKind::Verify => PassMode::Verify,
            PassKind::Clear => PassMode::Clear,
        }
    }

    /// Records a problem; the sender hears of it before the report.
    pub fn problem(&self, path: RelPath, stage: Stage, cause: impl Into<String>) {
        self.tally.problem(Problem::new(path, stage, cause));
    }

    /// Records what verification found.
    pub fn difference(&self, path: RelPath, cause: impl Into<String>) {
        self.tally.add(|t| &t.differences, 1);
        self.tally.problem(Problem::new(path, Stage::Verify, cause));
    }

    /// A failure of one path at the destination: a problem, or, when the whole volume is concerned, the end.
    pub fn failed(&self, path: RelPath, stage: Stage, error: volume::Error) -> Result<(), Ended> {
        if error.is_no_space() || error.is_read_only() {
            return Err(self.fatal(format!("cannot write {path}"), error));
        }
        self.problem(path, stage, error.to_string());
        Ok(())
    }

    /// The volume as a whole cannot go on.
    pub fn fatal(&self, what: String, source: volume::Error) -> Ended {
        self.fate.fail(SessionError::Volume { what, source });
        Ended
    }

    /// The peer broke the protocol.
    pub fn broke(&self, what: &str) -> Ended {
        self.fate.fail(SessionError::Protocol(what.to_owned()));
        Ended
    }

    /// Records what could not be applied.
    pub fn applied(&self, path: impl FnOnce() -> RelPath, applied: Applied) {
        for kind in &applied.losses {
            self.tally.lost(*kind);
        }
        if !applied.problems.is_empty() {
            self.problem(path(), Stage::Attributes, applied.problems.join("; "));
        }
    }

    /// Queues a control message. When the connection is gone the session's fate says so.
    pub fn post(&self, message: &Message) {
        let _ = self.control.post(message.encode());
    }

    /// A temporary name nobody else uses; a single volume writes one file at a time and always has the same.
    pub fn temporary(&self) -> Name {
        if let Some(single) = &self.single {
            return single.temporary.clone();
        }
        temporary_name(self.epoch, self.temporaries.fetch_add(1, Relaxed))
    }

    /// Counts content that is about to be written, against the quota.
    pub fn charge(&self, len: u64) -> Result<(), Ended> {
        let before = self.written.fetch_add(len, Relaxed);
        self.progress.bytes_sent.fetch_add(len, Relaxed);
        self.progress.bytes_done.fetch_add(len, Relaxed);
        match self.bounds.quota {
            Some(quota) if before.saturating_add(len) > quota => {
                let text = format!("the receiver's quota of {quota} bytes a session is used up; raise --quota there");
                self.fate.fail(SessionError::Bound(text));
                Err(Ended)
            }
            _ => Ok(()),
        }
    }

    /// The entry as this receiver keeps it: bounds applied, attributes it does not copy left out.
    pub fn adjusted(&self, mut entry: Entry) -> Entry {
        if self.bounds.no_setuid {
            entry.mode = entry.mode.without_set_id();
        }
        entry.xattrs = self.wanted(&entry.xattrs);
        entry
    }

    /// The attributes this receiver copies, of those.
    pub fn wanted(&self, xattrs: &Xattrs) -> Xattrs {
        if xattrs.as_slice().iter().all(|x| self.xattrs.wants(&x.name)) {
            return xattrs.clone();
        }
        let kept = xattrs.as_slice().iter().filter(|x| self.xattrs.wants(&x.name)).cloned().collect();
        Xattrs::new(kept).unwrap_or_default()
    }

    /// The attributes an entry gets.
    pub fn attributes<'a>(
        &'a self,
        entry: &'a Entry,
        wants: &'a dyn Fn(&[u8]) -> bool,
        inherited: bool,
    ) -> Attributes<'a> {
        Attributes {
            owner: (self.options.owner == OwnerPolicy::Keep).then_some(entry.owner),
            mode: entry.mode,
            mtime: entry.mtime,
            xattrs: self.xattrs.enabled.then_some(&entry.xattrs),
            wants,
            inherited,
            existing: false,
        }
    }

    /// A loss that was foreseen and not tried.
    pub fn lost(&self, kind: LossKind) {
        self.tally.lost(kind);
    }
}
