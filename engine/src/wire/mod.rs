//! TEMPORARY stand-in for the room `wire`: only what `tunnel` needs. Dropped at the merge.

/// Bytes of a preamble.
pub const PREAMBLE_LEN: usize = 12;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length out of bounds.
    #[error("a frame of {0} bytes is out of bounds")]
    Length(usize),
    /// Not a type this stand-in knows.
    #[error("a frame has the unknown type {0}")]
    Kind(u8),
}

/// Why a preamble is not one we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreambleError {
    /// Not ferry.
    #[error("the peer does not speak ferry's protocol")]
    NotFerry,
    /// No version in common.
    #[error("no version in common")]
    Versions {
        /// Lowest and highest version of the peer.
        theirs: (u16, u16),
        /// Lowest and highest version spoken here.
        ours: (u16, u16),
    },
}

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Keeps a connection alive.
    Ping,
    /// Anything else.
    Other(u8),
}

/// One received frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// Checks `body`, type byte and payload.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(body: Vec<u8>) -> Result<Self, WireError> {
        if body.is_empty() { Err(WireError::Length(0)) } else { Ok(Self(body)) }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        match self.0.first() {
            Some(6) => FrameKind::Ping,
            other => FrameKind::Other(other.copied().unwrap_or(0)),
        }
    }

    /// Bytes of the body.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Keeps a connection alive.
    Ping,
}

impl Message {
    /// The whole frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        vec![0, 0, 0, 1, 6]
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is not one this stand-in knows.
    pub fn decode(frame: &Frame) -> Result<Self, WireError> {
        match frame.kind() {
            FrameKind::Ping if frame.len() == 1 => Ok(Self::Ping),
            FrameKind::Ping => Err(WireError::Length(frame.len())),
            FrameKind::Other(kind) => Err(WireError::Kind(kind)),
        }
    }
}

/// The body's length, checked to be 1..=max.
///
/// # Errors
/// When it is out of bounds.
pub fn frame_len(prefix: [u8; 4], max: usize) -> Result<usize, WireError> {
    let len = u32::from_be_bytes(prefix) as usize;
    if (1..=max).contains(&len) { Ok(len) } else { Err(WireError::Length(len)) }
}

/// What each side sends first.
#[must_use]
pub fn preamble() -> [u8; PREAMBLE_LEN] {
    *b"ferry\0\r\n\0\x01\0\x01"
}

/// The version both speak.
///
/// # Errors
/// When there is none.
pub fn agree(theirs: [u8; PREAMBLE_LEN]) -> Result<u16, PreambleError> {
    let [magic @ .., l0, l1, h0, h1] = theirs;
    if magic != *b"ferry\0\r\n" {
        return Err(PreambleError::NotFerry);
    }
    let theirs = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([h0, h1]));
    if theirs.0 <= 1 && theirs.1 >= 1 { Ok(1) } else { Err(PreambleError::Versions { theirs, ours: (1, 1) }) }
}
