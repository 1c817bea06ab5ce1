//! The small messages of the control connection: passes, problems, items of a dry run, the end before its time.

use crate::types::{EntryKind, Mode, Outcome, Owner, Problem, RelPath, Stage, Timestamp, Xattrs, limits};

use super::TEXT_LEN_MAX;
use super::attributes as field;
use super::cursor::Cursor;
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};

/// What takes the place of a long path's beginning.
const PATH_CUT: &[u8] = b".../";

/// A pass over the source begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What it is for.
    pub kind: PassKind,
    /// Passes of the session before it.
    pub number: u32,
    /// The root's own attributes.
    pub root: RootEntry,
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassKind {
    /// Make the destination equal.
    Transfer,
    /// Compare with what was read back from disk; write nothing.
    Verify,
    /// Only delete: the volume was full.
    Clear,
}

/// The attributes of a volume's root, which has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootEntry {
    /// Permission bits.
    pub mode: Mode,
    /// Numeric owner and group.
    pub owner: Owner,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl RootEntry {
    /// What is said of the root of a volume that has none: a single file or device.
    #[must_use]
    pub fn none() -> Self {
        Self { mode: Mode::from_st_mode(0), owner: Owner::ROOT, mtime: Timestamp::default(), xattrs: Xattrs::default() }
    }
}

/// All entries of a pass were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassEnd {
    /// Entries sent in this pass.
    pub entries: u64,
    /// Sizes of its regular files, added.
    pub bytes: u64,
    /// The source holds nothing but `lost+found`.
    pub source_empty: bool,
    /// The sender wants nothing more and met nothing: when the receiver needs no further pass either, and all content came
    /// whole, it answers with its report at once.
    pub last: bool,
}

const SOURCE_EMPTY: u64 = 1;
const LAST: u64 = 2;

/// What a dry run would do to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What would happen.
    pub change: ItemChange,
    /// To what.
    pub kind: EntryKind,
    /// Where.
    pub path: RelPath,
}

/// What would happen to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemChange {
    /// Made.
    Create,
    /// Its content changed, or it is replaced.
    Update,
    /// Only its attributes changed.
    Attributes,
    /// Removed.
    Delete,
}

impl Pass {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::new(FrameKind::Pass);
        writer.uint(match self.kind {
            PassKind::Transfer => 0_u8,
            PassKind::Verify => 1,
            PassKind::Clear => 2,
        });
        writer.uint(self.number);
        let RootEntry { mode, owner, mtime, xattrs } = &self.root;
        let out = writer.out();
        field::put_mode(out, *mode);
        field::put_owner(out, *owner);
        field::put_mtime(out, *mtime, 0);
        field::put_xattrs(out, xattrs);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let kind = cursor.choice("kind of pass", &[PassKind::Transfer, PassKind::Verify, PassKind::Clear])?;
        let number = cursor.uint32("number of pass", u32::MAX)?;
        let root = RootEntry {
            mode: field::mode(&mut cursor)?,
            owner: field::owner(&mut cursor)?,
            mtime: field::mtime(&mut cursor, 0)?,
            xattrs: field::xattrs(&mut cursor)?,
        };
        cursor.finish()?;
        Ok(Self { kind, number, root })
    }
}

impl PassEnd {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::new(FrameKind::PassEnd);
        let flags = (u64::from(self.source_empty) * SOURCE_EMPTY) | (u64::from(self.last) * LAST);
        writer.uint(self.entries).uint(self.bytes).uint(flags);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let entries = cursor.uint("entries")?;
        let bytes = cursor.uint("bytes")?;
        let flags = cursor.flags("flags of a pass end", SOURCE_EMPTY | LAST)?;
        cursor.finish()?;
        Ok(Self { entries, bytes, source_empty: flags & SOURCE_EMPTY != 0, last: flags & LAST != 0 })
    }
}

impl Item {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::new(FrameKind::Item);
        writer.uint(match self.change {
            ItemChange::Create => 0_u8,
            ItemChange::Update => 1,
            ItemChange::Attributes => 2,
            ItemChange::Delete => 3,
        });
        writer.uint(field::kind_number(self.kind));
        put_path(&mut writer, &self.path);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let all = [ItemChange::Create, ItemChange::Update, ItemChange::Attributes, ItemChange::Delete];
        let change = cursor.choice("change", &all)?;
        let kind = cursor.choice("kind", &field::KINDS)?;
        let path = path(&mut cursor)?;
        cursor.finish()?;
        Ok(Self { change, kind, path })
    }
}

pub(super) fn encode_problem(problem: &Problem) -> Vec<u8> {
    let mut writer = FrameWriter::with_capacity(FrameKind::Problem, 256);
    writer.uint(place(&Stage::ALL, problem.stage));
    put_path(&mut writer, &problem.path);
    writer.text(&problem.cause, limits::PROBLEM_TEXT_LEN_MAX);
    writer.finish()
}

pub(super) fn decode_problem(frame: &Frame) -> Result<Problem, WireError> {
    let mut cursor = frame.cursor();
    let stage = cursor.choice("stage", &Stage::ALL)?;
    let path = path(&mut cursor)?;
    let cause = cursor.text("cause", limits::PROBLEM_TEXT_LEN_MAX)?;
    cursor.finish()?;
    Ok(Problem::new(path, stage, cause))
}

pub(super) fn encode_abort(outcome: Outcome, text: &str) -> Vec<u8> {
    let mut writer = FrameWriter::new(FrameKind::Abort);
    writer.uint(place(&Outcome::ALL, outcome)).text(text, TEXT_LEN_MAX);
    writer.finish()
}

pub(super) fn decode_abort(frame: &Frame) -> Result<(Outcome, String), WireError> {
    let mut cursor = frame.cursor();
    let outcome = cursor.choice("outcome", &Outcome::ALL)?;
    let text = cursor.text("text", TEXT_LEN_MAX)?.to_owned();
    cursor.finish()?;
    Ok((outcome, text))
}

/// A frame with no payload.
pub(super) fn encode_empty(kind: FrameKind) -> Vec<u8> {
    FrameWriter::new(kind).finish()
}

/// A frame whose payload is one number.
pub(super) fn encode_number(kind: FrameKind, value: u64) -> Vec<u8> {
    let mut writer = FrameWriter::new(kind);
    writer.uint(value);
    writer.finish()
}

/// The payload that is one number.
pub(super) fn decode_number(frame: &Frame, field: &'static str) -> Result<u64, WireError> {
    let mut cursor = frame.cursor();
    let value = cursor.uint(field)?;
    cursor.finish().map(|()| value)
}

/// The payload that is one flag.
pub(super) fn decode_flag(frame: &Frame, field: &'static str) -> Result<bool, WireError> {
    let mut cursor = frame.cursor();
    let value = cursor.flags(field, 1)?;
    cursor.finish().map(|()| value != 0)
}

/// The number of a value: its place in the list of all.
pub(super) fn place<T: PartialEq>(all: &[T], value: T) -> u64 {
    all.iter().take_while(|one| **one != value).count() as u64
}

/// Writes a path, which is for people only. What is longer than the bound keeps its end: the name says most.
fn put_path(writer: &mut FrameWriter, path: &RelPath) {
    let bytes = path.as_bytes();
    match bytes.len().checked_sub(limits::PROBLEM_TEXT_LEN_MAX) {
        None | Some(0) => writer.bytes(bytes),
        Some(over) => {
            let end = bytes.get(over + PATH_CUT.len()..).unwrap_or_default();
            writer.bytes(&[PATH_CUT, end].concat())
        }
    };
}

fn path(cursor: &mut Cursor<'_>) -> Result<RelPath, WireError> {
    let bytes = cursor.bytes("path", 0, limits::PROBLEM_TEXT_LEN_MAX)?;
    RelPath::from_bytes(bytes).map_err(|source| WireError::Name { field: "path", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Frame {
        Frame::new(bytes[4..].to_vec()).unwrap()
    }

    #[test]
    fn a_path_longer_than_its_bound_keeps_its_end() {
        let path = RelPath::from_bytes(&[b"a".repeat(9_000), b"/the-name".to_vec()].concat()).unwrap();
        let problem = Problem::new(path, Stage::Read, "cannot read");
        let arrived = decode_problem(&frame(&encode_problem(&problem))).unwrap();
        let bytes = arrived.path.as_bytes();
        assert_eq!(bytes.len(), limits::PROBLEM_TEXT_LEN_MAX);
        assert!(bytes.starts_with(b".../aaa") && bytes.ends_with(b"aaa/the-name"));
        assert_eq!(arrived.cause, "cannot read");
    }

    #[test]
    fn every_outcome_and_stage_comes_back() {
        for outcome in Outcome::ALL {
            assert_eq!(decode_abort(&frame(&encode_abort(outcome, "why"))), Ok((outcome, "why".to_owned())));
        }
        for stage in Stage::ALL {
            let problem = Problem::new(RelPath::root(), stage, "why");
            assert_eq!(decode_problem(&frame(&encode_problem(&problem))), Ok(problem));
        }
    }

    #[test]
    fn long_sentences_are_cut_not_refused() {
        let (_, text) = decode_abort(&frame(&encode_abort(Outcome::Failed, &"é".repeat(600)))).unwrap();
        assert_eq!(text, "é".repeat(512));
    }
}
