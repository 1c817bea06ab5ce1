//! A large file on its way: opened once, read by several threads segment by segment, ended once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::session::fate::lock;
use crate::types::{EntryIndex, SegmentIndex, limits};
use crate::volume::{SourceFile, Stability};
use crate::wire::FileState;

use super::book::{SentBatch, SentFile};

/// What came of opening the file.
#[derive(Debug)]
pub enum Opening {
    /// It can be read.
    Open(SourceFile),
    /// It cannot; its segments are void.
    Failed,
}

/// A file larger than a pack takes.
#[derive(Debug)]
pub struct LargeFile {
    pub batch: Arc<SentBatch>,
    pub index: EntryIndex,
    /// Bytes of it, as scanned.
    pub size: u64,
    /// Bytes the receiver has of it, 0 when it has nothing.
    pub basis: u64,
    opening: OnceLock<Opening>,
    state: Mutex<FileState>,
    segments_left: AtomicU64,
    leaves_next: AtomicU64,
}

impl LargeFile {
    /// A file of `size` bytes of which the receiver has `basis`.
    pub fn new(batch: Arc<SentBatch>, index: EntryIndex, size: u64, basis: u64) -> Self {
        let segments = size.div_ceil(limits::SEGMENT_LEN);
        Self {
            batch,
            index,
            size,
            basis,
            opening: OnceLock::new(),
            state: Mutex::new(FileState::AsScanned),
            segments_left: AtomicU64::new(segments),
            leaves_next: AtomicU64::new(0),
        }
    }

    /// Segments for which the receiver sends leaves.
    pub fn segments_compared(&self) -> u64 {
        self.basis.min(self.size).div_ceil(limits::SEGMENT_LEN)
    }

    /// All segments.
    pub fn segments(&self) -> u64 {
        self.size.div_ceil(limits::SEGMENT_LEN)
    }

    /// Where a segment lies: its offset and length.
    pub fn span(&self, segment: SegmentIndex) -> (u64, u64) {
        let start = segment.0.saturating_mul(limits::SEGMENT_LEN).min(self.size);
        (start, (self.size - start).min(limits::SEGMENT_LEN))
    }

    /// Bytes of the basis within a segment.
    pub fn basis_in(&self, segment: SegmentIndex) -> u64 {
        let start = segment.0.saturating_mul(limits::SEGMENT_LEN);
        self.basis.saturating_sub(start).min(limits::SEGMENT_LEN)
    }

    /// Leaves of the basis within a segment.
    pub fn leaves_in(&self, segment: SegmentIndex) -> u64 {
        self.basis_in(segment).div_ceil(limits::LEAF_LEN as u64)
    }

    /// Whether `segment` is the next one whose leaves may come; leaves come in order, each once.
    pub fn expect_leaves(&self, segment: SegmentIndex) -> bool {
        segment.0 < self.segments_compared()
            && self.leaves_next.compare_exchange(segment.0, segment.0 + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The file as scanned.
    pub fn file(&self) -> Option<&SentFile> {
        self.batch.file(self.index)
    }

    /// The open file; the first caller opens it by `open`.
    pub fn opened(&self, open: impl FnOnce() -> Opening) -> &Opening {
        self.opening.get_or_init(open)
    }

    /// It did not go as it should; the first reason counts.
    pub fn spoil(&self, state: FileState) {
        let mut slot = lock(&self.state);
        if *slot == FileState::AsScanned {
            *slot = state;
        }
    }

    /// One segment has been covered. When it was the last: how the file ended.
    pub fn segment_covered(&self) -> Option<FileState> {
        if self.segments_left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return None;
        }
        if let Some(Opening::Open(source)) = self.opening.get() {
            match source.stability() {
                Ok(Stability::AsScanned) => {}
                Ok(Stability::Changed | Stability::Vanished) | Err(_) => self.spoil(FileState::Changed),
            }
        }
        Some(*lock(&self.state))
    }

    /// Whether the file can no longer arrive as scanned.
    pub fn is_spoiled(&self) -> bool {
        *lock(&self.state) != FileState::AsScanned
    }
}
