//! One segment of the source against the leaf digests of the same segment of the basis.

use crate::types::limits::{LEAF_LEN, PAGE_LEN};
use crate::types::{LeafDigest, LeafKey};

use super::leaf_digest;

/// A run of a segment, from its start, without gap: where its bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The basis has these bytes at the same offset.
    Copy(u64),
    /// The basis has these bytes at another offset.
    Moved {
        /// Where in the basis.
        from: u64,
        /// Bytes.
        len: u64,
    },
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
            Self::Copy(len) | Self::Literal(len) | Self::Zero(len) | Self::Moved { len, .. } => len,
        }
    }

    /// True for a run of nothing; `compare_segment` makes none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// What is known of the basis in a segment or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis<'a> {
    /// The digests of its leaves (or pages), from the start.
    Digests(&'a [LeafDigest]),
    /// All of it is zeros.
    Zeros,
}

/// Compares a segment's bytes with what the receiver said of its own copy.
///
/// `source` is the whole segment as read, `basis` its leaves, and `basis_len` the bytes of the basis in this segment. A
/// leaf is equal only when it spans the same bytes on both sides. Neighbouring runs of a kind are one.
#[must_use]
pub fn compare_segment(key: &LeafKey, source: &[u8], basis: Basis<'_>, basis_len: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    compare_onto(&mut pieces, key, source, basis, basis_len);
    pieces
}

/// [`compare_segment`] for the next part of a segment, of whole leaves but for the last part: its pieces go on from those
/// there are. `basis` and `basis_len` are what is left from this part on.
pub fn compare_onto(pieces: &mut Vec<Piece>, key: &LeafKey, source: &[u8], basis: Basis<'_>, basis_len: u64) {
    compare(pieces, key, (source, LEAF_LEN), basis, basis_len);
}

/// Compares one leaf's bytes with the pages of the same leaf of the basis, of which `basis_len` bytes exist.
#[must_use]
pub fn compare_pages(key: &LeafKey, source: &[u8], pages: &[LeafDigest], basis_len: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    compare(&mut pieces, key, (source, PAGE_LEN), Basis::Digests(pages), basis_len);
    pieces
}

/// [`compare_segment`] for `len` bytes that are a hole at the source: nothing was read.
#[must_use]
pub fn compare_hole(key: &LeafKey, len: u64, basis: Basis<'_>, basis_len: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    compare_hole_onto(&mut pieces, key, len, basis, basis_len);
    pieces
}

/// [`compare_onto`] for `len` bytes that are a hole at the source.
pub fn compare_hole_onto(pieces: &mut Vec<Piece>, key: &LeafKey, len: u64, basis: Basis<'_>, basis_len: u64) {
    let zeros = vec![0; LEAF_LEN];
    let mut start = 0_u64;
    let mut digests = match basis {
        Basis::Digests(digests) => digests.iter(),
        Basis::Zeros => [].iter(),
    };
    let mut whole = None;
    while start < len {
        let part = (len - start).min(LEAF_LEN as u64);
        let of_basis = basis_len.saturating_sub(start).min(LEAF_LEN as u64);
        let zero = || zeros.get(..usize::try_from(part).unwrap_or(0)).unwrap_or_default();
        let same = match digests.next() {
            _ if basis == Basis::Zeros => true,
            Some(theirs) if part == LEAF_LEN as u64 => {
                *theirs == *whole.get_or_insert_with(|| leaf_digest(key, zero()))
            }
            Some(theirs) => *theirs == leaf_digest(key, zero()),
            None => false,
        };
        push(pieces, if same && of_basis == part { Piece::Copy(part) } else { Piece::Zero(part) });
        start += part;
    }
}

fn compare(pieces: &mut Vec<Piece>, key: &LeafKey, (source, unit): (&[u8], usize), basis: Basis<'_>, basis_len: u64) {
    let mut start = 0_u64;
    let mut digests = match basis {
        Basis::Digests(digests) => digests.iter(),
        Basis::Zeros => [].iter(),
    };
    for leaf in source.chunks(unit) {
        let len = leaf.len() as u64;
        let theirs = digests.next();
        let spans = basis_len.saturating_sub(start).min(unit as u64) == len;
        let is_zero = || leaf.iter().all(|byte| *byte == 0);
        let equal = spans
            && match basis {
                Basis::Digests(_) => theirs.is_some_and(|theirs| *theirs == leaf_digest(key, leaf)),
                Basis::Zeros => is_zero(),
            };
        let piece = match equal {
            true => Piece::Copy(len),
            false if is_zero() => Piece::Zero(len),
            false => Piece::Literal(len),
        };
        push(pieces, piece);
        start += len;
    }
}

/// Adds a run, to the one before it when they are of a kind.
pub(super) fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (Some(Piece::Moved { from: begun, len: run }), Piece::Moved { from, len }) if *begun + *run == from => {
            *run += len
        }
        (Some(Piece::Copy(run)), Piece::Copy(len))
        | (Some(Piece::Literal(run)), Piece::Literal(len))
        | (Some(Piece::Zero(run)), Piece::Zero(len)) => *run += len,
        (_, piece) => pieces.push(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaf_digests;
    use super::*;

    const KEY: LeafKey = LeafKey([9; 32]);
    const LEAF: u64 = LEAF_LEN as u64;

    fn compare(source: &[u8], basis: &[u8]) -> Vec<Piece> {
        compare_segment(&KEY, source, Basis::Digests(&leaf_digests(&KEY, basis)), basis.len() as u64)
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
        assert_eq!(
            compare_segment(&KEY, &source, Basis::Digests(&one), 2 * LEAF),
            [Piece::Copy(LEAF), Piece::Literal(LEAF)]
        );
        let three = leaf_digests(&KEY, &[source.clone(), source.clone()].concat());
        assert_eq!(compare_segment(&KEY, &source, Basis::Digests(&three), 4 * LEAF), [Piece::Copy(2 * LEAF)]);
    }

    #[test]
    fn zeros_over_something_else_are_not_sent() {
        let basis = vec![5; 3 * LEAF_LEN];
        let mut source = basis.clone();
        source[LEAF_LEN..].fill(0);
        assert_eq!(compare(&source, &basis), [Piece::Copy(LEAF), Piece::Zero(2 * LEAF)]);
    }

    #[test]
    fn only_the_page_that_differs_is_literal() {
        let basis = vec![5; LEAF_LEN];
        let mut source = basis.clone();
        source[2 * PAGE_LEN + 1] = 6;
        source[5 * PAGE_LEN..6 * PAGE_LEN].fill(0);
        let pages: Vec<LeafDigest> = basis.chunks(PAGE_LEN).map(|page| leaf_digest(&KEY, page)).collect();
        let page = PAGE_LEN as u64;
        assert_eq!(
            compare_pages(&KEY, &source, &pages, LEAF),
            [
                Piece::Copy(2 * page),
                Piece::Literal(page),
                Piece::Copy(2 * page),
                Piece::Zero(page),
                Piece::Copy(10 * page)
            ]
        );
    }

    #[test]
    fn a_hole_compares_as_the_zeros_it_reads_as() {
        let mut basis = vec![0; 3 * LEAF_LEN];
        basis[LEAF_LEN] = 1;
        let digests = leaf_digests(&KEY, &basis);
        let zeros = vec![0; 2 * LEAF_LEN + 10];
        for known in [Basis::Digests(&digests), Basis::Zeros] {
            for (len, basis_len) in [(3 * LEAF, 3 * LEAF), (2 * LEAF + 10, 3 * LEAF), (3 * LEAF, LEAF)] {
                let read = vec![0; usize::try_from(len).unwrap()];
                let compared = compare_segment(&KEY, &read, known, basis_len);
                assert_eq!(compare_hole(&KEY, len, known, basis_len), compared);
            }
        }
        assert_eq!(compare_segment(&KEY, &zeros, Basis::Zeros, 2 * LEAF + 10), [Piece::Copy(2 * LEAF + 10)]);
    }

    #[test]
    fn nothing_is_no_pieces() {
        assert_eq!(compare(&[], &[1]), []);
    }
}
