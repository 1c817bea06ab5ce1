//! The attributes an entry and a volume's root have in common, as fields of a message.
//!
//! Readers give back values of `types` or an error; no value is mended.

use crate::types::{EntryKind, Mode, Moment, Owner, Timestamp, Xattr, Xattrs, limits};

use super::cursor::Cursor;
use super::error::WireError;
use super::varint::{put_int, put_uint, uint_len};

/// The kinds of entry in the order of their numbers.
pub(super) const KINDS: [EntryKind; 7] = [
    EntryKind::File,
    EntryKind::Dir,
    EntryKind::Symlink,
    EntryKind::Fifo,
    EntryKind::Socket,
    EntryKind::CharDevice,
    EntryKind::BlockDevice,
];

/// Bytes of a file: what a signed file offset can name.
pub(super) const FILE_SIZE_MAX: u64 = i64::MAX as u64;

/// The smallest encoding of an extended attribute: two lengths and a name of one byte.
const XATTR_WIRE_LEN_MIN: usize = 3;
/// The largest name or group that is not the kernel's "leave it".
const OWNER_MAX: u32 = u32::MAX - 1;

pub(super) fn kind_number(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => 0,
        EntryKind::Dir => 1,
        EntryKind::Symlink => 2,
        EntryKind::Fifo => 3,
        EntryKind::Socket => 4,
        EntryKind::CharDevice => 5,
        EntryKind::BlockDevice => 6,
    }
}

pub(super) fn put_mode(out: &mut Vec<u8>, mode: Mode) {
    put_uint(out, u64::from(mode.bits()));
}

#[inline]
pub(super) fn mode(cursor: &mut Cursor<'_>) -> Result<Mode, WireError> {
    let bits = cursor.uint32("mode", 0o7777)?;
    Mode::new(bits).ok_or(WireError::Unknown { field: "mode", value: u64::from(bits) })
}

pub(super) fn put_owner(out: &mut Vec<u8>, owner: Owner) {
    put_uint(out, u64::from(owner.uid()));
    put_uint(out, u64::from(owner.gid()));
}

#[inline]
pub(super) fn owner(cursor: &mut Cursor<'_>) -> Result<Owner, WireError> {
    let (uid, gid) = (cursor.uint32("uid", OWNER_MAX)?, cursor.uint32("gid", OWNER_MAX)?);
    Owner::new(uid, gid).ok_or(WireError::Unknown { field: "uid", value: u64::from(uid) })
}

/// Writes the seconds as the difference to `before`, modulo 2^64: every pair of times has one, and no overflow.
pub(super) fn put_mtime(out: &mut Vec<u8>, mtime: Timestamp, before: i64) {
    put_int(out, mtime.secs().wrapping_sub(before));
    put_uint(out, u64::from(mtime.nanos()));
}

#[inline]
pub(super) fn mtime(cursor: &mut Cursor<'_>, before: i64) -> Result<Timestamp, WireError> {
    let secs = before.wrapping_add(cursor.int("mtime seconds")?);
    let nanos = cursor.uint32("mtime nanoseconds", 999_999_999)?;
    Timestamp::new(secs, nanos).ok_or(WireError::Unknown { field: "mtime nanoseconds", value: u64::from(nanos) })
}

/// Writes a moment: seconds, nanoseconds, nanoseconds since the machine was started.
pub(super) fn put_moment(out: &mut Vec<u8>, moment: &Moment) {
    put_mtime(out, moment.wall, 0);
    put_uint(out, moment.up_ns);
}

pub(super) fn moment(cursor: &mut Cursor<'_>) -> Result<Moment, WireError> {
    Ok(Moment { wall: mtime(cursor, 0)?, up_ns: cursor.uint("time since the start")? })
}

pub(super) fn put_xattrs(out: &mut Vec<u8>, xattrs: &Xattrs) {
    put_uint(out, xattrs.as_slice().len() as u64);
    for Xattr { name, value } in xattrs.as_slice() {
        for field in [name, value] {
            put_uint(out, field.len() as u64);
            out.extend_from_slice(field);
        }
    }
}

/// Bytes that [`put_xattrs`] writes.
pub(super) fn xattrs_len(xattrs: &Xattrs) -> usize {
    let field = |bytes: &[u8]| uint_len(bytes.len() as u64) + bytes.len();
    let list = xattrs.as_slice();
    uint_len(list.len() as u64) + list.iter().map(|x| field(&x.name) + field(&x.value)).sum::<usize>()
}

pub(super) fn xattrs(cursor: &mut Cursor<'_>) -> Result<Xattrs, WireError> {
    let count = cursor.count("count of xattrs", limits::XATTRS_LEN_MAX, XATTR_WIRE_LEN_MIN)?;
    if count == 0 {
        return Ok(Xattrs::default());
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let name = cursor.bytes("xattr name", 1, limits::XATTR_NAME_LEN_MAX)?.into();
        let value = cursor.bytes("xattr value", 0, limits::XATTR_VALUE_LEN_MAX)?.into();
        list.push(Xattr { name, value });
    }
    Xattrs::new(list).ok_or(WireError::Xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_numbers_of_their_places() {
        for (place, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(usize::from(kind_number(kind)), place);
        }
    }

    #[test]
    fn any_two_times_have_a_difference() {
        for secs in [i64::MIN, -1, 0, 1, i64::MAX] {
            for before in [i64::MIN, 0, i64::MAX] {
                let time = Timestamp::new(secs, 999_999_999).unwrap();
                let mut out = Vec::new();
                put_mtime(&mut out, time, before);
                assert_eq!(mtime(&mut Cursor::new(&out), before), Ok(time));
            }
        }
    }

    #[test]
    fn the_length_of_xattrs_is_what_is_written() {
        let xattr = |name: &[u8], len: usize| Xattr { name: name.into(), value: vec![7; len].into() };
        for list in [vec![], vec![xattr(b"user.a", 0)], vec![xattr(b"user.a", 127), xattr(b"user.b", 20_000)]] {
            let xattrs = Xattrs::new(list).unwrap();
            let mut out = Vec::new();
            put_xattrs(&mut out, &xattrs);
            assert_eq!(out.len(), xattrs_len(&xattrs));
        }
    }

    #[test]
    fn xattrs_out_of_order_are_refused() {
        assert_eq!(xattrs(&mut Cursor::new(b"\x02\x01b\x00\x01a\x00")), Err(WireError::Xattrs));
        assert_eq!(xattrs(&mut Cursor::new(b"\x02\x01a\x00\x01a\x00")), Err(WireError::Xattrs));
    }
}
