//! The tree with every kind of entry and every attribute a volume can hold, and the one an unprivileged user meets. It
//! refuses to leave anything to chance: two trees of one seed are equal to the byte.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::FileType;

use crate::place::{Moment, Place};
use crate::trees::Seed;

/// What the file system underneath can hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the longest symlink target.
    pub target: usize,
    /// The largest device number, major and minor.
    pub device: (u32, u32),
}

impl Limits {
    /// ext4, btrfs and tmpfs: a path.
    pub const PATH: Self = Self { target: 4095, device: (4095, 1_048_575) };
    /// xfs keeps targets of 1024 bytes, NUL included, and device numbers of 9 and 18 bits.
    pub const XFS: Self = Self { target: 1023, device: (511, 262_143) };
}

/// 1960, 2039, 2107 and 2400, with nanoseconds.
const MOMENTS: [Moment; 4] =
    [(-315_619_200, 123_456_789), (2_177_452_800, 1), (4_323_369_600, 999_999_999), (13_569_465_600, 500_000_000)];
/// `cap_net_bind_service=ep`, as the kernel stores it (version 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A label SELinux would write.
const LABEL: &[u8] = b"system_u:object_r:container_file_t:s0:c1,c2\0";

/// Builds it at `root`, which is made.
///
/// # Errors
/// When the kernel refuses.
pub fn everything(root: &Path, seed: u64, limits: Limits) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let root = Place::open(root)?;
    let mut seed = Seed::new(seed);
    sizes(&root, &mut seed)?;
    names(&root)?;
    symlinks(&root, limits)?;
    nodes(&root, limits)?;
    owners_and_modes(&root)?;
    times(&root)?;
    attributes(&root)?;
    acls(&root)?;
    sparse(&root, &mut seed)?;
    links(&root)?;
    deep(&root)?;
    closed(&root)?;
    root.own(b".", 4_000_000_000, 1_000_680_000)?;
    root.mode(b".", 0o2750)?;
    root.xattr(b".", "user.root", b"of the volume")?;
    root.time(b".", (1_234_567_890, 987_654_321))
}

fn sizes(root: &Place, seed: &mut Seed) -> Result<()> {
    let dir = root.dir(b"sizes")?;
    for len in [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 131_072, 1 << 20, 5 << 20, 20 << 20, (8 << 20) + 1] {
        dir.file(format!("{len}").as_bytes(), &seed.bytes(len))?;
    }
    dir.file(b"zeros", &vec![0; 300_000])?;
    dir.dir(b"empty directory")?;
    Ok(())
}

fn names(root: &Place) -> Result<()> {
    let dir = root.dir(b"names")?;
    let long = [b'n'; 255];
    let odd: [&[u8]; 14] = [
        b"new\nline",
        b"\xff\xfe not utf-8",
        b"-rf",
        b"--delete",
        b" spaces ",
        b"...",
        b"..a",
        b"tab\t\x1b[31mred",
        b"*?[a]",
        b"\\back",
        b"quote\"'",
        "\u{202e}reversed \u{e9}\u{4e2d}".as_bytes(),
        b"#comment",
        &long,
    ];
    for name in odd {
        dir.file(name, name)?;
    }
    dir.dir(b"dir\nwith \xc3\x28")?.file(b"\x01", b"inside")?;
    dir.dir(&[0xe9; 255])?.file(&[b'd'; 255], b"long in long")?;
    Ok(())
}

fn symlinks(root: &Place, limits: Limits) -> Result<()> {
    let dir = root.dir(b"symlinks")?;
    dir.symlink(b"dangling", b"nowhere/at/all")?;
    dir.symlink(b"absolute", b"/etc/hostname")?;
    dir.symlink(b"up", b"../../../../..")?;
    dir.symlink(b"self", b"self")?;
    dir.symlink(b"to directory", b"../sizes")?;
    dir.symlink(b"not utf-8", b"\xff\xfe/\n")?;
    dir.symlink(b"long", &vec![b't'; limits.target])?;
    dir.symlink(b"owned", b"x")?;
    dir.own(b"owned", 12345, 54321)?;
    dir.xattr(b"owned", "trusted.on.link", b"kept")?;
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        let name = format!("time-{number}");
        dir.symlink(name.as_bytes(), b"t")?;
        dir.time(name.as_bytes(), moment)?;
    }
    Ok(())
}

fn nodes(root: &Place, limits: Limits) -> Result<()> {
    let dir = root.dir(b"nodes")?;
    dir.node(b"fifo", FileType::Fifo, 0, 0)?;
    dir.node(b"socket", FileType::Socket, 0, 0)?;
    dir.node(b"null", FileType::CharacterDevice, 1, 3)?;
    dir.node(b"whiteout", FileType::CharacterDevice, 0, 0)?;
    dir.node(b"large numbers", FileType::CharacterDevice, limits.device.0, limits.device.1)?;
    dir.node(b"block", FileType::BlockDevice, 7, 200)?;
    dir.mode(b"fifo", 0o620)?;
    dir.mode(b"null", 0o666)?;
    dir.own(b"socket", 77, 78)?;
    dir.own(b"block", 0, 6)?;
    for name in [&b"fifo"[..], b"socket", b"null", b"block"] {
        dir.xattr(name, "trusted.node", name)?;
        dir.time(name, (981_173_106, 42))?;
    }
    Ok(())
}

fn owners_and_modes(root: &Place) -> Result<()> {
    let dir = root.dir(b"owners")?;
    for (uid, gid) in [(1, 2), (65_534, 65_534), (1_000_680_000, 0), (4_294_967_294, 4_294_967_294), (2_147_483_648, 0)]
    {
        let name = format!("{uid}-{gid}");
        dir.file(name.as_bytes(), b"owned")?;
        dir.own(name.as_bytes(), uid, gid)?;
    }
    let dir = root.dir(b"modes")?;
    for mode in [0o000, 0o400, 0o222, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777] {
        let (file, sub) = (format!("file-{mode:04o}"), format!("dir-{mode:04o}"));
        dir.file(file.as_bytes(), b"moded")?;
        dir.dir(sub.as_bytes())?.file(b"inside", b"moded")?;
        for name in [&file, &sub] {
            dir.own(name.as_bytes(), 1000, 1001)?;
            dir.mode(name.as_bytes(), mode)?;
        }
    }
    Ok(())
}

fn times(root: &Place) -> Result<()> {
    let dir = root.dir(b"times")?;
    for (number, moment) in MOMENTS.into_iter().chain([(0, 0), (0, 1), (1, 0), (-1, 999_999_999)]).enumerate() {
        let (file, sub) = (format!("file-{number}"), format!("dir-{number}"));
        dir.file(file.as_bytes(), b"timed")?;
        dir.dir(sub.as_bytes())?.file(b"inside", b"timed")?;
        dir.time(file.as_bytes(), moment)?;
        dir.time(sub.as_bytes(), moment)?;
    }
    dir.time(b".", (978_307_200, 7))
}

fn attributes(root: &Place) -> Result<()> {
    let dir = root.dir(b"attributes")?;
    dir.file(b"file", b"attributed")?;
    dir.dir(b"directory")?;
    for name in [&b"file"[..], b"directory"] {
        dir.xattr(name, "user.empty", b"")?;
        dir.xattr(name, "user.binary", b"\0\xff\n")?;
        dir.xattr(name, "user.long", &[b'v'; 1000])?;
        dir.xattr(name, "trusted.overlay.opaque", b"y")?;
        dir.xattr(name, "security.selinux", LABEL)?;
    }
    dir.file(b"capable", b"#!/bin/true")?;
    dir.own(b"capable", 500, 500)?;
    dir.mode(b"capable", 0o755)?;
    dir.xattr(b"capable", "security.capability", &CAPABILITY)?;
    dir.file(b"read-only with attribute", b"x")?;
    dir.xattr(b"read-only with attribute", "user.k", b"v")?;
    dir.mode(b"read-only with attribute", 0o444)
}

fn acls(root: &Place) -> Result<()> {
    let dir = root.dir(b"acls")?;
    dir.file(b"file", b"listed")?;
    dir.xattr(b"file", "system.posix_acl_access", &acl(6, &[(1234, 7), (4_000_000_000, 4)], 4, 7, 0))?;
    let inner = dir.dir(b"inheriting")?;
    // Made before the default list is set: these must not get one by inheritance at the destination.
    inner.file(b"without", b"plain")?;
    inner.dir(b"directory without")?;
    dir.xattr(b"inheriting", "system.posix_acl_default", &acl(7, &[(1000, 5)], 5, 7, 0))?;
    inner.file(b"with", b"inherited")?;
    inner.dir(b"directory with")?.file(b"below", b"inherited")?;
    dir.dir(b"both")?;
    dir.xattr(b"both", "system.posix_acl_access", &acl(7, &[(55, 3)], 5, 7, 4))?;
    dir.xattr(b"both", "system.posix_acl_default", &acl(7, &[], 5, 5, 5))
}

/// A POSIX ACL as the kernel stores it: owner, named users, group, mask and others, each with three bits.
#[must_use]
pub fn acl(owner: u16, users: &[(u32, u16)], group: u16, mask: u16, other: u16) -> Vec<u8> {
    let mut blob = 2u32.to_le_bytes().to_vec();
    let mut entry = |tag: u16, bits: u16, id: u32| {
        blob.extend_from_slice(&tag.to_le_bytes());
        blob.extend_from_slice(&bits.to_le_bytes());
        blob.extend_from_slice(&id.to_le_bytes());
    };
    entry(0x01, owner, u32::MAX);
    users.iter().for_each(|(uid, bits)| entry(0x02, *bits, *uid));
    entry(0x04, group, u32::MAX);
    entry(0x10, mask, u32::MAX);
    entry(0x20, other, u32::MAX);
    blob
}

fn sparse(root: &Place, seed: &mut Seed) -> Result<()> {
    let dir = root.dir(b"sparse")?;
    let piece = seed.bytes(65_536);
    dir.sparse(b"hole at the start", 4 << 20, &[((4 << 20) - 65_536, &piece)])?;
    dir.sparse(b"hole in the middle", 6 << 20, &[(0, &piece), ((6 << 20) - 65_536, &piece)])?;
    dir.sparse(b"hole at the end", 5 << 20, &[(0, &piece)])?;
    dir.sparse(b"hole only", 3_000_001, &[])?;
    dir.sparse(b"hole with odd edges", 7_654_321, &[(12_345, &piece), (4_000_001, b"x")])?;
    dir.sparse(b"a gigabyte", 1 << 30, &[(0, b"first"), (500_000_000, &piece), ((1 << 30) - 4, b"last")])
}

fn links(root: &Place) -> Result<()> {
    let (one, two) = (root.dir(b"links one")?, root.dir(b"links two")?);
    one.file(b"file", &[b'l'; 100_000])?;
    one.symlink(b"symlink", b"target of two")?;
    one.node(b"fifo", FileType::Fifo, 0, 0)?;
    one.node(b"socket", FileType::Socket, 0, 0)?;
    one.node(b"device", FileType::CharacterDevice, 1, 5)?;
    for name in [&b"file"[..], b"symlink", b"fifo", b"socket", b"device"] {
        one.link(name, &two, &[name, b" again"].concat())?;
    }
    one.link(b"file", &one, b"a third, before")?;
    one.link(b"file", root, b"zz last of all")?;
    Ok(())
}

fn deep(root: &Place) -> Result<()> {
    let mut place = root.dir(b"deep")?;
    for level in 0..40 {
        let mut name = vec![b'd'; 196];
        name.extend_from_slice(format!("{level:04}").as_bytes());
        place = place.dir(&name)?;
    }
    place.file(b"at the bottom", b"beyond PATH_MAX")?;
    place.symlink(b"link at the bottom", b"here")?;
    place.node(b"fifo at the bottom", FileType::Fifo, 0, 0)?;
    place.xattr(b"at the bottom", "user.depth", b"40")?;
    place.time(b".", (1_000_000_000, 5))
}

fn closed(root: &Place) -> Result<()> {
    for (name, mode) in [(&b"read-only directory"[..], 0o555), (b"closed directory", 0o000)] {
        let dir = root.dir(name)?;
        dir.file(b"file", b"behind")?;
        dir.dir(b"directory")?.file(b"file", b"behind two")?;
        dir.mode(b"directory", mode)?;
        root.mode(name, mode)?;
        root.time(name, (1_111_111_111, 111))?;
    }
    Ok(())
}

/// What the user `uid` (group 0) meets: entries it may read, with attributes it cannot keep. The names below
/// `unreadable` it cannot read at all.
///
/// # Errors
/// When the kernel refuses.
pub fn unprivileged(root: &Path, uid: u32) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let root = Place::open(root)?;
    let mut seed = Seed::new(uid.into());
    sizes(&root, &mut seed)?;
    names(&root)?;
    times(&root)?;
    sparse(&root, &mut seed)?;
    acls(&root)?;
    links(&root)?;
    deep(&root)?;
    nodes(&root, Limits::PATH)?;
    let own = root.dir(b"own")?;
    own.file(b"file", b"mine")?;
    own.dir(b"read-only")?.file(b"inside", b"mine too")?;
    for name in [&b"file"[..], b"read-only"] {
        own.own(name, uid, 0)?;
    }
    own.mode(b"read-only", 0o555)?;
    let foreign = root.dir(b"foreign")?;
    foreign.file(b"setuid", b"s")?;
    foreign.own(b"setuid", 4321, 4321)?;
    foreign.mode(b"setuid", 0o6755)?;
    foreign.file(b"labelled", b"l")?;
    foreign.xattr(b"labelled", "security.selinux", LABEL)?;
    foreign.xattr(b"labelled", "trusted.secret", b"t")?;
    foreign.xattr(b"labelled", "security.capability", &CAPABILITY)?;
    foreign.xattr(b"labelled", "user.kept", b"u")?;
    root.own(b".", uid, 0)?;
    root.mode(b".", 0o755)
}

/// Adds `unreadable/`: a file and a directory that nobody but root can read.
///
/// # Errors
/// When the kernel refuses.
pub fn unreadable(root: &Path) -> Result<()> {
    let root = Place::open(root)?;
    let dir = root.dir(b"unreadable")?;
    dir.file(b"file", b"secret")?;
    dir.mode(b"file", 0o600)?;
    dir.dir(b"directory")?.file(b"inside", b"secret")?;
    dir.mode(b"directory", 0o700)
}
