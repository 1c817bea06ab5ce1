//! Frames: `length u32 big-endian | type u8 | payload`, where the length counts type and payload.
//!
//! The length is checked before a byte of the frame is read, the type before a byte of the payload is looked at. What
//! a payload means is the business of the messages' own files.

use crate::types::limits;

use super::cursor::Cursor;
use super::error::WireError;
use super::varint;

/// Bytes of the length before each frame.
pub const PREFIX_LEN: usize = 4;

/// The types of this version, with their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// The sender opens a session.
    Hello = 0x01,
    /// The receiver accepts it.
    Welcome = 0x02,
    /// The receiver does not.
    Refuse = 0x03,
    /// A data connection names its session.
    LaneHello = 0x04,
    /// The receiver accepts the data connection.
    LaneWelcome = 0x05,
    /// Somebody is there.
    Ping = 0x06,
    /// The last frame of a connection that ends before its time.
    Abort = 0x07,
    /// A pass over the source begins.
    Pass = 0x10,
    /// Entries of a directory.
    Batch = 0x11,
    /// All entries of the pass were sent.
    PassEnd = 0x12,
    /// No further pass.
    Finish = 0x13,
    /// The report was received.
    Goodbye = 0x14,
    /// A path and what went wrong with it.
    Problem = 0x15,
    /// Dry run: what would be done.
    Item = 0x16,
    /// Whose pages are wanted.
    Ask = 0x17,
    /// Signatures of parts of the basis are wanted.
    Sketch = 0x18,
    /// Which contents of a batch are wanted.
    Need = 0x20,
    /// Digests of a segment of the basis.
    Leaves = 0x21,
    /// Digests of the pages of leaves that differ.
    Pages = 0x25,
    /// Signatures of parts of the basis.
    Signatures = 0x26,
    /// A batch is settled.
    BatchDone = 0x22,
    /// A pass is settled.
    PassDone = 0x23,
    /// How it ended.
    Report = 0x24,
    /// Whole small files.
    Pack = 0x30,
    /// A piece of a file.
    Data = 0x31,
    /// Pieces of a file that need no data.
    Runs = 0x32,
    /// All operations of a file were sent.
    FileEnd = 0x33,
    /// Content taken to disk.
    Ack = 0x38,
}

impl FrameKind {
    /// All types of this version.
    pub const ALL: [Self; 28] = [
        Self::Hello,
        Self::Welcome,
        Self::Refuse,
        Self::LaneHello,
        Self::LaneWelcome,
        Self::Ping,
        Self::Abort,
        Self::Pass,
        Self::Batch,
        Self::PassEnd,
        Self::Finish,
        Self::Goodbye,
        Self::Problem,
        Self::Item,
        Self::Ask,
        Self::Sketch,
        Self::Need,
        Self::Leaves,
        Self::Pages,
        Self::Signatures,
        Self::BatchDone,
        Self::PassDone,
        Self::Report,
        Self::Pack,
        Self::Data,
        Self::Runs,
        Self::FileEnd,
        Self::Ack,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for FrameKind {
    type Error = WireError;

    fn try_from(number: u8) -> Result<Self, WireError> {
        Self::ALL.into_iter().find(|kind| kind.number() == number).ok_or(WireError::Kind(number))
    }
}

/// Bytes of the frame that follows `prefix`: 1 to `max`. Room for it may then be allocated.
///
/// # Errors
/// [`WireError::FrameLen`] when the length is out of bounds.
pub fn frame_len(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, WireError> {
    let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if len == 0 || len > max {
        return Err(WireError::FrameLen { len, max });
    }
    Ok(len)
}

/// A received frame: a known type and a payload nobody has looked at yet.
#[derive(Clone, Debug)]
pub struct Frame {
    kind: FrameKind,
    /// Type byte and payload.
    body: Vec<u8>,
}

impl Frame {
    /// Takes the bytes that follow the prefix: type and payload.
    ///
    /// # Errors
    /// [`WireError::FrameLen`] when there is nothing or more than `FRAME_LEN_MAX`, [`WireError::Kind`] when the type
    /// is unknown.
    pub fn new(body: Vec<u8>) -> Result<Self, WireError> {
        let max = limits::FRAME_LEN_MAX;
        match body.first() {
            Some(&number) if body.len() <= max => Ok(Self { kind: FrameKind::try_from(number)?, body }),
            _ => Err(WireError::FrameLen { len: body.len(), max }),
        }
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Bytes of type and payload, as the prefix counted them.
    #[expect(clippy::len_without_is_empty, reason = "a frame has at least its type and is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// The bytes after the type.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body.get(1..).unwrap_or_default()
    }

    /// Its memory, to be used again.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.body
    }

    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self.payload())
    }
}

/// Writes one frame, its prefix last.
pub(super) struct FrameWriter {
    out: Vec<u8>,
}

impl FrameWriter {
    pub(super) fn new(kind: FrameKind) -> Self {
        Self::with_capacity(kind, 64)
    }

    /// With room for a payload of `payload` bytes.
    pub(super) fn with_capacity(kind: FrameKind, payload: usize) -> Self {
        Self::reusing(kind, Vec::new(), payload)
    }

    /// In the memory of `buffer`, with room for a payload of `payload` bytes.
    pub(super) fn reusing(kind: FrameKind, mut buffer: Vec<u8>, payload: usize) -> Self {
        buffer.clear();
        buffer.reserve(PREFIX_LEN + 1 + payload);
        buffer.extend_from_slice(&[0; PREFIX_LEN]);
        buffer.push(kind.number());
        Self { out: buffer }
    }

    /// Goes on with what `self` has in another buffer, with `more` bytes after it that hold anything: they are to be
    /// overwritten. What the buffer had, it keeps, so that one that is used again need not be cleared.
    pub(super) fn moved_to(self, mut buffer: Vec<u8>, more: usize) -> Self {
        let len = self.out.len() + more;
        buffer.truncate(len);
        buffer.resize(len, 0);
        if let Some(head) = buffer.get_mut(..self.out.len()) {
            head.copy_from_slice(&self.out);
        }
        Self { out: buffer }
    }

    pub(super) fn uint(&mut self, value: impl Into<u64>) -> &mut Self {
        varint::put_uint(&mut self.out, value.into());
        self
    }

    /// A number that may be absent: 0 for none, n+1 for n. The largest number of 64 bits becomes the one below it.
    pub(super) fn optional(&mut self, value: Option<u64>) -> &mut Self {
        self.uint(value.map_or(0, |n| n.saturating_add(1)))
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.uint(bytes.len() as u64).raw(bytes)
    }

    /// A text for people: what is longer than `max` bytes is cut, at a whole character.
    pub(super) fn text(&mut self, text: &str, max: usize) -> &mut Self {
        let mut end = text.len().min(max);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes(text.get(..end).unwrap_or_default().as_bytes())
    }

    /// For fields that write themselves.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The payload so far.
    pub(super) fn payload(&self) -> &[u8] {
        self.out.get(PREFIX_LEN + 1..).unwrap_or_default()
    }

    pub(super) fn payload_mut(&mut self) -> &mut [u8] {
        self.out.get_mut(PREFIX_LEN + 1..).unwrap_or_default()
    }

    /// The whole frame, prefix included. A frame of more bytes than the protocol allows is for the peer to refuse: the
    /// bounds are kept by those who fill it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.out.len() - PREFIX_LEN).unwrap_or(u32::MAX);
        if let Some(prefix) = self.out.first_chunk_mut::<PREFIX_LEN>() {
            *prefix = len.to_be_bytes();
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_checked_before_anything_is_allocated() {
        assert_eq!(frame_len([0, 0, 0, 9], 9), Ok(9));
        assert_eq!(frame_len([0, 0, 0, 10], 9), Err(WireError::FrameLen { len: 10, max: 9 }));
        assert_eq!(frame_len([0; 4], 9), Err(WireError::FrameLen { len: 0, max: 9 }));
        assert!(frame_len([0xff; 4], limits::FRAME_LEN_MAX).is_err());
    }

    #[test]
    fn only_the_types_of_this_version_become_frames() {
        let known = (0..=u8::MAX).filter(|number| Frame::new(vec![*number]).is_ok()).count();
        assert_eq!(known, FrameKind::ALL.len());
        assert_eq!(Frame::new(vec![0x40]).unwrap_err(), WireError::Kind(0x40));
        assert!(Frame::new(Vec::new()).is_err());
        assert!(Frame::new(vec![6; limits::FRAME_LEN_MAX + 1]).is_err());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut writer = FrameWriter::new(FrameKind::Abort);
        writer.text("aéé", 4);
        assert_eq!(writer.payload(), b"\x03a\xc3\xa9");
    }
}
