//! Contents on a data connection: Pack for whole small files, Data and Runs for pieces of larger ones, FileEnd.
//!
//! Content is never copied to be sent or received: a data frame is filled in place, and the views lend out the bytes of
//! the received frame. Nothing here hashes; the digest's maker is handed in, and a view's digest is for its reader to
//! check before a byte of it is used.

use crate::types::{BatchId, Digest, EntryIndex, limits};

use super::attributes::FILE_SIZE_MAX;
use super::cursor::Cursor;
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};
use super::need::{Indexes, index};

/// Runs of one message.
pub const RUNS_MAX: usize = 4_096;

/// Head of a data or pack frame without its items, digest included, at its longest.
const HEAD_LEN_MAX: usize = 80;
const COMPRESSED: u64 = 1;
const BESIDE: u64 = 2;
const DELTA: u64 = 4;

/// How the content of a data frame is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Plain,
    /// As one zstd frame. Only with the feature that both sides named.
    Zstd,
    /// As an rsync delta against a part of the basis.
    Delta {
        /// Where the part begins.
        from: u64,
        /// Bytes of it, 1 to `SKETCH_LEN_MAX`.
        reach: u64,
    },
}

/// The head of a data frame: one piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// Where in the file.
    pub offset: u64,
    /// Plain bytes, 1 to `DATA_LEN_MAX`.
    pub len: u32,
    /// How the payload holds them.
    pub coding: Coding,
    /// The basis must stay as it is until the file is whole: something will come from another offset of it.
    pub beside: bool,
}

/// A received data frame.
#[derive(Clone, Copy, Debug)]
pub struct DataView<'a> {
    /// What it is a piece of.
    pub head: DataHead,
    /// The payload up to the digest: the first part of what the digest is over.
    pub covered: &'a [u8],
    /// Over `covered` and the plain content.
    pub digest: Digest,
    /// The content: `head.len` bytes, or fewer unless it is plain.
    pub payload: &'a [u8],
}

/// What became of one small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackItem {
    /// Its whole content of that many bytes is in the pack, at most `PACKED_FILE_LEN_MAX`.
    Whole(u32),
    /// It changed while it was read.
    Changed,
    /// It was gone.
    Vanished,
    /// It could not be read.
    Unreadable,
    /// It is the same as the basis.
    Same,
}

/// A received pack.
#[derive(Clone, Debug)]
pub struct PackView<'a> {
    /// The batch.
    pub batch: BatchId,
    /// Strictly increasing by index.
    pub items: Vec<(EntryIndex, PackItem)>,
    /// The payload up to the digest: the first part of what the digest is over.
    pub covered: &'a [u8],
    /// Over `covered` and `contents`.
    pub digest: Digest,
    /// The contents of the whole items, one after the other; their lengths add up to it.
    pub contents: &'a [u8],
}

/// Pieces of a file that need no data, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// Where the first one starts.
    pub offset: u64,
    /// At most [`RUNS_MAX`]; none crosses a segment's end.
    pub runs: Vec<Run>,
    /// As in [`DataHead`]; always when one of them is moved.
    pub beside: bool,
}

/// One piece that needs no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where its bytes come from.
    pub kind: RunKind,
    /// Bytes, 1 or more.
    pub len: u64,
}

/// Where the bytes of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// The receiver's basis has them at the same offset.
    Copy,
    /// The receiver's basis has them at another offset.
    Moved {
        /// Where.
        from: u64,
    },
    /// They are zeros that were never written.
    Hole,
    /// They do not come: the file changed or cannot be read, as its end will say.
    Void,
}

/// All operations of a file were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEnd {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// What became of the file while it was read.
    pub state: FileState,
    /// Its size, as scanned.
    pub size: u64,
}

/// What became of a file while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Nothing: it is whole.
    AsScanned,
    /// It changed.
    Changed,
    /// It was gone.
    Vanished,
    /// It could not be read.
    Unreadable,
}

/// Makes a data frame of plain content: `fill` writes all `head.len` bytes where they are sent from, `digest` is made
/// over the head's bytes and them. The frame says "plain", whatever `head` says. It is made in `buffer`, whatever that holds.
///
/// # Errors
/// What `fill` returns; there is no frame then.
pub fn data_frame<E>(
    buffer: Vec<u8>,
    head: &DataHead,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    digest: impl FnOnce(&[u8], &[u8]) -> Digest,
) -> Result<Vec<u8>, E> {
    let mut writer = FrameWriter::with_capacity(FrameKind::Data, HEAD_LEN_MAX);
    writer.uint(head.batch.0).uint(head.index.0).uint(head.offset).uint(head.len);
    writer.uint(if head.beside { BESIDE } else { 0 });
    let covered = writer.payload().len();
    writer.raw(&[0; DIGEST_LEN]);
    let start = writer.out().len();
    let mut writer = writer.moved_to(buffer, head.len as usize);
    fill(writer.out().get_mut(start..).unwrap_or_default())?;
    seal(&mut writer, covered, digest);
    Ok(writer.finish())
}

/// Makes a data frame of a delta against the `reach` bytes of the basis at `from`; `digest` is made over the head's bytes,
/// which it gets, and the plain content, which the caller has. Such a frame is always one that is written beside.
#[must_use]
pub fn delta_frame(
    head: &DataHead,
    (from, reach): (u64, u64),
    delta: &[u8],
    digest: impl FnOnce(&[u8]) -> Digest,
) -> Vec<u8> {
    let mut writer = FrameWriter::with_capacity(FrameKind::Data, HEAD_LEN_MAX + 20 + delta.len());
    writer.uint(head.batch.0).uint(head.index.0).uint(head.offset).uint(head.len);
    writer.uint(BESIDE | DELTA).uint(from).uint(reach);
    let covered = writer.payload().len();
    writer.raw(&[0; DIGEST_LEN]).raw(delta);
    seal(&mut writer, covered, |said, _| digest(said));
    writer.finish()
}

/// Makes a pack: `contents` are those of the items that are whole, one after the other, in the order of `items`, whose
/// indexes strictly increase. `digest` is made over the head's bytes and the contents. It is made in the memory of `buffer`.
#[must_use]
pub fn pack_frame(
    buffer: Vec<u8>,
    batch: BatchId,
    items: &[(EntryIndex, PackItem)],
    contents: &[u8],
    digest: impl FnOnce(&[u8], &[u8]) -> Digest,
) -> Vec<u8> {
    let mut writer = FrameWriter::reusing(FrameKind::Pack, buffer, HEAD_LEN_MAX + items.len() * 6 + contents.len());
    writer.uint(batch.0).uint(items.len() as u64);
    let mut indexes = Indexes::default();
    for (index, item) in items {
        let (state, len) = match item {
            PackItem::Whole(len) => (0_u8, *len),
            PackItem::Changed => (1, 0),
            PackItem::Vanished => (2, 0),
            PackItem::Unreadable => (3, 0),
            PackItem::Same => (4, 0),
        };
        writer.uint(indexes.difference(*index)).uint(state).uint(len);
    }
    writer.uint(0_u8);
    let covered = writer.payload().len();
    writer.raw(&[0; DIGEST_LEN]).raw(contents);
    seal(&mut writer, covered, digest);
    writer.finish()
}

const DIGEST_LEN: usize = 32;

/// Puts the digest between the `covered` bytes of the payload and the content.
fn seal(writer: &mut FrameWriter, covered: usize, digest: impl FnOnce(&[u8], &[u8]) -> Digest) {
    let (head, rest) = writer.payload_mut().split_at_mut(covered);
    if let Some((place, content)) = rest.split_first_chunk_mut::<DIGEST_LEN>() {
        *place = digest(head, content).0;
    }
}

impl<'a> DataView<'a> {
    /// Reads the head; the content stays where it is and is not checked against the digest.
    ///
    /// # Errors
    /// [`WireError`] when the frame is no data frame, or breaks a bound.
    pub fn parse(frame: &'a Frame) -> Result<Self, WireError> {
        let mut cursor = expect(frame, FrameKind::Data)?;
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let offset = cursor.bounded("offset", 0, FILE_SIZE_MAX)?;
        let len = cursor.bounded("length of data", 1, limits::DATA_LEN_MAX as u64)?;
        let flags = cursor.flags("flags of data", COMPRESSED | BESIDE | DELTA)?;
        let coding = coding(&mut cursor, flags)?;
        end_of_operation("data", offset, len)?;
        let (covered, digest, payload) = sealed(frame, cursor)?;
        let found = payload.len() as u64;
        // What does not shrink is sent plain, so any other payload is the shorter one.
        if if coding == Coding::Plain { found != len } else { found >= len } {
            return Err(WireError::Contents { expected: len, found });
        }
        let head = DataHead { batch, index, offset, len: len as u32, coding, beside: flags & BESIDE != 0 };
        Ok(Self { head, covered, digest, payload })
    }
}

impl<'a> PackView<'a> {
    /// Reads the head; the contents stay where they are and are not checked against the digest.
    ///
    /// # Errors
    /// [`WireError`] when the frame is no pack, or breaks a bound, or the lengths do not add up.
    pub fn parse(frame: &'a Frame) -> Result<Self, WireError> {
        let mut cursor = expect(frame, FrameKind::Pack)?;
        let batch = BatchId(cursor.uint("batch")?);
        let count = cursor.count("count of items", limits::BATCH_ENTRIES_MAX, 3)?;
        let mut items = Vec::with_capacity(count);
        let mut indexes = Indexes::default();
        // No overflow: at most 1024 lengths of at most 64 KiB.
        let mut expected = 0;
        for _ in 0..count {
            let index = indexes.read(&mut cursor)?;
            let item = pack_item(&mut cursor)?;
            if let PackItem::Whole(len) = item {
                expected += u64::from(len);
            }
            items.push((index, item));
        }
        cursor.flags("flags of a pack", 0)?;
        let (covered, digest, contents) = sealed(frame, cursor)?;
        let found = contents.len() as u64;
        if found != expected {
            return Err(WireError::Contents { expected, found });
        }
        Ok(Self { batch, items, covered, digest, contents })
    }
}

fn pack_item(cursor: &mut Cursor<'_>) -> Result<PackItem, WireError> {
    let whole = PackItem::Whole(0);
    let all = [whole, PackItem::Changed, PackItem::Vanished, PackItem::Unreadable, PackItem::Same];
    let item = cursor.choice("state of an item", &all)?;
    let max = if item == whole { limits::PACKED_FILE_LEN_MAX } else { 0 };
    let len = cursor.bounded("length of an item", 0, max)? as u32;
    Ok(if item == whole { PackItem::Whole(len) } else { item })
}

/// How the content is written, by the flags; the part of a delta follows them.
fn coding(cursor: &mut Cursor<'_>, flags: u64) -> Result<Coding, WireError> {
    match flags & (COMPRESSED | DELTA) {
        0 => Ok(Coding::Plain),
        COMPRESSED => Ok(Coding::Zstd),
        DELTA if flags & BESIDE != 0 => {
            let from = cursor.bounded("offset of a part", 0, FILE_SIZE_MAX)?;
            let reach = cursor.bounded("length of a part", 1, limits::SKETCH_LEN_MAX)?;
            from.checked_add(reach).filter(|end| *end <= FILE_SIZE_MAX).ok_or(WireError::Crosses("a part"))?;
            Ok(Coding::Delta { from, reach })
        }
        _ => Err(WireError::Flags { field: "flags of data", bits: flags }),
    }
}

fn expect(frame: &Frame, kind: FrameKind) -> Result<Cursor<'_>, WireError> {
    if frame.kind() != kind {
        return Err(WireError::OtherKind(frame.kind()));
    }
    Ok(frame.cursor())
}

/// What was read so far, the digest, and what follows it.
fn sealed<'a>(frame: &'a Frame, mut cursor: Cursor<'a>) -> Result<(&'a [u8], Digest, &'a [u8]), WireError> {
    let payload = frame.payload();
    let covered = payload.get(..payload.len() - cursor.remaining()).unwrap_or_default();
    let digest = Digest(cursor.array("digest")?);
    Ok((covered, digest, cursor.rest()))
}

/// Where an operation of `len` bytes, at least one, at `offset` ends: within its segment and within the largest file.
fn end_of_operation(field: &'static str, offset: u64, len: u64) -> Result<u64, WireError> {
    let left = limits::SEGMENT_LEN - offset % limits::SEGMENT_LEN;
    offset.checked_add(len).filter(|end| len <= left && *end <= FILE_SIZE_MAX).ok_or(WireError::Crosses(field))
}

impl Runs {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Runs, 40 + self.runs.len() * 10);
        writer.uint(self.batch.0).uint(self.index.0).uint(self.offset).uint(self.runs.len() as u64);
        for Run { kind, len } in &self.runs {
            match kind {
                RunKind::Copy => writer.uint(*len).uint(0_u8),
                RunKind::Hole => writer.uint(*len).uint(1_u8),
                RunKind::Void => writer.uint(*len).uint(2_u8),
                RunKind::Moved { from } => writer.uint(*len).uint(3_u8).uint(*from),
            };
        }
        writer.uint(u8::from(self.beside));
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let offset = cursor.bounded("offset", 0, FILE_SIZE_MAX)?;
        let count = cursor.count("count of runs", RUNS_MAX, 2)?;
        let mut runs = Vec::with_capacity(count);
        let mut end = offset;
        for _ in 0..count {
            let len = cursor.bounded("length of a run", 1, limits::SEGMENT_LEN)?;
            let kind = run_kind(&mut cursor, len)?;
            end = end_of_operation("a run", end, len)?;
            runs.push(Run { kind, len });
        }
        let beside = cursor.flags("flags of runs", 1)? != 0;
        let moves = runs.iter().any(|run| matches!(run.kind, RunKind::Moved { .. }));
        cursor.finish()?;
        if moves && !beside {
            return Err(WireError::Unknown { field: "flags of runs", value: 0 });
        }
        Ok(Self { batch, index, offset, runs, beside })
    }
}

fn run_kind(cursor: &mut Cursor<'_>, len: u64) -> Result<RunKind, WireError> {
    let moved = RunKind::Moved { from: 0 };
    let kind = cursor.choice("kind of run", &[RunKind::Copy, RunKind::Hole, RunKind::Void, moved])?;
    if kind != moved {
        return Ok(kind);
    }
    let from = cursor.bounded("offset of a run's origin", 0, FILE_SIZE_MAX)?;
    from.checked_add(len).filter(|end| *end <= FILE_SIZE_MAX).ok_or(WireError::Crosses("a run's origin"))?;
    Ok(RunKind::Moved { from })
}

impl FileState {
    const ALL: [Self; 4] = [Self::AsScanned, Self::Changed, Self::Vanished, Self::Unreadable];

    fn number(self) -> u8 {
        match self {
            Self::AsScanned => 0,
            Self::Changed => 1,
            Self::Vanished => 2,
            Self::Unreadable => 3,
        }
    }
}

impl FileEnd {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::new(FrameKind::FileEnd);
        writer.uint(self.batch.0).uint(self.index.0).uint(self.state.number()).uint(self.size);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let state = cursor.choice("state of a file", &FileState::ALL)?;
        let size = cursor.bounded("size", 0, FILE_SIZE_MAX)?;
        cursor.finish()?;
        Ok(Self { batch, index, state, size })
    }
}

#[cfg(test)]
mod tests;
