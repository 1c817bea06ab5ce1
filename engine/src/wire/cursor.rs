//! Reads fields from the front of a received payload.
//!
//! Every read is bounded by what is left and by the field's own bound; nothing is allocated here before its length was
//! found to be there. It never looks back and never recurses. A message is whole only after [`Cursor::finish`].

use super::error::WireError;
use super::varint::{self, VarintError};

type Read<T> = Result<T, WireError>;

/// The part of a payload that was not read yet.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Bytes not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The end of the message: nothing may be left.
    pub(super) fn finish(self) -> Read<()> {
        match self.rest {
            [] => Ok(()),
            rest => Err(WireError::Trailing(rest.len())),
        }
    }

    /// Everything that is left, as it is.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Read<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or(WireError::Ends(field))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Read<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Ends(field))?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    pub(super) fn uint(&mut self, field: &'static str) -> Read<u64> {
        let (value, rest) = varint::uint(self.rest).map_err(|cause| named(cause, field))?;
        self.rest = rest;
        Ok(value)
    }

    #[inline]
    pub(super) fn int(&mut self, field: &'static str) -> Read<i64> {
        let (value, rest) = varint::int(self.rest).map_err(|cause| named(cause, field))?;
        self.rest = rest;
        Ok(value)
    }

    /// A number from `min` to `max`.
    #[inline]
    pub(super) fn bounded(&mut self, field: &'static str, min: u64, max: u64) -> Read<u64> {
        within(field, self.uint(field)?, min, max)
    }

    /// A number of 32 bits, at most `max`.
    #[inline]
    pub(super) fn uint32(&mut self, field: &'static str, max: u32) -> Read<u32> {
        let value = self.bounded(field, 0, u64::from(max))?;
        u32::try_from(value).map_err(|_| WireError::Varint(field))
    }

    /// A number that may be absent: 0 stands for none, n+1 for n.
    pub(super) fn optional(&mut self, field: &'static str, max: u64) -> Read<Option<u64>> {
        Ok(self.bounded(field, 0, max.saturating_add(1))?.checked_sub(1))
    }

    /// A flag set of which only the bits in `known` exist.
    pub(super) fn flags(&mut self, field: &'static str, known: u64) -> Read<u64> {
        let bits = self.uint(field)?;
        match bits & !known {
            0 => Ok(bits),
            unknown => Err(WireError::Flags { field, bits: unknown }),
        }
    }

    /// A number that stands for the item at its place in `all`.
    pub(super) fn choice<T: Copy>(&mut self, field: &'static str, all: &[T]) -> Read<T> {
        let value = self.uint(field)?;
        let place = usize::try_from(value).ok().and_then(|place| all.get(place));
        place.copied().ok_or(WireError::Unknown { field, value })
    }

    /// A count of items of at least `each` bytes: no more than `max`, and no more than are left to read, so that room
    /// for them may be allocated at once.
    pub(super) fn count(&mut self, field: &'static str, max: usize, each: usize) -> Read<usize> {
        let count = self.bounded(field, 0, max as u64)?;
        usize::try_from(count)
            .ok()
            .filter(|count| count.saturating_mul(each) <= self.rest.len())
            .ok_or(WireError::Count { field, count })
    }

    /// A length from `min` to `max`, then that many bytes.
    #[inline]
    pub(super) fn bytes(&mut self, field: &'static str, min: usize, max: usize) -> Read<&'a [u8]> {
        let len = self.bounded(field, min as u64, max as u64)?;
        let halves = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (bytes, rest) = halves.ok_or(WireError::Ends(field))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// As [`Cursor::bytes`], for UTF-8 of at most `max` bytes.
    pub(super) fn text(&mut self, field: &'static str, max: usize) -> Read<&'a str> {
        let bytes = self.bytes(field, 0, max)?;
        std::str::from_utf8(bytes).map_err(|_| WireError::Text(field))
    }
}

#[inline]
fn within(field: &'static str, value: u64, min: u64, max: u64) -> Read<u64> {
    if value < min || value > max {
        return Err(WireError::Bound { field, value, min, max });
    }
    Ok(value)
}

#[cold]
fn named(cause: VarintError, field: &'static str) -> WireError {
    match cause {
        VarintError::Ends => WireError::Ends(field),
        VarintError::Form => WireError::Varint(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_refused_when_the_message_cannot_hold_it() {
        let mut short = Cursor::new(&[3, 0, 0, 0, 0, 0]);
        assert_eq!(short.count("items", 10, 2), Err(WireError::Count { field: "items", count: 3 }));
        let mut enough = Cursor::new(&[3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(enough.count("items", 10, 2), Ok(3));
    }

    #[test]
    fn bytes_end_where_the_message_ends() {
        assert_eq!(Cursor::new(&[2, 7]).bytes("it", 0, 9), Err(WireError::Ends("it")));
        let too_long = WireError::Bound { field: "it", value: 10, min: 0, max: 9 };
        assert_eq!(Cursor::new(&[10, 7]).bytes("it", 0, 9), Err(too_long));
        assert_eq!(Cursor::new(&[2, 7, 8]).bytes("it", 0, 9), Ok([7, 8].as_slice()));
    }

    #[test]
    fn nothing_may_follow_the_end() {
        assert_eq!(Cursor::new(&[]).finish(), Ok(()));
        assert_eq!(Cursor::new(&[0]).finish(), Err(WireError::Trailing(1)));
    }

    #[test]
    fn zero_stands_for_none() {
        assert_eq!(Cursor::new(&[0]).optional("n", 9), Ok(None));
        assert_eq!(Cursor::new(&[1]).optional("n", 9), Ok(Some(0)));
        assert_eq!(Cursor::new(&[10]).optional("n", 9), Ok(Some(9)));
        assert!(Cursor::new(&[11]).optional("n", 9).is_err());
    }

    #[test]
    fn unknown_bits_and_unknown_choices_are_refused() {
        assert_eq!(Cursor::new(&[6]).flags("f", 3), Err(WireError::Flags { field: "f", bits: 4 }));
        assert_eq!(Cursor::new(&[2]).choice("c", &['a', 'b']), Err(WireError::Unknown { field: "c", value: 2 }));
        assert_eq!(Cursor::new(&[1]).choice("c", &['a', 'b']), Ok('b'));
    }
}
