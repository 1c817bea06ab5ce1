//! Segments of a file the receiver has a basis for: compared by leaves, those that differ by pages, and only what then
//! differs is sent.
//!
//! Between leaves and pages nothing is kept but what is equal: the leaves that differ are read again, from a warm cache.
//! A file that changes in between is found out at its end, by its times.

use std::sync::Arc;

use crate::delta::{Basis, Piece, compare_hole, compare_pages, compare_segment};
use crate::session::fate::Ended;
use crate::types::limits::{DATA_LEN_MAX, LEAF_LEN, PAGE_LEN, REFINED_LEAVES_MAX};
use crate::types::{LeafDigest, SegmentIndex};
use crate::volume::{Extent, SourceFile};
use crate::wire::{Run, RunKind};

use super::feed::Parked;
use super::large::{LargeFile, Opening};
use super::reader::{Reader, Spoiled};

/// What became of a segment.
pub(super) enum Compared {
    /// Its operations were sent.
    Sent,
    /// It waits for pages.
    Parked,
}

impl Reader {
    /// Compares a segment by leaves, and sends it if nothing is to be asked.
    pub(super) fn compared_segment(
        &mut self,
        file: &Arc<LargeFile>,
        source: &SourceFile,
        segment: SegmentIndex,
        leaves: &[LeafDigest],
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let (start, len) = file.span(segment);
        let basis = if leaves.is_empty() { Basis::Zeros } else { Basis::Digests(leaves) };
        let (key, basis_len) = (self.sending.leaf_key, file.basis_in(segment));
        if matches!(source.next_extent(start, start + len), Ok(Extent::Hole { len: hole }) if hole == len) {
            let pieces = compare_hole(&key, len, basis, basis_len);
            return self.send_pieces(file, &pieces, &[], at).map(|()| Ok(Compared::Sent));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        let result = match self.read(file, source, &mut buffer, start) {
            Err(Spoiled) => Ok(Err(Spoiled)),
            Ok(()) => {
                let pieces = compare_segment(&key, &buffer, basis, basis_len);
                let leaves = to_be_refined(&pieces, basis, basis_len);
                if leaves.is_empty() {
                    self.send_pieces(file, &pieces, &buffer, at).map(|()| Ok(Compared::Sent))
                } else {
                    self.feed.park(&self.sending, Parked { file: Arc::clone(file), segment, pieces, leaves });
                    Ok(Ok(Compared::Parked))
                }
            }
        };
        self.buffer = buffer;
        result
    }

    /// Sends a parked segment, now that the pages of its leaves are known.
    pub(super) fn refine(&mut self, parked: &Parked, pages: &[LeafDigest]) -> Result<(), Ended> {
        let file = &parked.file;
        let (start, len) = file.span(parked.segment);
        let mut at = start;
        if let (false, Opening::Open(source)) = (file.is_spoiled(), file.opened(|| Opening::Failed)) {
            let mut buffer = std::mem::take(&mut self.buffer);
            let sent = self.send_refined(parked, source, pages, &mut buffer, &mut at);
            self.buffer = buffer;
            if let Err(Spoiled) = sent? {
                tracing::debug!(index = file.index.0, at, "the rest of a segment is void");
            }
        }
        self.feed.answer(file.leaves_in(parked.segment));
        self.cover(file, at, start + len, len)
    }

    fn send_refined(
        &self,
        parked: &Parked,
        source: &SourceFile,
        mut pages: &[LeafDigest],
        buffer: &mut Vec<u8>,
        at: &mut u64,
    ) -> Result<Result<(), Spoiled>, Ended> {
        let file = &parked.file;
        let (start, _) = file.span(parked.segment);
        let basis_len = file.basis_in(parked.segment);
        for piece in &parked.pieces {
            let Piece::Literal(len) = *piece else {
                self.send_pieces(file, &[*piece], &[], at)?;
                continue;
            };
            let end = *at + len;
            while *at < end {
                let part = (end - *at).min(LEAF_LEN as u64);
                buffer.resize(usize::try_from(part).unwrap_or(0), 0);
                if let Err(Spoiled) = self.read(file, source, buffer, *at) {
                    return Ok(Err(Spoiled));
                }
                let within = *at - start;
                let of_basis = basis_len.saturating_sub(within).min(LEAF_LEN as u64);
                let asked = u8::try_from(within / LEAF_LEN as u64).is_ok_and(|leaf| parked.leaves.contains(&leaf));
                let count = if asked { usize::try_from(of_basis).unwrap_or(0).div_ceil(PAGE_LEN) } else { 0 };
                let (now, later) = pages.split_at_checked(count).unwrap_or((pages, &[]));
                pages = later;
                let pieces = compare_pages(&self.sending.leaf_key, buffer, now, of_basis);
                self.send_pieces(file, &pieces, buffer, at)?;
            }
        }
        Ok(Ok(()))
    }

    /// Sends pieces that lie one after the other from `at` on; `bytes` are what was read there, and are not looked at for
    /// pieces that need none.
    fn send_pieces(&self, file: &LargeFile, pieces: &[Piece], bytes: &[u8], at: &mut u64) -> Result<(), Ended> {
        let mut rest = bytes;
        for piece in pieces {
            let len = piece.len();
            let (now, later) = rest.split_at_checked(usize::try_from(len).unwrap_or(0)).unwrap_or((rest, &[]));
            rest = later;
            match piece {
                Piece::Copy(_) => {
                    self.runs(file, *at, &[Run { kind: RunKind::Copy, len }])?;
                    self.sending.tally.add(|t| &t.copied, len);
                    *at += len;
                }
                Piece::Zero(_) => {
                    self.runs(file, *at, &[Run { kind: RunKind::Hole, len }])?;
                    self.sending.tally.add(|t| &t.holes, len);
                    *at += len;
                }
                Piece::Literal(_) => {
                    for chunk in now.chunks(DATA_LEN_MAX) {
                        let sent: Result<(), std::convert::Infallible> =
                            self.data(file, *at, chunk.len() as u64, |into| {
                                into.copy_from_slice(chunk);
                                Ok(())
                            })?;
                        let Ok(()) = sent;
                        *at += chunk.len() as u64;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The leaves whose pages are worth asking for: those that differ and that the basis reaches into, unless nearly all do.
fn to_be_refined(pieces: &[Piece], basis: Basis<'_>, basis_len: u64) -> Vec<u8> {
    let mut leaves = Vec::new();
    let mut start = 0;
    for piece in pieces {
        if let Piece::Literal(len) = piece {
            let from = start / LEAF_LEN as u64;
            let to = (start + len).min(basis_len).div_ceil(LEAF_LEN as u64);
            leaves.extend((from..to).filter_map(|leaf| u8::try_from(leaf).ok()));
        }
        start += piece.len();
    }
    if leaves.len() > REFINED_LEAVES_MAX || basis == Basis::Zeros { Vec::new() } else { leaves }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: u64 = LEAF_LEN as u64;

    #[test]
    fn only_leaves_that_differ_and_have_a_basis_are_refined() {
        let digests = [LeafDigest([0; 16])];
        let basis = Basis::Digests(&digests);
        let pieces = [Piece::Copy(LEAF), Piece::Literal(2 * LEAF), Piece::Zero(LEAF), Piece::Literal(3 * LEAF)];
        assert_eq!(to_be_refined(&pieces, basis, 7 * LEAF), [1, 2, 4, 5, 6]);
        assert_eq!(to_be_refined(&pieces, basis, 4 * LEAF + 1), [1, 2, 4]);
        assert!(to_be_refined(&pieces, basis, LEAF).is_empty());
        assert!(to_be_refined(&pieces, Basis::Zeros, 7 * LEAF).is_empty());
        assert!(to_be_refined(&[Piece::Literal(128 * LEAF)], basis, 128 * LEAF).is_empty());
    }
}
