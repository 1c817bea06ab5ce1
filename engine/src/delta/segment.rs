//! One segment of the source against the leaf digests of the same segment of the basis.

use crate::types::{LeafDigest, LeafKey, limits::LEAF_LEN};

use super::leaf_digest;

/// A run of a segment, from its start, without gap: where its bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The basis has these bytes at the same offset.
    Copy(u64),
    /// These bytes must be sent.
    Literal(u64),
    /// These bytes are zeros, and the basis has something else.
    Zero(u64),
}

impl Piece {
    /// Its bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Copy(len) | Self::Literal(len) | Self::Zero(len) => len,
        }
    }

    /// True for a run of nothing; `compare_segment` makes none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Compares a segment's bytes with what the receiver said of its own copy.
///
/// `source` is the whole segment as read. `basis` are the digests of the basis' leaves of the same segment, and
/// `basis_len` the bytes of the basis in this segment. A leaf is equal only when it spans the same bytes on both sides.
/// Neighbouring runs of a kind are one.
#[must_use]
pub fn compare_segment(key: &LeafKey, source: &[u8], basis: &[LeafDigest], basis_len: u64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut start = 0_u64;
    let mut digests = basis.iter();
    for leaf in source.chunks(LEAF_LEN) {
        let len = leaf.len() as u64;
        let of_basis = basis_len.saturating_sub(start).min(LEAF_LEN as u64);
        let equal = digests.next().is_some_and(|theirs| of_basis == len && *theirs == leaf_digest(key, leaf));
        let piece = match equal {
            true => Piece::Copy(len),
            false if leaf.iter().all(|byte| *byte == 0) => Piece::Zero(len),
            false => Piece::Literal(len),
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Copy(run)), Piece::Copy(len))
            | (Some(Piece::Literal(run)), Piece::Literal(len))
            | (Some(Piece::Zero(run)), Piece::Zero(len)) => *run += len,
            (_, piece) => pieces.push(piece),
        }
        start += len;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::leaf_digests;
    use super::*;

    const KEY: LeafKey = LeafKey([9; 32]);
    const LEAF: u64 = LEAF_LEN as u64;

    fn compare(source: &[u8], basis: &[u8]) -> Vec<Piece> {
        compare_segment(&KEY, source, &leaf_digests(&KEY, basis), basis.len() as u64)
    }

    #[test]
    fn equal_segments_are_one_copy() {
        let bytes = vec![5; 3 * LEAF_LEN + 100];
        assert_eq!(compare(&bytes, &bytes), [Piece::Copy(3 * LEAF + 100)]);
    }

    #[test]
    fn only_the_leaf_that_differs_is_literal() {
        let basis = vec![5; 4 * LEAF_LEN];
        let mut source = basis.clone();
        source[LEAF_LEN + 7] = 6;
        assert_eq!(compare(&source, &basis), [Piece::Copy(LEAF), Piece::Literal(LEAF), Piece::Copy(2 * LEAF)]);
    }

    #[test]
    fn a_short_last_leaf_counts_only_when_both_end_there() {
        let basis = vec![5; LEAF_LEN + 10];
        let longer = vec![5; LEAF_LEN + 11];
        let shorter = vec![5; LEAF_LEN + 9];
        assert_eq!(compare(&longer, &basis), [Piece::Copy(LEAF), Piece::Literal(11)]);
        assert_eq!(compare(&shorter, &basis), [Piece::Copy(LEAF), Piece::Literal(9)]);
    }

    #[test]
    fn too_many_or_too_few_digests_prove_nothing() {
        let source = vec![5; 2 * LEAF_LEN];
        let one = leaf_digests(&KEY, &source[..LEAF_LEN]);
        assert_eq!(compare_segment(&KEY, &source, &one, 2 * LEAF), [Piece::Copy(LEAF), Piece::Literal(LEAF)]);
        let three = leaf_digests(&KEY, &[source.clone(), source.clone()].concat());
        assert_eq!(compare_segment(&KEY, &source, &three, 4 * LEAF), [Piece::Copy(2 * LEAF)]);
    }

    #[test]
    fn zeros_over_something_else_are_not_sent() {
        let basis = vec![5; 3 * LEAF_LEN];
        let mut source = basis.clone();
        source[LEAF_LEN..].fill(0);
        assert_eq!(compare(&source, &basis), [Piece::Copy(LEAF), Piece::Zero(2 * LEAF)]);
    }

    #[test]
    fn nothing_is_no_pieces() {
        assert_eq!(compare(&[], &[1]), []);
    }
}
