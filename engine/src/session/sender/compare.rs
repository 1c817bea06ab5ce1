//! Segments of a file the receiver has a basis for: compared by leaves where they stand or shifted, what differs by pages or
//! by signatures, and only what then differs is sent.
//!
//! ```text
//!  leaves ──> compare where they stand ──> few differ: ask for their pages ────────────> send what differs
//!                 └─ many in a row differ: align with a shift ──> ask for signatures ──┘
//! ```
//!
//! Between a question and its answer nothing is kept but where the pieces are: what differs is read again, from a warm cache.
//! A file that changes in between is found out at its end, by its times.

use std::sync::Arc;

use crate::delta::{
    Basis, Piece, Search, SegmentLeaves, Surroundings, Window, align, compare_hole, compare_hole_onto, compare_onto,
    compare_pages, compare_segment, dense_windows, windows,
};
use crate::session::fate::Ended;
use crate::types::limits::{HASHED_LEN, LEAF_LEN, LEAVES_LOST_MIN, PAGE_LEN, REFINED_LEAVES_MAX};
use crate::types::{LeafDigest, SegmentIndex};
use crate::volume::SourceFile;

use super::feed::{Asked, Parked};
use super::large::{LargeFile, Opening};
use super::reader::{Reader, Spoiled, Target};

const LEAF: u64 = LEAF_LEN as u64;

/// Pages that are equal in less than one of so many parts of a stretch do not help it.
const DENSE_SHARE: u64 = 8;

/// What became of a segment.
pub(super) enum Compared {
    /// Its operations were sent.
    Sent,
    /// It waits for pages or signatures.
    Parked,
}

impl Reader {
    /// Compares a segment by leaves, and sends it if nothing is to be asked.
    pub(super) fn compared_segment(
        &mut self,
        file: &Arc<LargeFile>,
        source: &SourceFile,
        segment: SegmentIndex,
        leaves: &SegmentLeaves,
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.compare(file, (source, &mut buffer), segment, leaves, at);
        self.buffer = buffer;
        result
    }

    fn compare(
        &self,
        file: &Arc<LargeFile>,
        (source, buffer): (&SourceFile, &mut Vec<u8>),
        segment: SegmentIndex,
        leaves: &SegmentLeaves,
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let (start, len) = file.span(segment);
        let basis = basis_of(leaves);
        let (key, basis_len) = (self.sending.leaf_key, file.compared.basis_in(segment.0));
        if source.is_hole(start, start + len) {
            let pieces = compare_hole(&key, len, basis, basis_len);
            return self.send_pieces(&target(file, segment, &pieces), &pieces, &[], at).map(|()| Ok(Compared::Sent));
        }
        if file.compared.movable && file.course().shift() != 0 {
            return self.shifted_segment(file, (source, buffer), segment, leaves, at);
        }
        if basis_len == 0 {
            buffer.resize(usize::try_from(len).unwrap_or(0), 0);
            if let Err(Spoiled) = self.read(file, source, buffer, start) {
                return Ok(Err(Spoiled));
            }
            let pieces = compare_segment(&key, buffer, basis, basis_len);
            return self.send_pieces(&target(file, segment, &pieces), &pieces, buffer, at).map(|()| Ok(Compared::Sent));
        }
        let pieces = match self.compare_parts((file, segment), source, leaves, buffer) {
            Ok(pieces) => pieces,
            Err(Spoiled) => return Ok(Err(Spoiled)),
        };
        if file.compared.movable && is_lost(&pieces) && file.course().search() == Search::Allowed {
            return self.shifted_segment(file, (source, buffer), segment, leaves, at);
        }
        self.refine_or_send((file, segment), pieces, (source, buffer), at)
    }

    /// A segment's leaves against those of the basis, read in parts that are hashed while the processor still has them.
    fn compare_parts(
        &self,
        (file, segment): (&LargeFile, SegmentIndex),
        source: &SourceFile,
        leaves: &SegmentLeaves,
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<Piece>, Spoiled> {
        let ((start, len), basis_len) = (file.span(segment), file.compared.basis_in(segment.0));
        let mut pieces = Vec::new();
        let mut done = 0;
        let mut parts = leaves.digests.chunks(HASHED_LEN / LEAF_LEN);
        while done < len {
            let part = (len - done).min(HASHED_LEN as u64);
            let basis =
                if leaves.digests.is_empty() { Basis::Zeros } else { Basis::Digests(parts.next().unwrap_or(&[])) };
            let (key, of_basis, from) = (&self.sending.leaf_key, basis_len.saturating_sub(done), start + done);
            if source.is_hole(from, from + part) {
                compare_hole_onto(&mut pieces, key, part, basis, of_basis);
            } else {
                buffer.resize(usize::try_from(part).unwrap_or(0), 0);
                self.read(file, source, buffer, from)?;
                compare_onto(&mut pieces, key, buffer, basis, of_basis);
            }
            done += part;
        }
        Ok(pieces)
    }

    /// Parks a segment of which some leaves differ, or sends it.
    fn refine_or_send(
        &self,
        (file, segment): (&Arc<LargeFile>, SegmentIndex),
        pieces: Vec<Piece>,
        (source, buffer): (&SourceFile, &mut Vec<u8>),
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let leaves = to_be_refined(&pieces, file.compared.basis_in(segment.0));
        let nearly_all = leaves.len() > REFINED_LEAVES_MAX;
        let asks = !leaves.is_empty() && (!nearly_all || file.course().refine_all());
        let asked = Asked::Pages(if asks { leaves } else { Vec::new() });
        let parked = Parked { file: Arc::clone(file), segment, pieces, asked };
        if !asks {
            return self.send_refined((&parked, &[]), &[], (source, buffer), at);
        }
        self.feed.park(&self.sending, parked);
        Ok(Ok(Compared::Parked))
    }

    /// A segment whose leaves do not stand where the basis has them: aligned with the shift that held last or a new one.
    pub(super) fn shifted_segment(
        &self,
        file: &Arc<LargeFile>,
        (source, buffer): (&SourceFile, &mut Vec<u8>),
        segment: SegmentIndex,
        leaves: &SegmentLeaves,
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let (from, len) = file.span(segment);
        let (start, to) = (from - from.min(LEAF), from + len);
        let end = file.size.min(to.saturating_add(LEAF));
        buffer.resize(usize::try_from(end - start).unwrap_or(0), 0);
        if let Err(Spoiled) = self.read(file, source, buffer, start) {
            return Ok(Err(Spoiled));
        }
        let (hint, search) = {
            let mut course = file.course();
            (course.shift(), course.search())
        };
        let surroundings = Surroundings { bytes: buffer, start, from, to };
        let keys = (&self.sending.leaf_key, &self.sending.anchors);
        let aligned = align(keys, surroundings, &file.known(), hint, search);
        let mut pieces = aligned.pieces;
        let moved: u64 = pieces.iter().map(|piece| if let Piece::Moved { len, .. } = piece { *len } else { 0 }).sum();
        // A shift that holds at the end of the segment is taken to hold to the end of the file.
        let gain = if aligned.shift == 0 { moved } else { file.size - from };
        let turned = file.course().learn((aligned.shift, aligned.lost), (moved, gain), file.size, &mut pieces);
        let bytes = buffer.get(usize::try_from(from - start).unwrap_or(0)..).unwrap_or_default();
        let bytes = bytes.get(..usize::try_from(len).unwrap_or(0)).unwrap_or_default();
        if !turned {
            // What stands where it stood, in whole leaves: only those have pages.
            let pieces =
                compare_segment(&self.sending.leaf_key, bytes, basis_of(leaves), file.compared.basis_in(segment.0));
            return self.refine_or_send((file, segment), pieces, (source, buffer), at);
        }
        let asked = sound(file, windows(&pieces, from, file.compared.basis_len));
        if asked.is_empty() {
            return self.send_pieces(&target(file, segment, &pieces), &pieces, bytes, at).map(|()| Ok(Compared::Sent));
        }
        let asked = Asked::Signatures(asked);
        self.feed.park(&self.sending, Parked { file: Arc::clone(file), segment, pieces, asked });
        Ok(Ok(Compared::Parked))
    }

    /// Goes on with a parked segment from where it begins, by `send`, which may park it again.
    pub(super) fn resume(
        &mut self,
        parked: &Parked,
        send: impl FnOnce(&Self, &SourceFile, &mut Vec<u8>, &mut u64) -> Result<Result<Compared, Spoiled>, Ended>,
    ) -> Result<(), Ended> {
        let file = &parked.file;
        let (start, len) = file.span(parked.segment);
        let mut at = start;
        if let (false, Opening::Open(source)) = (file.is_spoiled(), file.opened(|| Opening::Failed)) {
            let mut buffer = std::mem::take(&mut self.buffer);
            let sent = send(self, source, &mut buffer, &mut at);
            self.buffer = buffer;
            match sent? {
                Ok(Compared::Sent) => {}
                Ok(Compared::Parked) => return Ok(()),
                Err(Spoiled) => tracing::debug!(index = file.index.0, at, "the rest of a segment is void"),
            }
        }
        self.feed.answer(file.compared.credit(parked.segment.0));
        self.cover(file, at, start + len, len)
    }

    /// Sends a parked segment, now that the pages of its leaves are known; or asks for signatures, when hardly a page was
    /// equal.
    pub(super) fn send_refined(
        &self,
        (parked, leaves): (&Parked, &[u8]),
        pages: &[LeafDigest],
        (source, buffer): (&SourceFile, &mut Vec<u8>),
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let file = &parked.file;
        if let Err(Spoiled) = self.read_literals(parked, source, buffer) {
            return Ok(Err(Spoiled));
        }
        let refined = self.refine((parked, leaves), pages, buffer);
        let (start, _) = file.span(parked.segment);
        let equal: u64 =
            refined.iter().flatten().map(|piece| if let Piece::Copy(len) = piece { *len } else { 0 }).sum();
        if leaves.len() > REFINED_LEAVES_MAX {
            file.course().refined_all(equal * DENSE_SHARE >= buffer.len() as u64);
        }
        let dense = file.compared.movable && is_lost(&parked.pieces) && equal * DENSE_SHARE < buffer.len() as u64;
        if dense && file.course().sketch_densely(buffer.len() as u64, file.size) {
            let shift = file.course().shift();
            let asked = sound(file, dense_windows(&parked.pieces, start, file.compared.basis_len, shift));
            if !asked.is_empty() {
                let (pieces, asked) = (parked.pieces.clone(), Asked::Signatures(asked));
                let parked = Parked { file: Arc::clone(file), segment: parked.segment, pieces, asked };
                self.feed.park(&self.sending, parked);
                return Ok(Ok(Compared::Parked));
            }
        }
        let target = target(file, parked.segment, &parked.pieces);
        let mut bytes = buffer.as_slice();
        let mut refined = refined.iter();
        for piece in &parked.pieces {
            let refined = refined.next();
            let (Piece::Literal(len), Some(pieces)) = (*piece, refined) else {
                self.send_pieces(&target, &[*piece], &[], at)?;
                continue;
            };
            let (now, later) = bytes.split_at_checked(usize::try_from(len).unwrap_or(0)).unwrap_or((bytes, &[]));
            bytes = later;
            self.send_pieces(&target, pieces, now, at)?;
        }
        Ok(Ok(Compared::Sent))
    }

    /// The bytes of a segment's literal pieces, one after the other.
    fn read_literals(&self, parked: &Parked, source: &SourceFile, buffer: &mut Vec<u8>) -> Result<(), Spoiled> {
        buffer.clear();
        let (mut at, _) = parked.file.span(parked.segment);
        for piece in &parked.pieces {
            if let Piece::Literal(len) = *piece {
                let read = buffer.len();
                buffer.resize(read + usize::try_from(len).unwrap_or(0), 0);
                self.read(&parked.file, source, buffer.get_mut(read..).unwrap_or_default(), at)?;
            }
            at += piece.len();
        }
        Ok(())
    }

    /// For each literal piece what is left of it by pages; for each other piece nothing.
    fn refine(
        &self,
        (parked, leaves): (&Parked, &[u8]),
        mut pages: &[LeafDigest],
        mut bytes: &[u8],
    ) -> Vec<Vec<Piece>> {
        let basis_len = parked.file.compared.basis_in(parked.segment.0);
        let mut within = 0;
        let mut refined = Vec::new();
        for piece in &parked.pieces {
            let mut pieces = Vec::new();
            let end = within + piece.len();
            while matches!(piece, Piece::Literal(_)) && within < end {
                let part = (end - within).min(LEAF);
                let (leaf, rest) = bytes.split_at_checked(usize::try_from(part).unwrap_or(0)).unwrap_or((bytes, &[]));
                bytes = rest;
                let of_basis = basis_len.saturating_sub(within).min(LEAF);
                let asked = u8::try_from(within / LEAF).is_ok_and(|leaf| leaves.contains(&leaf));
                let count = if asked { usize::try_from(of_basis).unwrap_or(0).div_ceil(PAGE_LEN) } else { 0 };
                let (now, later) = pages.split_at_checked(count).unwrap_or((pages, &[]));
                pages = later;
                pieces.extend(compare_pages(&self.sending.leaf_key, leaf, now, of_basis));
                within += part;
            }
            within = end;
            refined.push(pieces);
        }
        refined
    }

    /// Sends a parked segment, now that the signatures of its windows are known.
    pub(super) fn send_patched(
        &self,
        (parked, windows): (&Parked, &[Window]),
        signatures: &[Vec<u8>],
        (source, buffer): (&SourceFile, &mut Vec<u8>),
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let file = &parked.file;
        let target = target(file, parked.segment, &parked.pieces);
        let mut known = windows.iter().zip(signatures).peekable();
        let mut saved = 0;
        for piece in &parked.pieces {
            let Piece::Literal(len) = *piece else {
                self.send_pieces(&target, &[*piece], &[], at)?;
                continue;
            };
            let end = *at + len;
            while *at < end {
                let window = known.next_if(|(window, _)| window.at == *at);
                let next = known.peek().map_or(end, |(window, _)| window.at.min(end));
                let part = window.map_or(next - *at, |(window, _)| window.len.min(end - *at)).min(LEAF * 4);
                buffer.resize(usize::try_from(part).unwrap_or(0), 0);
                if let Err(Spoiled) = self.read(file, source, buffer, *at) {
                    return Ok(Err(Spoiled));
                }
                match window {
                    Some((window, signature)) => saved += self.delta(&target, window, signature, buffer)?,
                    None => self.plain(&target, *at, buffer)?,
                }
                *at += part;
            }
        }
        let looked_at: u64 = windows.iter().map(|window| window.len).sum();
        file.course().sketched(saved * DENSE_SHARE >= looked_at);
        Ok(Ok(Compared::Sent))
    }
}

fn basis_of(leaves: &SegmentLeaves) -> Basis<'_> {
    if leaves.digests.is_empty() { Basis::Zeros } else { Basis::Digests(&leaves.digests) }
}

/// The windows whose part of the basis is still what its leaves said.
fn sound(file: &LargeFile, mut windows: Vec<Window>) -> Vec<Window> {
    let course = file.course();
    windows.retain(|window| course.is_sound(window));
    windows
}

/// Where the operations of a segment go: beside, or in place, where from now on they may have overwritten the basis.
pub(super) fn target<'a>(file: &'a LargeFile, segment: SegmentIndex, pieces: &[Piece]) -> Target<'a> {
    let changes = pieces.iter().any(|piece| !matches!(piece, Piece::Copy(_)));
    Target { file, beside: file.course().begin(segment, changes) }
}

/// Whether so many leaves in a row differ that they may have been shifted: many, or the last two.
fn is_lost(pieces: &[Piece]) -> bool {
    let differs = |piece: &Piece, leaves: u64| matches!(piece, Piece::Literal(len) if *len >= leaves * LEAF);
    pieces.iter().any(|piece| differs(piece, LEAVES_LOST_MIN as u64))
        || pieces.last().is_some_and(|last| differs(last, 2))
}

/// The leaves whose pages may be asked for: those that differ and that the basis reaches into.
fn to_be_refined(pieces: &[Piece], basis_len: u64) -> Vec<u8> {
    let mut leaves = Vec::new();
    let mut start = 0;
    for piece in pieces {
        if let Piece::Literal(len) = piece {
            let from = start / LEAF;
            let to = (start + len).min(basis_len).div_ceil(LEAF);
            leaves.extend((from..to).filter_map(|leaf| u8::try_from(leaf).ok()));
        }
        start += piece.len();
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leaves_that_differ_and_have_a_basis_are_refined() {
        let pieces = [Piece::Copy(LEAF), Piece::Literal(2 * LEAF), Piece::Zero(LEAF), Piece::Literal(3 * LEAF)];
        assert_eq!(to_be_refined(&pieces, 7 * LEAF), [1, 2, 4, 5, 6]);
        assert_eq!(to_be_refined(&pieces, 4 * LEAF + 1), [1, 2, 4]);
        assert!(to_be_refined(&pieces, LEAF).is_empty());
        assert_eq!(to_be_refined(&[Piece::Literal(128 * LEAF)], 128 * LEAF).len(), 128);
    }

    #[test]
    fn a_shift_is_suspected_where_many_leaves_in_a_row_differ() {
        let (copy, literal) = (|n| Piece::Copy(n * LEAF), |n| Piece::Literal(n * LEAF));
        assert!(!is_lost(&[copy(50), literal(15), copy(63)]));
        assert!(is_lost(&[copy(50), literal(16), copy(62)]));
        assert!(is_lost(&[copy(126), literal(2)]) && !is_lost(&[copy(127), literal(1)]));
    }
}
