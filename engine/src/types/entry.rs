//! An entry of a directory with everything a volume keeps about it.

use super::{LinkGroup, Name, Timestamp, limits};

/// One name in a directory and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name within its directory.
    pub name: Name,
    /// Permission bits with setuid, setgid and sticky. Of no meaning for symbolic links.
    pub mode: Mode,
    /// Numeric owner and group.
    pub owner: Owner,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Extended attributes, ACLs and capabilities among them, sorted by name.
    pub xattrs: Xattrs,
    /// Set when the inode has several names: the group it belongs to.
    pub link: Option<LinkGroup>,
    /// What it is.
    pub content: Content,
}

/// What an entry is, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File(FileContent),
    /// A directory.
    Dir,
    /// A symbolic link and its target: 1 to 4095 bytes, never followed.
    Symlink(Box<[u8]>),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

/// A regular file's own figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Bytes from start to end, holes included.
    pub size: u64,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The kinds of entry, without what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// The twelve permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode(u16);

/// Numeric owner and group, each at most 2^32-2 (2^32-1 means "leave" to the kernel and is no owner).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Name with its namespace: 1 to 255 bytes without NUL.
    pub name: Box<[u8]>,
    /// Value, at most 65,536 bytes.
    pub value: Box<[u8]>,
}

/// The extended attributes of an entry, strictly increasing by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs(Vec<Xattr>);

impl Entry {
    /// The kind alone.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.content.kind()
    }

    /// The size of a regular file, 0 for everything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.content {
            Content::File(file) => file.size,
            Content::Dir
            | Content::Symlink(_)
            | Content::Fifo
            | Content::Socket
            | Content::CharDevice(_)
            | Content::BlockDevice(_) => 0,
        }
    }
}

impl Content {
    /// The kind alone.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::File(_) => EntryKind::File,
            Self::Dir => EntryKind::Dir,
            Self::Symlink(_) => EntryKind::Symlink,
            Self::Fifo => EntryKind::Fifo,
            Self::Socket => EntryKind::Socket,
            Self::CharDevice(_) => EntryKind::CharDevice,
            Self::BlockDevice(_) => EntryKind::BlockDevice,
        }
    }
}

impl EntryKind {
    /// The word people use for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
        }
    }
}

impl Mode {
    /// `None` when `bits` has more than the twelve permission bits.
    #[must_use]
    pub fn new(bits: u32) -> Option<Self> {
        u16::try_from(bits).ok().filter(|bits| *bits <= 0o7777).map(Self)
    }

    /// The permission bits of a `st_mode`, whatever its type bits say.
    #[must_use]
    pub fn from_st_mode(st_mode: u32) -> Self {
        Self((st_mode & 0o7777) as u16)
    }

    /// The twelve bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// True when setuid or setgid is among them.
    #[must_use]
    pub fn is_set_id(self) -> bool {
        self.0 & 0o6000 != 0
    }

    /// The same without setuid and setgid.
    #[must_use]
    pub fn without_set_id(self) -> Self {
        Self(self.0 & !0o6000)
    }
}

impl Owner {
    /// The superuser and its group.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// `None` when either number is 2^32-1.
    #[must_use]
    pub fn new(uid: u32, gid: u32) -> Option<Self> {
        (uid != u32::MAX && gid != u32::MAX).then_some(Self { uid, gid })
    }

    /// The owner's number.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.uid
    }

    /// The group's number.
    #[must_use]
    pub fn gid(self) -> u32 {
        self.gid
    }
}

impl Xattrs {
    /// Checks order, lengths and the total, and keeps the list. `None` when a bound or the order is broken.
    #[must_use]
    pub fn new(list: Vec<Xattr>) -> Option<Self> {
        let ordered = list.is_sorted_by(|a, b| a.name < b.name);
        let fits = list.iter().all(|x| {
            (1..=limits::XATTR_NAME_LEN_MAX).contains(&x.name.len())
                && !x.name.contains(&0)
                && x.value.len() <= limits::XATTR_VALUE_LEN_MAX
        });
        let total: usize = list.iter().map(|x| x.name.len() + x.value.len()).sum();
        (ordered && fits && total <= limits::XATTRS_LEN_MAX).then_some(Self(list))
    }

    /// The attributes, by name.
    #[must_use]
    pub fn as_slice(&self) -> &[Xattr] {
        &self.0
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`, when it is there.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.0.binary_search_by(|x| x.name.as_ref().cmp(name)).ok()?;
        self.0.get(at).map(|x| x.value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &[u8], value: usize) -> Xattr {
        Xattr { name: name.into(), value: vec![0; value].into() }
    }

    #[test]
    fn xattrs_are_sorted_unique_and_bounded() {
        assert!(Xattrs::new(vec![xattr(b"user.a", 1), xattr(b"user.b", 65_536)]).is_some());
        assert!(Xattrs::new(vec![xattr(b"user.a", 1), xattr(b"user.a", 1)]).is_none());
        assert!(Xattrs::new(vec![xattr(b"user.b", 1), xattr(b"user.a", 1)]).is_none());
        assert!(Xattrs::new(vec![xattr(b"user.a", 65_537)]).is_none());
        assert!(Xattrs::new(vec![xattr(b"", 1)]).is_none());
    }

    #[test]
    fn the_kernels_leave_it_is_no_owner() {
        assert!(Owner::new(u32::MAX - 1, u32::MAX - 1).is_some());
        assert!(Owner::new(u32::MAX, 0).is_none());
        assert!(Mode::new(0o10000).is_none());
    }
}
