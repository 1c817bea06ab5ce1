//! What a sender knows of a basis around the segment at hand: the leaves of some of its segments, and an index of their
//! anchors.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::limits::{LEAF_LEN, SEGMENT_LEAVES};
use crate::types::{Anchor, LeafDigest};

const LEAF: u64 = LEAF_LEN as u64;

/// The leaves of one segment of a basis, from its start; none when all of it is zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentLeaves {
    /// Their digests.
    pub digests: Vec<LeafDigest>,
    /// Their anchors, as many; or none at all, where shifts are not looked for.
    pub anchors: Vec<Anchor>,
}

/// Some segments of a basis.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Bytes of the whole basis.
    pub len: u64,
    /// By the number of the segment.
    pub segments: BTreeMap<u64, Arc<SegmentLeaves>>,
}

impl Known {
    /// The digest of leaf `leaf`, where it ends and starts in the basis, if it is known.
    #[must_use]
    pub fn leaf(&self, leaf: u64) -> Option<(LeafDigest, u64, u64)> {
        let within = usize::try_from(leaf % SEGMENT_LEAVES as u64).ok()?;
        let segment = self.segments.get(&(leaf / SEGMENT_LEAVES as u64))?;
        let digest = segment.digests.get(within)?;
        let start = leaf.checked_mul(LEAF).filter(|start| *start < self.len)?;
        Some((*digest, start, self.len.min(start.saturating_add(LEAF))))
    }
}

/// The anchors of what is known, to be looked up for every byte of a source: a small filter first, then the list.
#[derive(Debug)]
pub struct Index {
    filter: Box<[u64]>,
    /// Sorted; a leaf of zeros is not in it.
    leaves: Vec<(Anchor, u64)>,
}

/// Leaves that may have one anchor; the rest of such a crowd is not looked at.
const ALIKE_MAX: usize = 4;
const FILTER_WORDS: usize = 1_024;

impl Index {
    /// Of everything in `known`.
    #[must_use]
    pub fn new(known: &Known) -> Self {
        let mut index = Self { filter: vec![0; FILTER_WORDS].into_boxed_slice(), leaves: Vec::new() };
        for (segment, leaves) in &known.segments {
            for (number, anchor) in (segment * SEGMENT_LEAVES as u64..).zip(&leaves.anchors) {
                if *anchor != Anchor::default() {
                    let (word, bit) = place(*anchor);
                    index.filter.get_mut(word).into_iter().for_each(|word| *word |= bit);
                    index.leaves.push((*anchor, number));
                }
            }
        }
        index.leaves.sort_unstable();
        index
    }

    /// Whether there may be a leaf with this anchor.
    #[must_use]
    pub fn may_have(&self, anchor: Anchor) -> bool {
        let (word, bit) = place(anchor);
        self.filter.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The leaves with this anchor, not all when they are many.
    pub fn leaves(&self, anchor: Anchor) -> impl Iterator<Item = u64> + '_ {
        let from = self.leaves.partition_point(|(of, _)| *of < anchor);
        let rest = self.leaves.get(from..).unwrap_or_default();
        rest.iter().take_while(move |(of, _)| *of == anchor).take(ALIKE_MAX).map(|(_, leaf)| *leaf)
    }
}

/// The bit of the filter, by the upper sixteen bits of an anchor.
fn place(anchor: Anchor) -> (usize, u64) {
    let upper = anchor.0 >> 16;
    ((upper >> 6) as usize, 1 << (upper & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_found_by_number_and_by_anchor() {
        let leaves = |from: u8| SegmentLeaves {
            digests: (0..3).map(|n| LeafDigest([from + n; 16])).collect(),
            anchors: vec![Anchor(0xdead_beef), Anchor(0), Anchor(7 + u32::from(from))],
        };
        let segments = [(0, Arc::new(leaves(10))), (2, Arc::new(leaves(20)))].into();
        let known = Known { len: 2 * 128 * LEAF + 2 * LEAF + 5, segments };
        assert_eq!(known.leaf(0), Some((LeafDigest([10; 16]), 0, LEAF)));
        assert_eq!(known.leaf(258), Some((LeafDigest([22; 16]), 258 * LEAF, 258 * LEAF + 5)));
        assert_eq!((known.leaf(3), known.leaf(128), known.leaf(u64::MAX)), (None, None, None));
        let index = Index::new(&known);
        assert!(index.may_have(Anchor(0xdead_beef)) && !index.may_have(Anchor(0xbeef_dead)));
        assert_eq!(index.leaves(Anchor(0xdead_beef)).collect::<Vec<_>>(), [0, 256]);
        assert_eq!(index.leaves(Anchor(27)).collect::<Vec<_>>(), [258]);
        assert_eq!(index.leaves(Anchor(0)).count(), 0);
    }
}
