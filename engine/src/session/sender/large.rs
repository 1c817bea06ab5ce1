//! A large file on its way: opened once, read by several threads segment by segment, ended once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crate::delta::{Known, SegmentLeaves};
use crate::session::extent::Compared;
use crate::session::fate::lock;
use crate::types::{EntryIndex, SegmentIndex, limits};
use crate::volume::{SourceFile, Stability};
use crate::wire::FileState;

use super::book::{SentBatch, SentFile};
use super::course::Course;

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
    /// What the receiver has of it.
    pub compared: Compared,
    course: Mutex<Course>,
    leaves: Mutex<Came>,
    opening: OnceLock<Opening>,
    state: Mutex<FileState>,
    segments_left: AtomicU64,
    /// No part of it was missed.
    read_to_the_end: AtomicBool,
}

/// Leaves that came.
#[derive(Debug, Default)]
struct Came {
    /// Segments whose leaves came so far; they come in order, each once.
    next: u64,
    /// Segments that were given to be compared.
    given: u64,
    /// The leaves around what is being compared, of a movable basis.
    kept: BTreeMap<u64, Arc<SegmentLeaves>>,
}

/// What can be compared now that more leaves came.
#[derive(Debug)]
pub struct Ready {
    /// These segments, each with its leaves.
    pub segments: Vec<(SegmentIndex, Arc<SegmentLeaves>)>,
    /// Nothing more comes; these segments of the source have no basis of their own.
    pub rest: Option<Range<u64>>,
}

impl LargeFile {
    /// A file of which the receiver has that.
    pub fn new(batch: Arc<SentBatch>, index: EntryIndex, compared: Compared) -> Self {
        let size = compared.source_len;
        let segments = size.div_ceil(limits::SEGMENT_LEN);
        Self {
            batch,
            index,
            size,
            compared,
            course: Mutex::default(),
            leaves: Mutex::default(),
            opening: OnceLock::new(),
            state: Mutex::new(FileState::AsScanned),
            segments_left: AtomicU64::new(segments),
            read_to_the_end: AtomicBool::new(false),
        }
    }

    /// How it is going.
    pub fn course(&self) -> MutexGuard<'_, Course> {
        lock(&self.course)
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

    /// The leaves of a segment came: what may be compared now. `None` when it is not the next one, or not as it should be.
    ///
    /// With a movable basis a segment waits for the leaves of some after it: bytes may have been removed.
    pub fn leaves_came(&self, segment: SegmentIndex, leaves: SegmentLeaves) -> Option<Ready> {
        let listed = self.compared.listed();
        let anchored = leaves.anchors.len() == if self.compared.movable { leaves.digests.len() } else { 0 };
        let mut came = lock(&self.leaves);
        if segment.0 != came.next || segment.0 >= listed || !anchored {
            return None;
        }
        came.next += 1;
        came.kept.insert(segment.0, Arc::new(leaves));
        let is_last = came.next == listed;
        let ahead = if self.compared.movable && !is_last { limits::SHIFT_AHEAD } else { 0 };
        let upto = came.next.saturating_sub(ahead).min(self.compared.answered());
        let segments = (came.given..upto)
            .filter_map(|segment| came.kept.get(&segment).map(|leaves| (SegmentIndex(segment), Arc::clone(leaves))))
            .collect();
        came.given = came.given.max(upto);
        let behind = if self.compared.movable { limits::SHIFT_BEHIND } else { 0 };
        let first = came.given.saturating_sub(behind);
        came.kept = came.kept.split_off(&first);
        let rest = upto..self.segments();
        Some(Ready { segments, rest: (is_last && self.compared.movable).then_some(rest) })
    }

    /// What is known of the basis around the segment at hand.
    pub fn known(&self) -> Known {
        Known { len: self.compared.basis_len, segments: lock(&self.leaves).kept.clone() }
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
            self.read_to_the_end.store(!self.is_spoiled(), Ordering::Relaxed);
            match source.stability() {
                Ok(Stability::AsScanned) => {}
                Ok(Stability::Changed | Stability::Vanished) | Err(_) => self.spoil(FileState::Changed),
            }
        }
        Some(*lock(&self.state))
    }

    /// Whether all of it was read, whatever else became of it.
    pub fn was_read(&self) -> bool {
        self.read_to_the_end.load(Ordering::Relaxed)
    }

    /// Whether the file can no longer arrive as scanned.
    pub fn is_spoiled(&self) -> bool {
        *lock(&self.state) != FileState::AsScanned
    }
}
