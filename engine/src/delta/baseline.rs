//! The ctime baseline as a file: that source and destination were equal, extended attributes included, and when that was.
//!
//! ```text
//!  magic 16 | version 2 | vantage of the source 32 | of the destination 32 |
//!  listed: secs 8, nanoseconds 4, up 8 | settled: the same | digest 32: BLAKE3 of all before it
//! ```
//! Numbers are big-endian. It tells damage and not malice: whoever may write it may write the volume. What it is good for
//! is not known here.

use crate::types::{Moment, Timestamp, Vantage};

const MAGIC: [u8; 16] = *b"ferry ctimes\r\n\0\0";
const VERSION: u16 = 1;
/// Bytes of a baseline's file.
pub const BASELINE_LEN: usize = 16 + 2 + 2 * 32 + 2 * 20 + 32;

/// Two volumes that were equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// From where the source was seen.
    pub source: Vantage,
    /// From where the destination was.
    pub destination: Vantage,
    /// What did not change at the source since then is what was listed. By the source's clocks.
    pub listed: Moment,
    /// What did not change at the destination since then is what was settled. By the destination's clocks.
    pub settled: Moment,
}

impl Baseline {
    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BASELINE_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.source.0);
        bytes.extend_from_slice(&self.destination.0);
        for moment in [self.listed, self.settled] {
            bytes.extend_from_slice(&moment.wall.secs().to_be_bytes());
            bytes.extend_from_slice(&moment.wall.nanos().to_be_bytes());
            bytes.extend_from_slice(&moment.up_ns.to_be_bytes());
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// What a file says; `None` when it is damaged, of another version or not ours.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (told, digest) = bytes.split_last_chunk::<32>()?;
        if bytes.len() != BASELINE_LEN || blake3::hash(told) != *digest {
            return None;
        }
        let mut rest = told;
        let (magic, version) = (take::<16>(&mut rest)?, u16::from_be_bytes(take(&mut rest)?));
        if magic != MAGIC || version != VERSION {
            return None;
        }
        let (source, destination) = (Vantage(take(&mut rest)?), Vantage(take(&mut rest)?));
        let (listed, settled) = (moment(&mut rest)?, moment(&mut rest)?);
        rest.is_empty().then_some(Self { source, destination, listed, settled })
    }
}

fn moment(rest: &mut &[u8]) -> Option<Moment> {
    let wall = Timestamp::new(i64::from_be_bytes(take(rest)?), u32::from_be_bytes(take(rest)?))?;
    Some(Moment { wall, up_ns: u64::from_be_bytes(take(rest)?) })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_every_damage_is_noticed() {
        let moment = |secs, up_ns| Moment { wall: Timestamp::new(secs, 999_999_999).unwrap(), up_ns };
        let baseline = Baseline {
            source: Vantage([1; 32]),
            destination: Vantage([2; 32]),
            listed: moment(-5, u64::MAX),
            settled: moment(i64::MAX, 0),
        };
        let good = baseline.to_bytes();
        assert_eq!((good.len(), Baseline::from_bytes(&good)), (BASELINE_LEN, Some(baseline)));
        for len in 0..good.len() {
            assert_eq!(Baseline::from_bytes(&good[..len]), None, "cut to {len}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(Baseline::from_bytes(&bad), None, "flipped at {at}");
        }
        assert_eq!(Baseline::from_bytes(&[&*good, &[0]].concat()), None);
    }

    #[test]
    fn another_version_is_not_used_though_its_digest_is_right() {
        let mut bytes = Baseline {
            source: Vantage([1; 32]),
            destination: Vantage([2; 32]),
            listed: Moment { wall: Timestamp::default(), up_ns: 1 },
            settled: Moment { wall: Timestamp::default(), up_ns: 1 },
        }
        .to_bytes();
        bytes[17] = 2;
        let digest = blake3::hash(&bytes[..BASELINE_LEN - 32]);
        bytes[BASELINE_LEN - 32..].copy_from_slice(digest.as_bytes());
        assert_eq!(Baseline::from_bytes(&bytes), None);
    }
}
