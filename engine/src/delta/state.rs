//! What a destination remembers of its large files between runs: their leaves, in a file of a small binary form.
//!
//! ```text
//!  magic 16 | version 2 | leaf 2 | written 12 | key 32 | volume 16 | files 4 |
//!    file: inode 8 | size 8 | mtime 12 | ctime 12 | segments 4 |
//!      segment: index 8 | leaves 1 | leaf * leaves            segments that are not named hold only zeros
//!  digest 32: BLAKE3 of all before it, keyed with the key
//! ```
//! Numbers are big-endian; a time is seconds (8) and nanoseconds (4). Nothing is believed before the digest was found to
//! be right, and nothing is allocated for what the file only announces. The key stands in the file: the digest tells
//! damage and not malice, and whoever may write the file may write the volume.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::types::limits::{CACHED_FILES_MAX, CACHED_LEAVES_MAX, LEAF_LEN, SEGMENT_LEN};
use crate::types::{Anchor, LeafDigest, LeafKey, Timestamp};

const MAGIC: [u8; 16] = *b"ferry state\0\r\n\0\0";
const VERSION: u16 = 1;
/// Bytes that are stored of a leaf.
const LEAF_RECORD_LEN: u16 = 20;

/// An inode at a moment: while all of this is the same, so is its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Inode number on the volume's file system.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Time of the last change of any kind.
    pub ctime: Timestamp,
}

/// What is remembered of a leaf: what it is compared by, and what it is found by where it was shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRecord {
    /// Its digest.
    pub digest: LeafDigest,
    /// Its anchor; zero where none was made.
    pub anchor: Anchor,
}

/// The leaves of a file, segment by segment; a segment that is missing holds only zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileLeaves {
    segments: BTreeMap<u64, Box<[LeafRecord]>>,
}

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// Which file, and when.
    pub stamp: FileStamp,
    /// What it held.
    pub leaves: Arc<FileLeaves>,
}

/// All that is remembered of a volume.
#[derive(Clone, Debug)]
pub struct State {
    /// The key of the leaves.
    pub key: LeafKey,
    /// When it was written.
    pub written: Timestamp,
    /// One a file.
    pub files: Vec<FileRecord>,
}

/// Why what was remembered is of no use.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It could not be read.
    #[error("cannot read it")]
    Io(#[source] io::Error),
    /// It is not ours.
    #[error("it is no state of ferry")]
    Foreign,
    /// Another version wrote it.
    #[error("another version of ferry wrote it")]
    Version,
    /// It belongs to another volume, or the volume was moved to another file system.
    #[error("it belongs to another volume")]
    OtherVolume,
    /// It ends early, goes on too long, or something in it is not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

type Parsed<T> = Result<T, StateError>;

impl FileLeaves {
    /// No segment but zeros.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the leaves of a segment.
    pub fn insert(&mut self, segment: u64, leaves: Box<[LeafRecord]>) {
        self.segments.insert(segment, leaves);
    }

    /// The leaves of a segment; none when it holds only zeros.
    #[must_use]
    pub fn of_segment(&self, segment: u64) -> &[LeafRecord] {
        self.segments.get(&segment).map(AsRef::as_ref).unwrap_or_default()
    }

    /// How many leaves are stored.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.segments.values().map(|leaves| leaves.len() as u64).sum()
    }
}

/// Leaves of a file of `size` bytes in one segment.
#[must_use]
pub fn leaves_of(segment: u64, size: u64) -> u64 {
    let start = segment.saturating_mul(SEGMENT_LEN);
    size.saturating_sub(start).min(SEGMENT_LEN).div_ceil(LEAF_LEN as u64)
}

/// Writes what is remembered of the volume `id`.
///
/// # Errors
/// What the writer says.
pub fn write_state<'a>(
    to: &mut dyn Write,
    key: &LeafKey,
    written: Timestamp,
    id: &[u8; 16],
    files: impl ExactSizeIterator<Item = &'a FileRecord>,
) -> io::Result<()> {
    let mut to = Hashed { inner: to, hasher: blake3::Hasher::new_keyed(&key.0) };
    to.put(&MAGIC)?;
    to.put(&VERSION.to_be_bytes())?;
    to.put(&LEAF_RECORD_LEN.to_be_bytes())?;
    to.time(written)?;
    to.put(&key.0)?;
    to.put(id)?;
    to.put(&u32::try_from(files.len()).map_err(io::Error::other)?.to_be_bytes())?;
    for file in files {
        let FileRecord { stamp, leaves } = file;
        to.put(&stamp.ino.to_be_bytes())?;
        to.put(&stamp.size.to_be_bytes())?;
        to.time(stamp.mtime)?;
        to.time(stamp.ctime)?;
        to.put(&u32::try_from(leaves.segments.len()).map_err(io::Error::other)?.to_be_bytes())?;
        for (segment, leaves) in &leaves.segments {
            to.put(&segment.to_be_bytes())?;
            to.put(&[u8::try_from(leaves.len()).map_err(io::Error::other)?])?;
            for LeafRecord { digest, anchor } in leaves {
                to.put(&digest.0)?;
                to.put(&anchor.0.to_be_bytes())?;
            }
        }
    }
    let digest = *to.hasher.finalize().as_bytes();
    to.inner.write_all(&digest)
}

/// Reads what is remembered of the volume `id`.
///
/// # Errors
/// [`StateError`]: it is of no use, and why.
pub fn read_state(from: &mut dyn Read, id: &[u8; 16]) -> Parsed<State> {
    let mut head = [0; 16];
    fill(from, &mut head)?;
    if head != MAGIC {
        return Err(StateError::Foreign);
    }
    // The key comes after what is hashed with it.
    let mut rest = [0; 16 + 32];
    fill(from, &mut rest)?;
    let mut fields = rest.as_slice();
    let (version, leaf_len) = (u16::from_be_bytes(take(&mut fields)?), u16::from_be_bytes(take(&mut fields)?));
    if version != VERSION || leaf_len != LEAF_RECORD_LEN {
        return Err(StateError::Version);
    }
    let written = time(i64::from_be_bytes(take(&mut fields)?), u32::from_be_bytes(take(&mut fields)?))?;
    let key = LeafKey(take(&mut fields)?);
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(&head);
    hasher.update(&rest);
    let mut from = Hashed { inner: from, hasher };
    let files = from.files(id)?;
    let digest = *from.hasher.finalize().as_bytes();
    let mut told = [0; 32];
    fill(from.inner, &mut told)?;
    if told != digest {
        return Err(StateError::Damaged("its digest is wrong"));
    }
    match from.inner.read(&mut [0]) {
        Ok(0) => Ok(State { key, written, files }),
        Ok(_) => Err(StateError::Damaged("something follows its end")),
        Err(error) => Err(StateError::Io(error)),
    }
}

/// A reader or writer of which everything is hashed.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl Hashed<&mut dyn Write> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }

    fn time(&mut self, time: Timestamp) -> io::Result<()> {
        self.put(&time.secs().to_be_bytes())?;
        self.put(&time.nanos().to_be_bytes())
    }
}

impl Hashed<&mut dyn Read> {
    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        fill(self.inner, &mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn time(&mut self) -> Parsed<Timestamp> {
        let secs = i64::from_be_bytes(self.array()?);
        time(secs, u32::from_be_bytes(self.array()?))
    }

    fn files(&mut self, id: &[u8; 16]) -> Parsed<Vec<FileRecord>> {
        if self.array::<16>()? != *id {
            return Err(StateError::OtherVolume);
        }
        let count = u32::from_be_bytes(self.array()?);
        if count as usize > CACHED_FILES_MAX {
            return Err(StateError::Damaged("it names too many files"));
        }
        let (mut files, mut room) = (Vec::new(), CACHED_LEAVES_MAX);
        for _ in 0..count {
            files.push(self.file(&mut room)?);
        }
        Ok(files)
    }

    fn record(&mut self) -> Parsed<LeafRecord> {
        let digest = LeafDigest(self.array()?);
        Ok(LeafRecord { digest, anchor: Anchor(u32::from_be_bytes(self.array()?)) })
    }

    /// One file, of whose leaves there is still `room`.
    fn file(&mut self, room: &mut u64) -> Parsed<FileRecord> {
        let (ino, size) = (u64::from_be_bytes(self.array()?), u64::from_be_bytes(self.array()?));
        let stamp = FileStamp { ino, size, mtime: self.time()?, ctime: self.time()? };
        let mut leaves = FileLeaves::new();
        let mut after = 0;
        for _ in 0..u32::from_be_bytes(self.array()?) {
            let segment = u64::from_be_bytes(self.array()?);
            let [count] = self.array()?;
            if segment < after || count == 0 || u64::from(count) != leaves_of(segment, size) {
                return Err(StateError::Damaged("a segment is not where it belongs"));
            }
            after = segment.saturating_add(1);
            *room = room.checked_sub(u64::from(count)).ok_or(StateError::Damaged("it holds too many leaves"))?;
            let records = (0..count).map(|_| self.record()).collect::<Parsed<_>>()?;
            leaves.insert(segment, records);
        }
        Ok(FileRecord { stamp, leaves: Arc::new(leaves) })
    }
}

fn fill(from: &mut dyn Read, bytes: &mut [u8]) -> Parsed<()> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => StateError::Damaged("it ends early"),
        _ => StateError::Io(error),
    })
}

fn take<const N: usize>(from: &mut &[u8]) -> Parsed<[u8; N]> {
    let mut bytes = [0; N];
    fill(from, &mut bytes)?;
    Ok(bytes)
}

fn time(secs: i64, nanos: u32) -> Parsed<Timestamp> {
    Timestamp::new(secs, nanos).ok_or(StateError::Damaged("a time is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [3; 16];
    const KEY: LeafKey = LeafKey([5; 32]);

    fn time(secs: i64) -> Timestamp {
        Timestamp::new(secs, 7).unwrap()
    }

    fn files() -> Vec<FileRecord> {
        let mut leaves = FileLeaves::new();
        let record = |byte| LeafRecord { digest: LeafDigest([byte; 16]), anchor: Anchor(u32::from(byte) << 20) };
        leaves.insert(0, vec![record(1); 128].into());
        leaves.insert(2, vec![record(2); 1].into());
        let stamp = FileStamp { ino: 11, size: 2 * SEGMENT_LEN + 9, mtime: time(-5), ctime: time(6) };
        let sparse = FileStamp { ino: 12, size: 1 << 40, ..stamp };
        vec![
            FileRecord { stamp, leaves: Arc::new(leaves) },
            FileRecord { stamp: sparse, leaves: Arc::new(FileLeaves::new()) },
        ]
    }

    fn bytes(files: &[FileRecord]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_state(&mut bytes, &KEY, time(100), &ID, files.iter()).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Parsed<State> {
        read_state(&mut &*bytes, &ID)
    }

    #[test]
    fn what_was_written_is_read() {
        let state = read(&bytes(&files())).unwrap();
        assert_eq!((state.key.0, state.written), (KEY.0, time(100)));
        assert_eq!(state.files, files());
        assert_eq!(state.files[0].leaves.of_segment(1), []);
        assert_eq!(state.files[0].leaves.count(), 129);
        assert!(read(&bytes(&[])).unwrap().files.is_empty());
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed() {
        let good = bytes(&files());
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "cut to {len}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "flipped at {at}");
        }
        assert!(matches!(read(&[&*good, &[0]].concat()), Err(StateError::Damaged(_))));
    }

    #[test]
    fn another_volume_version_or_kind_of_file_is_told_apart() {
        let good = bytes(&files());
        assert!(matches!(read_state(&mut &*good, &[4; 16]), Err(StateError::OtherVolume)));
        assert!(matches!(read(b"a file of somebody else's"), Err(StateError::Foreign)));
        let mut newer = good;
        newer[17] = 2;
        assert!(matches!(read(&newer), Err(StateError::Version)));
    }

    #[test]
    fn what_is_only_announced_is_not_allocated() {
        let mut bad = bytes(&[]);
        let at = bad.len() - 36;
        bad[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(read(&bad), Err(StateError::Damaged("it names too many files"))));
    }

    #[test]
    fn leaves_that_no_file_of_that_size_has_are_refused() {
        let mut file = files().remove(0);
        file.stamp.size += 1 << 20;
        assert!(matches!(read(&bytes(&[file])), Err(StateError::Damaged(_))));
    }
}
