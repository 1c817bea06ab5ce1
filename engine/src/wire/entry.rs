//! One entry of a batch, written and read as the difference to the entry before it.
//!
//! [`EntryWriter`] and [`EntryReader`] walk the same states, so that what one leaves out the other knows. The reader
//! takes nothing on trust: names are checked and must increase, and what is repeated must have been there.

use crate::types::{Content, Device, Entry, EntryKind, FileContent, LinkGroup, Mode, Name, Owner, Xattrs, limits};

use super::attributes as field;
use super::cursor::Cursor;
use super::error::WireError;
use super::varint::put_uint;

/// Encoded bytes of the extended attributes that one batch may repeat with a bit. The encoder writes out what is more.
pub const REPEATED_LEN_MAX: usize = limits::BATCH_LEN_AIM;

/// The smallest entry: head, shared, suffix of one byte, mtime.
pub(super) const ENTRY_WIRE_LEN_MIN: usize = 6;

const KIND_BITS: u8 = 0x07;
const MODE_AS_BEFORE: u8 = 0x08;
const OWNER_AS_BEFORE: u8 = 0x10;
const XATTRS_AS_BEFORE: u8 = 0x20;
const LINK_FOLLOWS: u8 = 0x40;
const UNLOOKED: u8 = 0x80;

/// What the next entry may refer to.
struct Before {
    mode: Mode,
    owner: Owner,
    xattrs: Xattrs,
    /// Encoded bytes of `xattrs`.
    xattrs_len: usize,
}

/// Writes entries one after the other.
pub(super) struct EntryWriter {
    out: Vec<u8>,
    name: Vec<u8>,
    secs: i64,
    before: Option<Before>,
    /// Bytes of repetition still allowed.
    repeat: usize,
}

impl EntryWriter {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::with_capacity(limits::BATCH_LEN_AIM / 4),
            name: Vec::with_capacity(limits::NAME_LEN_MAX),
            secs: 0,
            before: None,
            repeat: REPEATED_LEN_MAX,
        }
    }

    /// One that repeats as a hostile peer would.
    #[cfg(test)]
    pub(super) fn without_bound() -> Self {
        Self { repeat: usize::MAX, ..Self::new() }
    }

    /// Everything written so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// An entry with its extended attributes.
    pub(super) fn write(&mut self, entry: &Entry) {
        let head = self.head(entry);
        self.put(entry, head);
    }

    /// An entry whose extended attributes were not looked at: it has none, and says so.
    pub(super) fn write_unlooked(&mut self, entry: &Entry) {
        let head = (self.head(entry) & !XATTRS_AS_BEFORE) | UNLOOKED;
        self.put(entry, head);
    }

    fn put(&mut self, entry: &Entry, head: u8) {
        self.out.push(head);
        self.put_name(&entry.name);
        if head & MODE_AS_BEFORE == 0 {
            field::put_mode(&mut self.out, entry.mode);
        }
        if head & OWNER_AS_BEFORE == 0 {
            field::put_owner(&mut self.out, entry.owner);
        }
        field::put_mtime(&mut self.out, entry.mtime, self.secs);
        self.secs = entry.mtime.secs();
        if head & (XATTRS_AS_BEFORE | UNLOOKED) == 0 {
            field::put_xattrs(&mut self.out, &entry.xattrs);
        }
        if let Some(LinkGroup(group)) = entry.link {
            put_uint(&mut self.out, group);
        }
        put_content(&mut self.out, &entry.content);
    }

    /// The head byte; what it says is remembered for the next entry.
    fn head(&mut self, entry: &Entry) -> u8 {
        let mut head = field::kind_number(entry.kind());
        if entry.link.is_some() {
            head |= LINK_FOLLOWS;
        }
        let Some(before) = &mut self.before else {
            let xattrs_len = field::xattrs_len(&entry.xattrs);
            let xattrs = entry.xattrs.clone();
            self.before = Some(Before { mode: entry.mode, owner: entry.owner, xattrs, xattrs_len });
            return head;
        };
        if std::mem::replace(&mut before.mode, entry.mode) == entry.mode {
            head |= MODE_AS_BEFORE;
        }
        if std::mem::replace(&mut before.owner, entry.owner) == entry.owner {
            head |= OWNER_AS_BEFORE;
        }
        if before.xattrs != entry.xattrs {
            before.xattrs_len = field::xattrs_len(&entry.xattrs);
            before.xattrs = entry.xattrs.clone();
        } else if let Some(left) = self.repeat.checked_sub(before.xattrs_len) {
            self.repeat = left;
            head |= XATTRS_AS_BEFORE;
        }
        head
    }

    fn put_name(&mut self, name: &Name) {
        let bytes = name.as_bytes();
        let shared = self.name.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let suffix = bytes.get(shared..).unwrap_or_default();
        put_uint(&mut self.out, shared as u64);
        put_uint(&mut self.out, suffix.len() as u64);
        self.out.extend_from_slice(suffix);
        self.name.truncate(shared);
        self.name.extend_from_slice(suffix);
    }
}

fn put_content(out: &mut Vec<u8>, content: &Content) {
    match content {
        Content::File(file) => put_uint(out, file.size),
        Content::Symlink(target) => {
            put_uint(out, target.len() as u64);
            out.extend_from_slice(target);
        }
        Content::CharDevice(device) | Content::BlockDevice(device) => {
            put_uint(out, u64::from(device.major));
            put_uint(out, u64::from(device.minor));
        }
        Content::Dir | Content::Fifo | Content::Socket => {}
    }
}

/// Whether a sender looked at an entry's extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    Yes,
    No,
}

/// Reads entries one after the other.
pub(super) struct EntryReader {
    /// The name of the entry before.
    name: Vec<u8>,
    /// Encoded bytes of the attributes that the next entry may repeat.
    xattrs_len: usize,
    /// Bytes of repetition still allowed.
    repeat: usize,
}

impl EntryReader {
    pub(super) fn new() -> Self {
        Self { name: Vec::with_capacity(limits::NAME_LEN_MAX), xattrs_len: 0, repeat: REPEATED_LEN_MAX }
    }

    /// Reads the entry that follows `before`, which is the last one read, if any.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        before: Option<&Entry>,
    ) -> Result<(Entry, Looked), WireError> {
        let head = cursor.byte("head of an entry")?;
        let looked = if head & UNLOOKED == 0 { Looked::Yes } else { Looked::No };
        if head & (UNLOOKED | XATTRS_AS_BEFORE) == UNLOOKED | XATTRS_AS_BEFORE {
            return Err(WireError::Flags { field: "head of an entry", bits: u64::from(XATTRS_AS_BEFORE) });
        }
        let number = head & KIND_BITS;
        let kind = *field::KINDS
            .get(usize::from(number))
            .ok_or(WireError::Unknown { field: "kind", value: u64::from(number) })?;
        let name = self.name(cursor)?;
        let mode = match head & MODE_AS_BEFORE {
            0 => field::mode(cursor)?,
            _ => before.ok_or(WireError::AsBefore("mode"))?.mode,
        };
        let owner = match head & OWNER_AS_BEFORE {
            0 => field::owner(cursor)?,
            _ => before.ok_or(WireError::AsBefore("owner"))?.owner,
        };
        let mtime = field::mtime(cursor, before.map_or(0, |before| before.mtime.secs()))?;
        let xattrs = match head & XATTRS_AS_BEFORE {
            _ if looked == Looked::No => self.no_xattrs(),
            0 => self.new_xattrs(cursor)?,
            _ => self.same_xattrs(&before.ok_or(WireError::AsBefore("xattrs"))?.xattrs)?,
        };
        let link = match head & LINK_FOLLOWS {
            0 => None,
            _ => Some(LinkGroup(cursor.uint("link group")?)),
        };
        let content = content(cursor, kind)?;
        Ok((Entry { name, mode, owner, mtime, xattrs, link, content }, looked))
    }

    fn name(&mut self, cursor: &mut Cursor<'_>) -> Result<Name, WireError> {
        let shared = cursor.bounded("shared part of a name", 0, self.name.len() as u64)?;
        let suffix = cursor.bytes("suffix of a name", 0, limits::NAME_LEN_MAX)?;
        let shared = usize::try_from(shared).unwrap_or(usize::MAX);
        // What is shared is equal, so the rest decides. The empty name of the start is smaller than any.
        if suffix <= self.name.get(shared..).unwrap_or_default() {
            return Err(WireError::Order("name"));
        }
        self.name.truncate(shared);
        self.name.extend_from_slice(suffix);
        Name::new(&self.name).map_err(|source| WireError::Name { field: "name", source })
    }

    /// Attributes that are written out.
    fn new_xattrs(&mut self, cursor: &mut Cursor<'_>) -> Result<Xattrs, WireError> {
        let left = cursor.remaining();
        let xattrs = field::xattrs(cursor)?;
        self.xattrs_len = left - cursor.remaining();
        Ok(xattrs)
    }

    /// Attributes that were not looked at: what repeats them has none.
    fn no_xattrs(&mut self) -> Xattrs {
        let none = Xattrs::default();
        self.xattrs_len = field::xattrs_len(&none);
        none
    }

    /// Attributes as before, counted against what a batch may repeat.
    fn same_xattrs(&mut self, before: &Xattrs) -> Result<Xattrs, WireError> {
        self.repeat = self.repeat.checked_sub(self.xattrs_len).ok_or(WireError::Repeated(REPEATED_LEN_MAX))?;
        Ok(before.clone())
    }
}

#[inline]
fn content(cursor: &mut Cursor<'_>, kind: EntryKind) -> Result<Content, WireError> {
    Ok(match kind {
        EntryKind::File => Content::File(FileContent { size: cursor.bounded("size", 0, field::FILE_SIZE_MAX)? }),
        EntryKind::Dir => Content::Dir,
        EntryKind::Symlink => {
            let target = cursor.bytes("target", 1, limits::SYMLINK_TARGET_LEN_MAX)?;
            if target.contains(&0) {
                return Err(WireError::Text("target"));
            }
            Content::Symlink(target.into())
        }
        EntryKind::Fifo => Content::Fifo,
        EntryKind::Socket => Content::Socket,
        EntryKind::CharDevice => Content::CharDevice(device(cursor)?),
        EntryKind::BlockDevice => Content::BlockDevice(device(cursor)?),
    })
}

fn device(cursor: &mut Cursor<'_>) -> Result<Device, WireError> {
    Ok(Device { major: cursor.uint32("major", u32::MAX)?, minor: cursor.uint32("minor", u32::MAX)? })
}
