//! Compares source and destination after each run: every name, its kind, a file's size, time and contents, a link's target. It
//! asks no contender, ferry least of all, and does not read what is a hole on both sides. What else a copy has to keep (owners,
//! modes, attributes, links between files) is for the tests' comparator, which is slower and judges once.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Bytes compared at once.
const CHUNK: usize = 1 << 20;

/// The first difference between two trees, in words; nothing when they are equal.
///
/// # Errors
/// When one cannot be read.
pub fn difference(source: &Path, destination: &Path) -> Result<Option<String>> {
    let mut pending = vec![(source.to_owned(), destination.to_owned())];
    while let Some((ours, theirs)) = pending.pop() {
        let names = names(&ours)?;
        if let Some(name) = names.symmetric_difference(&self::names(&theirs)?).next() {
            return Ok(Some(format!("only one side has {}", ours.join(name).display())));
        }
        for name in names {
            let (ours, theirs) = (ours.join(&name), theirs.join(&name));
            let (a, b) = (facts(&ours)?, facts(&theirs)?);
            if let Some(what) = entry(&ours, &theirs, &a, &b)? {
                return Ok(Some(format!("{}: {what}", ours.display())));
            }
            if a.is_dir() {
                pending.push((ours, theirs));
            }
        }
    }
    Ok(None)
}

/// The first byte that differs between two files; their end when one goes on.
///
/// # Errors
/// When one cannot be read.
pub fn first_difference(ours: &Path, theirs: &Path) -> Result<Option<u64>> {
    let open = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let (a, b) = (open(ours)?, open(theirs)?);
    let (size, other) = (a.metadata()?.len(), b.metadata()?.len());
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < size.min(other) {
        at = data(&a, at, size)?.min(data(&b, at, other)?);
        let piece = usize::try_from(size.min(other).saturating_sub(at)).map_or(CHUNK, |left| left.min(CHUNK));
        let (left, right) = (left.get_mut(..piece).unwrap_or_default(), right.get_mut(..piece).unwrap_or_default());
        a.read_exact_at(left, at).with_context(|| format!("cannot read {}", ours.display()))?;
        b.read_exact_at(right, at).with_context(|| format!("cannot read {}", theirs.display()))?;
        if left != right {
            let same = left.iter().zip(right.iter()).take_while(|(one, two)| one == two).count();
            return Ok(Some(at + same as u64));
        }
        at += piece as u64;
    }
    Ok((size != other).then_some(size.min(other)))
}

/// Where data begins, from `at` on; the size when nothing but a hole follows.
fn data(file: &File, at: u64, size: u64) -> Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(found) => Ok(found),
        Err(Errno::NXIO) => Ok(size),
        Err(error) => Err(error).context("cannot find holes"),
    }
}

fn names(directory: &Path) -> Result<BTreeSet<OsString>> {
    let list = || fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>();
    list().with_context(|| format!("cannot list {}", directory.display()))
}

fn facts(path: &Path) -> Result<Metadata> {
    fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))
}

fn entry(ours: &Path, theirs: &Path, a: &Metadata, b: &Metadata) -> Result<Option<String>> {
    if a.file_type() != b.file_type() {
        return Ok(Some("another kind of entry".to_owned()));
    }
    if a.is_symlink() {
        return Ok((fs::read_link(ours)? != fs::read_link(theirs)?).then(|| "another target".to_owned()));
    }
    if !a.is_file() {
        return Ok(None);
    }
    if a.len() != b.len() {
        return Ok(Some(format!("{} bytes became {}", a.len(), b.len())));
    }
    if (a.mtime(), a.mtime_nsec()) != (b.mtime(), b.mtime_nsec()) {
        return Ok(Some(
            format!("written at {}.{:09}", a.mtime(), a.mtime_nsec())
                + &format!(", at the destination at {}.{:09}", b.mtime(), b.mtime_nsec()),
        ));
    }
    Ok(first_difference(ours, theirs)?.map(|at| format!("contents differ from byte {at}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, MIB, Written};
    use crate::site::Site;

    /// Two equal trees, but for what `change` does to the second.
    fn judged(change: impl Fn(&Path)) -> Option<String> {
        let site = Site::scratch().unwrap();
        fs::create_dir(site.source().join("deep")).unwrap();
        data::noise_file(&site.source().join("deep/file"), 1, 2 * MIB + 5, Written::BEFORE).unwrap();
        data::sparse_file(&site.source().join("sparse"), 1, 9 * MIB, 4 * MIB, Written::BEFORE).unwrap();
        std::os::unix::fs::symlink("deep/file", site.source().join("link")).unwrap();
        site.fill_destination(&site.source()).unwrap();
        change(&site.destination());
        difference(&site.source(), &site.destination()).unwrap()
    }

    #[test]
    fn equal_trees_are_equal_and_each_difference_is_named() {
        let found = |change: fn(&Path)| judged(change).unwrap_or_default();
        assert_eq!(judged(|_| ()), None);
        assert!(found(|to| fs::write(to.join("more"), "").unwrap()).contains("only one side has"));
        assert!(found(|to| fs::remove_file(to.join("link")).unwrap()).contains("only one side has"));
        assert!(found(|to| data::date(&to.join("sparse"), Written::SINCE).unwrap()).contains("written at"));
        assert!(found(|to| data::append(&to.join("sparse"), 1, 1, Written::BEFORE).unwrap()).contains("bytes became"));
        let changed = |to: &Path, name: &str, at| {
            let file = File::options().write(true).open(to.join(name)).unwrap();
            file.write_all_at(b"!", at).unwrap();
            file.set_modified(fs::metadata(to.join("deep")).unwrap().modified().unwrap()).unwrap();
            data::date(&to.join(name), Written::BEFORE).unwrap();
        };
        assert!(judged(|to| changed(to, "deep/file", 2 * MIB + 4)).unwrap().contains("from byte 2097156"));
        assert!(judged(|to| changed(to, "sparse", 3 * MIB)).unwrap().contains("from byte 3145728"));
    }

    #[test]
    fn a_file_that_goes_on_differs_at_the_others_end() {
        let site = Site::scratch().unwrap();
        let (one, two) = (site.source().join("one"), site.source().join("two"));
        data::noise_file(&one, 1, 1000, Written::BEFORE).unwrap();
        data::noise_file(&two, 1, 1008, Written::BEFORE).unwrap();
        assert_eq!(first_difference(&one, &two).unwrap(), Some(1000));
        assert_eq!(first_difference(&one, &one).unwrap(), None);
    }
}
