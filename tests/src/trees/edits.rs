//! Random trees and random edits of them, for differential tests: the same seed gives the same script. It refuses kinds
//! that a plain rsync run cannot carry, so that both tools face the same work.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::FileType;

use crate::place::Place;
use crate::trees::Seed;
use crate::trees::everything::acl;

/// Names that meet each other: few, so that edits hit what is there.
const NAMES: [&[u8]; 12] = [b"a", b"b", b"c", b"d.txt", b"e e", b"f\n", b"\xff", b"-g", b"h*", b"\xc3\xa9", b"j", b"k"];

/// Builds a random tree of about `entries` entries at `root`, which is made.
///
/// # Errors
/// When the kernel refuses.
pub fn random(root: &Path, seed: &mut Seed, entries: usize) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    for _ in 0..entries {
        step(root, seed, Kind::Add)?;
    }
    Ok(())
}

/// Changes about `count` entries of the tree at `root`: contents, attributes, kinds, links, renames, removals.
///
/// # Errors
/// When the kernel refuses.
pub fn edit(root: &Path, seed: &mut Seed, count: usize) -> Result<()> {
    for _ in 0..count {
        let kind = match seed.below(8) {
            0 | 1 => Kind::Add,
            2 | 3 => Kind::Content,
            4 | 5 => Kind::Attributes,
            6 => Kind::Rename,
            _ => Kind::Remove,
        };
        step(root, seed, kind)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Add,
    Content,
    Attributes,
    Rename,
    Remove,
}

/// Goes down to a random directory and does one thing to one name there.
fn step(root: &Path, seed: &mut Seed, kind: Kind) -> Result<()> {
    let mut place = Place::open(root)?;
    while !seed.once_in(3) {
        let Some(name) = seed.pick(&directories(&place)?).cloned() else { break };
        place = place.child(&name)?;
    }
    match kind {
        Kind::Add => add(root, &place, seed),
        Kind::Content => with_one(&place, seed, content),
        Kind::Attributes => with_one(&place, seed, attributes),
        Kind::Rename => with_one(&place, seed, rename),
        Kind::Remove => with_one(&place, seed, remove),
    }
}

fn with_one(place: &Place, seed: &mut Seed, act: impl Fn(&Place, &[u8], &mut Seed) -> Result<()>) -> Result<()> {
    match seed.pick(&place.names()?).cloned() {
        Some(name) => act(place, &name, seed),
        None => Ok(()),
    }
}

fn directories(place: &Place) -> Result<Vec<Vec<u8>>> {
    let mut names = place.names()?;
    names.retain(|name| kind_of(place, name).is_ok_and(|kind| kind == FileType::Directory));
    Ok(names)
}

fn kind_of(place: &Place, name: &[u8]) -> Result<FileType> {
    Ok(FileType::from_raw_mode(place.stat(name)?.st_mode))
}

fn add(root: &Path, place: &Place, seed: &mut Seed) -> Result<()> {
    let Some(name) = seed.pick(&NAMES).copied() else { return Ok(()) };
    if place.has(name) {
        remove(place, name, seed)?;
    }
    match seed.below(12) {
        0..=4 => drop(place.file(name, &any_content(seed))?),
        5..=7 => drop(place.dir(name)?),
        8 => place.symlink(name, format!("to/../{}", seed.below(9)).as_bytes())?,
        9 => place.node(name, FileType::Fifo, 0, 0)?,
        10 => place.node(name, FileType::CharacterDevice, 1, u32::try_from(seed.below(200))?)?,
        _ => return link(root, place, name, seed),
    }
    attributes(place, name, seed)
}

/// Makes `name` one more name of a random non-directory directly under the root.
fn link(root: &Path, place: &Place, name: &[u8], seed: &mut Seed) -> Result<()> {
    let top = Place::open(root)?;
    let mut names = top.names()?;
    names.retain(|other| kind_of(&top, other).is_ok_and(|kind| kind != FileType::Directory));
    match seed.pick(&names) {
        Some(leader) if !place.has(name) => top.link(leader, place, name),
        _ => Ok(()),
    }
}

fn any_content(seed: &mut Seed) -> Vec<u8> {
    let len = match seed.below(6) {
        0 => 0,
        1..=3 => seed.below(5_000),
        4 => 65_530 + seed.below(12),
        _ => seed.below(400_000),
    };
    seed.bytes(usize::try_from(len).unwrap_or(0))
}

fn content(place: &Place, name: &[u8], seed: &mut Seed) -> Result<()> {
    use std::os::unix::fs::FileExt;
    if kind_of(place, name)? != FileType::RegularFile {
        return Ok(());
    }
    let file = place.edit(name)?;
    let len = file.metadata()?.len();
    match seed.below(4) {
        0 => file.set_len(seed.below(len + 1))?,
        1 => file.write_all_at(&any_content(seed), len)?,
        2 => file.set_len(len + seed.below(500_000))?,
        _ => file.write_all_at(&seed.bytes(100), seed.below(len + 1))?,
    }
    Ok(())
}

fn attributes(place: &Place, name: &[u8], seed: &mut Seed) -> Result<()> {
    let kind = kind_of(place, name)?;
    let uid = u32::try_from(seed.below(100_000))?;
    match seed.below(7) {
        0 => place.own(name, uid, uid / 2)?,
        1 if kind != FileType::Symlink => place.mode(name, u32::try_from(seed.below(0o10000))?)?,
        2 => place.time(name, (i64::try_from(seed.below(4_000_000_000))? - 1_000_000_000, uid))?,
        3 if matches!(kind, FileType::RegularFile | FileType::Directory) => {
            place.xattr(name, "user.random", &seed.number().to_le_bytes())?;
        }
        4 if matches!(kind, FileType::RegularFile | FileType::Directory) => {
            place.xattr(name, "system.posix_acl_access", &acl(7, &[(uid, 5)], 5, 7, 0))?;
        }
        5 if kind == FileType::Directory => {
            place.xattr(name, "system.posix_acl_default", &acl(7, &[(uid, 4)], 4, 5, 1))?;
        }
        _ => {}
    }
    Ok(())
}

fn rename(place: &Place, name: &[u8], seed: &mut Seed) -> Result<()> {
    match seed.pick(&NAMES) {
        Some(new) if !place.has(new) => place.rename(name, place, new),
        _ => Ok(()),
    }
}

fn remove(place: &Place, name: &[u8], _: &mut Seed) -> Result<()> {
    if kind_of(place, name)? != FileType::Directory {
        return place.unlink(name);
    }
    let inner = place.child(name)?;
    for below in inner.names()? {
        remove(&inner, &below, &mut Seed::new(0))?;
    }
    place.rmdir(name)
}
