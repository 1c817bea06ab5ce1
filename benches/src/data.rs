//! Writes the data that cases move: files of noise, edits of them, trees of small files, sparse files. The same arguments
//! give the same bytes, names and times; nothing is read from the machine.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::noise::Noise;

/// Bytes of a page of a database.
pub const PAGE: u64 = 4096;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;

/// When a file was last written, in seconds after 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(u64);

impl Written {
    /// Before the destination was made.
    pub const BEFORE: Self = Self(1_700_000_000);
    /// After that: the source changed.
    pub const SINCE: Self = Self(1_700_086_400);

    /// As the system says it.
    fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0)
    }
}

/// A file of `size` bytes of noise.
///
/// # Errors
/// When it cannot be written.
pub fn noise_file(path: &Path, seed: u64, size: u64, written: Written) -> Result<()> {
    let fill = || -> io::Result<()> {
        let file = File::create(path)?;
        add_noise(&file, &mut Noise::new(seed), 0, size)?;
        file.set_modified(written.time())
    };
    fill().with_context(|| format!("cannot write {}", path.display()))
}

/// Another `size` bytes of noise at the end of a file.
///
/// # Errors
/// When it cannot be written.
pub fn append(path: &Path, seed: u64, size: u64, written: Written) -> Result<()> {
    let file = File::options().write(true).open(path).with_context(|| format!("cannot open {}", path.display()))?;
    add_noise(&file, &mut Noise::new(seed), file.metadata()?.len(), size)?;
    Ok(file.set_modified(written.time())?)
}

fn add_noise(file: &File, noise: &mut Noise, begin: u64, size: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < size {
        let piece = usize::try_from(size - done).map_or(buffer.len(), |left| left.min(buffer.len()));
        let piece = buffer.get_mut(..piece).unwrap_or_default();
        noise.fill(piece);
        file.write_all_at(piece, begin + done)?;
        done += piece.len() as u64;
    }
    Ok(())
}

/// Overwrites `count` random pages, each anew, out of those that begin a stride: a stride of [`PAGE`] means any page, that of
/// a sparse file one with data.
///
/// # Errors
/// When it cannot be written.
pub fn change_pages(path: &Path, seed: u64, count: u64, stride: u64, written: Written) -> Result<()> {
    let file = File::options().write(true).open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let slots = file.metadata()?.len() / stride;
    let (mut noise, mut page) = (Noise::new(seed), vec![0; 4096]);
    for _ in 0..count {
        let at = noise.below(slots) * stride;
        noise.fill(&mut page);
        file.write_all_at(&page, at)?;
    }
    Ok(file.set_modified(written.time())?)
}

/// A copy of `from` with 19 bytes put in before each offset, which ascend and lie inside.
///
/// # Errors
/// When it cannot be read or written.
pub fn insert(from: &Path, to: &Path, offsets: &[u64], written: Written) -> Result<()> {
    let mut input = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    let mut output = BufWriter::with_capacity(1 << 20, file);
    let mut at = 0;
    for offset in offsets {
        io::copy(&mut io::Read::take(&mut input, offset - at), &mut output)?;
        output.write_all(b"nineteen more bytes")?;
        at = *offset;
    }
    io::copy(&mut input, &mut output)?;
    Ok(output.into_inner()?.set_modified(written.time())?)
}

/// A copy of a file, written at another time.
///
/// # Errors
/// When it cannot be copied.
pub fn copy(from: &Path, to: &Path, written: Written) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(File::options().write(true).open(to)?.set_modified(written.time())?)
}

/// Sets when an open file was last written.
///
/// # Errors
/// When it cannot be set.
pub fn stamp(file: &File, written: Written) -> io::Result<()> {
    file.set_modified(written.time())
}

/// Sets when a file or directory was last written.
///
/// # Errors
/// When it cannot be set.
pub fn date(path: &Path, written: Written) -> Result<()> {
    let set = || File::open(path)?.set_modified(written.time());
    set().with_context(|| format!("cannot set the time of {}", path.display()))
}

/// Sets when a directory and all directories below it were last written.
///
/// # Errors
/// When it cannot be set.
pub fn date_directories(root: &Path, written: Written) -> Result<()> {
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
        date(&directory, written)?;
    }
    Ok(())
}

/// `count` files of noise around 4 KiB (log-normal), a hundred a directory.
///
/// # Errors
/// When it cannot be written.
pub fn small_files(root: &Path, seed: u64, count: u64) -> Result<()> {
    let mut noise = Noise::new(seed);
    for file in 0..count {
        let directory = root.join(format!("d{:04}", file / 100));
        if file % 100 == 0 {
            fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let size = noise.log_normal(4096);
        noise_file(&directory.join(format!("file-{:02}", file % 100)), noise.number(), size, Written::BEFORE)?;
    }
    Ok(())
}

/// `count` files of `size` bytes of noise below `root`, sixteen a directory.
///
/// # Errors
/// When it cannot be written.
pub fn large_files(root: &Path, seed: u64, count: u64, size: u64) -> Result<()> {
    for file in 0..count {
        let directory = root.join(format!("part-{:02}", file / 16));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        noise_file(&directory.join(format!("file-{file:03}")), seed + file, size, Written::BEFORE)?;
    }
    Ok(())
}

/// A file of `size` bytes, all holes but [`MIB`] bytes of noise every `stride` bytes.
///
/// # Errors
/// When it cannot be written.
pub fn sparse_file(path: &Path, seed: u64, size: u64, stride: u64, written: Written) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.set_len(size)?;
    let mut noise = Noise::new(seed);
    let mut at = 0;
    while at + MIB <= size {
        add_noise(&file, &mut noise, at, MIB)?;
        at += stride;
    }
    Ok(file.set_modified(written.time())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;

    fn bytes(path: &Path) -> Vec<u8> {
        fs::read(path).unwrap()
    }

    #[test]
    fn files_are_the_same_each_time_and_differ_by_seed() {
        let site = Site::scratch().unwrap();
        let path = |name: &str| site.source().join(name);
        for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
            noise_file(&path(name), seed, MIB + 13, Written::BEFORE).unwrap();
        }
        assert_eq!(bytes(&path("a")).len() as u64, MIB + 13);
        assert_eq!(bytes(&path("a")), bytes(&path("b")));
        assert_ne!(bytes(&path("a")), bytes(&path("c")));
        assert_eq!(fs::metadata(path("a")).unwrap().modified().unwrap(), Written::BEFORE.time());
    }

    #[test]
    fn inserts_shift_what_follows_and_change_nothing_else() {
        let site = Site::scratch().unwrap();
        let (old, new) = (site.source().join("old"), site.source().join("new"));
        noise_file(&old, 1, 10_000, Written::BEFORE).unwrap();
        insert(&old, &new, &[5, 7000], Written::SINCE).unwrap();
        let (old, new) = (bytes(&old), bytes(&new));
        assert_eq!(new.len(), old.len() + 38);
        assert_eq!([&new[..5], &new[24..7019], &new[7038..]].concat(), old);
    }

    #[test]
    fn only_whole_pages_change() {
        let site = Site::scratch().unwrap();
        let (old, new) = (site.source().join("old"), site.source().join("new"));
        noise_file(&old, 1, MIB, Written::BEFORE).unwrap();
        copy(&old, &new, Written::SINCE).unwrap();
        change_pages(&new, 2, 10, PAGE, Written::SINCE).unwrap();
        let (old, new) = (bytes(&old), bytes(&new));
        let changed = old.chunks(4096).zip(new.chunks(4096)).filter(|(old, new)| old != new).count();
        assert!((5..=10).contains(&changed), "{changed} pages");
    }

    #[test]
    fn sparse_files_hold_little_on_disk() {
        use std::os::unix::fs::MetadataExt;
        let site = Site::scratch().unwrap();
        let path = site.source().join("sparse");
        sparse_file(&path, 1, 64 * MIB, 32 * MIB, Written::BEFORE).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.len(), 64 * MIB);
        assert!(found.blocks() * 512 <= 4 * MIB, "{} blocks", found.blocks());
    }
}
