//! Text that compresses as logs of servers do, about ten times: lines from a stock of phrases, each with a word and a number of
//! its own. Decided by its seed, as noise is; phrases come back, passages do not, so a longer window gains little.

use crate::noise::Noise;

/// How many different words there are.
const WORDS: u64 = 1 << 12;
/// How many phrases.
const PHRASES: u64 = 1 << 8;

/// A stream of text.
#[derive(Clone, Debug)]
pub struct Prose {
    noise: Noise,
    words: Vec<Vec<u8>>,
    phrases: Vec<Vec<u8>>,
    /// What did not fit into the last piece.
    left: Vec<u8>,
}

impl Prose {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let words: Vec<_> = (0..WORDS).map(|_| word(&mut noise)).collect();
        let phrases = (0..PHRASES).map(|_| phrase(&mut noise, &words)).collect();
        Self { noise, words, phrases, left: Vec::new() }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut text = std::mem::take(&mut self.left);
        while text.len() < bytes.len() {
            self.line(&mut text);
        }
        self.left = text.split_off(bytes.len());
        bytes.copy_from_slice(&text);
    }

    /// A phrase, a word, a number.
    fn line(&mut self, text: &mut Vec<u8>) {
        let phrase = self.noise.below(PHRASES) as usize;
        text.extend(self.phrases.get(phrase).into_iter().flatten());
        let word = self.noise.below(WORDS) as usize;
        text.extend(self.words.get(word).into_iter().flatten());
        text.extend(format!(" {}\n", self.noise.below(10_000)).bytes());
    }
}

/// Nine to sixteen words, a space after each.
fn phrase(noise: &mut Noise, words: &[Vec<u8>]) -> Vec<u8> {
    let length = 9 + noise.below(8);
    let word = |_| words.get(noise.below(WORDS) as usize).map(|word| [word.as_slice(), b" "].concat());
    (0..length).filter_map(word).flatten().collect()
}

/// Two to eleven letters.
fn word(noise: &mut Noise) -> Vec<u8> {
    let length = 2 + noise.below(10);
    (0..length).map(|_| b'a' + noise.below(26) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64, pieces: &[usize]) -> Vec<u8> {
        let mut prose = Prose::new(seed);
        let fill = |size: &usize| {
            let mut bytes = vec![0; *size];
            prose.fill(&mut bytes);
            bytes
        };
        pieces.iter().flat_map(fill).collect()
    }

    #[test]
    fn text_depends_on_the_seed_and_not_on_the_pieces_it_is_asked_for_in() {
        assert_eq!(text(1, &[1000, 24_000]), text(1, &[25_000]));
        assert_ne!(text(1, &[1000]), text(2, &[1000]));
    }

    #[test]
    fn it_is_lines_that_begin_alike_and_end_each_in_its_own_way() {
        let bytes = text(3, &[1_000_000]);
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let unique = |length: usize| {
            let starts: std::collections::HashSet<_> = lines.iter().map(|line| line.get(..length)).collect();
            starts.len()
        };
        assert!((PHRASES as usize).abs_diff(unique(16)) < 8, "{} phrases", unique(16));
        let whole: std::collections::HashSet<_> = lines.iter().collect();
        assert!(whole.len() + 10 > lines.len(), "{} of {} lines are their own", whole.len(), lines.len());
    }
}
