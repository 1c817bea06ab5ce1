//! The thread that reads what the destination has of a file: it sends the leaves of its segments, ahead of the sender's
//! answers but never further than the bound, and the pages of leaves that turned out to differ.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};

use crate::delta::{FileLeaves, leaf_digest, leaf_digests};
use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::limits::{LEAF_LEN, LEAVES_OPEN_MAX, PACKED_FILE_LEN_MAX, PAGE_LEN, SEGMENT_LEAVES, SEGMENT_LEN};
use crate::types::{BatchId, EntryIndex, LeafDigest, Name, SegmentIndex};
use crate::volume::{BasisFile, Identity};
use crate::wire::{Ask, Leaves, Message, Pages};

use super::batches::Place;
use super::collected::Leaf;
use super::context::{PassMode, Receiving};

/// Asks that may wait: one for each segment that may be without an answer, small files not counted.
const ASKS_MAX: usize = LEAVES_OPEN_MAX as usize;

/// A file whose leaves are to be sent.
#[derive(Debug)]
pub struct Job {
    pub batch: BatchId,
    pub index: EntryIndex,
    pub place: Arc<Place>,
    pub name: Name,
    pub identity: Identity,
    pub basis_len: u64,
    pub source_len: u64,
    /// What is remembered of its content: it is not read then.
    pub cached: Option<Arc<FileLeaves>>,
    /// Leaves that were sent, of segments that are not yet answered; kept only for what is to be remembered.
    pub sent: Mutex<HashMap<u64, Vec<LeafDigest>>>,
}

impl Job {
    /// Whether the basis has only zeros in a segment, of which it has exactly `len` bytes.
    pub fn is_zeros(&self, segment: u64, len: u64) -> bool {
        let spans = self.basis_len.saturating_sub(segment.saturating_mul(SEGMENT_LEN)).min(SEGMENT_LEN) == len;
        spans
            && match &self.cached {
                Some(cached) => cached.of_segment(segment).is_empty(),
                None => lock(&self.sent).get(&segment).is_some_and(Vec::is_empty),
            }
    }

    /// What is known of a leaf of `len` bytes that stays as it is.
    pub fn leaf(&self, leaf: u64, len: u64) -> Leaf {
        let (segment, within) = (leaf / SEGMENT_LEAVES as u64, leaf % SEGMENT_LEAVES as u64);
        let start = leaf.saturating_mul(LEAF_LEN as u64);
        if self.basis_len.saturating_sub(start).min(LEAF_LEN as u64) != len {
            return Leaf::Unknown;
        }
        let of = |leaves: &[LeafDigest]| match leaves.get(usize::try_from(within).unwrap_or(usize::MAX)) {
            _ if leaves.is_empty() => Leaf::Zeros,
            Some(digest) => Leaf::Digest(*digest),
            None => Leaf::Unknown,
        };
        match &self.cached {
            Some(cached) => of(cached.of_segment(segment)),
            None => lock(&self.sent).get(&segment).map_or(Leaf::Unknown, |sent| of(sent)),
        }
    }
}

/// Files waiting to be read, and leaves waiting to be answered.
#[derive(Debug, Default)]
pub struct BasisQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Arc<Job>>,
    asks: VecDeque<(Arc<Job>, Ask)>,
    /// Files that are being compared, for the asks about them.
    compared: HashMap<(BatchId, EntryIndex), Arc<Job>>,
    leaves_open: u64,
}

/// What the thread does next.
enum Task {
    Pages(Arc<Job>, Ask),
    Begin(Arc<Job>),
    /// The next segment of the file at hand.
    Segment,
}

/// Leaves of a basis of `basis_len` bytes in one segment.
pub fn leaves_in(segment: u64, basis_len: u64) -> u64 {
    let start = segment.saturating_mul(SEGMENT_LEN);
    basis_len.saturating_sub(start).min(SEGMENT_LEN).div_ceil(LEAF_LEN as u64)
}

/// Segments of which leaves are sent.
pub fn segments_compared(basis_len: u64, source_len: u64) -> u64 {
    basis_len.min(source_len).div_ceil(SEGMENT_LEN)
}

impl BasisQueue {
    /// One more file; bounded by the open batches it belongs to.
    pub fn push(&self, job: Job) {
        let mut state = lock(&self.state);
        let job = Arc::new(job);
        if job.source_len > PACKED_FILE_LEN_MAX {
            state.compared.insert((job.batch, job.index), Arc::clone(&job));
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
    }

    /// The sender asks for pages. `false` when it asks about a file that is not compared, or too much at once.
    pub fn ask(&self, ask: Ask) -> bool {
        let mut state = lock(&self.state);
        let Some(job) = state.compared.get(&(ask.batch, ask.index)).cloned() else { return false };
        state.asks.push_back((job, ask));
        let within = state.asks.len() <= ASKS_MAX;
        drop(state);
        self.changed.notify_all();
        within
    }

    /// A file that is being compared.
    pub fn job(&self, batch: BatchId, index: EntryIndex) -> Option<Arc<Job>> {
        lock(&self.state).compared.get(&(batch, index)).cloned()
    }

    /// A file is finished: nothing more is asked about it.
    pub fn forget(&self, batch: BatchId, index: EntryIndex) {
        lock(&self.state).compared.remove(&(batch, index));
    }

    /// The sender has answered this many leaves.
    pub fn answered(&self, leaves: u64) {
        let mut state = lock(&self.state);
        state.leaves_open = state.leaves_open.saturating_sub(leaves);
        drop(state);
        self.changed.notify_all();
    }

    /// What to do next: answers first, then the file at hand, of whose next segment `leaves` would be sent.
    fn next(&self, fate: &Fate, leaves: Option<u64>) -> Result<Task, Ended> {
        let mut state = lock(&self.state);
        loop {
            fate.check()?;
            if let Some((job, ask)) = state.asks.pop_front() {
                return Ok(Task::Pages(job, ask));
            }
            match leaves {
                Some(leaves) if state.leaves_open == 0 || state.leaves_open + leaves <= LEAVES_OPEN_MAX => {
                    state.leaves_open += leaves;
                    return Ok(Task::Segment);
                }
                Some(_) => {}
                None => {
                    if let Some(job) = state.jobs.pop_front() {
                        return Ok(Task::Begin(job));
                    }
                }
            }
            state = match self.changed.wait_timeout(state, LOOK_AGAIN) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// The file at hand.
struct Current {
    job: Arc<Job>,
    file: Option<BasisFile>,
    segment: u64,
}

impl Current {
    fn begin(receiving: &Receiving, job: Arc<Job>) -> Option<Self> {
        if segments_compared(job.basis_len, job.source_len) == 0 {
            return None;
        }
        let file = open(receiving, &job);
        if let (Some(file), PassMode::Verify) = (&file, receiving.mode()) {
            file.drop_cache();
        }
        Some(Self { job, file, segment: 0 })
    }

    fn leaves(&self) -> u64 {
        leaves_in(self.segment, self.job.basis_len)
    }

    /// After its segment was sent: the next one, if there is one.
    fn advance(mut self) -> Option<Self> {
        self.segment += 1;
        (self.segment < segments_compared(self.job.basis_len, self.job.source_len)).then_some(self)
    }
}

fn open(receiving: &Receiving, job: &Job) -> Option<BasisFile> {
    let opened = match receiving.volume.block_device() {
        Some(device) => BasisFile::of_device(device),
        None => BasisFile::open(&job.place.dir, &job.name, job.identity),
    };
    match opened {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::debug!(name = %job.name, %error, "the basis cannot be read; everything will be sent");
            None
        }
    }
}

/// Works until the session ends.
pub fn run(receiving: &Receiving) -> Result<(), Ended> {
    let mut buffer = Vec::new();
    let mut current: Option<Current> = None;
    loop {
        let leaves = current.as_ref().map(Current::leaves);
        match receiving.basis.next(&receiving.fate, leaves)? {
            Task::Pages(job, ask) => send_pages(receiving, &job, &ask, &mut buffer),
            Task::Begin(job) => current = Current::begin(receiving, job),
            Task::Segment => {
                if let Some(at_hand) = current.take() {
                    send_leaves(receiving, &at_hand, &mut buffer);
                    current = at_hand.advance();
                }
            }
        }
    }
}

fn send_leaves(receiving: &Receiving, current: &Current, buffer: &mut Vec<u8>) {
    let Current { job, file, segment } = current;
    let start = segment * SEGMENT_LEN;
    let len = job.basis_len.saturating_sub(start).min(SEGMENT_LEN);
    let may_be_short = job.source_len > PACKED_FILE_LEN_MAX;
    let digests = match (file, &job.cached) {
        (Some(_), Some(cached)) => cached.of_segment(*segment).to_vec(),
        (Some(file), None) if may_be_short && file.is_hole(start, start + len) => Vec::new(),
        (file, _) => match read(file.as_ref(), start, len, buffer) {
            true => leaf_digests(&receiving.leaf_key, buffer),
            // What cannot be read equals nothing: the sender sends it.
            false => unequal(leaves_in(*segment, job.basis_len)),
        },
    };
    if job.cached.is_none() && receiving.collects(job.source_len) {
        lock(&job.sent).insert(*segment, digests.clone());
    }
    let segment = SegmentIndex(*segment);
    receiving.post(&Message::Leaves(Leaves { batch: job.batch, index: job.index, segment, digests }));
}

fn send_pages(receiving: &Receiving, job: &Job, ask: &Ask, buffer: &mut Vec<u8>) {
    let file = open(receiving, job);
    let mut digests = Vec::new();
    for leaf in &ask.leaves {
        let start = ask.segment.0.saturating_mul(SEGMENT_LEN).saturating_add(u64::from(*leaf) * LEAF_LEN as u64);
        let len = job.basis_len.saturating_sub(start).min(LEAF_LEN as u64);
        if read(file.as_ref(), start, len, buffer) {
            digests.extend(buffer.chunks(PAGE_LEN).map(|page| leaf_digest(&receiving.leaf_key, page)));
        } else {
            digests.extend(unequal(len.div_ceil(PAGE_LEN as u64)));
        }
    }
    let Ask { batch, index, segment, .. } = *ask;
    receiving.post(&Message::Pages(Pages { batch, index, segment, digests }));
}

/// Whether all `len` bytes could be read.
fn read(file: Option<&BasisFile>, start: u64, len: u64, buffer: &mut Vec<u8>) -> bool {
    buffer.resize(usize::try_from(len).unwrap_or(0), 0);
    file.is_some_and(|file| matches!(file.read_at(buffer, start), Ok(read) if read == buffer.len()))
}

/// Digests that no content has.
fn unequal(count: u64) -> Vec<LeafDigest> {
    vec![LeafDigest([0; 16]); usize::try_from(count).unwrap_or(0)]
}
