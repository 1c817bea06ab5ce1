//! Batches: a directory's entries, or a run of them, each written as the difference to the one before.
//!
//! The encoding is hot: a volume of a million files is a thousand batches. Names share their beginnings, and mode,
//! owner and extended attributes cost one bit when they repeat. What one bit repeats is bounded too
//! ([`REPEATED_LEN_MAX`]), or a small frame could unfold to gigabytes of attributes in memory.

use crate::types::{BatchId, DirId, Entry, EntryIndex, limits};

use super::entry::{ENTRY_WIRE_LEN_MIN, EntryReader, EntryWriter, Looked};
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};
use super::varint::UINT_LEN_MAX;

pub use super::entry::REPEATED_LEN_MAX;

/// Head of a batch frame at its longest: prefix, type, batch, directory, end, count.
const HEAD_LEN_MAX: usize = 5 + 4 * UINT_LEN_MAX;

/// What follows a batch in its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// Another batch of the same directory.
    More,
    /// Nothing; every entry of the directory was sent.
    Complete,
    /// Nothing; something is missing, so nothing in this directory may be deleted.
    Incomplete,
}

impl ListEnd {
    const ALL: [Self; 3] = [Self::More, Self::Complete, Self::Incomplete];

    fn number(self) -> u8 {
        match self {
            Self::More => 0,
            Self::Complete => 1,
            Self::Incomplete => 2,
        }
    }
}

/// Entries of one directory, names strictly increasing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// One more than the last of the session.
    pub id: BatchId,
    /// The directory they are in.
    pub dir: DirId,
    /// What follows.
    pub end: ListEnd,
    /// At most `BATCH_ENTRIES_MAX`.
    pub entries: Vec<Entry>,
    /// Those of them, increasing, whose extended attributes were not looked at: they have none here, whatever they have.
    pub unlooked: Vec<EntryIndex>,
}

impl Batch {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = BatchEncoder::new(self.id, self.dir);
        for (index, entry) in (0..).map(EntryIndex).zip(&self.entries) {
            match self.is_unlooked(index) {
                true => encoder.push_unlooked(entry),
                false => encoder.push(entry),
            }
        }
        encoder.finish(self.end)
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let id = BatchId(cursor.uint("batch")?);
        let dir = DirId(cursor.uint("directory")?);
        let end = cursor.choice("end of the listing", &ListEnd::ALL)?;
        let count = cursor.count("count of entries", limits::BATCH_ENTRIES_MAX, ENTRY_WIRE_LEN_MIN)?;
        let mut entries = Vec::with_capacity(count);
        let mut unlooked = Vec::new();
        let mut reader = EntryReader::new();
        for index in (0..).map(EntryIndex).take(count) {
            let (entry, looked) = reader.read(&mut cursor, entries.last())?;
            entries.push(entry);
            if looked == Looked::No {
                unlooked.push(index);
            }
        }
        cursor.finish()?;
        Ok(Self { id, dir, end, entries, unlooked })
    }

    /// Whether the extended attributes of the entry at `index` were not looked at.
    #[must_use]
    pub fn is_unlooked(&self, index: EntryIndex) -> bool {
        self.unlooked.binary_search(&index).is_ok()
    }
}

/// Writes a batch entry by entry, so that the scan can cut it where it is long enough.
pub struct BatchEncoder {
    id: BatchId,
    dir: DirId,
    entries: EntryWriter,
    count: usize,
}

impl BatchEncoder {
    /// An empty batch of `dir`.
    #[must_use]
    pub fn new(id: BatchId, dir: DirId) -> Self {
        Self { id, dir, entries: EntryWriter::new(), count: 0 }
    }

    /// Adds an entry. Its name must be greater than that of the one before: the peer refuses anything else.
    pub fn push(&mut self, entry: &Entry) {
        self.entries.write(entry);
        self.count += 1;
    }

    /// The same with an entry whose extended attributes were not looked at. It must have none.
    pub fn push_unlooked(&mut self, entry: &Entry) {
        self.entries.write_unlooked(entry);
        self.count += 1;
    }

    /// Encoded bytes so far, the frame's head at its longest included.
    #[must_use]
    pub fn len(&self) -> usize {
        HEAD_LEN_MAX + self.entries.bytes().len()
    }

    /// True before the first entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Entries so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// True when the batch is to be sent before another entry is added: it has `BATCH_ENTRIES_MAX` entries or
    /// `BATCH_LEN_AIM` bytes. The largest entry a kernel can give still fits the frame of a batch that is not full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count >= limits::BATCH_ENTRIES_MAX || self.len() >= limits::BATCH_LEN_AIM
    }

    /// The whole frame.
    #[must_use]
    pub fn finish(self, end: ListEnd) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Batch, self.len());
        writer.uint(self.id.0).uint(self.dir.0).uint(end.number()).uint(self.count as u64);
        writer.raw(self.entries.bytes());
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::types::{Xattr, Xattrs};

    fn decode(frame: &[u8]) -> Result<Batch, WireError> {
        Batch::decode(&Frame::new(frame[4..].to_vec()).unwrap())
    }

    /// A batch frame from the bytes after its head of batch 0, directory 0, "more".
    fn raw(count: u8, entries: &[u8]) -> Result<Batch, WireError> {
        let mut body = vec![0x11, 0, 0, 0, count];
        body.extend_from_slice(entries);
        Batch::decode(&Frame::new(body).unwrap())
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let batch = sample::batch();
        assert_eq!(decode(&batch.encode()), Ok(batch));
    }

    #[test]
    fn the_length_so_far_never_understates_the_frame() {
        let mut encoder = BatchEncoder::new(BatchId(u64::MAX), DirId(u64::MAX));
        for entry in &sample::batch().entries {
            encoder.push(entry);
        }
        let said = encoder.len();
        let frame = encoder.finish(ListEnd::Complete);
        assert!(said >= frame.len() && said - frame.len() < HEAD_LEN_MAX);
    }

    #[test]
    fn names_must_increase() {
        let fifo = |shared: u8, suffix: u8| [0x03, shared, 1, suffix, 0, 0, 0, 0, 0, 0];
        let again = |shared: u8, suffix: u8| [0x3b, shared, 1, suffix, 0, 0];
        assert!(raw(2, &[fifo(0, b'a').as_slice(), &again(0, b'b')].concat()).is_ok());
        for second in [b'a', b'A'] {
            let entries = [fifo(0, b'a').as_slice(), &again(0, second)].concat();
            assert_eq!(raw(2, &entries), Err(WireError::Order("name")));
        }
    }

    #[test]
    fn a_name_cannot_share_more_than_there_is() {
        let entries = [0x03, 1, 1, b'a', 0, 0, 0, 0, 0, 0];
        let refused = WireError::Bound { field: "shared part of a name", value: 1, min: 0, max: 0 };
        assert_eq!(raw(1, &entries), Err(refused));
    }

    #[test]
    fn the_first_entry_cannot_be_as_the_one_before() {
        for (bit, field) in [(0x08, "mode"), (0x10, "owner"), (0x20, "xattrs")] {
            let entries = [0x03 | bit, 0, 1, b'a', 0, 0, 0, 0, 0, 0];
            assert_eq!(raw(1, &entries), Err(WireError::AsBefore(field)));
        }
    }

    #[test]
    fn unknown_kinds_are_refused() {
        let entry = [0x07, 0, 1, b'a', 0, 0, 0, 0, 0, 0];
        assert_eq!(raw(1, &entry), Err(WireError::Unknown { field: "kind", value: 7 }));
    }

    #[test]
    fn what_was_not_looked_at_has_no_attributes_and_neither_has_what_repeats_it() {
        let mut batch = sample::batch();
        batch.unlooked = [0, 2, 4].map(EntryIndex).into();
        batch.entries[4].xattrs = Xattrs::default();
        let back = decode(&batch.encode()).unwrap();
        assert_eq!(back, batch);
        assert!(
            back.is_unlooked(EntryIndex(4)) && !back.is_unlooked(EntryIndex(3)) && !back.is_unlooked(EntryIndex(9))
        );
        // Head, shared, suffix, mode, owner, mtime; then the size of a file.
        let first = [0x80, 0, 1, b'a', 0xa4, 3, 0, 0, 0, 0, 5];
        let second = [0x38, 0, 1, b'b', 0, 0, 7];
        let read = raw(2, &[first.as_slice(), &second].concat()).unwrap();
        assert_eq!(read.unlooked, [EntryIndex(0)]);
        assert!(read.entries.iter().all(|entry| entry.xattrs.is_empty()));
        let unlooked_alone = raw(1, &first).unwrap();
        assert_eq!(unlooked_alone.encode()[9..], first);
    }

    #[test]
    fn attributes_that_were_not_looked_at_are_not_as_before() {
        let first = [0x80, 0, 1, b'a', 0xa4, 3, 0, 0, 0, 0, 5];
        let refused = Err(WireError::Flags { field: "head of an entry", bits: 0x20 });
        assert_eq!(raw(2, &[first.as_slice(), &[0xb8, 0, 1, b'b', 0, 0, 7]].concat()), refused);
        assert_eq!(raw(1, &[0xa0, 0, 1, b'a', 0xa4, 3, 0, 0, 0, 0, 5]), refused);
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        let entries = [0x03, 0, 2, b'.', b'.', 0, 0, 0, 0, 0, 0];
        assert!(matches!(raw(1, &entries), Err(WireError::Name { field: "name", .. })));
    }

    fn with_xattr(names: usize, value: usize) -> Batch {
        let xattr = Xattr { name: b"user.x"[..].into(), value: vec![7; value].into() };
        let mut batch = sample::batch();
        let mut entry = batch.entries.remove(0);
        entry.xattrs = Xattrs::new(vec![xattr]).unwrap();
        batch.entries = (0..names).map(|n| Entry { name: sample::name(&format!("{n:04}")), ..entry.clone() }).collect();
        batch
    }

    #[test]
    fn repeated_attributes_cost_one_bit_up_to_their_bound_and_are_written_out_beyond_it() {
        let (small, large) = (with_xattr(1_000, 60), with_xattr(10, 30_000));
        assert!(small.encode().len() < 1_000 * 20);
        assert!(large.encode().len() > 30_000 * 2);
        assert_eq!(decode(&small.encode()), Ok(small));
        assert_eq!(decode(&large.encode()), Ok(large));
    }

    #[test]
    fn a_peer_cannot_unfold_more_than_the_bound() {
        let mut encoder = EntryWriter::without_bound();
        with_xattr(10, 30_000).entries.iter().for_each(|entry| encoder.write(entry));
        assert_eq!(raw(10, encoder.bytes()), Err(WireError::Repeated(REPEATED_LEN_MAX)));
    }

    #[test]
    fn the_largest_entry_fits_the_frame_of_a_batch_that_is_not_full() {
        // The kernel's list of names has 64 KiB: 260 names of 251 bytes and their NULs; values fill the rest.
        let value = (limits::XATTRS_LEN_MAX - 260 * 251) / 260;
        let list =
            (0..260).map(|n| Xattr { name: format!("{n:0251}").into_bytes().into(), value: vec![0; value].into() });
        let mut entry = sample::batch().entries.remove(0);
        entry.xattrs = Xattrs::new(list.collect()).unwrap();
        let mut encoder = BatchEncoder::new(BatchId(0), DirId(0));
        encoder.push(&entry);
        assert!(encoder.len() + limits::BATCH_LEN_AIM < limits::FRAME_LEN_MAX);
    }
}
