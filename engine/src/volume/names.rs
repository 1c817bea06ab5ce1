//! Many names in little memory: one run of bytes, and 16 bytes besides for each name; and a fair sample of too many.
//!
//! It refuses to grow: whoever adds asks [`Limit::fits`] first. A million names as separate values would be 266 MB
//! (engine-rules 12).

use super::listing::Listed;
use crate::types::{EntryKind, Name};

/// How many names are held at once, and how many are sampled when there are more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Bytes of names, and the same again for what is kept besides them.
    names_len: usize,
    samples: usize,
}

/// Names with what the directory says of each.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    ino: u64,
    start: u32,
    len: u8,
    kind: Option<EntryKind>,
}

/// A fair sample of all names that were added: each has the same chance to be in it.
#[derive(Debug)]
pub(super) struct Sample {
    names: Vec<Vec<u8>>,
    limit: Limit,
    seen: usize,
    seen_len: usize,
    random: u64,
}

impl Limit {
    pub(super) fn new(names_len: usize, samples: usize) -> Self {
        // Starts are 32 bits; with fewer than two samples nothing can be cut.
        Self { names_len: names_len.min(u32::MAX as usize), samples: samples.max(2) }
    }

    /// Whether `name` may be added; the first one always may.
    pub(super) fn fits(self, names: &Names, name: &[u8]) -> bool {
        names.records.is_empty()
            || (names.bytes.len() + name.len() <= self.names_len
                && (names.records.len() + 1) * size_of::<Record>() <= self.names_len)
    }

    /// Into how many ranges so many names are cut, so that each fits though a sample is not exact.
    fn pieces(self, count: usize, len: usize) -> usize {
        let larger = len.max(count.saturating_mul(size_of::<Record>()));
        larger.saturating_mul(4).div_ceil(self.names_len.saturating_mul(3).max(1)).max(2)
    }
}

impl Names {
    pub(super) fn push(&mut self, name: &[u8], kind: Option<EntryKind>, ino: u64) {
        if let (Ok(start), Ok(len)) = (u32::try_from(self.bytes.len()), u8::try_from(name.len())) {
            self.bytes.extend_from_slice(name);
            self.records.push(Record { ino, start, len, kind });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Increasing, and each name once: a directory that changes while it is read may show one twice.
    pub(super) fn sorted(mut self) -> Self {
        let bytes = &self.bytes;
        self.records.sort_unstable_by(|a, b| name_in(bytes, a).cmp(name_in(bytes, b)));
        self.records.dedup_by(|a, b| name_in(bytes, a) == name_in(bytes, b));
        self
    }

    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = Listed> + '_ {
        self.records.iter().skip(at).filter_map(|record| {
            // Names a directory shows are names; the kernel has checked them.
            let name = Name::new(name_in(&self.bytes, record)).ok()?;
            Some(Listed { name, kind: record.kind, ino: record.ino })
        })
    }
}

fn name_in<'a>(bytes: &'a [u8], record: &Record) -> &'a [u8] {
    let start = record.start as usize;
    bytes.get(start..start + usize::from(record.len)).unwrap_or_default()
}

impl Sample {
    /// A sample of `names`, which were all so far.
    pub(super) fn of(names: Names, limit: Limit) -> Self {
        let seed = 0x9e37_79b9_7f4a_7c15; // Any number but 0; nothing depends on its being secret.
        let mut sample = Self { names: Vec::new(), limit, seen: 0, seen_len: 0, random: seed };
        for record in &names.records {
            sample.add(name_in(&names.bytes, record));
        }
        sample
    }

    /// Takes note of one more name (Vitter, "Random sampling with a reservoir", algorithm R).
    pub(super) fn add(&mut self, name: &[u8]) {
        self.seen = self.seen.saturating_add(1);
        self.seen_len = self.seen_len.saturating_add(name.len());
        if self.names.len() < self.limit.samples {
            self.names.push(name.to_vec());
            return;
        }
        let at = self.next_below(self.seen);
        if let Some(place) = self.names.get_mut(at) {
            place.clear();
            place.extend_from_slice(name);
        }
    }

    /// The names at which to cut: increasing, at least one.
    pub(super) fn quantiles(mut self) -> Vec<Vec<u8>> {
        let pieces = self.limit.pieces(self.seen, self.seen_len);
        self.names.sort_unstable();
        self.names.dedup();
        let count = self.names.len();
        let mut cuts: Vec<Vec<u8>> =
            (1..pieces).filter_map(|piece| self.names.get((piece * count / pieces).max(1)).cloned()).collect();
        cuts.dedup();
        cuts
    }

    /// A number below `bound` (xorshift64*).
    fn next_below(&mut self, bound: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let mixed = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d);
        usize::try_from((u128::from(mixed) * bound as u128) >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_increasing_and_once() {
        let mut names = Names::default();
        for name in [b"b".as_slice(), b"\xff", b"a", b"b", b"a-"] {
            names.push(name, Some(EntryKind::File), 7);
        }
        let out: Vec<Vec<u8>> = names.sorted().iter_from(0).map(|l| l.name.as_bytes().to_vec()).collect();
        assert_eq!(out, [b"a".to_vec(), b"a-".to_vec(), b"b".to_vec(), b"\xff".to_vec()]);
    }

    #[test]
    fn a_record_is_as_small_as_the_documentation_says() {
        assert_eq!(size_of::<Record>(), 16);
    }

    #[test]
    fn quantiles_of_a_sample_cut_evenly() {
        let limit = Limit::new(16_000, 512);
        let mut sample = Sample::of(Names::default(), limit);
        for n in 0..10_000_u32 {
            sample.add(format!("{:05}", n.wrapping_mul(7_919) % 10_000).as_bytes());
        }
        let cuts: Vec<u32> =
            sample.quantiles().iter().map(|c| std::str::from_utf8(c).unwrap().parse().unwrap()).collect();
        assert_eq!(cuts.len() + 1, limit.pieces(10_000, 50_000));
        let edges: Vec<u32> = [0].into_iter().chain(cuts).chain([10_000]).collect();
        assert!(edges.windows(2).all(|w| w[1] > w[0] && (w[1] - w[0]) * 16 < 16_000), "{edges:?}");
    }
}
