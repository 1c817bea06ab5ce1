//! Where a case is played: `source`, `before` (what the destination is at the start of each run) and `destination`, in memory
//! or below a directory that was named. All of it is removed in the end, and nothing outside is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use ferry_tests::mounts::Mount;

/// The share of the memory at hand that the data may take, in percent: contenders need some too.
const MEMORY_PERCENT: u64 = 85;

/// The place; removed when dropped.
#[derive(Debug)]
pub struct Site {
    root: PathBuf,
    ground: Ground,
}

/// What it lies on.
#[derive(Debug)]
enum Ground {
    /// A tmpfs of its own.
    Memory(Option<Mount>),
    /// Whatever a directory is on.
    Directory,
    /// A disk: what is not on it does not count.
    Disk,
}

impl Site {
    /// A tmpfs of its own; needs root.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn in_memory() -> Result<Self> {
        let root = fresh(&std::env::temp_dir());
        let size = crate::machine::memory_available()? / 100 * MEMORY_PERCENT;
        let tmpfs = Mount::tmpfs(&root, size).context("no tmpfs of our own; name a directory with --dir instead")?;
        Self { root, ground: Ground::Memory(Some(tmpfs)) }.furnished()
    }

    /// A directory of its own below `parent`, on whatever that is.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(parent: &Path) -> Result<Self> {
        Self { root: fresh(parent), ground: Ground::Directory }.furnished()
    }

    /// Like [`Site::below`], but a run ends when the destination's file system is synced.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn on_disk(parent: &Path) -> Result<Self> {
        Self { root: fresh(parent), ground: Ground::Disk }.furnished()
    }

    /// A small place for a test.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch() -> Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn furnished(self) -> Result<Self> {
        for directory in [self.source(), self.before(), self.destination(), self.logs()] {
            fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(self)
    }

    /// What is copied.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    /// What the destination is at the start of each run.
    #[must_use]
    pub fn before(&self) -> PathBuf {
        self.root.join("before")
    }

    /// Where it is copied to.
    #[must_use]
    pub fn destination(&self) -> PathBuf {
        self.root.join("destination")
    }

    /// Keys, settings and what contenders print.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What the data lies on, in words.
    #[must_use]
    pub fn medium(&self) -> String {
        match self.ground {
            Ground::Memory(_) => "tmpfs".to_owned(),
            Ground::Directory => format!("the {} of a directory", self.kind()),
            Ground::Disk => format!("{}, `sync -f` of the destination inside every time", self.kind()),
        }
    }

    /// Whether it lies in memory, whatever was named.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        ["tmpfs", "ramfs"].contains(&self.kind().as_str())
    }

    /// The kind of file system, as the kernel's table of mounts names it.
    fn kind(&self) -> String {
        let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounts = table.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        });
        // The deepest mount point that holds the site; of two on one point the later.
        let held = mounts.filter(|(point, _)| self.root.starts_with(point)).max_by_key(|(point, _)| point.len());
        held.map_or_else(|| "file system".to_owned(), |(_, kind)| kind.to_owned())
    }

    /// Writes the destination's file system to its disk, where that counts.
    ///
    /// # Errors
    /// When that fails.
    pub fn settle(&self) -> Result<()> {
        match self.ground {
            Ground::Memory(_) | Ground::Directory => Ok(()),
            Ground::Disk => {
                rustix::fs::syncfs(fs::File::open(self.destination())?).context("cannot sync the file system")
            }
        }
    }

    /// Free bytes.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn free(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(&self.root).context("cannot tell the free space")?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Removes all data of a case.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear(&self) -> Result<()> {
        [self.source(), self.before(), self.destination()].iter().try_for_each(|each| empty(each))
    }

    /// Makes the destination empty.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn empty_destination(&self) -> Result<()> {
        empty(&self.destination())
    }

    /// Makes the destination a copy of `from`, holes and times included.
    ///
    /// # Errors
    /// When `cp` fails.
    pub fn fill_destination(&self, from: &Path) -> Result<()> {
        remove(&self.destination())?;
        let mut command = Command::new("cp");
        command.args(["-a", "--sparse=always"]).arg(from).arg(self.destination());
        let done = command.output().context("cannot start cp")?;
        ensure!(done.status.success(), "cp failed: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A mount vanishes with its contents; its mount point is left to be removed.
        if let Ground::Memory(tmpfs) = &mut self.ground {
            drop(tmpfs.take());
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A name nobody else takes.
fn fresh(parent: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    parent.join(format!("ferry-bench-{}-{count}", std::process::id()))
}

fn empty(path: &Path) -> Result<()> {
    remove(path)?;
    fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_says_that_it_is_synced() {
        let site = Site::on_disk(&std::env::temp_dir()).unwrap();
        assert!(site.medium().contains("sync -f"), "{}", site.medium());
        site.settle().unwrap();
        assert!(!Site::scratch().unwrap().medium().contains("sync"));
    }

    #[test]
    fn a_site_leaves_nothing_behind_and_refills_its_destination() {
        let site = Site::scratch().unwrap();
        fs::write(site.before().join("a"), "old").unwrap();
        fs::write(site.destination().join("b"), "new").unwrap();
        site.fill_destination(&site.before()).unwrap();
        assert_eq!(fs::read(site.destination().join("a")).unwrap(), b"old");
        assert!(!site.destination().join("b").exists());
        let root = site.root.clone();
        drop(site);
        assert!(!root.exists());
    }
}
