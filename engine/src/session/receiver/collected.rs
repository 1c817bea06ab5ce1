//! The leaves of a large file while it arrives: known from the content that passes by, from the basis where that stays,
//! and from nothing where there are only zeros. A leaf that came in pieces is read again when the file is whole: it is
//! still in memory then.
//!
//! It holds 24 bytes a leaf that is not in a hole, and is given up, not the file, when there is no room for them.

use std::collections::BTreeMap;

use crate::delta::{FileLeaves, LeafRecord, leaf_digest, leaves_of};
use crate::types::limits::{LEAF_LEN, SEGMENT_LEN};

use super::arriving::Arriving;
use super::basis::Job;
use super::context::Receiving;

const LEAF: u64 = LEAF_LEN as u64;

/// What is known of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Nothing, or a part.
    Unknown,
    /// It is zeros.
    Zeros,
    Known(LeafRecord),
}

/// Where the bytes of an operation come from.
pub enum Origin<'a> {
    Bytes(&'a [u8]),
    Basis(Option<&'a Job>),
    Zeros,
}

impl Origin<'_> {
    /// Whether it is known, without a look at any leaf, that all `len` bytes of a segment are zeros.
    fn is_zeros(&self, segment: u64, len: u64) -> bool {
        match self {
            Self::Zeros => true,
            Self::Basis(job) => job.is_some_and(|job| job.is_zeros(segment, len)),
            Self::Bytes(_) => false,
        }
    }
}

/// The leaves of one file.
#[derive(Debug)]
pub struct Collected {
    size: u64,
    /// A segment that is missing is zeros as far as it is covered.
    segments: BTreeMap<u64, Box<[Leaf]>>,
}

impl Collected {
    pub fn new(size: u64) -> Self {
        Self { size, segments: BTreeMap::new() }
    }

    /// Leaves that take room.
    pub fn held(&self) -> u64 {
        self.segments.values().map(|leaves| leaves.len() as u64).sum()
    }

    /// Whether every leaf is known.
    pub fn is_whole(&self) -> bool {
        self.segments.values().all(|leaves| !leaves.contains(&Leaf::Unknown))
    }

    /// Leaves that an operation of `len` bytes at `offset` covers whole: the first, and how many.
    fn covered(&self, offset: u64, len: u64) -> (u64, u64) {
        let first = offset.div_ceil(LEAF);
        let end = offset.saturating_add(len);
        // The last leaf of the file may be short.
        let past = if end >= self.size { self.size.div_ceil(LEAF) } else { end / LEAF };
        (first, past.saturating_sub(first))
    }

    /// Whether a segment is known of already.
    fn knows(&self, segment: u64) -> bool {
        self.segments.contains_key(&segment)
    }

    /// Whether an operation is all of its segment.
    fn is_segment(&self, offset: u64, len: u64) -> bool {
        offset.is_multiple_of(SEGMENT_LEN) && len == self.size.saturating_sub(offset).min(SEGMENT_LEN)
    }

    fn set(&mut self, segment: u64, first: u64, leaves: &[Leaf]) {
        let count = usize::try_from(leaves_of(segment, self.size)).unwrap_or(0);
        let known = self.segments.entry(segment).or_insert_with(|| vec![Leaf::Unknown; count].into());
        let start = usize::try_from(first.saturating_sub(segment * (SEGMENT_LEN / LEAF))).unwrap_or(usize::MAX);
        known.iter_mut().skip(start).zip(leaves).for_each(|(to, from)| *to = *from);
    }

    /// All leaves, once the file is whole; `read` fills a buffer from an offset on. `None` when something cannot be read.
    pub fn complete(
        self,
        record: impl Fn(&[u8]) -> LeafRecord,
        read: impl Fn(&mut [u8], u64) -> bool,
    ) -> Option<FileLeaves> {
        let mut complete = FileLeaves::new();
        let mut buffer = vec![0; LEAF_LEN];
        for (segment, leaves) in self.segments {
            if leaves.iter().all(|leaf| *leaf == Leaf::Zeros) {
                continue;
            }
            let mut records = Vec::with_capacity(leaves.len());
            for (offset, leaf) in (segment * SEGMENT_LEN..).step_by(LEAF_LEN).zip(&leaves) {
                let len = usize::try_from(self.size.saturating_sub(offset).min(LEAF)).unwrap_or(0);
                let buffer = buffer.get_mut(..len)?;
                records.push(match leaf {
                    Leaf::Known(known) => *known,
                    Leaf::Zeros => {
                        buffer.fill(0);
                        record(buffer)
                    }
                    Leaf::Unknown if read(buffer, offset) => record(buffer),
                    Leaf::Unknown => return None,
                });
            }
            complete.insert(segment, records.into());
        }
        Some(complete)
    }
}

impl Receiving {
    /// An operation of an arriving file has come: what will be known of the leaves it covers is collected. To be called
    /// before it is covered: a file that is covered and has a segment nobody spoke of has zeros there.
    pub fn collect(&self, arriving: &Arriving, offset: u64, len: u64, origin: &Origin<'_>) {
        let mut collecting = crate::session::fate::lock(&arriving.leaves);
        let Some(collected) = collecting.as_mut() else { return };
        let segment = offset / SEGMENT_LEN;
        // What crosses a segment's end is refused when it is covered; nothing may be allocated for it before.
        let room = collected.size.saturating_sub(segment.saturating_mul(SEGMENT_LEN)).min(SEGMENT_LEN);
        if len > room || (collected.is_segment(offset, len) && origin.is_zeros(segment, len)) {
            return;
        }
        if !collected.knows(segment) && !self.cache.hold(leaves_of(segment, collected.size)) {
            self.cache.let_go(collected.held().saturating_add(leaves_of(segment, collected.size)));
            *collecting = None;
            return;
        }
        let (size, (first, count)) = (collected.size, collected.covered(offset, len));
        // Marked as known of before the lock is let go: its room was taken.
        collected.set(segment, first, &[]);
        drop(collecting);
        let leaves: Vec<Leaf> =
            (first..first.saturating_add(count)).map(|leaf| self.leaf(size, leaf, offset, origin)).collect();
        if let Some(collected) = crate::session::fate::lock(&arriving.leaves).as_mut() {
            collected.set(segment, first, &leaves);
        }
    }

    /// What is remembered of a leaf.
    pub fn record(&self, leaf: &[u8]) -> LeafRecord {
        LeafRecord { digest: leaf_digest(&self.leaf_key, leaf), anchor: self.anchors.of(leaf) }
    }

    fn leaf(&self, size: u64, leaf: u64, offset: u64, origin: &Origin<'_>) -> Leaf {
        let start = leaf * LEAF;
        let len = size.saturating_sub(start).min(LEAF);
        match origin {
            Origin::Zeros => Leaf::Zeros,
            Origin::Basis(job) => job.map_or(Leaf::Unknown, |job| job.leaf(leaf, len)),
            Origin::Bytes(bytes) => {
                let from = usize::try_from(start.saturating_sub(offset)).unwrap_or(usize::MAX);
                let bytes = bytes.get(from..).and_then(|rest| rest.get(..usize::try_from(len).ok()?));
                bytes.map_or(Leaf::Unknown, |bytes| Leaf::Known(self.record(bytes)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Anchor, LeafDigest, LeafKey};

    fn record(leaf: &[u8]) -> LeafRecord {
        LeafRecord { digest: leaf_digest(&LeafKey([1; 32]), leaf), anchor: Anchor::default() }
    }

    #[test]
    fn only_leaves_that_are_covered_whole_count() {
        let collected = Collected::new(5 * LEAF + 10);
        assert_eq!(collected.covered(0, 2 * LEAF), (0, 2));
        assert_eq!(collected.covered(1, 2 * LEAF), (1, 1));
        assert_eq!(collected.covered(4096, 4096), (1, 0));
        assert_eq!(collected.covered(5 * LEAF, 10), (5, 1), "the last one is short");
        assert_eq!(collected.covered(5 * LEAF + 1, 9), (6, 0));
        assert!(collected.is_segment(0, 5 * LEAF + 10) && !collected.is_segment(0, 5 * LEAF));
    }

    #[test]
    fn what_is_unknown_is_read_and_zeros_are_not() {
        let mut collected = Collected::new(2 * SEGMENT_LEN + 3 * LEAF);
        let known = LeafRecord { digest: LeafDigest([7; 16]), anchor: Anchor(5) };
        collected.set(2, 256, &[Leaf::Known(known), Leaf::Zeros]);
        collected.set(1, 128, &[Leaf::Zeros; 128]);
        assert!(!collected.is_whole());
        let read = |buffer: &mut [u8], offset: u64| {
            assert_eq!(offset, 2 * SEGMENT_LEN + 2 * LEAF);
            buffer.fill(9);
            true
        };
        let leaves = collected.complete(record, read).unwrap();
        let of = |byte| record(&vec![byte; LEAF_LEN]);
        assert_eq!(leaves.of_segment(2), [known, of(0), of(9)]);
        assert_eq!(leaves.count(), 3, "segments of zeros are not stored");
    }

    #[test]
    fn what_cannot_be_read_is_not_remembered() {
        let mut collected = Collected::new(LEAF);
        collected.set(0, 0, &[]);
        assert!(collected.complete(record, |_, _| false).is_none());
    }
}
