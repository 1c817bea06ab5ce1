//! Where the benchmark happens: a new directory in the one that was named, removed with all that is in it.
//!
//! Says what it lies on, for memory is no disk, and whether there is room before anything is written. It never uses or
//! removes what it did not make.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow};

use super::data::SMALL_LEN_MAX;
use crate::cli::files::shown;
use crate::cli::job::Failure;
use crate::cli::units;
use crate::tunnel::random_bytes;
use crate::volume::{Free, Volume};

/// How often a removal is tried: a thread that was told to stop may still make a last entry.
const REMOVALS_MAX: usize = 3;
/// Threads that remove.
const REMOVERS: usize = 4;
/// Entries a benchmark makes beside its small files: directories, keys, the large file.
const ENTRIES_BESIDE: u64 = 64;

/// How much is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Bytes of the large file.
    pub size: u64,
    /// Small files.
    pub files: u64,
}

/// The directory of a benchmark.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    file_system: Option<String>,
}

impl Scale {
    /// Bytes that are needed: source and destination.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.files.saturating_mul(SMALL_LEN_MAX).saturating_add(self.size).saturating_mul(2)
    }

    /// Entries that are needed: source and destination, a directory for each hundred files.
    #[must_use]
    pub fn entries(self) -> u64 {
        self.files.saturating_add(self.files / 100).saturating_mul(2).saturating_add(ENTRIES_BESIDE)
    }
}

impl Place {
    /// Makes it in `dir`, or in the system's temporary directory.
    ///
    /// # Errors
    /// `dir` is missing, no directory, or nothing can be made in it.
    pub fn make(dir: Option<&Path>) -> Result<Self, Failure> {
        let above = dir.map_or_else(std::env::temp_dir, Path::to_owned);
        let name = shown(&above);
        let found = match above.canonicalize() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::usage(anyhow!(
                    "{name} does not exist; --dir names a directory that exists, to measure in"
                )));
            }
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("cannot look at {name} (check its permissions)"));
                return Err(Failure::usage(error));
            }
        };
        if !found.is_dir() {
            return Err(Failure::usage(anyhow!("{name} is no directory; --dir names a directory to measure in")));
        }
        let random = random_bytes::<8>().context("the system has no random bytes").map_err(Failure::failed)?;
        let root = found.join(format!("ferry-bench-{:016x}", u64::from_ne_bytes(random)));
        DirBuilder::new()
            .mode(0o700)
            .create(&root)
            .with_context(|| format!("cannot make a directory in {name} (name another one with --dir)"))
            .map_err(Failure::usage)?;
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let file_system = file_system(&mounts, &root);
        Ok(Self { root, file_system })
    }

    /// Fails when there is not room for `scale`.
    ///
    /// # Errors
    /// Too few bytes or entries are free, or the file system does not say.
    pub fn check(&self, scale: Scale) -> Result<(), Failure> {
        let name = shown(&self.root);
        let free = Volume::open_source(&self.root).and_then(|volume| volume.free());
        let mut free =
            free.with_context(|| format!("cannot tell how much room is left in {name}")).map_err(Failure::failed)?;
        if self.is_memory() {
            let read = |path| std::fs::read_to_string(path).unwrap_or_default();
            let machine = memory_available(&read("/proc/meminfo"));
            // Who writes more than his container may have is killed.
            let own = memory_left(&read("/sys/fs/cgroup/memory.max"), &read("/sys/fs/cgroup/memory.current"));
            free.bytes = [machine, own].into_iter().flatten().fold(free.bytes, u64::min);
        }
        match shortage(free, scale) {
            None => Ok(()),
            Some(words) => Err(Failure::failed(anyhow!(
                "{words} in {name}, {}; make it smaller with --size and --files, or measure elsewhere with --dir",
                self.lies_on()
            ))),
        }
    }

    /// Removes it.
    ///
    /// # Errors
    /// Something remains, which is named.
    pub fn clear(self) -> Result<(), Failure> {
        remove_side_by_side(&self.root);
        let mut removed = Ok(());
        for _ in 0..REMOVALS_MAX {
            removed = std::fs::remove_dir_all(&self.root);
            match &removed {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Ok(()) | Err(_) => break,
            }
        }
        let remedy = || format!("cannot remove {}: it remains, remove it yourself", shown(&self.root));
        removed.with_context(remedy).map_err(Failure::failed)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the file system, where the kernel tells it.
    #[must_use]
    pub fn file_system(&self) -> Option<&str> {
        self.file_system.as_deref()
    }

    /// Whether what is written here goes to no disk.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.file_system().is_some_and(|name| ["tmpfs", "ramfs"].contains(&name))
    }

    /// What it lies on, in words.
    #[must_use]
    pub fn lies_on(&self) -> String {
        match self.file_system() {
            Some(name) if self.is_memory() => format!("on {name}, which is memory and no disk"),
            Some(name) => format!("on {name}"),
            None => "on a file system of unknown kind".to_owned(),
        }
    }
}

/// Removes what is in the directories of `root`, several at once: file systems over a network answer each removal after a
/// while, and on some disks one thread removes 300 files a second where four remove 10,000. What fails here is left, and
/// said by who removes the rest.
fn remove_side_by_side(root: &Path) {
    let inside = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = Mutex::new(inside(root).flat_map(|volume| inside(&volume).collect::<Vec<_>>()));
    let next = || all.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..REMOVERS {
            scope.spawn(|| {
                while let Some(path) = next() {
                    // Files are few: the small ones stand in directories of their own.
                    let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
                }
            });
        }
    });
}

/// What is wanting for `scale`, in words; `None` when nothing is.
fn shortage(free: Free, scale: Scale) -> Option<String> {
    if free.bytes < scale.bytes() {
        let (needed, free) = (units::bytes(scale.bytes()), units::bytes(free.bytes));
        return Some(format!("the benchmark needs about {needed}, and {free} are free"));
    }
    let inodes = free.inodes.filter(|inodes| *inodes < scale.entries())?;
    let (needed, free) = (units::count(scale.entries()), units::count(inodes));
    Some(format!("the benchmark needs about {needed} entries, and {free} are free"))
}

/// The type of the file system that `path`, an absolute one without links, lies on, by /proc/self/mountinfo: that of the
/// longest mount point above it, the last one mounted there.
fn file_system(mounts: &[u8], path: &Path) -> Option<String> {
    let mut best: Option<(usize, &[u8])> = None;
    for line in mounts.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ');
        let Some(point) = words.nth(4).map(unescaped) else { continue };
        let Some(kind) = words.skip_while(|word| *word != b"-").nth(1) else { continue };
        let length = point.as_os_str().as_bytes().len();
        if path.starts_with(&point) && best.is_none_or(|(longest, _)| longest <= length) {
            best = Some((length, kind));
        }
    }
    best.map(|(_, kind)| String::from_utf8_lossy(kind).escape_debug().to_string())
}

/// A mount point as the kernel writes it: blank, tab, line end and backslash as three octal digits.
fn unescaped(word: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Bytes of memory that may be taken without harm, by /proc/meminfo.
fn memory_available(text: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// What a control group (version 2) may still take, by its `memory.max` and `memory.current`; `None` without a bound. What
/// it keeps of files counts as taken, although some of that would be given back: too little is said rather than too much.
fn memory_left(most: &str, taken: &str) -> Option<u64> {
    let [most, taken] = [most, taken].map(|text| text.trim().parse::<u64>().ok());
    Some(most?.saturating_sub(taken?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
30 21 0:26 / /tmp rw shared:5 - tmpfs tmpfs rw\n\
31 21 0:27 / /mnt/a\\040b rw - xfs /dev/vdb rw\n\
32 30 0:28 / /tmp rw shared:5 master:2 - btrfs /dev/vdc rw\n";

    #[test]
    fn a_path_lies_on_what_was_mounted_last_and_deepest_above_it() {
        let on = |path: &str| file_system(MOUNTS, Path::new(path));
        assert_eq!(on("/srv/x").as_deref(), Some("ext4"));
        assert_eq!(on("/tmp/x").as_deref(), Some("btrfs"));
        assert_eq!(on("/tmpx").as_deref(), Some("ext4"));
        assert_eq!(on("/mnt/a b/c").as_deref(), Some("xfs"));
        assert_eq!(file_system(b"nonsense\n", Path::new("/")), None);
        assert_eq!(unescaped(b"a\\134b\\9"), Path::new("a\\b\\9"));
    }

    #[test]
    fn room_for_both_sides_is_asked_for() {
        let scale = Scale { size: 1 << 30, files: 1_000 };
        let free = |bytes, inodes| Free { bytes, inodes };
        assert_eq!(scale.bytes(), (2 << 30) + 2 * 1_000 * 8_192);
        assert_eq!(shortage(free(scale.bytes(), None), scale), None);
        let words = shortage(free(1 << 20, None), scale).unwrap();
        assert!(words.contains("2.02 GiB") && words.contains("1.00 MiB"), "{words}");
        assert!(shortage(free(u64::MAX, Some(scale.entries())), scale).is_none());
        assert!(shortage(free(u64::MAX, Some(100)), scale).unwrap().contains("entries"));
        // Nothing overflows into enough.
        assert!(shortage(free(1 << 60, None), Scale { size: u64::MAX, files: u64::MAX }).is_some());
        assert_eq!((memory_left("100\n", "30\n"), memory_left("100\n", "130\n")), (Some(70), Some(0)));
        assert_eq!((memory_left("max\n", "30\n"), memory_left("", "")), (None, None));
        assert_eq!(memory_available("MemTotal: 9 kB\nMemAvailable:   12 kB\n"), Some(12_288));
    }

    #[test]
    fn a_place_is_made_in_a_directory_and_goes_with_all_that_is_in_it() {
        let above = std::env::temp_dir().join(format!("ferry-bench-place-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&above);
        let missing = Place::make(Some(&above)).unwrap_err();
        assert_eq!(missing.outcome, crate::types::Outcome::Usage);
        std::fs::create_dir(&above).unwrap();
        std::fs::write(above.join("file"), "x").unwrap();
        assert!(Place::make(Some(&above.join("file"))).unwrap_err().sentence().contains("no directory"));
        let place = Place::make(Some(&above)).unwrap();
        std::fs::create_dir_all(place.root().join("a/b")).unwrap();
        place.check(Scale { size: 1, files: 1 }).unwrap();
        let failure = place.check(Scale { size: u64::MAX, files: 1 }).unwrap_err();
        assert!(failure.outcome == crate::types::Outcome::Failed && failure.sentence().contains("--size"));
        place.clear().unwrap();
        assert_eq!(std::fs::read_dir(&above).unwrap().count(), 1, "what was there stays");
        std::fs::remove_dir_all(&above).unwrap();
    }
}
