//! The sender's book: batches that were sent and are not yet done, within the receiver's credit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};

use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::{BatchId, EntryIndex, Name, limits};
use crate::volume::{Dir, Status};

/// A batch on its way, with what is needed to read its files.
#[derive(Debug)]
pub struct SentBatch {
    pub id: BatchId,
    pub dir: Arc<Dir>,
    /// Entries of any kind in it.
    pub entries: usize,
    /// Bytes of its frame.
    pub encoded: usize,
    /// Its regular files that have content of their own, by index.
    pub files: Vec<SentFile>,
}

/// One regular file of a batch as it was scanned.
#[derive(Debug)]
pub struct SentFile {
    pub index: EntryIndex,
    pub name: Name,
    pub status: Status,
    asked: AtomicU8,
}

const UNASKED: u8 = 0;
const ASKED: u8 = 1;
const COMPARED: u8 = 2;

impl SentFile {
    pub fn new(index: EntryIndex, name: Name, status: Status) -> Self {
        Self { index, name, status, asked: AtomicU8::new(UNASKED) }
    }

    /// True the first time only: a file is asked for once.
    pub fn ask(&self) -> bool {
        self.asked.compare_exchange(UNASKED, ASKED, Relaxed, Relaxed).is_ok()
    }

    /// Whether its content was asked for.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Relaxed) != UNASKED
    }

    /// True the first time after [`Self::ask`] only: a small file's leaves come once.
    pub fn compare(&self) -> bool {
        self.asked.compare_exchange(ASKED, COMPARED, Relaxed, Relaxed).is_ok()
    }
}

impl SentBatch {
    /// The file at `index`, if there is one with content of its own.
    pub fn file(&self, index: EntryIndex) -> Option<&SentFile> {
        let at = self.files.binary_search_by_key(&index, |f| f.index).ok()?;
        self.files.get(at)
    }

    /// Bytes that count as done when the batch closes: all but large files that were moved, which counted on the way.
    pub fn bytes_closed(&self) -> u64 {
        let on_the_way = |f: &&SentFile| f.status.size > limits::PACKED_FILE_LEN_MAX && f.was_asked();
        self.files.iter().filter(|f| !on_the_way(f)).fold(0, |sum: u64, f| sum.saturating_add(f.status.size))
    }
}

/// Open batches and the credit they use.
#[derive(Debug, Default)]
pub struct Book {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<BatchId, Arc<SentBatch>>,
    entries: usize,
    encoded: usize,
}

impl State {
    /// A batch larger than the whole credit passes when it is alone.
    fn has_room_for(&self, batch: &SentBatch) -> bool {
        self.open.is_empty()
            || (self.open.len() < limits::BATCHES_OPEN_MAX
                && self.entries + batch.entries <= limits::ENTRIES_OPEN_MAX
                && self.encoded + batch.encoded <= limits::BATCH_BYTES_OPEN_MAX)
    }
}

impl Book {
    /// Waits for credit, then enters the batch.
    pub fn admit(&self, batch: SentBatch, fate: &Fate) -> Result<Arc<SentBatch>, Ended> {
        let mut state = lock(&self.state);
        while !state.has_room_for(&batch) {
            fate.check()?;
            state = match self.released.wait_timeout(state, LOOK_AGAIN) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state.entries += batch.entries;
        state.encoded += batch.encoded;
        let batch = Arc::new(batch);
        state.open.insert(batch.id, Arc::clone(&batch));
        Ok(batch)
    }

    /// An open batch.
    pub fn get(&self, id: BatchId) -> Option<Arc<SentBatch>> {
        lock(&self.state).open.get(&id).cloned()
    }

    /// The receiver is done with a batch: its credit returns. `None` when it was not open.
    pub fn close(&self, id: BatchId) -> Option<Arc<SentBatch>> {
        let mut state = lock(&self.state);
        let batch = state.open.remove(&id)?;
        state.entries -= batch.entries;
        state.encoded -= batch.encoded;
        drop(state);
        self.released.notify_all();
        Some(batch)
    }
}
