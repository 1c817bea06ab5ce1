//! The small volume `ferry demo` moves, and what it changes in it: a little of what volumes hold, made from nothing but
//! arithmetic, so that it is the same everywhere.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Directories of small files.
const SHELVES: u64 = 20;
/// Small files in each.
const SHELF_FILES: u64 = 50;
/// Bytes of the file that stands for a database.
const DATABASE_LEN: u64 = 24 << 20;
/// Apparent bytes of the disk image, of which a few are written.
const IMAGE_LEN: u64 = 256 << 20;

/// Fills the empty directory `root`.
///
/// # Errors
/// What the system said.
pub fn plant(root: &Path) -> io::Result<()> {
    for shelf in 0..SHELVES {
        let dir = root.join(format!("documents/shelf-{shelf:02}"));
        std::fs::create_dir_all(&dir)?;
        for n in 0..SHELF_FILES {
            let length = usize::try_from(noise(shelf * SHELF_FILES + n) % 12_000).unwrap_or(0);
            std::fs::write(dir.join(format!("note-{n:03}.txt")), text(length))?;
        }
    }
    let database = File::create(root.join("database.bin"))?;
    for block in 0..DATABASE_LEN / BLOCK_LEN {
        database.write_all_at(&noisy_block(block), block * BLOCK_LEN)?;
    }
    let image = File::create(root.join("disk.img"))?;
    image.set_len(IMAGE_LEN)?;
    image.write_all_at(&noisy_block(7), IMAGE_LEN / 2)?;
    std::fs::write(root.join("events.log"), text(200_000))?;
    special(root)
}

/// Links, modes, owners, old times and a name that is no text.
fn special(root: &Path) -> io::Result<()> {
    symlink("documents/shelf-00/note-000.txt", root.join("latest"))?;
    symlink("/nowhere/to/be/found", root.join("dangling"))?;
    std::fs::hard_link(root.join("events.log"), root.join("events-too.log"))?;
    std::fs::write(root.join(OsStr::from_bytes(b"caf\xe9\nmenu")), "a name that is no UTF-8, with a line break\n")?;
    let script = root.join("run.sh");
    std::fs::write(&script, "#!/bin/sh\necho hello\n")?;
    std::fs::set_permissions(&script, Permissions::from_mode(0o750))?;
    // Only root may give files away; without that the volume simply has one owner.
    let _ = chown(&script, Some(1_000), Some(1_000));
    let old = File::create(root.join("from-1969"))?;
    old.set_modified(SystemTime::UNIX_EPOCH - Duration::from_nanos(86_400_123_456_789))?;
    std::fs::create_dir(root.join("sealed"))?;
    std::fs::write(root.join("sealed/secret"), "kept\n")?;
    std::fs::set_permissions(root.join("sealed"), Permissions::from_mode(0o500))
}

/// What an afternoon does to a volume.
///
/// # Errors
/// What the system said.
pub fn change(root: &Path) -> io::Result<()> {
    let database = OpenOptions::new().write(true).open(root.join("database.bin"))?;
    for page in [3, 500, 4_000] {
        database.write_all_at(&[0x5a; 4_096], page * 4_096)?;
    }
    OpenOptions::new().append(true).open(root.join("events.log"))?.write_all(text(3_000).as_bytes())?;
    std::fs::remove_dir_all(root.join("documents/shelf-03"))?;
    std::fs::rename(root.join("documents/shelf-04"), root.join("documents/archive"))?;
    std::fs::remove_file(root.join("dangling"))?;
    std::fs::create_dir(root.join("dangling"))?;
    std::fs::write(root.join("dangling/now-a-directory"), "yes\n")?;
    std::fs::set_permissions(root.join("run.sh"), Permissions::from_mode(0o700))
}

/// What [`change`] does, for people.
pub const CHANGES: [&str; 6] = [
    "three pages of the 24 MiB database",
    "a few lines more in a log that has two names",
    "one directory of 50 files removed",
    "one directory of 50 files renamed",
    "a symbolic link replaced by a directory",
    "one mode",
];

const BLOCK_LEN: u64 = 65_536;

/// 64 KiB that do not compress, different for each number.
fn noisy_block(number: u64) -> Vec<u8> {
    (0..BLOCK_LEN / 8).flat_map(|word| noise(number * BLOCK_LEN + word).to_le_bytes()).collect()
}

/// A number that looks random: the finaliser of splitmix64 (Steele, Lea, Flood 2014).
fn noise(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn text(length: usize) -> String {
    "the quick brown fox jumps over the lazy dog\n".chars().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_volume_can_be_made_and_changed() {
        let root = std::env::temp_dir().join(format!("ferry-demo-data-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir(&root).unwrap();
        plant(&root).unwrap();
        assert_eq!(std::fs::metadata(root.join("disk.img")).unwrap().len(), IMAGE_LEN);
        change(&root).unwrap();
        assert!(root.join("documents/archive/note-049.txt").exists());
        std::fs::set_permissions(root.join("sealed"), Permissions::from_mode(0o700)).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
    }
}
