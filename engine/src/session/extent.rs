//! Which segments of a basis are described by leaves, and which leaves are answered: both sides count alike.

use crate::types::limits::{LEAF_LEN, SEGMENT_LEN, SHIFT_AHEAD};

/// A file of the source and the basis it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Bytes of the source.
    pub source_len: u64,
    /// Bytes of the basis; 0 when there is none.
    pub basis_len: u64,
    /// Pieces may come from other offsets of the basis.
    pub movable: bool,
}

impl Compared {
    /// Segments of the basis whose leaves are sent: those that both have, and a few more of a movable basis, for bytes that
    /// were removed.
    #[must_use]
    pub fn listed(&self) -> u64 {
        let more = if self.movable { SHIFT_AHEAD } else { 0 };
        let source = self.source_len.div_ceil(SEGMENT_LEN);
        if self.source_len == 0 { 0 } else { self.basis_len.div_ceil(SEGMENT_LEN).min(source.saturating_add(more)) }
    }

    /// Segments of the source that answer leaves, and return their credit.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.listed().min(self.source_len.div_ceil(SEGMENT_LEN))
    }

    /// Bytes of the basis within a segment.
    #[must_use]
    pub fn basis_in(&self, segment: u64) -> u64 {
        let start = segment.saturating_mul(SEGMENT_LEN);
        self.basis_len.saturating_sub(start).min(SEGMENT_LEN)
    }

    /// Leaves of a segment that count against the credit: none of those that are not answered.
    #[must_use]
    pub fn credit(&self, segment: u64) -> u64 {
        if segment < self.answered() { self.basis_in(segment).div_ceil(LEAF_LEN as u64) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_beyond_the_source_are_few_and_cost_no_credit() {
        let of = |source_len, basis_len, movable| Compared { source_len, basis_len, movable };
        let fixed = of(3 * SEGMENT_LEN + 1, 9 * SEGMENT_LEN, false);
        assert_eq!((fixed.listed(), fixed.answered(), fixed.credit(3), fixed.credit(4)), (4, 4, 128, 0));
        let movable = of(3 * SEGMENT_LEN + 1, 9 * SEGMENT_LEN, true);
        assert_eq!((movable.listed(), movable.answered(), movable.credit(3), movable.credit(4)), (8, 4, 128, 0));
        assert_eq!(of(9 * SEGMENT_LEN, 2 * SEGMENT_LEN + 1, true).listed(), 3);
        assert_eq!(of(9 * SEGMENT_LEN, 2 * SEGMENT_LEN + 1, true).credit(2), 1);
        assert_eq!(of(9, 0, true).listed(), 0);
        assert_eq!(of(0, 9, true).listed(), 0);
    }
}
