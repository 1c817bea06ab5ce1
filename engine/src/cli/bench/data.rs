//! The data of the benchmark, and its changes: noise that no compressor makes smaller, from nothing but arithmetic, so that it
//! is the same everywhere. Times of the large file are set, so that each change shows on file systems of coarse clocks too.
//!
//! Everything is synced when it is made: what the kernel still has to write would slow down the run that is measured next.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::cli::files::shown;
use crate::cli::job::Failure;
use crate::cli::loopback::go_on;
use crate::session::Stop;

/// Bytes that are written at once.
pub const BLOCK_LEN: usize = 1 << 20;
/// Bytes of a page.
pub const PAGE_LEN: u64 = 4_096;
/// The most a small file holds.
pub const SMALL_LEN_MAX: u64 = 8_192;
/// One page in so many changes.
const PAGES_APART: u64 = 100;
/// Small files in a directory.
const SHELF_FILES: u64 = 100;
/// When the large file was made, in seconds since 1970.
const MADE_AT: u64 = 1_700_000_000;
/// Seconds between two of its changes.
const CHANGE_STEP: u64 = 3_600;

/// What the volume of the large file calls it.
pub const LARGE_NAME: &str = "large.bin";

/// How often the large file was changed since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes(pub u64);

/// Makes the large file of `size` bytes in the new directory `volume`.
///
/// # Errors
/// It cannot be written, or `stop` was asked for.
pub fn make_large(volume: &Path, size: u64, stop: &Stop) -> Result<(), Failure> {
    let at = |error| cannot("write", volume, error);
    make_dir(volume).map_err(at)?;
    let mut file = File::create(volume.join(LARGE_NAME)).map_err(at)?;
    let (mut block, mut done) = (vec![0; BLOCK_LEN], 0);
    while done < size {
        go_on(stop)?;
        let length = usize::try_from(size - done).map_or(BLOCK_LEN, |left| left.min(BLOCK_LEN));
        let block = block.get_mut(..length).unwrap_or_default();
        fill(block, done);
        file.write_all(block).map_err(at)?;
        done += length as u64;
    }
    settle(&file, Changes(0)).map_err(at)
}

/// Changes one page in a hundred of it, at least one, each in another place of its hundred. Returns how many.
///
/// # Errors
/// It cannot be written, or `stop` was asked for.
pub fn change_pages(volume: &Path, changes: Changes, stop: &Stop) -> Result<u64, Failure> {
    let at = |error| cannot("change", volume, error);
    let file = OpenOptions::new().write(true).open(volume.join(LARGE_NAME)).map_err(at)?;
    let pages = file.metadata().map_err(at)?.len() / PAGE_LEN;
    let count = (pages / PAGES_APART).max(1);
    let mut page = vec![0; usize::try_from(PAGE_LEN).unwrap_or_default()];
    for n in 0..count {
        go_on(stop)?;
        // Another seed than that of any place in the file.
        fill(&mut page, u64::MAX / 2 + n * PAGE_LEN);
        let place = n * PAGES_APART + noise(n) % PAGES_APART.min(pages.max(1));
        file.write_all_at(&page, place * PAGE_LEN).map_err(at)?;
    }
    settle(&file, changes).map_err(at)?;
    Ok(count)
}

/// Gives it another time and the same content.
///
/// # Errors
/// It cannot be opened or changed.
pub fn touch(volume: &Path, changes: Changes) -> Result<(), Failure> {
    let at = |error| cannot("change", volume, error);
    let file = OpenOptions::new().write(true).open(volume.join(LARGE_NAME)).map_err(at)?;
    settle(&file, changes).map_err(at)
}

/// Makes `files` small files in the new directory `volume`, with one thread and plain calls, and syncs them. Returns their
/// bytes.
///
/// # Errors
/// They cannot be written, or `stop` was asked for.
pub fn make_small(volume: &Path, files: u64, stop: &Stop) -> Result<u64, Failure> {
    let at = |error| cannot("write", volume, error);
    make_dir(volume).map_err(at)?;
    let mut content = vec![0; usize::try_from(SMALL_LEN_MAX).unwrap_or_default()];
    let (mut shelf, mut bytes) = (volume.to_owned(), 0);
    for n in 0..files {
        go_on(stop)?;
        if n.is_multiple_of(SHELF_FILES) {
            shelf = volume.join(format!("shelf-{:05}", n / SHELF_FILES));
            make_dir(&shelf).map_err(at)?;
        }
        let length = 1 + noise(n) % SMALL_LEN_MAX;
        let content = content.get_mut(..usize::try_from(length).unwrap_or_default()).unwrap_or_default();
        fill(content, n * SMALL_LEN_MAX);
        std::fs::write(shelf.join(format!("note-{n:07}")), &*content).map_err(at)?;
        bytes += length;
    }
    let root = File::open(volume).map_err(at)?;
    rustix::fs::syncfs(&root).map_err(|errno| at(errno.into()))?;
    Ok(bytes)
}

/// Fills `bytes` with the noise that stands at `place`.
pub fn fill(bytes: &mut [u8], place: u64) {
    for (piece, word) in bytes.chunks_mut(8).zip(place / 8..) {
        piece.iter_mut().zip(noise(word).to_le_bytes()).for_each(|(byte, new)| *byte = new);
    }
}

/// What could not be done, on what, and why.
pub fn cannot(verb: &str, path: &Path, error: io::Error) -> Failure {
    Failure::failed(anyhow::Error::new(error).context(format!("cannot {verb} the benchmark's data in {}", shown(path))))
}

/// Directories of our own: other users have no business in them.
fn make_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    DirBuilder::new().mode(0o700).create(path)
}

fn settle(file: &File, changes: Changes) -> io::Result<()> {
    let at = MADE_AT.saturating_add(changes.0.saturating_mul(CHANGE_STEP));
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at))?;
    file.sync_all()
}

/// A number that looks random: the finaliser of splitmix64 (Steele, Lea, Flood 2014).
fn noise(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Signal;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("ferry-bench-data-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn data_is_the_same_twice_and_a_hundredth_of_its_pages_changes() {
        let dir = scratch("same");
        let (one, other) = (dir.join("one"), dir.join("other"));
        let size = (3 << 20) + 17;
        for volume in [&one, &other] {
            make_large(volume, size, &Stop::new()).unwrap();
        }
        let read = |volume: &Path| std::fs::read(volume.join(LARGE_NAME)).unwrap();
        let before = read(&one);
        assert_eq!((before.len() as u64, &before), (size, &read(&other)));
        let changed = change_pages(&one, Changes(1), &Stop::new()).unwrap();
        let after = read(&one);
        let differing = before.chunks(4_096).zip(after.chunks(4_096)).filter(|(old, new)| old != new).count() as u64;
        assert_eq!((changed, differing, after.len()), (7, 7, before.len()));
        touch(&one, Changes(2)).unwrap();
        assert_eq!(read(&one), after);
        let modified = std::fs::metadata(one.join(LARGE_NAME)).unwrap().modified().unwrap();
        assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(MADE_AT + 2 * CHANGE_STEP));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn small_files_are_as_many_and_as_long_as_was_said() {
        let dir = scratch("small");
        let volume = dir.join("small");
        let bytes = make_small(&volume, 201, &Stop::new()).unwrap();
        let mut lengths = Vec::new();
        for shelf in std::fs::read_dir(&volume).unwrap() {
            let files = std::fs::read_dir(shelf.unwrap().path()).unwrap();
            lengths.extend(files.map(|file| file.unwrap().metadata().unwrap().len()));
        }
        assert_eq!((lengths.len(), lengths.iter().sum::<u64>()), (201, bytes));
        assert!(lengths.iter().all(|length| (1..=SMALL_LEN_MAX).contains(length)));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_wish_to_stop_is_heard() {
        let dir = scratch("stop");
        let stop = Stop::new();
        stop.stop(Signal::Interrupt);
        let failure = make_large(&dir.join("large"), 1 << 30, &stop).unwrap_err();
        assert_eq!(failure.outcome, crate::types::Outcome::Interrupted);
        assert!(make_small(&dir.join("small"), 1 << 30, &stop).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
