//! Compares an entry of the source with what stands at its name in the destination, and says what is to be done.
//!
//! Extended attributes are not looked at here (see [`super::xattr_changes`]), and content is not read: equal size and
//! time are trusted unless the policy says otherwise.

use crate::types::{Content, Device, Entry, EntryKind, Mode, Owner, OwnerPolicy, Timestamp};

/// The destination's entry, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: Mode,
    /// Numeric owner and group.
    pub owner: Owner,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Bytes of a regular file.
    pub size: u64,
    /// The number of a device.
    pub device: Option<Device>,
    /// Names of its inode.
    pub nlink: u64,
    /// The target of a symbolic link.
    pub target: Option<Box<[u8]>>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether owners are.
    pub owner: OwnerPolicy,
    /// Content of every file, whatever its size and time.
    pub checksum: bool,
    /// The same: this is a pass that reads back.
    pub verify: bool,
}

/// What is to be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is there: make it.
    Create,
    /// Something else that is no directory is there, or a link or device that cannot be changed: make it anew beside
    /// and rename it over.
    Replace,
    /// A directory stands where something else belongs.
    Blocked,
    /// Something that is no directory stands where a directory belongs: remove it, then make the directory.
    MakeWay,
    /// A regular file whose content must be sent or compared. Attributes follow the content.
    Content,
    /// It stays; `attributes` are to be set.
    Keep {
        /// Which differ.
        attributes: AttributeDiff,
    },
}

/// Attributes that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeDiff {
    /// Owner or group.
    pub owner: bool,
    /// Permission bits.
    pub mode: bool,
    /// Time.
    pub mtime: bool,
}

impl AttributeDiff {
    /// True when one of them differs.
    #[must_use]
    pub fn any(self) -> bool {
        self.owner || self.mode || self.mtime
    }
}

/// Says what is to be done so that the destination has `source`.
///
/// `clamp` gives the time the destination's file system keeps for a given one; times are compared after it
/// (engine-rules 19).
///
/// An entry with one name at the source is not left as a name among several at the destination: two source files that
/// are one inode there would change each other for ever (engine-rules 4). Files get [`Verdict::Content`] then, which
/// with [`must_break`] means a new inode, and everything else [`Verdict::Replace`]. For a member of a link group
/// [`must_break`] is to be asked before the attributes of a [`Verdict::Keep`] are set on a file.
#[must_use]
pub fn compare(
    source: &Entry,
    existing: Option<&Existing>,
    policy: &Policy,
    clamp: impl Fn(Timestamp) -> Timestamp,
) -> Verdict {
    let Some(existing) = existing else {
        return Verdict::Create;
    };
    let (source_kind, dest_kind) = (source.kind(), existing.kind);
    match (source_kind == EntryKind::Dir, dest_kind == EntryKind::Dir) {
        (true, false) => return Verdict::MakeWay,
        (false, true) => return Verdict::Blocked,
        (true, true) | (false, false) => {}
    }
    if source_kind != dest_kind {
        return Verdict::Replace;
    }
    let attributes = AttributeDiff {
        owner: policy.owner == OwnerPolicy::Keep && source.owner != existing.owner,
        mode: source_kind != EntryKind::Symlink && source.mode != existing.mode,
        // What is equal needs no probe of the file system, which would be a change by itself.
        mtime: source.mtime != existing.mtime && clamp(source.mtime) != existing.mtime,
    };
    match &source.content {
        Content::Dir => Verdict::Keep { attributes },
        Content::File(file) => {
            // Two empty files have nothing to be asked about.
            let asked = (policy.checksum || policy.verify) && file.size.max(existing.size) > 0;
            if asked || file.size != existing.size || attributes.mtime || is_alone_among_others(source, existing) {
                return Verdict::Content;
            }
            Verdict::Keep { attributes }
        }
        Content::Symlink(target) => {
            keep_or_replace(existing.target.as_ref() == Some(target), source, existing, attributes)
        }
        Content::CharDevice(device) | Content::BlockDevice(device) => {
            keep_or_replace(existing.device == Some(*device), source, existing, attributes)
        }
        Content::Fifo | Content::Socket => keep_or_replace(true, source, existing, attributes),
    }
}

/// True when the destination's inode has other names, which a change would change too, also outside the volume
/// (engine-rules 4). It must be replaced by a new inode, made from a local copy, before its content or an attribute is
/// changed. A change that is not needed breaks nothing. A directory has no other names.
#[must_use]
pub fn must_break(source: &Entry, existing: &Existing) -> bool {
    source.kind() != EntryKind::Dir && existing.kind != EntryKind::Dir && existing.nlink > 1
}

/// One name at the source, several at the destination.
fn is_alone_among_others(source: &Entry, existing: &Existing) -> bool {
    source.link.is_none() && must_break(source, existing)
}

/// For what has no content: making it anew costs nothing, so it is never changed under its other names.
fn keep_or_replace(same: bool, source: &Entry, existing: &Existing, attributes: AttributeDiff) -> Verdict {
    let breaks = must_break(source, existing) && attributes.any();
    if !same || breaks || is_alone_among_others(source, existing) {
        return Verdict::Replace;
    }
    Verdict::Keep { attributes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FileContent, LinkGroup, Name, Xattrs};

    const PLAIN: Policy = Policy { owner: OwnerPolicy::Keep, checksum: false, verify: false };
    const DEVICE: Device = Device { major: 1, minor: 3 };
    const SAME: Verdict = Verdict::Keep { attributes: AttributeDiff { owner: false, mode: false, mtime: false } };

    fn time(secs: i64, nanos: u32) -> Timestamp {
        Timestamp::new(secs, nanos).unwrap()
    }

    fn file() -> Content {
        Content::File(FileContent { size: 9 })
    }

    fn symlink(target: &str) -> Content {
        Content::Symlink(target.as_bytes().into())
    }

    fn all_kinds() -> [Content; 7] {
        let devices = [Content::CharDevice(DEVICE), Content::BlockDevice(DEVICE)];
        let [char_device, block_device] = devices;
        [file(), Content::Dir, symlink("t"), Content::Fifo, Content::Socket, char_device, block_device]
    }

    fn source(content: Content) -> Entry {
        Entry {
            name: Name::new(b"x").unwrap(),
            mode: Mode::new(0o644).unwrap(),
            owner: Owner::new(1, 2).unwrap(),
            mtime: time(100, 7),
            xattrs: Xattrs::default(),
            link: None,
            content,
        }
    }

    /// The destination's entry that is equal to `source`.
    fn same(source: &Entry) -> Existing {
        let (device, target) = match &source.content {
            Content::CharDevice(device) | Content::BlockDevice(device) => (Some(*device), None),
            Content::Symlink(target) => (None, Some(target.clone())),
            Content::File(_) | Content::Dir | Content::Fifo | Content::Socket => (None, None),
        };
        let (kind, size) = (source.kind(), source.size());
        Existing { kind, mode: source.mode, owner: source.owner, mtime: source.mtime, size, device, nlink: 1, target }
    }

    fn verdict(source: &Entry, existing: &Existing) -> Verdict {
        compare(source, Some(existing), &PLAIN, |time| time)
    }

    #[test]
    fn what_is_equal_stays_and_what_is_missing_is_made() {
        for content in all_kinds() {
            let source = source(content);
            assert_eq!(verdict(&source, &same(&source)), SAME, "{:?}", source.kind());
            assert_eq!(compare(&source, None, &PLAIN, |time| time), Verdict::Create);
        }
    }

    #[test]
    fn another_kind_is_replaced_and_directories_are_special() {
        for wanted in all_kinds() {
            for there in all_kinds().iter().filter(|there| there.kind() != wanted.kind()) {
                let expected = match (wanted.kind(), there.kind()) {
                    (EntryKind::Dir, _) => Verdict::MakeWay,
                    (_, EntryKind::Dir) => Verdict::Blocked,
                    _ => Verdict::Replace,
                };
                let existing = same(&source(there.clone()));
                assert_eq!(verdict(&source(wanted.clone()), &existing), expected, "{wanted:?} over {there:?}");
            }
        }
    }

    #[test]
    fn size_and_time_of_a_file_decide_about_its_content() {
        let source = source(file());
        let same = same(&source);
        for existing in [
            Existing { size: 8, ..same.clone() },
            Existing { mtime: time(100, 8), ..same.clone() },
            Existing { mtime: time(99, 7), ..same.clone() },
        ] {
            assert_eq!(verdict(&source, &existing), Verdict::Content);
        }
    }

    #[test]
    fn who_asks_for_content_trusts_no_time() {
        for policy in [Policy { checksum: true, ..PLAIN }, Policy { verify: true, ..PLAIN }] {
            let (file, dir) = (source(file()), source(Content::Dir));
            assert_eq!(compare(&file, Some(&same(&file)), &policy, |time| time), Verdict::Content);
            assert_eq!(compare(&dir, Some(&same(&dir)), &policy, |time| time), SAME);
        }
    }

    #[test]
    fn attributes_that_differ_are_named_one_by_one() {
        for content in all_kinds() {
            let source = source(content);
            let mode = Existing { mode: Mode::new(0o600).unwrap(), ..same(&source) };
            let owner = Existing { owner: Owner::new(1, 3).unwrap(), ..same(&source) };
            let mtime = Existing { mtime: time(1, 0), ..same(&source) };
            let diff = |attributes| Verdict::Keep { attributes };
            let none = AttributeDiff::default();
            // A link's mode means nothing and cannot be set.
            let has_mode = source.kind() != EntryKind::Symlink;
            assert_eq!(verdict(&source, &mode), diff(AttributeDiff { mode: has_mode, ..none }));
            assert_eq!(verdict(&source, &owner), diff(AttributeDiff { owner: true, ..none }));
            if source.kind() != EntryKind::File {
                assert_eq!(verdict(&source, &mtime), diff(AttributeDiff { mtime: true, ..none }));
            }
        }
    }

    #[test]
    fn an_empty_file_that_is_empty_is_not_asked_about() {
        // Seen with `--checksum`: each run replaced every empty file by a new one.
        let source = source(Content::File(FileContent { size: 0 }));
        let policy = Policy { checksum: true, ..PLAIN };
        assert_eq!(compare(&source, Some(&same(&source)), &policy, |time| time), SAME);
        let longer = Existing { size: 1, ..same(&source) };
        assert_eq!(compare(&source, Some(&longer), &policy, |time| time), Verdict::Content);
    }

    #[test]
    fn owners_are_not_compared_when_they_are_not_kept() {
        let source = source(file());
        let other = Existing { owner: Owner::new(9, 9).unwrap(), ..same(&source) };
        let policy = Policy { owner: OwnerPolicy::Ignore, ..PLAIN };
        assert_eq!(compare(&source, Some(&other), &policy, |time| time), SAME);
    }

    #[test]
    fn times_are_compared_as_the_destination_keeps_them() {
        let whole_seconds = |at: Timestamp| time(at.secs(), 0);
        for content in [file(), Content::Dir] {
            let source = source(content);
            let kept = Existing { mtime: time(100, 0), ..same(&source) };
            assert_eq!(compare(&source, Some(&kept), &PLAIN, whole_seconds), SAME);
            let later = Existing { mtime: time(101, 0), ..same(&source) };
            assert_ne!(compare(&source, Some(&later), &PLAIN, whole_seconds), SAME);
            let never = |_: Timestamp| -> Timestamp { panic!("what is equal needs no probe") };
            assert_eq!(compare(&source, Some(&same(&source)), &PLAIN, never), SAME);
        }
    }

    #[test]
    fn what_a_link_or_a_device_is_cannot_be_changed_in_place() {
        let link = source(symlink("there"));
        for target in [Some(b"elsewhere"[..].into()), None] {
            assert_eq!(verdict(&link, &Existing { target, ..same(&link) }), Verdict::Replace);
        }
        for content in [Content::CharDevice(DEVICE), Content::BlockDevice(DEVICE)] {
            let source = source(content);
            let other = Some(Device { minor: 4, ..DEVICE });
            assert_eq!(verdict(&source, &Existing { device: other, ..same(&source) }), Verdict::Replace);
        }
    }

    #[test]
    fn one_name_at_the_source_is_not_left_among_several() {
        for content in all_kinds() {
            let source = source(content);
            let existing = Existing { nlink: 2, ..same(&source) };
            let expected = match source.kind() {
                EntryKind::File => Verdict::Content,
                // A directory's links are its subdirectories.
                EntryKind::Dir => SAME,
                _ => Verdict::Replace,
            };
            assert_eq!(verdict(&source, &existing), expected, "{:?}", source.kind());
            assert_eq!(must_break(&source, &existing), source.kind() != EntryKind::Dir);
            assert!(!must_break(&source, &same(&source)));
        }
    }

    #[test]
    fn a_name_among_several_stays_until_something_changes() {
        for content in [file(), symlink("t"), Content::Fifo] {
            let source = Entry { link: Some(LinkGroup(0)), ..source(content) };
            let equal = Existing { nlink: 2, ..same(&source) };
            assert_eq!(verdict(&source, &equal), SAME);
            let differs = Existing { owner: Owner::new(9, 9).unwrap(), ..equal };
            assert!(must_break(&source, &differs));
            let changed = AttributeDiff { owner: true, ..AttributeDiff::default() };
            let expected = match source.kind() {
                EntryKind::File => Verdict::Keep { attributes: changed },
                _ => Verdict::Replace,
            };
            assert_eq!(verdict(&source, &differs), expected);
        }
    }
}
