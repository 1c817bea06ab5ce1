//! A segment of the source against a basis that may be shifted: bytes were inserted or removed before it.
//!
//! ```text
//!  basis    | leaf 0 | leaf 1 | leaf 2 | leaf 3 |
//!  source   | leaf 0 | leaf..+++1 | leaf 2 | leaf 3 |      +++ inserted: from here on everything stands later
//!             copied   literal      copied from an earlier offset
//! ```
//!
//! Leaves are compared at the shift that held last, as fast as without one. Where too many in a row differ, the anchors of
//! the basis are rolled over the source until one leaf is found again, and its shift holds from there on. The digest of a
//! leaf does not depend on its offset, so the basis is hashed once and where it stands; only the sender moves.

use crate::types::LeafKey;
use crate::types::limits::{ANCHOR_LEN, LEAF_LEN, LEAVES_LOST_MIN};

use super::anchor::Anchors;
use super::known::{Index, Known};
use super::leaf_digest;
use super::segment::{Piece, push};

const LEAF: u64 = LEAF_LEN as u64;

/// Leaves that are hashed because their anchor was found, in one search: repetitive content has many alike.
const CONFIRMED_MAX: usize = 64;

/// How far content of the source stands behind the same content of the basis, in bytes; before it when negative.
pub type Shift = i64;

/// The bytes of a segment, with some before and after it, so that leaves that reach over its ends can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// What was read.
    pub bytes: &'a [u8],
    /// Where in the source the first of them stands.
    pub start: u64,
    /// Where the segment begins,
    pub from: u64,
    /// and where it ends.
    pub to: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    /// The segment's pieces, without gap.
    pub pieces: Vec<Piece>,
    /// The shift that held at its end.
    pub shift: Shift,
    /// A search found nothing.
    pub lost: bool,
}

/// Whether a new shift may be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Where too many leaves differ.
    Allowed,
    /// It failed too often.
    Spared,
}

/// Aligns a segment with what is known of the basis, beginning with the shift `hint`.
#[must_use]
pub fn align(
    (key, anchors): (&LeafKey, &Anchors),
    source: Surroundings<'_>,
    known: &Known,
    hint: Shift,
    search: Search,
) -> Aligned {
    let aligned = Aligned { pieces: Vec::new(), shift: hint, lost: false };
    let mut walk = Walk {
        key,
        anchors,
        source,
        known,
        at: source.from,
        aligned,
        index: None,
        may_search: search == Search::Allowed,
    };
    walk.run();
    walk.aligned
}

struct Walk<'a> {
    key: &'a LeafKey,
    anchors: &'a Anchors,
    source: Surroundings<'a>,
    known: &'a Known,
    /// Everything before it is in the pieces.
    at: u64,
    aligned: Aligned,
    index: Option<Index>,
    may_search: bool,
}

/// A leaf of the basis in the source.
#[derive(Clone, Copy)]
struct Found {
    from: u64,
    to: u64,
    shift: Shift,
}

impl<'a> Walk<'a> {
    fn run(&mut self) {
        while self.at < self.source.to {
            let found = self.next_equal().or_else(|| self.search());
            match found {
                Some(found) => self.copy(found),
                // Without a search, all leaves are looked at.
                None if !self.may_search => break,
                None => self.may_search = false,
            }
        }
        self.skip_to(self.source.to);
    }

    /// The next leaf that is equal at the current shift; while a search is possible, not too far away.
    fn next_equal(&self) -> Option<Found> {
        let shift = self.aligned.shift;
        let in_basis = self.at.checked_add_signed(shift.checked_neg()?).unwrap_or(0);
        let first = in_basis / LEAF;
        let most = if self.may_search { LEAVES_LOST_MIN } else { usize::MAX };
        (first..)
            .take(most)
            .map_while(|leaf| {
                // A leaf that begins before the source does is passed over, not the end.
                let from = leaf.checked_mul(LEAF)?.checked_add_signed(shift).unwrap_or(0);
                (from < self.source.to).then_some(leaf)
            })
            .find_map(|leaf| self.equal(leaf, shift))
    }

    /// Whether a leaf stands in the source at this shift.
    fn equal(&self, leaf: u64, shift: Shift) -> Option<Found> {
        let (digest, start, end) = self.known.leaf(leaf)?;
        let (from, to) = (start.checked_add_signed(shift)?, end.checked_add_signed(shift)?);
        let reaches = to > self.at && from < self.source.to;
        let bytes = self.bytes(from, to)?;
        (reaches && leaf_digest(self.key, bytes) == digest).then_some(Found { from, to, shift })
    }

    fn bytes(&self, from: u64, to: u64) -> Option<&'a [u8]> {
        let from = usize::try_from(from.checked_sub(self.source.start)?).ok()?;
        let to = usize::try_from(to.checked_sub(self.source.start)?).ok()?;
        self.source.bytes.get(from..to)
    }

    /// Looks for any leaf that is known in what is left of the segment. At least two leaves must be left: less is sent as
    /// quickly.
    fn search(&mut self) -> Option<Found> {
        let end = self.source.start.saturating_add(self.source.bytes.len() as u64);
        if !self.may_search || self.source.to - self.at < 2 * LEAF {
            return None;
        }
        let index = self.index.take().unwrap_or_else(|| Index::new(self.known));
        let last = (self.source.to.saturating_add(ANCHOR_LEN as u64)).min(end);
        let bytes = self.bytes(self.at, last)?;
        let mut found = None;
        let mut confirmed = 0;
        self.anchors.find(bytes, |offset, anchor| {
            if !index.may_have(anchor) {
                return false;
            }
            for leaf in index.leaves(anchor) {
                confirmed += 1;
                found = self.stands_at(leaf, self.at.saturating_add(offset as u64));
                if found.is_some() || confirmed >= CONFIRMED_MAX {
                    return true;
                }
            }
            false
        });
        self.index = Some(index);
        self.aligned.lost |= found.is_none();
        found
    }

    fn stands_at(&self, leaf: u64, from: u64) -> Option<Found> {
        let shift = i64::try_from(from).ok()?.checked_sub(i64::try_from(leaf.checked_mul(LEAF)?).ok()?)?;
        self.equal(leaf, shift)
    }

    fn copy(&mut self, found: Found) {
        self.skip_to(found.from.max(self.at));
        let to = found.to.min(self.source.to);
        let len = to - self.at;
        let piece = match self.at.checked_add_signed(found.shift.saturating_neg()) {
            Some(from) if found.shift != 0 => Piece::Moved { from, len },
            Some(_) | None => Piece::Copy(len),
        };
        push(&mut self.aligned.pieces, piece);
        self.aligned.shift = found.shift;
        self.at = to;
    }

    /// What is before `to` was found nowhere; zeros in it are told apart, leaf by leaf.
    fn skip_to(&mut self, to: u64) {
        while self.at < to {
            let len = (to - self.at).min(LEAF);
            let is_zero = self.bytes(self.at, self.at + len).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
            push(&mut self.aligned.pieces, if is_zero { Piece::Zero(len) } else { Piece::Literal(len) });
            self.at += len;
        }
    }
}

#[cfg(test)]
mod tests;
