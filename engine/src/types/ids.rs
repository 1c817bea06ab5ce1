//! Numbers that name things inside a session. They are never mixed: each is a type of its own.

use std::fmt;

/// A directory of the current pass: the root is 0, the n-th directory entry sent is n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirId(pub u64);

/// A batch of a session; numbers go up by one from 0 and are never used again, in later passes neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// An entry's place in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryIndex(pub u32);

/// A file's segment: bytes `[n * SEGMENT_LEN, (n + 1) * SEGMENT_LEN)`, cut at the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentIndex(pub u64);

/// Names of one inode with several names in the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkGroup(pub u64);

/// One session on a volume; a later session has another one, and what carries an old one is closed unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Which run of the tool this is, as `--run` gave it: 1 to 64 printable ASCII characters without blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(Box<str>);

/// Which copy of a source is speaking: the same after a restart on the same machine, so that it may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceInstance(pub [u8; 16]);

/// What decides which entries and attributes of a volume a process sees: a digest of the volume itself, of the process'
/// powers and of its options. Who looks from the same one sees the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vantage(pub [u8; 32]);

/// The secret that admits a data connection to its session.
#[derive(Clone, Copy)]
pub struct Token(pub [u8; 16]);

impl RunId {
    /// `None` when `text` is empty, longer than 64 bytes, or not plain printable ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Token {
    /// Compares in a time that does not depend on where the tokens differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
