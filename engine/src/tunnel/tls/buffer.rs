//! Bytes on their way between a socket and TLS: filled behind, used up in front, bounded by who uses it.
//!
//! It knows nothing of records, and never grows by itself but for what is appended.

use tokio::io::ReadBuf;

/// A stretch of `bytes` that is filled.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer for `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: vec![0; len], start: 0, end: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The first `len` filled bytes, or all there are.
    pub(super) fn front_mut(&mut self, len: usize) -> &mut [u8] {
        let end = self.end.min(self.start.saturating_add(len));
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }

    /// Where more can be put; what was filled is as long as it was before.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Makes all the room there can be behind what is filled.
    pub(super) fn settle(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// `len` bytes of the room were filled.
    pub(super) fn fill(&mut self, len: usize) {
        self.end = self.bytes.len().min(self.end.saturating_add(len));
    }

    /// The first `len` bytes are done with.
    pub(super) fn consume(&mut self, len: usize) {
        self.start = self.end.min(self.start.saturating_add(len));
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Puts `bytes` behind what is filled, making room for them.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        if let Some(room) = self.room().get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.fill(bytes.len());
        }
    }

    /// Moves what fits into `into`.
    pub(super) fn pour(&mut self, into: &mut ReadBuf<'_>) {
        let moved = match self.filled().split_at_checked(into.remaining()) {
            Some((now, _)) => now,
            None => self.filled(),
        };
        into.put_slice(moved);
        let moved = moved.len();
        self.consume(moved);
    }

    /// Makes room for `len` bytes, if there is less.
    pub(super) fn grow(&mut self, len: usize) {
        let wanted = self.end.saturating_add(len);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came_and_room_comes_back() {
        let mut buffer = Buffer::new(8);
        buffer.append(b"abcdef");
        buffer.consume(4);
        assert_eq!((buffer.room().len(), buffer.filled()), (2, &b"ef"[..]));
        buffer.settle();
        assert_eq!((buffer.room().len(), buffer.filled()), (6, &b"ef"[..]));
        buffer.append(b"ghijkl");
        let mut memory = [0; 5];
        let mut into = ReadBuf::new(&mut memory);
        buffer.pour(&mut into);
        assert_eq!((into.filled(), buffer.filled()), (&b"efghi"[..], &b"jkl"[..]));
        assert_eq!(buffer.front_mut(2), b"jk");
        assert_eq!(buffer.front_mut(9), b"jkl");
        buffer.consume(9);
        assert!(buffer.is_empty());
        assert_eq!(buffer.room().len(), 8, "all of it once it is empty");
        buffer.append(b"0123456789");
        assert_eq!(buffer.filled(), b"0123456789", "and as much more as is asked for");
    }
}
