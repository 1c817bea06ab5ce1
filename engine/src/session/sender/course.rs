//! How a large file with a basis is going: the shift that held last, whether looking for one pays, and which segments were
//! changed where they are.
//!
//! A file begins in place: what differs is sent for where it stands, and the receiver may write over its basis. The first
//! content that comes from another offset turns it: from then on the receiver must leave the basis alone and write beside,
//! and every operation says so, whatever lane it takes. Only what was sent before may have been written over, and those
//! segments of the basis are never copied from.

use std::collections::HashSet;

use crate::delta::{Piece, Search, Shift, Window};
use crate::types::SegmentIndex;
use crate::types::limits::SEGMENT_LEN;

/// Attempts in a row that may be passed over after others failed.
const SPARED_MAX: u32 = 64;
/// The part of a file that turning it must save.
const GAIN_SHARE: u64 = 16;

/// The state of one file.
#[derive(Debug, Default)]
pub struct Course {
    beside: bool,
    /// Segments that were sent in place with something that differs, before the turn.
    overwritten: HashSet<u64>,
    shift: Shift,
    searches: Pause,
    sketches: Pause,
    pages: Pause,
}

/// Attempts that are passed over after some failed: one, three, seven and so on.
#[derive(Debug, Default)]
struct Pause {
    next: u32,
    left: u32,
}

impl Pause {
    /// Whether the next attempt may be made; counts it.
    fn passes(&mut self) -> bool {
        let passes = self.left == 0;
        self.left = self.left.saturating_sub(1);
        passes
    }

    fn failed(&mut self) {
        self.left = self.next;
        self.next = (self.next * 2 + 1).min(SPARED_MAX);
    }
}

impl Course {
    /// The shift to begin with.
    pub fn shift(&self) -> Shift {
        self.shift
    }

    /// Whether something has moved.
    pub fn is_beside(&self) -> bool {
        self.beside
    }

    /// Whether the next segment may be searched; counts it.
    pub fn search(&mut self) -> Search {
        if self.searches.passes() { Search::Allowed } else { Search::Spared }
    }

    /// What a segment's alignment came to: its shift at the end and whether a search failed; the bytes that moved, and what
    /// that promises to save in all. Whether the file turns: its `pieces` move then, and else are made literal.
    ///
    /// Searches that fail are made rarer: on a file that was written anew they would cost more than its bytes.
    pub fn learn(
        &mut self,
        (shift, lost): (Shift, bool),
        (moved, gain): (u64, u64),
        size: u64,
        pieces: &mut [Piece],
    ) -> bool {
        let turns = moved > 0 && self.is_worth(gain, size);
        for piece in pieces {
            if let Piece::Moved { from, len } = *piece
                && (!turns || self.is_overwritten(from, len))
            {
                *piece = Piece::Literal(len);
            }
        }
        if turns {
            self.beside = true;
            self.shift = shift;
            self.searches = Pause::default();
        } else if lost || moved > 0 {
            self.searches.failed();
        }
        turns
    }

    /// Whether a stretch without an equal page may be looked at by signatures. The file turns then.
    pub fn sketch_densely(&mut self, len: u64, size: u64) -> bool {
        let may = self.is_worth(len, size) && self.sketches.passes();
        self.beside |= may;
        may
    }

    /// Whether the pages of a segment of which nearly all leaves differ may be asked for.
    pub fn refine_all(&mut self) -> bool {
        self.pages.passes()
    }

    /// Whether that saved enough to go on with it.
    pub fn refined_all(&mut self, saved: bool) {
        if saved { self.pages = Pause::default() } else { self.pages.failed() }
    }

    /// Whether signatures saved enough to go on with them.
    pub fn sketched(&mut self, saved: bool) {
        if saved { self.sketches = Pause::default() } else { self.sketches.failed() }
    }

    /// Turning costs a local copy of the whole file: for less than a sixteenth of it, its bytes are sent instead.
    fn is_worth(&self, gain: u64, size: u64) -> bool {
        self.beside || gain.saturating_mul(GAIN_SHARE) >= size
    }

    /// Whether a window of the basis is still what its leaves said.
    pub fn is_sound(&self, window: &Window) -> bool {
        !self.is_overwritten(window.from, window.reach)
    }

    fn is_overwritten(&self, from: u64, len: u64) -> bool {
        let last = from.saturating_add(len.saturating_sub(1)) / SEGMENT_LEN;
        !self.overwritten.is_empty() && (from / SEGMENT_LEN..=last).any(|segment| self.overwritten.contains(&segment))
    }

    /// Before anything of a segment is sent: whether it is written beside. Else it may be written over from now on.
    pub fn begin(&mut self, segment: SegmentIndex, changes: bool) -> bool {
        if changes && !self.beside {
            self.overwritten.insert(segment.0);
        }
        self.beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 8 * SEGMENT_LEN;

    #[test]
    fn what_was_written_over_is_never_copied_from() {
        let mut course = Course::default();
        assert!(!course.begin(SegmentIndex(2), true));
        assert!(!course.begin(SegmentIndex(3), false));
        let moved = |from, len| Piece::Moved { from, len };
        let mut pieces = [moved(SEGMENT_LEN, SEGMENT_LEN), moved(3 * SEGMENT_LEN - 1, 2), moved(3 * SEGMENT_LEN, 9)];
        assert!(course.learn((19, false), (SEGMENT_LEN, SIZE), SIZE, &mut pieces));
        assert_eq!(pieces, [moved(SEGMENT_LEN, SEGMENT_LEN), Piece::Literal(2), moved(3 * SEGMENT_LEN, 9)]);
        let window = |from, reach| Window { at: 0, len: 1, from, reach };
        assert!(!course.is_sound(&window(2 * SEGMENT_LEN - 1, 2)) && course.is_sound(&window(2 * SEGMENT_LEN - 1, 1)));
        // After the turn nothing is written over any more.
        assert!(course.begin(SegmentIndex(5), true) && course.is_sound(&window(5 * SEGMENT_LEN, 1)));
    }

    #[test]
    fn a_file_is_not_copied_for_little() {
        let mut course = Course::default();
        let mut pieces = [Piece::Moved { from: 5, len: 9 }];
        assert!(!course.learn((0, false), (9, SIZE / 16 - 1), SIZE, &mut pieces));
        assert_eq!((pieces, course.begin(SegmentIndex(0), true)), ([Piece::Literal(9)], false));
        assert!(!course.sketch_densely(SIZE / 17, SIZE));
        assert!(course.learn((19, false), (9, SIZE / 16), SIZE, &mut [Piece::Moved { from: 5, len: 9 }]));
        assert!(course.sketch_densely(1, SIZE), "it is beside already");
    }

    #[test]
    fn searches_that_fail_become_rare_and_one_that_succeeds_brings_them_back() {
        let mut course = Course::default();
        let mut allowed = 0;
        for _ in 0..1_000 {
            if course.search() == Search::Allowed {
                allowed += 1;
                course.learn((0, true), (0, 0), SIZE, &mut []);
            }
        }
        assert!((16..30).contains(&allowed), "{allowed}");
        course.learn((19, false), (SIZE, SIZE), SIZE, &mut []);
        assert_eq!((course.search(), course.shift()), (Search::Allowed, 19));
    }
}
