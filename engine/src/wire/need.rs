//! What the receiver answers to a batch: which contents it wants, and the leaves of what it has.

use crate::types::{Anchor, BatchId, EntryIndex, LeafDigest, SegmentIndex, limits};

use super::attributes::FILE_SIZE_MAX;
use super::cursor::Cursor;
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};

/// Bytes of a leaf's digest.
const LEAF_DIGEST_LEN: usize = 16;
/// The largest segment of a file of the largest size.
pub(super) const SEGMENT_MAX: u64 = FILE_SIZE_MAX / limits::SEGMENT_LEN;

/// The contents of a batch that are wanted. Comes at most once a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The batch.
    pub batch: BatchId,
    /// Strictly increasing by index; at most `BATCH_ENTRIES_MAX`.
    pub items: Vec<NeedItem>,
}

/// One file that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedItem {
    /// The entry.
    pub index: EntryIndex,
    /// What is there already.
    pub have: Have,
}

/// What the receiver has of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Have {
    /// Nothing to compare with.
    Nothing,
    /// A basis; its leaves follow.
    Basis {
        /// Its bytes, at most 2^63-1.
        len: u64,
        /// Pieces may come from other offsets of it than their own: the file is built anew then.
        movable: bool,
    },
}

/// Digests of the leaves of one segment of the receiver's basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// The segment.
    pub segment: SegmentIndex,
    /// 1 to `SEGMENT_LEAVES`, from the segment's start; none when all of the basis in this segment is zeros.
    pub digests: Vec<LeafDigest>,
    /// The leaves' anchors, as many as there are digests, for a basis that is movable; else none.
    pub anchors: Vec<Anchor>,
}

/// Leaves of one segment that differ: the sender asks for their pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// The segment.
    pub segment: SegmentIndex,
    /// 1 to `SEGMENT_LEAVES` leaves of the segment, strictly increasing.
    pub leaves: Vec<u8>,
}

/// Digests of the pages of the leaves that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// The segment.
    pub segment: SegmentIndex,
    /// Leaf after leaf in the order asked, each leaf's pages from its start; a leaf cut by the basis' end has fewer.
    pub digests: Vec<LeafDigest>,
}

/// A basis' pieces may come from other offsets.
const MOVABLE: u64 = 1;
/// Anchors follow the digests.
const ANCHORED: u64 = 1;
const ANCHOR_SUM_LEN: usize = 4;

impl Need {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Need, 32 + self.items.len() * 8);
        writer.uint(self.batch.0).uint(self.items.len() as u64);
        let mut indexes = Indexes::default();
        for NeedItem { index, have } in &self.items {
            writer.uint(indexes.difference(*index));
            match have {
                Have::Nothing => writer.optional(None),
                Have::Basis { len, movable } => writer.optional(Some(*len)).uint(u8::from(*movable)),
            };
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let count = cursor.count("count of items", limits::BATCH_ENTRIES_MAX, 2)?;
        let mut items = Vec::with_capacity(count);
        let mut indexes = Indexes::default();
        for _ in 0..count {
            let index = indexes.read(&mut cursor)?;
            let have = match cursor.optional("length of a basis", FILE_SIZE_MAX)? {
                None => Have::Nothing,
                Some(len) => Have::Basis { len, movable: cursor.flags("flags of a basis", MOVABLE)? != 0 },
            };
            items.push(NeedItem { index, have });
        }
        cursor.finish()?;
        Ok(Self { batch, items })
    }
}

impl Leaves {
    pub(super) fn encode(&self) -> Vec<u8> {
        let len = 40 + self.digests.len() * (LEAF_DIGEST_LEN + ANCHOR_SUM_LEN);
        let mut writer = FrameWriter::with_capacity(FrameKind::Leaves, len);
        writer.uint(self.batch.0).uint(self.index.0).uint(self.segment.0).uint(self.digests.len() as u64);
        for digest in &self.digests {
            writer.raw(&digest.0);
        }
        writer.uint(u8::from(!self.anchors.is_empty()));
        for anchor in &self.anchors {
            writer.raw(&anchor.0.to_be_bytes());
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let segment = SegmentIndex(cursor.bounded("segment", 0, SEGMENT_MAX)?);
        let count = cursor.count("count of leaves", limits::SEGMENT_LEAVES, LEAF_DIGEST_LEN)?;
        let digests = digests(&mut cursor, count)?;
        let anchored = cursor.flags("flags of leaves", ANCHORED)? != 0;
        let mut anchors = Vec::new();
        // No more than there are digests, which have been read.
        for _ in 0..if anchored { count } else { 0 } {
            anchors.push(Anchor(u32::from_be_bytes(cursor.array("anchor")?)));
        }
        cursor.finish()?;
        Ok(Self { batch, index, segment, digests, anchors })
    }
}

impl Ask {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Ask, 40 + self.leaves.len());
        writer.uint(self.batch.0).uint(self.index.0).uint(self.segment.0).uint(self.leaves.len() as u64);
        writer.raw(&self.leaves);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let segment = SegmentIndex(cursor.bounded("segment", 0, SEGMENT_MAX)?);
        let count = cursor.count("count of leaves", limits::SEGMENT_LEAVES, 1)?;
        let mut leaves: Vec<u8> = Vec::with_capacity(count);
        for _ in 0..count {
            let [leaf] = cursor.array("leaf")?;
            if usize::from(leaf) >= limits::SEGMENT_LEAVES || leaves.last().is_some_and(|last| *last >= leaf) {
                return Err(WireError::Order("leaf"));
            }
            leaves.push(leaf);
        }
        cursor.finish()?;
        Ok(Self { batch, index, segment, leaves })
    }
}

impl Pages {
    pub(super) fn encode(&self) -> Vec<u8> {
        let len = 40 + self.digests.len() * LEAF_DIGEST_LEN;
        let mut writer = FrameWriter::with_capacity(FrameKind::Pages, len);
        writer.uint(self.batch.0).uint(self.index.0).uint(self.segment.0).uint(self.digests.len() as u64);
        for digest in &self.digests {
            writer.raw(&digest.0);
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let segment = SegmentIndex(cursor.bounded("segment", 0, SEGMENT_MAX)?);
        let max = limits::SEGMENT_LEAVES * limits::LEAF_PAGES;
        let count = cursor.count("count of pages", max, LEAF_DIGEST_LEN)?;
        let digests = digests(&mut cursor, count)?;
        cursor.finish()?;
        Ok(Self { batch, index, segment, digests })
    }
}

/// `count` digests; there is room for them in what is left of the frame.
fn digests(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<LeafDigest>, WireError> {
    let mut digests = Vec::with_capacity(count);
    for _ in 0..count {
        digests.push(LeafDigest(cursor.array("digest")?));
    }
    Ok(digests)
}

/// An entry's place in its batch.
pub(super) fn index(cursor: &mut Cursor<'_>) -> Result<EntryIndex, WireError> {
    Ok(EntryIndex(cursor.uint32("index", limits::BATCH_ENTRIES_MAX as u32 - 1)?))
}

/// Strictly increasing indexes: the first as it is, each other as the difference to the one before.
#[derive(Default)]
pub(super) struct Indexes {
    before: Option<u32>,
}

impl Indexes {
    /// What is written for `index`. One that does not increase becomes 0, which the peer refuses.
    pub(super) fn difference(&mut self, index: EntryIndex) -> u32 {
        let before = self.before.replace(index.0);
        before.map_or(index.0, |before| index.0.saturating_sub(before))
    }

    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<EntryIndex, WireError> {
        let EntryIndex(difference) = index(cursor)?;
        let max = limits::BATCH_ENTRIES_MAX as u32 - 1;
        let index = match self.before {
            None => difference,
            Some(_) if difference == 0 => return Err(WireError::Order("index")),
            Some(before) => before.saturating_add(difference),
        };
        if index > max {
            return Err(WireError::Bound { field: "index", value: u64::from(index), min: 0, max: u64::from(max) });
        }
        self.before = Some(index);
        Ok(EntryIndex(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &[u8]) -> Result<Need, WireError> {
        Need::decode(&Frame::new([&[0x20], body].concat()).unwrap())
    }

    #[test]
    fn indexes_must_increase_and_stay_in_the_batch() {
        assert!(decode(&[0, 2, 0, 0, 1, 0]).is_ok());
        assert_eq!(decode(&[0, 2, 5, 0, 0, 0]), Err(WireError::Order("index")));
        // 1000 and 24 more is one past the last place of 1024.
        assert!(matches!(decode(&[0, 2, 0xe8, 7, 0, 24, 0]), Err(WireError::Bound { value: 1024, .. })));
    }

    #[test]
    fn an_empty_basis_is_not_no_basis() {
        let need = decode(&[0, 2, 0, 0, 1, 1, 1]).unwrap();
        assert_eq!(
            need.items.iter().map(|item| item.have).collect::<Vec<_>>(),
            [Have::Nothing, Have::Basis { len: 0, movable: true }]
        );
    }

    #[test]
    fn leaves_asked_for_increase_and_lie_in_the_segment() {
        let ask = |leaves: &[u8]| {
            let body = [&[0x17, 0, 0, 0, leaves.len() as u8], leaves].concat();
            Ask::decode(&Frame::new(body).unwrap()).map(|ask| ask.leaves)
        };
        assert_eq!(ask(&[0, 5, 127]), Ok(vec![0, 5, 127]));
        assert_eq!(ask(&[5, 5]), Err(WireError::Order("leaf")));
        assert_eq!(ask(&[128]), Err(WireError::Order("leaf")));
    }
}
