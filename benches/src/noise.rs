//! Pseudo-random numbers and bytes that are the same on every machine and in every year: splitmix64 (Steele, Lea, Flood,
//! "Fast splittable pseudorandom number generators", OOPSLA 2014). Incompressible for every compressor in use; no secret is
//! ever made from it.

/// A stream of numbers and bytes, decided by its seed.
#[derive(Clone, Debug)]
pub struct Noise {
    state: u64,
}

impl Noise {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, 0 for a bound of 0. Biased by less than one in 2^32 for bounds below 2^32: no matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            piece.iter_mut().zip(number).for_each(|(byte, new)| *byte = new);
        }
    }

    /// A size in bytes, log-normal with this median and a sigma of 0.64 (a mean of 1.23 medians), at most 64 medians.
    pub fn log_normal(&mut self, median: u64) -> u64 {
        // Twelve uniform numbers less six: normal enough, and no cosine that differs between C libraries.
        let uniform: f64 = (0..12).map(|_| self.number() as f64 / u64::MAX as f64).sum();
        let size = median as f64 * (0.64 * (uniform - 6.0)).exp();
        (size as u64).clamp(1, median.saturating_mul(64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_paper() {
        let mut noise = Noise::new(1_234_567);
        assert_eq!([noise.number(), noise.number()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn bytes_depend_on_the_seed_alone() {
        let bytes = |seed| {
            let mut bytes = vec![0; 1001];
            Noise::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        assert!(bytes(1).iter().filter(|byte| **byte == 0).count() < 20, "bytes were left out");
    }

    #[test]
    fn sizes_are_spread_around_their_median() {
        let mut noise = Noise::new(3);
        let mut sizes: Vec<u64> = (0..10_001).map(|_| noise.log_normal(4096)).collect();
        sizes.sort_unstable();
        let mean = sizes.iter().sum::<u64>() / 10_001;
        assert!((3950..4250).contains(&sizes[5000]), "median {}", sizes[5000]);
        assert!((4800..5300).contains(&mean), "mean {mean}");
    }
}
