//! The thread that reads what the destination has of a file: it sends the leaves of its segments, ahead of the sender's
//! answers but never further than the bound, and more about what turned out to differ: pages, or signatures.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};

use crate::delta::{FileLeaves, LeafRecord, leaf_digest, leaf_digests, sketch};
use crate::session::extent::Compared;
use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::limits::{
    HASHED_LEN, LEAF_LEN, LEAVES_OPEN_MAX, PACKED_FILE_LEN_MAX, PAGE_LEN, SEGMENT_LEAVES, SEGMENT_LEN,
};
use crate::types::{Anchor, BatchId, EntryIndex, LeafDigest, Name, SegmentIndex};
use crate::volume::{BasisFile, Identity};
use crate::wire::{Ask, Leaves, Message, Pages, Signatures, Sketch};

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
    pub compared: Compared,
    /// What is remembered of its content: it is not read then.
    pub cached: Option<Arc<FileLeaves>>,
    /// Leaves that were sent, of segments that are not yet answered; kept only for what is to be remembered.
    pub sent: Mutex<HashMap<u64, Vec<LeafRecord>>>,
}

impl Job {
    /// Whether the basis has only zeros in a segment, of which it has exactly `len` bytes.
    pub fn is_zeros(&self, segment: u64, len: u64) -> bool {
        let spans = self.compared.basis_in(segment) == len;
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
        if self.compared.basis_len.saturating_sub(start).min(LEAF_LEN as u64) != len {
            return Leaf::Unknown;
        }
        let of = |leaves: &[LeafRecord]| match leaves.get(usize::try_from(within).unwrap_or(usize::MAX)) {
            _ if leaves.is_empty() => Leaf::Zeros,
            Some(known) => Leaf::Known(*known),
            None => Leaf::Unknown,
        };
        match &self.cached {
            Some(cached) => of(cached.of_segment(segment)),
            None => lock(&self.sent).get(&segment).map_or(Leaf::Unknown, |sent| of(sent)),
        }
    }
}

/// Files waiting to be read, and leaves waiting to be answered.
#[derive(Debug)]
pub struct BasisQueue {
    state: Mutex<State>,
    changed: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Arc<Job>>,
    asks: VecDeque<(Arc<Job>, Question)>,
    /// Files that are being compared, for the asks about them.
    compared: HashMap<(BatchId, EntryIndex), Arc<Job>>,
    leaves_open: u64,
}

/// What the sender wants to know more of.
#[derive(Debug)]
pub enum Question {
    /// Leaves, by their pages.
    Pages(Ask),
    /// Parts of the basis, by their signatures.
    Sketch(Sketch),
}

impl Question {
    fn of(&self) -> (BatchId, EntryIndex) {
        match self {
            Self::Pages(ask) => (ask.batch, ask.index),
            Self::Sketch(sketch) => (sketch.batch, sketch.index),
        }
    }
}

/// What the thread does next.
enum Task {
    Answer(Arc<Job>, Question),
    Begin(Arc<Job>),
    /// The next segment of the file at hand.
    Segment,
}

impl BasisQueue {
    /// No files yet.
    pub fn new(fate: &Fate) -> Self {
        Self { state: Mutex::default(), changed: fate.bell() }
    }

    /// One more file; bounded by the open batches it belongs to.
    pub fn push(&self, job: Job) {
        let mut state = lock(&self.state);
        let job = Arc::new(job);
        if job.compared.source_len > PACKED_FILE_LEN_MAX {
            state.compared.insert((job.batch, job.index), Arc::clone(&job));
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
    }

    /// The sender asks for more. `false` when it asks about a file that is not compared, or too much at once.
    pub fn ask(&self, question: Question) -> bool {
        let mut state = lock(&self.state);
        let Some(job) = state.compared.get(&question.of()).cloned() else { return false };
        state.asks.push_back((job, question));
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
            if let Some((job, question)) = state.asks.pop_front() {
                return Ok(Task::Answer(job, question));
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
        if job.compared.listed() == 0 {
            return None;
        }
        let file = open(receiving, &job);
        if let (Some(file), PassMode::Verify) = (&file, receiving.mode()) {
            file.drop_cache();
        }
        Some(Self { job, file, segment: 0 })
    }

    fn leaves(&self) -> u64 {
        self.job.compared.credit(self.segment)
    }

    /// After its segment was sent: the next one, if there is one.
    fn advance(mut self) -> Option<Self> {
        self.segment += 1;
        (self.segment < self.job.compared.listed()).then_some(self)
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
            Task::Answer(job, Question::Pages(ask)) => send_pages(receiving, &job, &ask, &mut buffer),
            Task::Answer(job, Question::Sketch(sketch)) => send_signatures(receiving, &job, &sketch, &mut buffer),
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
    let len = job.compared.basis_in(*segment);
    let may_be_short = job.compared.source_len > PACKED_FILE_LEN_MAX;
    let (digests, anchors) = match (file, &job.cached) {
        (Some(_), Some(cached)) => remembered(cached.of_segment(*segment), job.compared.movable),
        (Some(file), None) if may_be_short && file.is_hole(start, start + len) => (Vec::new(), Vec::new()),
        (file, _) => hash(receiving, job, file.as_ref(), (start, len), buffer),
    };
    if job.cached.is_none() && receiving.collects(job.compared.source_len) {
        let anchors = anchors.iter().copied().chain(std::iter::repeat(Anchor::default()));
        let records = digests.iter().zip(anchors).map(|(digest, anchor)| LeafRecord { digest: *digest, anchor });
        lock(&job.sent).insert(*segment, records.collect());
    }
    let segment = SegmentIndex(*segment);
    receiving.post(&Message::Leaves(Leaves { batch: job.batch, index: job.index, segment, digests, anchors }));
}

/// The leaves of a segment as they are remembered.
fn remembered(records: &[LeafRecord], movable: bool) -> (Vec<LeafDigest>, Vec<Anchor>) {
    let anchors = if movable { records } else { &[] };
    (records.iter().map(|record| record.digest).collect(), anchors.iter().map(|record| record.anchor).collect())
}

/// The digests of a segment's leaves, and their anchors where shifts are looked for. Read in parts that are hashed while
/// the processor still has them. What cannot be read equals nothing: the sender sends it.
fn hash(
    receiving: &Receiving,
    job: &Job,
    file: Option<&BasisFile>,
    (start, len): (u64, u64),
    buffer: &mut Vec<u8>,
) -> (Vec<LeafDigest>, Vec<Anchor>) {
    let (mut digests, mut anchors) = (Vec::new(), Vec::new());
    let (mut done, mut zeros) = (0, None);
    while done < len {
        let part = (len - done).min(HASHED_LEN as u64);
        if part == HASHED_LEN as u64 && file.is_some_and(|file| file.is_hole(start + done, start + done + part)) {
            let zeros = *zeros.get_or_insert_with(|| leaf_digest(&receiving.leaf_key, &vec![0; LEAF_LEN]));
            digests.extend([zeros; HASHED_LEN / LEAF_LEN]);
            if job.compared.movable {
                anchors.extend([Anchor::default(); HASHED_LEN / LEAF_LEN]);
            }
            done += part;
            continue;
        }
        let readable = read(file, start + done, part, buffer);
        if readable {
            digests.extend(leaf_digests(&receiving.leaf_key, buffer));
        } else {
            digests.extend(unequal(part.div_ceil(LEAF_LEN as u64)));
        }
        if job.compared.movable {
            let anchor = |leaf| if readable { receiving.anchors.of(leaf) } else { Anchor::default() };
            anchors.extend(buffer.chunks(LEAF_LEN).map(anchor));
        }
        done += part;
    }
    (digests, anchors)
}

fn send_signatures(receiving: &Receiving, job: &Job, asked: &Sketch, buffer: &mut Vec<u8>) {
    let file = open(receiving, job);
    let signature = |(from, len): &(u64, u64)| {
        let inside = from.saturating_add(*len) <= job.compared.basis_len;
        if inside && read(file.as_ref(), *from, *len, buffer) { sketch(buffer) } else { Vec::new() }
    };
    let signatures = asked.parts.iter().map(signature).collect();
    let Sketch { batch, index, segment, .. } = *asked;
    receiving.post(&Message::Signatures(Signatures { batch, index, segment, signatures }));
}

fn send_pages(receiving: &Receiving, job: &Job, ask: &Ask, buffer: &mut Vec<u8>) {
    let file = open(receiving, job);
    let mut digests = Vec::new();
    for leaf in &ask.leaves {
        let start = ask.segment.0.saturating_mul(SEGMENT_LEN).saturating_add(u64::from(*leaf) * LEAF_LEN as u64);
        let len = job.compared.basis_len.saturating_sub(start).min(LEAF_LEN as u64);
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
