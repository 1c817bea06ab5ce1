//! What aligning makes of inserted, removed, swapped and repeated content: the pieces always make the source again.

use std::sync::Arc;

use crate::types::limits::SEGMENT_LEN;

use super::super::{SegmentLeaves, leaf_digests};
use super::*;

const KEY: LeafKey = LeafKey([6; 32]);

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = 2 * seed + 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 8) as u8
    })
    .take(len)
    .collect()
}

fn known(basis: &[u8]) -> Known {
    let anchors = Anchors::new(&KEY);
    let segments = (0..).zip(basis.chunks(SEGMENT_LEN as usize)).map(|(number, segment)| {
        let anchors = segment.chunks(LEAF_LEN).map(|leaf| anchors.of(leaf)).collect();
        (number, Arc::new(SegmentLeaves { digests: leaf_digests(&KEY, segment), anchors }))
    });
    Known { len: basis.len() as u64, segments: segments.collect() }
}

/// All of `source` as one stretch, and the pieces put together again from `basis`.
fn aligned(source: &[u8], basis: &[u8], hint: Shift, search: Search) -> Aligned {
    let surroundings = Surroundings { bytes: source, start: 0, from: 0, to: source.len() as u64 };
    let aligned = align((&KEY, &Anchors::new(&KEY)), surroundings, &known(basis), hint, search);
    let mut made = Vec::new();
    for piece in &aligned.pieces {
        let (at, len) = (made.len(), piece.len() as usize);
        match *piece {
            Piece::Copy(_) => made.extend(&basis[at..at + len]),
            Piece::Moved { from, .. } => made.extend(&basis[from as usize..from as usize + len]),
            Piece::Literal(_) => made.extend(&source[at..at + len]),
            Piece::Zero(_) => made.resize(at + len, 0),
        }
    }
    assert!(made == source, "the pieces do not make the source");
    aligned
}

fn literal(aligned: &Aligned) -> u64 {
    aligned.pieces.iter().filter(|piece| matches!(piece, Piece::Literal(_))).map(|piece| piece.len()).sum()
}

#[test]
fn inserted_bytes_cost_one_leaf_and_the_shift_holds_on() {
    let basis = noise(60 * LEAF_LEN, 1);
    let mut source = basis.clone();
    source.splice(20 * LEAF_LEN + 77..20 * LEAF_LEN + 77, [1; 19]);
    let found = aligned(&source, &basis, 0, Search::Allowed);
    assert_eq!(found.pieces.len(), 3);
    assert_eq!((found.shift, found.lost, literal(&found)), (19, false, LEAF + 19));
    // With the shift as a hint nothing has to be looked for.
    assert_eq!(literal(&aligned(&source[21 * LEAF_LEN..], &basis, -(21 * LEAF as i64) + 19, Search::Spared)), 19);
}

#[test]
fn removed_moved_and_repeated_content_is_found() {
    let basis = noise(100 * LEAF_LEN, 2);
    let removed = [&basis[..30 * LEAF_LEN + 5], &basis[40 * LEAF_LEN + 9..]].concat();
    assert!(literal(&aligned(&removed, &basis, 0, Search::Allowed)) <= 2 * LEAF);
    let swapped = [&basis[50 * LEAF_LEN..], &basis[..50 * LEAF_LEN]].concat();
    assert_eq!(literal(&aligned(&swapped, &basis, 0, Search::Allowed)), 0);
    let far = [noise(30 * LEAF_LEN + 1, 3), basis.clone()].concat();
    assert_eq!(literal(&aligned(&far, &basis, 0, Search::Allowed)), 30 * LEAF + 1);
}

#[test]
fn what_is_nowhere_is_literal_and_said() {
    let basis = noise(40 * LEAF_LEN, 4);
    let other = noise(40 * LEAF_LEN, 5);
    let lost = aligned(&other, &basis, 0, Search::Allowed);
    assert_eq!((lost.pieces.as_slice(), lost.lost), ([Piece::Literal(40 * LEAF)].as_slice(), true));
    assert!(!aligned(&other, &basis, 0, Search::Spared).lost);
}

#[test]
fn zeros_and_alike_content_end_soon() {
    let basis = vec![7; 40 * LEAF_LEN];
    let mut source = basis.clone();
    source.insert(3, 8);
    aligned(&source, &basis, 0, Search::Allowed);
    let zeros = vec![0; 40 * LEAF_LEN];
    assert_eq!(aligned(&zeros, &basis, 0, Search::Allowed).pieces, [Piece::Zero(40 * LEAF)]);
    aligned(&basis, &zeros, 0, Search::Allowed);
    aligned(&basis, &[], 19, Search::Allowed);
}

#[test]
fn leaves_that_reach_over_the_segments_ends_are_seen_by_both() {
    let basis = noise(60 * LEAF_LEN, 9);
    let source = [vec![1; 1_000], basis.clone()].concat();
    let (from, to) = (20 * LEAF, 40 * LEAF);
    let start = from - LEAF;
    let bytes = &source[start as usize..(to + LEAF) as usize];
    let surroundings = Surroundings { bytes, start, from, to };
    let found = align((&KEY, &Anchors::new(&KEY)), surroundings, &known(&basis), 1_000, Search::Allowed);
    assert_eq!(found.pieces, [Piece::Moved { from: from - 1_000, len: 20 * LEAF }]);
}

#[test]
fn random_edits_always_make_the_source_again() {
    let basis = noise(50 * LEAF_LEN + 123, 11);
    let mut random = noise(4_000, 12).into_iter().map(usize::from);
    let mut next = |below: usize| (0..4).fold(0, |sum, _| sum * 256 + random.next().unwrap_or(3)) % below;
    for _ in 0..30 {
        let mut source = basis.clone();
        for _ in 0..=next(4) {
            let (at, len) = (next(source.len()), next(200_000));
            match next(4) {
                0 => drop(source.splice(at..at, noise(len, at as u64))),
                1 => drop(source.drain(at..(at + len).min(basis.len() / 2).max(at))),
                2 => source.iter_mut().skip(at).take(len).for_each(|byte| *byte = 0),
                _ => source.rotate_left(at),
            }
        }
        aligned(&source, &basis, 0, Search::Allowed);
        aligned(&source, &basis, next(100_000) as i64 - 50_000, Search::Allowed);
    }
}
