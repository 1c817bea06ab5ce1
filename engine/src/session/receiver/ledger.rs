//! Directories that are not finished: each waits for its listing, its batches and its subdirectories, then gets its
//! attributes, deepest first. The walk up is a loop, however deep the tree.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::{Arc, Condvar, Mutex};

use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::{DirId, Entry, Stage};
use crate::wire::Message;

use super::batches::{OpenBatch, Place};
use super::context::{PassMode, Receiving};

/// The attributes a directory gets when everything in it is settled.
#[derive(Debug)]
pub struct Close {
    pub entry: Entry,
    /// They differ from what it has, or it is new.
    pub differs: bool,
    /// Extended attributes are among them: the sender looked at them.
    pub knows_xattrs: bool,
}

/// A directory that is not finished.
#[derive(Debug)]
struct Node {
    parent: Option<DirId>,
    place: Option<Arc<Place>>,
    close: Option<Close>,
    /// What it waits for; its own listing is one.
    pending: u64,
}

/// The unfinished directories of a pass.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    dirs: HashMap<DirId, Node>,
    /// Directories taken out whose attributes are being set.
    closing: u64,
}

impl Ledger {
    /// A directory was announced. It waits for its listing until [`Receiving::release_dir`] is called for that.
    pub fn open(&self, id: DirId, parent: Option<DirId>, place: Option<Arc<Place>>, close: Option<Close>) {
        let mut state = lock(&self.state);
        if let Some(parent) = parent.and_then(|parent| state.dirs.get_mut(&parent)) {
            parent.pending += 1;
        }
        state.dirs.insert(id, Node { parent, place, close, pending: 1 });
    }

    /// One more thing to wait for.
    pub fn hold(&self, id: DirId) {
        if let Some(node) = lock(&self.state).dirs.get_mut(&id) {
            node.pending += 1;
        }
    }

    /// One thing less. The directory, when it was the last.
    fn release(&self, id: DirId) -> Option<Node> {
        let mut state = lock(&self.state);
        let node = state.dirs.get_mut(&id)?;
        node.pending -= 1;
        if node.pending > 0 {
            return None;
        }
        state.closing += 1;
        state.dirs.remove(&id)
    }

    fn closed(&self) {
        lock(&self.state).closing -= 1;
        self.idle.notify_all();
    }

    /// Waits until every directory is finished.
    pub fn await_idle(&self, fate: &Fate) -> Result<(), Ended> {
        let mut state = lock(&self.state);
        while !state.dirs.is_empty() || state.closing > 0 {
            fate.check()?;
            state = match self.idle.wait_timeout(state, LOOK_AGAIN) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        Ok(())
    }
}

impl Receiving {
    /// `count` entries of a batch are settled (or the generator is through with it).
    pub fn settled(&self, batch: &OpenBatch, count: u32) {
        if count == 0 || batch.remaining.fetch_sub(count, AcqRel) != count {
            return;
        }
        self.batch_done(batch.id, batch.dir);
    }

    /// A batch is done: its credit goes back, and its directory waits for one thing less.
    pub fn batch_done(&self, id: crate::types::BatchId, dir: DirId) {
        let entries = self.batches.close(id);
        self.progress.entries_done.fetch_add(entries as u64, Relaxed);
        self.post(&Message::BatchDone(id));
        self.release_dir(dir);
    }

    /// A directory waits for one thing less; it and its parents get their attributes when nothing is left.
    pub fn release_dir(&self, id: DirId) {
        let mut next = Some(id);
        while let Some(node) = next.and_then(|id| self.ledger.release(id)) {
            if self.mode() == PassMode::Transfer {
                self.close_dir(&node);
            }
            next = node.parent;
            self.ledger.closed();
        }
    }

    fn close_dir(&self, node: &Node) {
        let (Some(place), Some(close)) = (&node.place, &node.close) else { return };
        if !close.differs && !place.touched.load(Relaxed) {
            return;
        }
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let mut attributes = self.attributes(&close.entry, &wants, place.inherited());
        attributes.existing = true;
        if !close.knows_xattrs {
            // Those it has are right, the inherited ones too.
            (attributes.xattrs, attributes.inherited) = (None, false);
        }
        match place.dir.apply(&attributes) {
            Ok(applied) => self.applied(|| place.dir.path(), applied),
            // A fatal failure has told the session's fate; here nothing can be stopped any more.
            Err(error) => drop(self.failed(place.dir.path(), Stage::Attributes, error)),
        }
    }
}
