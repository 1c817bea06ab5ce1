//! What an application's volume holds, as far as the operator's default options promise to move it: names that look like progress,
//! links of both kinds, holes, modes, owners, old times. It refuses what those options leave behind, as extended attributes, and
//! devices, which nobody here may make.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::FileType;

use super::security::Security;
use crate::place::{Moment, Place};
use crate::trees::Seed;
use crate::unprivileged::UID;

/// Links that lead out of the volume, below this directory: the stock daemon rewrites their targets.
pub const LEADING_OUT: &str = "leading out";
/// Files that belong to somebody else, below this directory: whoever is not root cannot keep that.
pub const FOREIGN: &str = "foreign";
/// Files with holes, below this directory: stock fills them unless it is told.
pub const SPARSE: &str = "sparse";
/// Long ago, so that nothing made by a copy has this second.
const LONG_AGO: i64 = 1_000_000_000;
/// Somebody else.
const STRANGER: u32 = 999;

/// Builds it at `root`, which is made, for pods of this security.
///
/// # Errors
/// When the kernel refuses.
pub fn application(root: &Path, security: Security) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let place = Place::open(root)?;
    let mut seed = Seed::new(5);
    names(&place)?;
    content(&place, &mut seed)?;
    links(&place)?;
    let out = place.dir(LEADING_OUT.as_bytes())?;
    out.symlink(b"absolute", b"/etc/hostname")?;
    out.symlink(b"dangling and absolute", b"/nowhere/at/all")?;
    out.symlink(b"up", b"../../../../etc/hostname")?;
    let modes = place.dir(b"modes")?;
    for mode in [0o400, 0o600, 0o640, 0o755, 0o777] {
        let name = format!("{mode:04o}");
        modes.file(name.as_bytes(), name.as_bytes())?;
        modes.mode(name.as_bytes(), mode)?;
    }
    place.dir(FOREIGN.as_bytes())?.file(b"file", b"somebody else's")?;
    own(root, security)?;
    age(root)
}

/// Makes `count` files of 64 KiB, each like nothing else, that the pods' user owns: what is slow under a bound of bandwidth.
///
/// # Errors
/// When the kernel refuses.
pub fn alike_nothing(root: &Path, count: usize, security: Security) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let (mut seed, user) = (Seed::new(9), security.fs_group());
    for number in 0..count {
        let path = root.join(format!("{number:04}"));
        std::fs::write(&path, seed.bytes(65_536))?;
        std::os::unix::fs::chown(&path, user, user)?;
    }
    Ok(())
}

fn names(root: &Place) -> Result<()> {
    let dir = root.dir(b"names")?;
    for name in [
        &b"50%_off"[..],
        b"99% 88.8MB_s",
        b"rate 12.5MB",
        b"a\nline",
        b"\\r 77%",
        b"not utf-8 \xff",
        b" blank ",
        b"-rf",
    ] {
        dir.file(name, name)?;
    }
    dir.dir(b"12.5MB")?.file(b"s 42%", b"a rate, when the path is printed")?;
    dir.dir(b"empty")?;
    Ok(())
}

fn content(root: &Place, seed: &mut Seed) -> Result<()> {
    let dir = root.dir(b"content")?;
    for len in [0, 1, 4095, 65_537, 300_000] {
        dir.file(format!("{len} bytes").as_bytes(), &seed.bytes(len))?;
    }
    let many = root.dir(b"many")?;
    for number in 0..200 {
        many.file(format!("file {number}").as_bytes(), &seed.bytes(100))?;
    }
    let sparse = root.dir(SPARSE.as_bytes())?;
    sparse.sparse(b"hole in the middle", 4 << 20, &[(0, b"first"), ((4 << 20) - 4, b"last")])?;
    sparse.sparse(b"hole only", 3_000_001, &[])
}

fn links(root: &Place) -> Result<()> {
    let dir = root.dir(b"links")?;
    dir.file(b"file", b"has three names")?;
    dir.link(b"file", &dir, b"second name")?;
    dir.link(b"file", root, b"third name")?;
    dir.symlink(b"relative", b"../content/1 bytes")?;
    dir.symlink(b"dangling", b"nowhere/at/all")?;
    dir.node(b"fifo", FileType::Fifo, 0, 0)
}

/// Owners: as root the application's own mix, else the user that all of the namespace's pods have.
fn own(root: &Path, security: Security) -> Result<()> {
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry?;
        let foreign = entry.path().ends_with(Path::new(FOREIGN).join("file"));
        let (uid, gid) = match security {
            _ if foreign => (STRANGER, STRANGER),
            Security::Restricted => (UID, UID),
            Security::Root | Security::RootDropped | Security::Image => (u32::try_from(entry.depth())? * 1000, 1000),
        };
        std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Times: deepest first, for a directory's changes with what is in it.
fn age(root: &Path) -> Result<()> {
    for (second, entry) in (LONG_AGO..).zip(walkdir::WalkDir::new(root).contents_first(true)) {
        let entry = entry?;
        let above = Place::open(entry.path().parent().context("an entry is in a directory")?)?;
        let moment: Moment = (second, 123_456_789);
        above.time(std::os::unix::ffi::OsStrExt::as_bytes(entry.file_name()), moment)?;
    }
    Ok(())
}
