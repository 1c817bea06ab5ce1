//! The places volumes lie at: looked at before anything is opened, so that a mistake is a sentence and not half a copy.
//!
//! Looks, and never changes anything. What is found here may be different a moment later; the `volume` room checks what
//! it opens again.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::types::Escaped;

/// Why a place cannot be a volume.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Nothing is there.
    #[error("{0} does not exist; check the path, and that the volume is mounted")]
    NoSource(String),
    /// Neither it nor its parent is there.
    #[error("{0} does not exist and neither does the directory above it; make that first, or mount the volume")]
    NoParent(String),
    /// It is nothing that holds data.
    #[error("{path} is a {kind}; a volume is a directory, a regular file or a block device")]
    NoVolume {
        /// The place, escaped.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// What should hold the volume is no directory.
    #[error("{path} is a {kind}, and nothing can be made in it; name a place in a directory")]
    NoDirectory {
        /// The place, escaped.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// It cannot be looked at.
    #[error("cannot look at {path} (check its permissions)")]
    Unreadable {
        /// The place, escaped.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Both are one directory, file or device.
    #[error("{0} and {1} are the same; nothing can be copied onto itself")]
    Same(String, String),
    /// One holds the other.
    #[error(
        "{inner} lies inside {outer}; a copy into its own source would never end, and --delete would remove the source"
    )]
    Inside {
        /// The inner one, escaped.
        inner: String,
        /// The outer one, escaped.
        outer: String,
    },
    /// State would be part of what it is about.
    #[error("--state {state} lies inside {volume}; name a directory outside, or write --state volume")]
    StateInside {
        /// The directory, escaped.
        state: String,
        /// The volume, escaped.
        volume: String,
    },
    /// Two volumes of one receiver meet.
    #[error("the volumes {first} and {second} lie in one another; each needs a place of its own")]
    Nested {
        /// One volume and its place.
        first: String,
        /// The other.
        second: String,
    },
}

/// A directory or file by what the kernel calls it, or a device by its number: it may have several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Inode { device: u64, inode: u64 },
    Device(u64),
}

/// How two places lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Apart,
    Same,
    FirstInside,
    SecondInside,
}

/// Checks that a source is an existing directory, file or block device.
///
/// # Errors
/// [`PlaceError::NoSource`], [`PlaceError::NoVolume`], [`PlaceError::Unreadable`].
pub fn source(path: &Path) -> Result<(), PlaceError> {
    match std::fs::metadata(path) {
        Ok(found) => volume(path, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PlaceError::NoSource(shown(path))),
        Err(source) => Err(PlaceError::Unreadable { path: shown(path), source }),
    }
}

/// What a path leads to, as far as it decides what a copy of it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that can be looked at.
    Nothing,
    /// A directory.
    Directory,
    /// A symbolic link, to whatever.
    Link,
    /// Anything else.
    Other,
}

/// What is at `path` itself; a link is not followed.
#[must_use]
pub fn found(path: &Path) -> Found {
    match std::fs::symlink_metadata(path).map(|found| found.file_type()) {
        Err(_) => Found::Nothing,
        Ok(kind) if kind.is_symlink() => Found::Link,
        Ok(kind) if kind.is_dir() => Found::Directory,
        Ok(_) => Found::Other,
    }
}

/// Whether `path` leads to a directory, links followed.
#[must_use]
pub fn is_directory(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir())
}

/// Checks that a destination is a directory, file or block device, or missing below an existing directory.
///
/// # Errors
/// [`PlaceError::NoParent`], [`PlaceError::NoVolume`], [`PlaceError::NoDirectory`], [`PlaceError::Unreadable`].
pub fn destination(path: &Path) -> Result<(), PlaceError> {
    match std::fs::metadata(path) {
        Ok(found) => return volume(path, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(PlaceError::Unreadable { path: shown(path), source }),
    }
    let parent = parent_of(path);
    match std::fs::metadata(&parent) {
        Ok(found) => directory(&parent, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PlaceError::NoParent(shown(path))),
        Err(source) => Err(PlaceError::Unreadable { path: shown(&parent), source }),
    }
}

/// Checks that neither of two places is or holds the other, by device and inode of all directories above them, so that
/// symbolic links and bind mounts are seen through. The second may be missing.
///
/// # Errors
/// [`PlaceError::Same`], [`PlaceError::Inside`], [`PlaceError::Unreadable`].
pub fn apart(first: &Path, second: &Path) -> Result<(), PlaceError> {
    match relation(first, second)? {
        Relation::Apart => Ok(()),
        Relation::Same => Err(PlaceError::Same(shown(first), shown(second))),
        Relation::FirstInside => Err(PlaceError::Inside { inner: shown(first), outer: shown(second) }),
        Relation::SecondInside => Err(PlaceError::Inside { inner: shown(second), outer: shown(first) }),
    }
}

/// Checks that the volumes of one receiver share no directory.
///
/// # Errors
/// [`PlaceError::Nested`], [`PlaceError::Unreadable`].
pub fn all_apart<'a>(volumes: impl Iterator<Item = (&'a str, &'a Path)> + Clone) -> Result<(), PlaceError> {
    for (n, (name, path)) in volumes.clone().enumerate() {
        for (other_name, other) in volumes.clone().skip(n + 1) {
            if relation(path, other)? != Relation::Apart {
                let first = format!("{name}={}", shown(path));
                return Err(PlaceError::Nested { first, second: format!("{other_name}={}", shown(other)) });
            }
        }
    }
    Ok(())
}

/// Checks that a directory for state is one, or can be made.
///
/// # Errors
/// [`PlaceError::NoDirectory`], [`PlaceError::NoParent`], [`PlaceError::Unreadable`].
pub fn state(dir: &Path) -> Result<(), PlaceError> {
    match std::fs::metadata(dir) {
        Ok(found) => directory(dir, &found),
        Err(_) => destination(dir),
    }
}

/// Checks that a directory for state does not lie in a volume.
///
/// # Errors
/// [`PlaceError::StateInside`], [`PlaceError::Unreadable`].
pub fn state_outside(dir: &Path, volume: &Path) -> Result<(), PlaceError> {
    match relation(dir, volume)? {
        Relation::Apart | Relation::SecondInside => Ok(()),
        Relation::Same | Relation::FirstInside => {
            Err(PlaceError::StateInside { state: shown(dir), volume: shown(volume) })
        }
    }
}

fn relation(first: &Path, second: &Path) -> Result<Relation, PlaceError> {
    // Two places that are both missing are compared by the names they would get.
    let (a, b) = (chain(first)?, chain(second)?);
    if a.resolved == b.resolved {
        return Ok(Relation::Same);
    }
    let inside = |inner: &Chain, outer: &Chain| match outer.own {
        Some(own) => inner.above.contains(&own),
        None => inner.resolved.starts_with(&outer.resolved),
    };
    Ok(match () {
        () if a.own.is_some() && a.own == b.own => Relation::Same,
        () if inside(&a, &b) => Relation::FirstInside,
        () if inside(&b, &a) => Relation::SecondInside,
        () => Relation::Apart,
    })
}

/// A place, and all directories above it.
struct Chain {
    resolved: PathBuf,
    own: Option<Place>,
    above: Vec<Place>,
}

fn chain(path: &Path) -> Result<Chain, PlaceError> {
    let unreadable = |source| PlaceError::Unreadable { path: shown(path), source };
    let resolved = match path.canonicalize() {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = parent_of(path).canonicalize().map_err(unreadable)?;
            parent.join(path.file_name().unwrap_or_default())
        }
        Err(source) => return Err(unreadable(source)),
    };
    let own = place(&resolved).map_err(unreadable)?;
    let mut above = Vec::new();
    for directory in resolved.ancestors().skip(1) {
        above.extend(place(directory).map_err(unreadable)?);
    }
    Ok(Chain { resolved, own, above })
}

fn place(path: &Path) -> io::Result<Option<Place>> {
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_block_device() => Ok(Some(Place::Device(found.rdev()))),
        Ok(found) => Ok(Some(Place::Inode { device: found.dev(), inode: found.ino() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn volume(path: &Path, found: &std::fs::Metadata) -> Result<(), PlaceError> {
    let kind = found.file_type();
    if kind.is_dir() || kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    Err(PlaceError::NoVolume { path: shown(path), kind: word(kind) })
}

fn directory(path: &Path, found: &std::fs::Metadata) -> Result<(), PlaceError> {
    if found.is_dir() {
        return Ok(());
    }
    Err(PlaceError::NoDirectory { path: shown(path), kind: word(found.file_type()) })
}

fn word(kind: std::fs::FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_file() => "regular file",
        () if kind.is_block_device() => "block device",
        () if kind.is_char_device() => "character device",
        () if kind.is_fifo() => "pipe",
        () => "socket",
    }
}

fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a/inner`, `b`, and `link` to `a`.
    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ferry-places-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("a/inner")).unwrap();
        std::fs::create_dir(dir.join("b")).unwrap();
        std::os::unix::fs::symlink("a", dir.join("link")).unwrap();
        std::fs::write(dir.join("file"), "x").unwrap();
        dir
    }

    #[test]
    fn only_what_holds_data_is_a_volume() {
        let dir = scratch("kinds");
        assert!(source(&dir.join("link")).is_ok());
        assert!(matches!(source(&dir.join("none")), Err(PlaceError::NoSource(_))));
        assert!(source(&dir.join("file")).is_ok());
        assert!(destination(&dir.join("file")).is_ok());
        assert!(matches!(
            destination(Path::new("/dev/null")),
            Err(PlaceError::NoVolume { kind: "character device", .. })
        ));
        assert!(destination(&dir.join("new")).is_ok());
        assert!(matches!(destination(&dir.join("none/new")), Err(PlaceError::NoParent(_))));
        assert!(destination(&dir.join("file/new")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_place_in_another_is_seen_through_links_and_when_it_is_missing() {
        let dir = scratch("inside");
        assert!(apart(&dir.join("a"), &dir.join("b")).is_ok());
        assert!(apart(&dir.join("a"), &dir.join("a-new")).is_ok());
        assert!(matches!(apart(&dir.join("a"), &dir.join("link")), Err(PlaceError::Same(..))));
        assert!(matches!(apart(&dir.join("a"), &dir.join("b/../a/.")), Err(PlaceError::Same(..))));
        std::fs::hard_link(dir.join("file"), dir.join("other-name")).unwrap();
        assert!(matches!(apart(&dir.join("file"), &dir.join("other-name")), Err(PlaceError::Same(..))));
        assert!(apart(&dir.join("file"), &dir.join("file-new")).is_ok());
        for inner in ["link/inner", "a/new", "a/inner/new"] {
            let error = apart(&dir.join("a"), &dir.join(inner)).unwrap_err();
            assert!(matches!(error, PlaceError::Inside { .. }), "{inner}: {error}");
        }
        assert!(matches!(apart(&dir.join("link/inner"), &dir.join("a")), Err(PlaceError::Inside { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn volumes_of_one_receiver_keep_out_of_each_other() {
        let dir = scratch("nested");
        let (a, b, inner) = (dir.join("a"), dir.join("b"), dir.join("a/inner"));
        assert!(all_apart([("one", a.as_path()), ("two", b.as_path())].into_iter()).is_ok());
        let error = all_apart([("one", a.as_path()), ("two", b.as_path()), ("three", inner.as_path())].into_iter());
        let sentence = error.unwrap_err().to_string();
        assert!(sentence.contains("one=") && sentence.contains("three="), "{sentence}");
        let (new, below) = (dir.join("new"), dir.join("new"));
        assert!(all_apart([("one", new.as_path()), ("two", below.as_path())].into_iter()).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
