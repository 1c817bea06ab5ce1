//! Open batches: entries whose content or link is still to come, looked up by the lanes.
//!
//! A lane that is ahead of control waits here; control never waits for a lane.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::{BatchId, DirId, Entry, EntryIndex, limits};
use crate::volume::{Dir, Identity, Status};

use super::alike::Standing;
use super::arriving::Arriving;
use super::ctimes::Constancy;

/// A destination directory as the threads of a session use it.
#[derive(Debug)]
pub struct Place {
    pub dir: Arc<Dir>,
    /// Names in it were made, replaced or removed: its times must be put back.
    pub touched: AtomicBool,
    /// It has a default ACL: what is made in it gets attributes nobody asked for.
    inherited: OnceLock<bool>,
    /// What is known of it since the baseline.
    pub since: Constancy,
    /// Its owner may not write in it and we have no privilege to do so all the same.
    pub restricted: bool,
    access: OnceLock<()>,
}

/// How an awaited entry comes to the destination.
#[derive(Clone, Debug)]
pub enum How {
    /// Nothing stands there.
    Create,
    /// Nothing stands there, and another file, a basis, is copied where it is equal.
    CreateAlike(Arc<Standing>),
    /// Nothing stands there, and nothing shows until the new one is whole.
    CreateBeside,
    /// Something stands there that goes when the new one is whole.
    Replace,
    /// A file stands there, a basis, and is written in place.
    InPlace(Status),
    /// A file stands there, a basis, and is copied where it is equal.
    Rebuild(Status),
    /// Only compared.
    Compare(Status),
    /// It comes unasked and cannot be placed: let go.
    Discard,
}

/// An entry that is awaited.
#[derive(Debug)]
pub struct Plan {
    pub entry: Entry,
    pub how: How,
}

/// An entry's place in an open batch.
#[derive(Debug, Default)]
pub enum Slot {
    /// Nothing more comes for it.
    #[default]
    Settled,
    /// Content comes.
    Awaited(Box<Plan>),
    /// Content of a large file is coming.
    Arriving(Arc<Arriving>),
}

/// A batch with entries that are not settled.
#[derive(Debug)]
pub struct OpenBatch {
    pub id: BatchId,
    pub dir: DirId,
    pub place: Arc<Place>,
    pub slots: Mutex<Vec<Slot>>,
    /// Entries to be settled, and one for the generator while it works on the batch.
    pub remaining: AtomicU32,
}

/// The open batches of a session.
#[derive(Debug, Default)]
pub struct Batches {
    table: Mutex<Table>,
    registered: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<BatchId, Arc<OpenBatch>>,
    /// Entries and encoded bytes of each batch that has arrived and is not done.
    credit: HashMap<BatchId, (usize, usize)>,
    entries: usize,
    encoded: usize,
    /// Batches below this number have been through the generator.
    below: u64,
}

impl Place {
    pub fn new(dir: Arc<Dir>, inherited: bool, restricted: bool) -> Self {
        let place = Self::unread(dir, restricted, Constancy::default());
        place.inherits(inherited);
        place
    }

    /// One whose extended attributes were not read, or that was looked at in the light of a baseline.
    pub fn unread(dir: Arc<Dir>, restricted: bool, since: Constancy) -> Self {
        let (touched, inherited, access) = (AtomicBool::new(false), OnceLock::new(), OnceLock::new());
        Self { dir, touched, inherited, since, restricted, access }
    }

    /// What was read of its default ACL.
    pub fn inherits(&self, inherited: bool) {
        let _ = self.inherited.set(inherited);
    }

    /// Whether it has a default ACL: read when first asked, if it was not before. A directory that cannot tell has one.
    pub fn inherited(&self) -> bool {
        *self.inherited.get_or_init(|| self.dir.has_default_acl().unwrap_or(true))
    }

    /// Says that names in it are about to change.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
        if self.restricted {
            self.access.get_or_init(|| {
                if let Err(error) = self.dir.make_accessible() {
                    tracing::debug!(path = %self.dir.path(), %error, "the directory stays closed");
                }
            });
        }
    }
}

impl OpenBatch {
    /// Takes what is awaited at `index`; the entry then is the caller's to settle.
    pub fn take(&self, index: EntryIndex) -> Option<Box<Plan>> {
        let mut slots = lock(&self.slots);
        let slot = slots.get_mut(usize::try_from(index.0).ok()?)?;
        match std::mem::replace(slot, Slot::Settled) {
            Slot::Awaited(plan) => Some(plan),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// The large file arriving at `index`; the first caller makes it by `begin`.
    pub fn arriving(&self, index: EntryIndex, begin: impl FnOnce(Box<Plan>) -> Arriving) -> Option<Arc<Arriving>> {
        let mut slots = lock(&self.slots);
        let slot = slots.get_mut(usize::try_from(index.0).ok()?)?;
        match std::mem::replace(slot, Slot::Settled) {
            Slot::Awaited(plan) => {
                let arriving = Arc::new(begin(plan));
                *slot = Slot::Arriving(Arc::clone(&arriving));
                Some(arriving)
            }
            Slot::Arriving(arriving) => {
                *slot = Slot::Arriving(Arc::clone(&arriving));
                Some(arriving)
            }
            Slot::Settled => None,
        }
    }

    /// Nothing more comes for `index`.
    pub fn settle(&self, index: EntryIndex) {
        if let Some(slot) =
            usize::try_from(index.0).ok().and_then(|at| lock(&self.slots).get_mut(at).map(std::mem::take))
        {
            drop(slot);
        }
    }
}

impl Batches {
    /// The generator has been through a batch; if entries are awaited it is open now.
    pub fn register(&self, id: BatchId, batch: Option<Arc<OpenBatch>>) {
        let mut table = lock(&self.table);
        table.below = id.0 + 1;
        if let Some(batch) = batch {
            table.open.insert(id, batch);
        }
        drop(table);
        self.registered.notify_all();
    }

    /// An open batch, waiting until the generator has been through it. `None` when it is closed.
    pub fn await_open(&self, id: BatchId, fate: &Fate) -> Result<Option<Arc<OpenBatch>>, Ended> {
        let mut table = lock(&self.table);
        while id.0 >= table.below {
            fate.check()?;
            table = match self.registered.wait_timeout(table, LOOK_AGAIN) {
                Ok((table, _)) => table,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        Ok(table.open.get(&id).cloned())
    }

    /// A batch has arrived. `false` when the sender has used more than its credit.
    pub fn arrive(&self, id: BatchId, entries: usize, encoded: usize) -> bool {
        let mut table = lock(&self.table);
        table.entries += entries;
        table.encoded += encoded;
        let fresh = table.credit.insert(id, (entries, encoded)).is_none();
        // A batch larger than the whole credit may come alone.
        let within = table.credit.len() <= limits::BATCHES_OPEN_MAX
            && table.entries <= limits::ENTRIES_OPEN_MAX
            && table.encoded <= limits::BATCH_BYTES_OPEN_MAX;
        fresh && (within || table.credit.len() == 1)
    }

    /// Every entry is settled; how many they were.
    pub fn close(&self, id: BatchId) -> usize {
        let mut table = lock(&self.table);
        table.open.remove(&id);
        let Some((entries, encoded)) = table.credit.remove(&id) else { return 0 };
        table.entries -= entries;
        table.encoded -= encoded;
        entries
    }
}

/// A file's identity, for the rebuilding and comparing ways.
pub fn basis_of(how: &How) -> Option<(Identity, u64)> {
    status_of(how).map(|status| (status.identity, status.size))
}

/// The file that stands there or is taken for it, for the ways that use one.
pub fn status_of(how: &How) -> Option<&Status> {
    match how {
        How::InPlace(status) | How::Rebuild(status) | How::Compare(status) => Some(status),
        How::CreateAlike(standing) => Some(&standing.status),
        How::Create | How::CreateBeside | How::Replace | How::Discard => None,
    }
}
