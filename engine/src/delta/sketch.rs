//! The stretch between two places of different shift: rsync's rolling signatures over a small window of the basis, by
//! `fast_rsync`, so that a byte inserted into a leaf does not cost the leaf.
//!
//! A signature from a peer is taken apart here before the library sees it: a block size of zero loops or panics there
//! (engine-study 2.2). Its MD4 is cut to eight bytes and proves nothing; what is put together from a delta is checked by
//! BLAKE3 before it is used.

use fast_rsync::{Signature, SignatureOptions};

use crate::types::limits::{DATA_LEN_MAX, LEAF_LEN, SKETCH_LEN_MAX, SKETCHES_MAX};

use super::align::Shift;
use super::segment::Piece;

const LEAF: u64 = LEAF_LEN as u64;
const CHUNK: u64 = DATA_LEN_MAX as u64;

/// Bytes of a block of a signature of `len` bytes.
fn block_len(len: u64) -> u32 {
    if len <= 2 * LEAF { 1_024 } else { 2_048 }
}

/// Bytes of the strong sum of a block.
const SUM_LEN: u32 = 8;
/// Bytes of a signature before its blocks: magic, block length, length of a strong sum.
const HEAD_LEN: usize = 12;
/// Bytes of a block in it: the rolling sum and the strong one.
const BLOCK_SUMS_LEN: u64 = 4 + SUM_LEN as u64;
/// librsync's number for signatures with MD4.
const MAGIC: [u8; 4] = [0x72, 0x73, 0x01, 0x36];
/// A stretch longer than this is looked at only at its ends: what is between them is new.
const STRETCH_WHOLE_MAX: u64 = 4 * CHUNK;
/// Less than this is sent as quickly.
const STRETCH_MIN: u64 = 512;

/// A part of the source that is compared with a window of the basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where in the source.
    pub at: u64,
    /// Bytes of the source, at most `DATA_LEN_MAX`.
    pub len: u64,
    /// Where in the basis.
    pub from: u64,
    /// Bytes of the basis, 1 to `SKETCH_LEN_MAX`.
    pub reach: u64,
}

/// A signature or a delta from a peer is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// The signature does not describe the window.
    #[error("a signature does not describe the bytes that were asked about")]
    Signature,
    /// The delta cannot be applied to the window, or makes another length.
    #[error("a delta does not fit the old content it was made for")]
    Delta,
}

/// The windows of the literal pieces of a segment that begins at `start`, between pieces that were found.
#[must_use]
pub fn windows(pieces: &[Piece], start: u64, basis_len: u64) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut at = start;
    for (number, piece) in pieces.iter().enumerate() {
        if let Piece::Literal(len) = *piece {
            let before = number.checked_sub(1).and_then(|n| pieces.get(n)).and_then(|piece| match *piece {
                Piece::Copy(_) => Some(at),
                Piece::Moved { from, len } => from.checked_add(len),
                Piece::Literal(_) | Piece::Zero(_) => None,
            });
            let after = pieces.get(number + 1).and_then(|piece| match *piece {
                Piece::Copy(_) => Some(at + len),
                Piece::Moved { from, .. } => Some(from),
                Piece::Literal(_) | Piece::Zero(_) => None,
            });
            if let Some((from, reach)) = reach(before, after, len, basis_len) {
                cut(at, len, from, reach, &mut windows);
            }
        }
        at += piece.len();
    }
    windows.truncate(SKETCHES_MAX);
    windows
}

/// The windows of long literal pieces in which neither leaf nor page was found: small edits everywhere. Each part is
/// compared with the basis where it stands by `shift`, and a leaf around.
#[must_use]
pub fn dense_windows(pieces: &[Piece], start: u64, basis_len: u64, shift: Shift) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut at = start;
    for piece in pieces {
        let end = at + piece.len();
        while matches!(piece, Piece::Literal(_)) && at < end {
            let len = (end - at).min(CHUNK);
            let middle = at.checked_add_signed(shift.saturating_neg()).unwrap_or(0);
            let from = middle.saturating_sub(LEAF);
            let to = middle.saturating_add(len + LEAF).min(basis_len);
            if from < to {
                windows.push(Window { at, len, from, reach: to - from });
            }
            at += len;
        }
        at = end;
    }
    windows.truncate(SKETCHES_MAX);
    windows
}

/// Where in the basis a stretch may come from, between the end of what is before it and the start of what is after.
fn reach(before: Option<u64>, after: Option<u64>, len: u64, basis_len: u64) -> Option<(u64, u64)> {
    let around = len.saturating_add(LEAF).min(SKETCH_LEN_MAX);
    let (from, to) = match (before, after) {
        (Some(before), Some(after)) if before < after => (before, after.min(before.saturating_add(SKETCH_LEN_MAX))),
        // Inserted and nothing else.
        (Some(before), Some(after)) if before == after => return None,
        (Some(before), None) => (before, before.saturating_add(around)),
        (_, Some(after)) => (after.saturating_sub(around), after),
        (None, None) => return None,
    };
    let to = to.min(basis_len);
    (len >= STRETCH_MIN && from < to).then_some((from, to - from))
}

/// Cuts a stretch into parts of one frame.
fn cut(at: u64, len: u64, from: u64, reach: u64, windows: &mut Vec<Window>) {
    let end = at + len;
    let mut next = at;
    while next < end {
        let part = (end - next).min(CHUNK);
        let inside = next > at && end - next > CHUNK;
        if len <= STRETCH_WHOLE_MAX || !inside {
            windows.push(Window { at: next, len: part, from, reach });
        }
        next += part;
    }
}

/// The signature of a window of the basis.
#[must_use]
pub fn sketch(window: &[u8]) -> Vec<u8> {
    let options = SignatureOptions { block_size: block_len(window.len() as u64), crypto_hash_size: SUM_LEN };
    Signature::calculate(window, options).into_serialized()
}

/// What makes `source` from the window of `reach` bytes that `signature` is of.
///
/// # Errors
/// When the signature is not one that [`sketch`] makes of a window of that length.
pub fn diff(signature: &[u8], reach: u64, source: &[u8]) -> Result<Vec<u8>, SketchError> {
    let blocks = reach.div_ceil(u64::from(block_len(reach)));
    let head = [MAGIC, block_len(reach).to_be_bytes(), SUM_LEN.to_be_bytes()].concat();
    let sums = signature.strip_prefix(head.as_slice()).ok_or(SketchError::Signature)?;
    if head.len() != HEAD_LEN || sums.len() as u64 != blocks * BLOCK_SUMS_LEN {
        return Err(SketchError::Signature);
    }
    let signature = Signature::deserialize(signature.to_vec()).map_err(|_| SketchError::Signature)?;
    let mut delta = Vec::new();
    fast_rsync::diff(&signature.index(), source, &mut delta).map_err(|_| SketchError::Signature)?;
    Ok(delta)
}

/// Puts together the `len` bytes that `delta` makes of `window`.
///
/// # Errors
/// When the delta reads outside the window or makes another length.
pub fn patch(window: &[u8], delta: &[u8], len: usize) -> Result<Vec<u8>, SketchError> {
    let mut made = Vec::with_capacity(len.min(DATA_LEN_MAX));
    fast_rsync::apply_limited(window, delta, &mut made, len).map_err(|_| SketchError::Delta)?;
    if made.len() == len { Ok(made) } else { Err(SketchError::Delta) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 8) as u8
        })
        .take(len)
        .collect()
    }

    #[test]
    fn inserted_bytes_cost_a_block_not_the_window() {
        for len in [700, LEAF_LEN, 300_000] {
            let window = noise(len, 5);
            let mut source = window.clone();
            source.splice(len / 2..len / 2, *b"nineteen bytes more");
            let delta = diff(&sketch(&window), len as u64, &source).unwrap();
            assert!(delta.len() < 4_200, "{len}: {}", delta.len());
            assert_eq!(patch(&window, &delta, source.len()), Ok(source));
        }
    }

    #[test]
    fn a_signature_that_lies_is_refused_before_the_library_sees_it() {
        let good = sketch(&noise(LEAF_LEN, 5));
        let refused = Err(SketchError::Signature);
        assert!(diff(&good, LEAF, &[1; 100]).is_ok());
        assert_eq!(diff(&good, LEAF + 1_024, &[1; 100]), refused);
        assert_eq!(diff(&good[..good.len() - 1], LEAF, &[1; 100]), refused);
        assert_eq!(diff(&[], LEAF, &[1; 100]), refused);
        for (place, lie) in [(4, 0_u32), (4, u32::MAX), (4, 1_025), (8, 0), (8, 16), (8, u32::MAX), (0, 0x7273_0137)] {
            let mut bad = good.clone();
            bad[place..place + 4].copy_from_slice(&lie.to_be_bytes());
            assert_eq!(diff(&bad, LEAF, &[1; 100]), refused, "{place} {lie}");
        }
    }

    #[test]
    fn a_delta_that_lies_makes_nothing() {
        let window = noise(5_000, 7);
        let delta = diff(&sketch(&window), 5_000, &window).unwrap();
        assert_eq!(patch(&window, &delta, 4_999), Err(SketchError::Delta));
        assert_eq!(patch(&window, &delta, 5_001), Err(SketchError::Delta));
        assert_eq!(patch(&window[..1_000], &delta, 5_000), Err(SketchError::Delta));
        for end in 0..delta.len() {
            assert!(patch(&window, &delta[..end], 5_000).is_err(), "{end}");
        }
    }

    #[test]
    fn windows_lie_between_what_was_found() {
        let at = |from, len| Piece::Moved { from, len };
        let pieces = [Piece::Copy(LEAF), Piece::Literal(LEAF + 19), at(2 * LEAF, 10 * LEAF)];
        let expected = Window { at: LEAF, len: LEAF + 19, from: LEAF, reach: LEAF };
        assert_eq!(windows(&pieces, 0, 100 * LEAF), [expected]);
        // At the ends of a segment one neighbour is enough.
        let first = windows(&[Piece::Literal(LEAF), at(8 * LEAF, LEAF)], 100 * LEAF, 100 * LEAF);
        assert_eq!(first, [Window { at: 100 * LEAF, len: LEAF, from: 6 * LEAF, reach: 2 * LEAF }]);
        let last = windows(&[at(8 * LEAF, LEAF), Piece::Literal(LEAF)], 0, 9 * LEAF + 100);
        assert_eq!(last, [Window { at: LEAF, len: LEAF, from: 9 * LEAF, reach: 100 }]);
        // Nothing but new bytes, and nothing at all to compare with.
        assert_eq!(windows(&[at(LEAF, LEAF), Piece::Literal(5_000), at(2 * LEAF, LEAF)], 0, 100 * LEAF), []);
        assert_eq!(windows(&[Piece::Literal(LEAF)], 0, 100 * LEAF), []);
        let dense = dense_windows(&[Piece::Copy(LEAF), Piece::Literal(6 * LEAF)], 0, 6 * LEAF, 9);
        let second = Window { at: 5 * LEAF, len: 2 * LEAF, from: 4 * LEAF - 9, reach: 2 * LEAF + 9 };
        assert_eq!(dense, [Window { at: LEAF, len: CHUNK, from: 0, reach: 6 * LEAF - 9 }, second]);
        // A long stretch is looked at where it touches what was found.
        let long = windows(&[Piece::Copy(LEAF), Piece::Literal(100 * LEAF), at(2 * LEAF, LEAF)], 0, 200 * LEAF);
        assert_eq!(long.iter().map(|window| window.at).collect::<Vec<_>>(), [LEAF, 97 * LEAF]);
        assert!(long.iter().all(|window| window.len == CHUNK && window.reach == LEAF));
    }
}
