//! Anchors: weak digests of the first bytes of leaves, which a sender rolls over its own bytes to find where a leaf of the
//! basis stands in the source, however far it was shifted.
//!
//! A polynomial over bytes modulo 2^64, of which the upper half is kept (Karp and Rabin, "Efficient randomized
//! pattern-matching algorithms", 1987). The multiplier comes from the leaf key, so nobody can prepare content that
//! collides. An anchor proves nothing: every place it finds is confirmed by the leaf's digest.

use crate::types::limits::ANCHOR_LEN;
use crate::types::{Anchor, LeafKey};

/// What anchors of one session are made with.
#[derive(Clone, Debug)]
pub struct Anchors {
    multiplier: u64,
    /// What the byte at each place of the window counts, the first one most.
    weights: Box<[u64]>,
}

impl Anchors {
    /// From the key the leaves are hashed with.
    #[must_use]
    pub fn new(key: &LeafKey) -> Self {
        let mut first = [0; 8];
        let secret = blake3::keyed_hash(&key.0, b"ferry 1 anchors");
        first.iter_mut().zip(secret.as_bytes()).for_each(|(to, from)| *to = *from);
        // Odd, or high powers would be zero.
        let multiplier = u64::from_le_bytes(first) | 1;
        let mut weights = vec![1_u64; ANCHOR_LEN].into_boxed_slice();
        let mut weight = 1_u64;
        for place in weights.iter_mut().rev() {
            *place = weight;
            weight = weight.wrapping_mul(multiplier);
        }
        Self { multiplier, weights }
    }

    /// The anchor of a leaf; zero when it is shorter than an anchor's window.
    #[must_use]
    pub fn of(&self, leaf: &[u8]) -> Anchor {
        leaf.get(..ANCHOR_LEN).map_or(Anchor::default(), |window| upper(self.sum(window)))
    }

    fn sum(&self, window: &[u8]) -> u64 {
        window
            .iter()
            .zip(&self.weights)
            .fold(0, |sum: u64, (byte, weight)| sum.wrapping_add(u64::from(*byte).wrapping_mul(*weight)))
    }

    /// The first place in `bytes` whose anchor `accept` takes, which is asked for every place but those of zeros, in
    /// order. Costs one step a byte.
    pub fn find(&self, bytes: &[u8], mut accept: impl FnMut(usize, Anchor) -> bool) -> Option<usize> {
        let (window, rest) = bytes.split_at_checked(ANCHOR_LEN)?;
        let mut sum = self.sum(window);
        let leaving = self.weights.first().copied().unwrap_or(0);
        let mut at = 0;
        if upper(sum) != Anchor::default() && accept(at, upper(sum)) {
            return Some(at);
        }
        for (out, new) in bytes.iter().zip(rest) {
            let kept = sum.wrapping_sub(u64::from(*out).wrapping_mul(leaving));
            sum = kept.wrapping_mul(self.multiplier).wrapping_add(u64::from(*new));
            at += 1;
            if upper(sum) != Anchor::default() && accept(at, upper(sum)) {
                return Some(at);
            }
        }
        None
    }
}

fn upper(sum: u64) -> Anchor {
    Anchor((sum >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn a_rolled_anchor_is_the_one_of_the_window_it_stands_at() {
        let anchors = Anchors::new(&LeafKey([3; 32]));
        let bytes = noise(4 * ANCHOR_LEN + 17);
        let mut seen = 0;
        let found = anchors.find(&bytes, |at, anchor| {
            assert_eq!(anchor, anchors.of(&bytes[at..]), "{at}");
            seen += 1;
            false
        });
        assert_eq!((found, seen), (None, 3 * ANCHOR_LEN + 18));
    }

    #[test]
    fn a_window_is_found_wherever_it_stands() {
        let anchors = Anchors::new(&LeafKey([3; 32]));
        let leaf = noise(2 * ANCHOR_LEN);
        let wanted = anchors.of(&leaf);
        let moved = [vec![9; 777], leaf].concat();
        assert_eq!(anchors.find(&moved, |_, anchor| anchor == wanted), Some(777));
        assert_ne!(wanted, Anchors::new(&LeafKey([4; 32])).of(&moved[777..]));
    }

    #[test]
    fn zeros_and_short_leaves_have_no_anchor() {
        let anchors = Anchors::new(&LeafKey([3; 32]));
        assert_eq!(anchors.of(&[0; ANCHOR_LEN]), Anchor::default());
        assert_eq!(anchors.of(&[1; ANCHOR_LEN - 1]), Anchor::default());
        assert_eq!(anchors.find(&[0; 3 * ANCHOR_LEN], |_, _| true), None);
        assert_eq!(anchors.find(&[1; 3], |_, _| true), None);
    }
}
