//! What the page cache holds when a timed run begins: nothing (`--cold`), or all of source and destination. In memory there is
//! no such difference, so there a cold run is refused: it would say cold and mean warm.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::site::Site;

/// The kernel's switch: 3 drops pages, directory entries and inodes that are clean.
const SWITCH: &str = "/proc/sys/vm/drop_caches";

/// How caches are when a timed run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caches {
    /// Data lies in memory: nothing to be done.
    Memory,
    /// Everything was read once.
    Warm,
    /// Everything was written back and dropped.
    Cold,
}

impl Caches {
    /// As they are without being told.
    #[must_use]
    pub fn warm(site: &Site) -> Self {
        if site.is_memory() { Self::Memory } else { Self::Warm }
    }

    /// Cold ones.
    ///
    /// # Errors
    /// When the data lies in memory, or the kernel's switch may not be used.
    pub fn cold(site: &Site) -> Result<Self> {
        ensure!(!site.is_memory(), "--cold means nothing on {}: name a disk with --disk DIR", site.medium());
        let opened = File::options().write(true).open(SWITCH);
        opened.with_context(|| format!("--cold needs root, outside of a container: cannot write {SWITCH}"))?;
        Ok(Self::Cold)
    }

    /// Makes them so.
    ///
    /// # Errors
    /// When something cannot be read, or the kernel refuses.
    pub fn ready(self, source: &Path, destination: &Path) -> Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Warm => [source, destination].into_iter().try_for_each(read_all),
            Self::Cold => {
                // What is dirty is not dropped.
                rustix::fs::sync();
                fs::write(SWITCH, "3").with_context(|| format!("cannot write {SWITCH}"))
            }
        }
    }

    /// In words, for beneath the table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Memory => "Caches: data lies in memory.",
            Self::Warm => "Caches: warm; source and destination are read once before each timed run.",
            Self::Cold => {
                "Caches: cold; everything is synced and dropped (drop_caches 3) before each timed run, programs included."
            }
        }
    }
}

/// Reads a file or device, or everything below a directory; follows no link.
fn read_all(path: &Path) -> Result<()> {
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let mut read = || -> io::Result<()> {
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                for entry in fs::read_dir(&path)? {
                    pending.push(entry?.path());
                }
            } else if !kind.is_symlink() {
                let (mut file, mut buffer) = (File::open(&path)?, vec![0; 1 << 20]);
                while file.read(&mut buffer)? > 0 {}
            }
            Ok(())
        };
        read().with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_and_what_cannot_be_is_named() {
        let site = Site::scratch().unwrap();
        fs::create_dir(site.source().join("deep")).unwrap();
        fs::write(site.source().join("deep/file"), "x").unwrap();
        std::os::unix::fs::symlink("nowhere", site.source().join("link")).unwrap();
        Caches::Warm.ready(&site.source(), &site.destination()).unwrap();
        let error = Caches::Warm.ready(&site.source().join("gone"), &site.destination()).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn cold_is_refused_where_it_means_nothing() {
        let site = Site::below(Path::new("/dev/shm")).unwrap();
        assert_eq!(Caches::warm(&site), Caches::Memory);
        let error = Caches::cold(&site).unwrap_err().to_string();
        assert!(error.contains("--cold means nothing") && error.contains("tmpfs"), "{error}");
    }
}
