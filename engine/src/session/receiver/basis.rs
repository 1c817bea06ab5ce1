//! The thread that reads what the destination has of a file and sends its leaves, ahead of the sender's answers but
//! never further than the bound.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use crate::delta::leaf_digests;
use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::limits::{LEAF_LEN, SEGMENT_LEAVES, SEGMENT_LEN, SEGMENTS_COMPARED_MAX};
use crate::types::{BatchId, EntryIndex, LeafDigest, Name, SegmentIndex};
use crate::volume::{BasisFile, Identity};
use crate::wire::{Leaves, Message};

use super::batches::Place;
use super::context::{PassMode, Receiving};

/// Leaves that may be on their way without an answer.
const LEAVES_OPEN_MAX: u64 = (SEGMENTS_COMPARED_MAX * SEGMENT_LEAVES) as u64;

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
}

/// Files waiting to be read, and leaves waiting to be answered.
#[derive(Debug, Default)]
pub struct BasisQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    leaves_open: u64,
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
        lock(&self.state).jobs.push_back(job);
        self.changed.notify_all();
    }

    /// The sender has answered this many leaves.
    pub fn answered(&self, leaves: u64) {
        let mut state = lock(&self.state);
        state.leaves_open = state.leaves_open.saturating_sub(leaves);
        drop(state);
        self.changed.notify_all();
    }

    fn wait<T>(&self, fate: &Fate, mut ready: impl FnMut(&mut State) -> Option<T>) -> Result<T, Ended> {
        let mut state = lock(&self.state);
        loop {
            fate.check()?;
            if let Some(value) = ready(&mut state) {
                return Ok(value);
            }
            state = match self.changed.wait_timeout(state, LOOK_AGAIN) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// Works until the session ends.
pub fn run(receiving: &Receiving) -> Result<(), Ended> {
    let mut buffer = Vec::new();
    loop {
        let job = receiving.basis.wait(&receiving.fate, |state| state.jobs.pop_front())?;
        let file = BasisFile::open(&job.place.dir, &job.name, job.identity);
        let file = match file {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::debug!(name = %job.name, %error, "the basis cannot be read; everything will be sent");
                None
            }
        };
        if let (Some(file), PassMode::Verify) = (&file, receiving.mode()) {
            file.drop_cache();
        }
        for segment in 0..segments_compared(job.basis_len, job.source_len) {
            send_leaves(receiving, &job, segment, file.as_ref(), &mut buffer)?;
        }
    }
}

fn send_leaves(
    receiving: &Receiving,
    job: &Job,
    segment: u64,
    file: Option<&BasisFile>,
    buffer: &mut Vec<u8>,
) -> Result<(), Ended> {
    let count = leaves_in(segment, job.basis_len);
    receiving.basis.wait(&receiving.fate, |state| {
        let fits = state.leaves_open == 0 || state.leaves_open + count <= LEAVES_OPEN_MAX;
        fits.then(|| state.leaves_open += count)
    })?;
    let start = segment * SEGMENT_LEN;
    let len = job.basis_len.saturating_sub(start).min(SEGMENT_LEN);
    buffer.resize(usize::try_from(len).unwrap_or(0), 0);
    let read = file.map(|file| file.read_at(buffer, start));
    let digests = match read {
        Some(Ok(read)) if read == buffer.len() => leaf_digests(&receiving.leaf_key, buffer),
        // What cannot be read equals nothing: the sender sends it.
        Some(Ok(_) | Err(_)) | None => vec![LeafDigest([0; 16]); usize::try_from(count).unwrap_or(0)],
    };
    let message = Leaves { batch: job.batch, index: job.index, segment: SegmentIndex(segment), digests };
    receiving.post(&Message::Leaves(message));
    Ok(())
}
