//! Integers of the protocol: LEB128 of 64 bits, in the shortest form only, and zigzag for signed values.
//!
//! One value has one encoding: a longer form is refused, so equal messages are equal bytes. Nothing here allocates
//! when reading, and nothing here knows what a number means or what its bound is.

/// Bytes of the longest encoding.
pub const UINT_LEN_MAX: usize = 10;

/// Why bytes are no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    /// The bytes end inside it.
    #[error("a number ends early")]
    Ends,
    /// A longer form than needed, or more than 64 bits.
    #[error("a number is not in its shortest form or has more than 64 bits")]
    Form,
}

/// Appends `value`: 1 to [`UINT_LEN_MAX`] bytes.
pub fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed `value`, small magnitudes in few bytes.
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, zigzag(value));
}

/// Bytes that [`put_uint`] appends for `value`.
#[must_use]
pub fn uint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Reads an unsigned integer from the front: the value and the bytes after it.
///
/// # Errors
/// [`VarintError`] when the bytes end early or are not the one encoding of a value.
#[inline]
pub fn uint(bytes: &[u8]) -> Result<(u64, &[u8]), VarintError> {
    match bytes {
        [first, rest @ ..] if *first < 0x80 => Ok((u64::from(*first), rest)),
        _ => long_uint(bytes),
    }
}

/// Reads a signed integer from the front: the value and the bytes after it.
///
/// # Errors
/// As [`uint`].
#[inline]
pub fn int(bytes: &[u8]) -> Result<(i64, &[u8]), VarintError> {
    uint(bytes).map(|(value, rest)| (unzigzag(value), rest))
}

fn long_uint(bytes: &[u8]) -> Result<(u64, &[u8]), VarintError> {
    let mut value = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        let last = byte < 0x80;
        // The tenth byte has room for one bit; a last byte of 0 could have been left out.
        if place + 1 == UINT_LEN_MAX && byte > 1 || last && byte == 0 && place > 0 {
            return Err(VarintError::Form);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if last {
            let (_, rest) = bytes.split_at_checked(place + 1).ok_or(VarintError::Ends)?;
            return Ok((value, rest));
        }
    }
    Err(VarintError::Ends)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [u64; 12] =
        [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX as u64, 1 << 56, (1 << 63) - 1, 1 << 63, u64::MAX];

    #[test]
    fn every_value_comes_back_and_is_as_long_as_said() {
        for value in VALUES {
            let mut out = Vec::new();
            put_uint(&mut out, value);
            assert_eq!(out.len(), uint_len(value), "{value}");
            out.push(0xaa);
            assert_eq!(uint(&out), Ok((value, [0xaa].as_slice())));
        }
    }

    #[test]
    fn signed_values_come_back_and_small_ones_are_short() {
        for value in [0, -1, 1, -64, 63, 64, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_int(&mut out, value);
            assert_eq!(int(&out), Ok((value, [].as_slice())));
            assert_eq!(out.len() == 1, (-64..64).contains(&value));
        }
    }

    #[test]
    fn longer_forms_are_refused() {
        assert_eq!(uint(&[0x80, 0x00]), Err(VarintError::Form));
        assert_eq!(uint(&[0xff, 0x80, 0x00]), Err(VarintError::Form));
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(uint(&bytes), Err(VarintError::Form));
        assert_eq!(uint(&[0xff; 11]), Err(VarintError::Form));
    }

    #[test]
    fn an_early_end_is_refused() {
        assert_eq!(uint(&[]), Err(VarintError::Ends));
        assert_eq!(uint(&[0x80]), Err(VarintError::Ends));
        assert_eq!(uint(&[0xff; 9]), Err(VarintError::Ends));
    }
}
