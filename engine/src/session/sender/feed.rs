//! From what the receiver needs (or, into an empty volume, from every batch) to work for the reading threads.
//!
//! Called by the control task and the scanner; it never waits.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::delta::{Piece, SegmentLeaves, Window};
use crate::session::error::SessionError;
use crate::session::extent::Compared;
use crate::session::fate::lock;
use crate::types::{BatchId, EntryIndex, LeafDigest, SegmentIndex, limits};
use crate::wire::{Ask, Have, Leaves, Message, Need, NeedItem, Pages, Signatures, Sketch};

use super::book::{SentBatch, SentFile};
use super::context::Sending;
use super::large::LargeFile;
use super::work::Work;

/// Large files whose leaves are still to come.
#[derive(Debug, Default)]
pub struct Feed {
    compared: Mutex<HashMap<(BatchId, EntryIndex), Arc<LargeFile>>>,
    /// Leaves that came and are not answered, as the receiver counts them.
    leaves_open: AtomicU64,
    /// Segments that wait for pages or signatures.
    parked: Mutex<HashMap<(BatchId, EntryIndex, SegmentIndex), Parked>>,
}

/// A segment that was compared by leaves and waits to know more of those that differ.
#[derive(Debug)]
pub struct Parked {
    pub file: Arc<LargeFile>,
    pub segment: SegmentIndex,
    pub pieces: Vec<Piece>,
    pub asked: Asked,
}

/// What was asked of the receiver about a segment.
#[derive(Debug)]
pub enum Asked {
    /// The pages of these leaves.
    Pages(Vec<u8>),
    /// The signatures of these windows.
    Signatures(Vec<Window>),
}

/// What the receiver answered.
#[derive(Debug)]
pub enum Answer {
    Pages(Vec<LeafDigest>),
    Signatures(Vec<Vec<u8>>),
}

/// Files of one pack: cut when their sizes reach a frame's worth.
struct Packs {
    batch: Arc<SentBatch>,
    indexes: Vec<EntryIndex>,
    bytes: u64,
}

impl Feed {
    /// Contents of every file of a batch, unasked.
    pub fn everything(&self, sending: &Sending, batch: &Arc<SentBatch>) {
        let mut packs = Packs::of(batch);
        for file in batch.files.iter().filter(|f| f.ask()) {
            self.give(sending, &mut packs, file, Have::Nothing);
        }
        packs.cut(sending);
    }

    /// Contents the receiver asked for.
    pub fn need(&self, sending: &Sending, need: &Need) -> Result<(), SessionError> {
        let batch = open_batch(sending, need.batch)?;
        let mut packs = Packs::of(&batch);
        for NeedItem { index, have } in &need.items {
            let file = batch
                .file(*index)
                .filter(|f| f.ask())
                .ok_or_else(|| SessionError::Protocol("it needs an entry that has no content, or twice".to_owned()))?;
            self.give(sending, &mut packs, file, *have);
        }
        packs.cut(sending);
        Ok(())
    }

    fn give(&self, sending: &Sending, packs: &mut Packs, file: &SentFile, have: Have) {
        let size = file.status.size;
        if size <= limits::PACKED_FILE_LEN_MAX {
            if have == Have::Nothing {
                packs.add(sending, file);
            }
            return;
        }
        let (basis_len, movable) = match have {
            Have::Nothing => (0, false),
            Have::Basis { len, movable } => (len, movable),
        };
        let compared = Compared { source_len: size, basis_len, movable };
        let large = Arc::new(LargeFile::new(Arc::clone(&packs.batch), file.index, compared));
        if compared.listed() > 0 {
            lock(&self.compared).insert((packs.batch.id, file.index), Arc::clone(&large));
        }
        // Of a movable basis the rest may come from anywhere: it waits until everything is known.
        if compared.listed() == 0 || !movable {
            push_rest(sending, &large, compared.answered()..large.segments());
        }
    }

    /// Asks for more about a segment and keeps what is known of it until that comes.
    pub fn park(&self, sending: &Sending, parked: Parked) {
        let (batch, index, segment) = (parked.file.batch.id, parked.file.index, parked.segment);
        let ask = match &parked.asked {
            Asked::Pages(leaves) => Message::Ask(Ask { batch, index, segment, leaves: leaves.clone() }),
            Asked::Signatures(windows) => {
                let parts = windows.iter().map(|window| (window.from, window.reach)).collect();
                Message::Sketch(Sketch { batch, index, segment, parts })
            }
        };
        lock(&self.parked).insert((batch, index, segment), parked);
        sending.post(&ask);
    }

    /// The pages of a parked segment.
    pub fn pages(&self, sending: &Sending, pages: Pages) -> Result<(), SessionError> {
        self.answered(sending, (pages.batch, pages.index, pages.segment), Answer::Pages(pages.digests))
    }

    /// The signatures of a parked segment.
    pub fn signatures(&self, sending: &Sending, signatures: Signatures) -> Result<(), SessionError> {
        let Signatures { batch, index, segment, signatures } = signatures;
        self.answered(sending, (batch, index, segment), Answer::Signatures(signatures))
    }

    fn answered(
        &self,
        sending: &Sending,
        of: (BatchId, EntryIndex, SegmentIndex),
        answer: Answer,
    ) -> Result<(), SessionError> {
        let parked = lock(&self.parked).remove(&of);
        let parked =
            parked.ok_or_else(|| SessionError::Protocol("it answered something that was not asked".to_owned()))?;
        sending.work.push(Work::Parked { parked: Box::new(parked), answer });
        Ok(())
    }

    /// More leaves came. The receiver keeps to `LEAVES_OPEN_MAX` as it counts, which is after our answers arrived: twice
    /// that is more than an honest one ever has open here.
    fn charge(&self, leaves: u64) -> Result<(), SessionError> {
        let before = self.leaves_open.fetch_add(leaves, Relaxed);
        if before.saturating_add(leaves) > 2 * limits::LEAVES_OPEN_MAX {
            return Err(SessionError::Protocol("it sent more leaves than may be open".to_owned()));
        }
        Ok(())
    }

    /// Leaves were answered.
    pub fn answer(&self, leaves: u64) {
        self.leaves_open.fetch_sub(leaves, Relaxed);
    }

    /// The leaves of a segment, or of a small file.
    pub fn leaves(&self, sending: &Sending, leaves: Leaves) -> Result<(), SessionError> {
        let batch = open_batch(sending, leaves.batch)?;
        let unexpected = || SessionError::Protocol("it sent leaves that were not to come".to_owned());
        let file = batch.file(leaves.index).ok_or_else(unexpected)?;
        if file.status.size <= limits::PACKED_FILE_LEN_MAX {
            if leaves.segment.0 != 0 || !file.compare() {
                return Err(unexpected());
            }
            self.charge(1)?;
            sending.work.push(Work::Compare { batch: Arc::clone(&batch), index: leaves.index, leaves: leaves.digests });
            return Ok(());
        }
        let key = (leaves.batch, leaves.index);
        let mut compared = lock(&self.compared);
        let large = compared.get(&key).cloned().ok_or_else(unexpected)?;
        let Leaves { segment, digests, anchors, .. } = leaves;
        let ready = large.leaves_came(segment, SegmentLeaves { digests, anchors }).ok_or_else(unexpected)?;
        if segment.0 + 1 == large.compared.listed() {
            compared.remove(&key);
        }
        drop(compared);
        self.charge(large.compared.credit(segment.0))?;
        for (segment, leaves) in ready.segments {
            sending.work.push(Work::Segment { file: Arc::clone(&large), segment, leaves });
        }
        if let Some(rest) = ready.rest {
            push_rest(sending, &large, rest);
        }
        Ok(())
    }
}

/// Segments that have no basis of their own.
fn push_rest(sending: &Sending, large: &Arc<LargeFile>, rest: Range<u64>) {
    if !rest.is_empty() {
        sending.work.push(Work::Stretch { file: Arc::clone(large), next: rest.start, end: rest.end });
    }
}

impl Packs {
    fn of(batch: &Arc<SentBatch>) -> Self {
        Self { batch: Arc::clone(batch), indexes: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, sending: &Sending, file: &SentFile) {
        if self.bytes + file.status.size > limits::DATA_LEN_MAX as u64 {
            self.cut(sending);
        }
        self.indexes.push(file.index);
        self.bytes += file.status.size;
    }

    fn cut(&mut self, sending: &Sending) {
        if !self.indexes.is_empty() {
            let indexes = std::mem::take(&mut self.indexes);
            sending.work.push(Work::Pack { batch: Arc::clone(&self.batch), indexes });
        }
        self.bytes = 0;
    }
}

fn open_batch(sending: &Sending, id: BatchId) -> Result<Arc<SentBatch>, SessionError> {
    sending.book.get(id).ok_or_else(|| SessionError::Protocol("it speaks of a batch that is not open".to_owned()))
}
