//! The strict comparator: two trees, entry by entry, every attribute, every byte, every link group. It shares no code with
//! the engine, follows no link, opens only regular files, and knows no limit of path length.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustix::fs::FileType;

use crate::facts::{Facts, ctime, first_difference, mtime};
use crate::place::{Moment, Place, shown};

/// Differences kept in full; a wrong tree of a million entries needs no more to be understood.
const KEPT_MAX: usize = 200;

/// Something a comparison may be told to overlook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Owner and group.
    Owner,
    /// Setuid and setgid bits.
    SetId,
    /// Missing device nodes.
    Devices,
    /// Modification times.
    Times,
    /// Modification times of directories.
    DirectoryTimes,
    /// Extended attributes whose names start so.
    Xattrs(&'static str),
    /// The root directory's own attributes.
    Root,
    /// Entries only the destination has.
    Extra,
    /// This name directly under the root, on both sides.
    Top(&'static str),
    /// This path (names joined by `/`) and what is below it.
    Below(Vec<u8>),
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path below the root, escaped.
    pub path: String,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// All differences between `source` and `destination`, overlooking what `ignored` names; at most a few hundred are kept.
///
/// # Errors
/// When a tree cannot be read.
pub fn differences(source: &Path, destination: &Path, ignored: &[Aspect]) -> Result<Vec<Difference>> {
    let mut walk = Walk { ignored, found: Vec::new(), links: [HashMap::new(), HashMap::new()] };
    let roots = (Arc::new(Place::open(source)?), Arc::new(Place::open(destination)?));
    if !ignored.contains(&Aspect::Root) {
        walk.attributes(&roots.0, &roots.1, b".", b"")?;
    }
    let mut pending = walk.directory(&roots.0, &roots.1, b"")?;
    while let Some(Pending { source, destination, name, path }) = pending.pop() {
        let (a, b) = (Arc::new(source.child(&name)?), Arc::new(destination.child(&name)?));
        pending.extend(walk.directory(&a, &b, &path)?);
        if walk.found.len() >= KEPT_MAX {
            break;
        }
    }
    Ok(walk.found)
}

/// Fails with every difference named when there is one.
///
/// # Errors
/// When the trees differ or cannot be read.
pub fn equal(source: &Path, destination: &Path) -> Result<()> {
    equal_but(source, destination, &[])
}

/// Like [`equal`], overlooking what `ignored` names.
///
/// # Errors
/// When the trees differ or cannot be read.
pub fn equal_but(source: &Path, destination: &Path, ignored: &[Aspect]) -> Result<()> {
    let found = differences(source, destination, ignored)?;
    let lines: Vec<String> = found.iter().take(40).map(ToString::to_string).collect();
    ensure!(
        found.is_empty(),
        "{} differences between {} and {}:\n  {}",
        found.len(),
        source.display(),
        destination.display(),
        lines.join("\n  ")
    );
    Ok(())
}

/// A directory both sides have, not yet looked into.
struct Pending {
    source: Arc<Place>,
    destination: Arc<Place>,
    name: Vec<u8>,
    path: Vec<u8>,
}

/// A walk over both trees; `links` maps an inode with several names to the first path it was met under, on each side.
struct Walk<'a> {
    ignored: &'a [Aspect],
    found: Vec<Difference>,
    links: [HashMap<(u64, u64), Vec<u8>>; 2],
}

impl Walk<'_> {
    fn directory(&mut self, source: &Arc<Place>, destination: &Arc<Place>, path: &[u8]) -> Result<Vec<Pending>> {
        let (ours, theirs) = (self.names(source, path)?, self.names(destination, path)?);
        let mut pending = Vec::new();
        for name in &ours {
            let below = join(path, name);
            if theirs.binary_search(name).is_err() {
                self.missing(source, name, &below)?;
            } else if self.attributes(source, destination, name, &below)? {
                let (source, destination) = (Arc::clone(source), Arc::clone(destination));
                pending.push(Pending { source, destination, name: name.clone(), path: below });
            }
        }
        if !self.ignored.contains(&Aspect::Extra) {
            for name in theirs.iter().filter(|name| ours.binary_search(name).is_err()) {
                self.note(&join(path, name), "only the destination has it".into());
            }
        }
        Ok(pending)
    }

    fn names(&self, place: &Place, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut names = place.names()?;
        names.retain(|name| {
            let overlooked = |aspect: &Aspect| match aspect {
                Aspect::Top(top) => path.is_empty() && name == top.as_bytes(),
                Aspect::Below(skipped) => *skipped == join(path, name),
                _ => false,
            };
            !self.ignored.iter().any(overlooked)
        });
        Ok(names)
    }

    fn missing(&mut self, source: &Place, name: &[u8], path: &[u8]) -> Result<()> {
        let kind = FileType::from_raw_mode(source.stat(name)?.st_mode);
        let device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        if !(device && self.ignored.contains(&Aspect::Devices)) {
            self.note(path, format!("missing ({kind:?})"));
        }
        Ok(())
    }

    /// Compares one entry; true when both are directories, to be looked into.
    fn attributes(&mut self, source: &Place, destination: &Place, name: &[u8], path: &[u8]) -> Result<bool> {
        let (a, b) = (Facts::read(source, name)?, Facts::read(destination, name)?);
        for what in a.differences(&b, self.ignored) {
            self.note(path, what);
        }
        if a.kind() != b.kind() {
            return Ok(false);
        }
        let comparable = a.kind() == FileType::RegularFile && a.stat.st_size == b.stat.st_size && a.stat.st_size > 0;
        if comparable && let Some(offset) = first_difference(source, destination, name)? {
            self.note(path, format!("content differs from byte {offset}"));
        }
        if a.kind() == FileType::Directory {
            return Ok(true);
        }
        self.compare_links(&a, &b, path);
        Ok(false)
    }

    fn compare_links(&mut self, a: &Facts, b: &Facts, path: &[u8]) {
        if a.stat.st_nlink != b.stat.st_nlink {
            self.note(path, format!("{} links became {}", a.stat.st_nlink, b.stat.st_nlink));
        }
        if a.stat.st_nlink < 2 && b.stat.st_nlink < 2 {
            return;
        }
        let [ours, theirs] = &mut self.links;
        let first = |links: &mut HashMap<_, Vec<u8>>, facts: &Facts| {
            links.entry((facts.stat.st_dev, facts.stat.st_ino)).or_insert_with(|| path.to_vec()).clone()
        };
        let (left, right) = (first(ours, a), first(theirs, b));
        if left != right {
            self.note(path, format!("linked to {} instead of {}", shown(&right), shown(&left)));
        }
    }

    fn note(&mut self, path: &[u8], what: String) {
        if self.found.len() < KEPT_MAX {
            self.found.push(Difference { path: shown(path), what });
        }
    }
}

/// Fails unless every destination file with the source's size and time has the source's content.
///
/// # Errors
/// When one has not, or a tree cannot be read.
pub fn no_false_finish(source: &Path, destination: &Path) -> Result<()> {
    let mut pending = vec![(Place::open(source)?, Place::open(destination)?)];
    while let Some((ours, theirs)) = pending.pop() {
        for name in theirs.names()? {
            let (Ok(a), Ok(b)) = (ours.stat(&name), theirs.stat(&name)) else { continue };
            match (a.st_mode & 0o170_000, b.st_mode & 0o170_000) {
                (0o040_000, 0o040_000) => pending.push((ours.child(&name)?, theirs.child(&name)?)),
                (0o100_000, 0o100_000) if a.st_size == b.st_size && mtime(&a) == mtime(&b) => {
                    let differs = first_difference(&ours, &theirs, &name)?;
                    ensure!(differs.is_none(), "{} looks finished and differs from byte {differs:?}", shown(&name));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What must not move when nothing changed: inode, times, link count and mode of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Still {
    inode: u64,
    mtime: Moment,
    ctime: Moment,
    links: u64,
    mode: u32,
}

/// Inode and times of every entry below `root` and of the root itself, in the order of a walk.
///
/// # Errors
/// When the tree cannot be read.
pub fn snapshot(root: &Path) -> Result<Vec<(Vec<u8>, Still)>> {
    let root = Arc::new(Place::open(root)?);
    let mut taken = vec![(Vec::new(), still(&root, b".")?.0)];
    let mut pending = vec![(root, Vec::new())];
    while let Some((place, path)) = pending.pop() {
        for name in place.names()? {
            let (still, is_dir) = still(&place, &name)?;
            let below = join(&path, &name);
            if is_dir {
                pending.push((Arc::new(place.child(&name)?), below.clone()));
            }
            taken.push((below, still));
        }
    }
    Ok(taken)
}

/// Fails with the first entries that moved between two snapshots.
///
/// # Errors
/// When something moved.
pub fn unmoved(before: &[(Vec<u8>, Still)], after: &[(Vec<u8>, Still)]) -> Result<()> {
    ensure!(before.len() == after.len(), "{} entries became {}", before.len(), after.len());
    let moved: Vec<String> = before
        .iter()
        .zip(after)
        .filter(|(a, b)| a != b)
        .take(10)
        .map(|(a, b)| format!("{}: {:?} became {} {:?}", shown(&a.0), a.1, shown(&b.0), b.1))
        .collect();
    ensure!(moved.is_empty(), "entries were touched:\n  {}", moved.join("\n  "));
    Ok(())
}

fn still(place: &Place, name: &[u8]) -> Result<(Still, bool)> {
    let stat = place.stat(name)?;
    let still = Still {
        inode: stat.st_ino,
        mtime: mtime(&stat),
        ctime: ctime(&stat),
        links: stat.st_nlink,
        mode: stat.st_mode,
    };
    Ok((still, FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
}

/// `path` and `name`, joined by `/`; the root's path is empty.
#[must_use]
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = path.to_vec();
    if !joined.is_empty() {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}
