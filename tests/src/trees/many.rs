//! Trees of number: many small files in directories, and one flat directory of many names.

use std::path::Path;

use anyhow::{Context, Result};

use crate::place::Place;
use crate::trees::Seed;

/// `count` files of 1 to 64 bytes, dealt over `dirs` directories below `root`, which is made.
///
/// # Errors
/// When the kernel refuses.
pub fn small_files(root: &Path, count: usize, dirs: usize) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let root = Place::open(root)?;
    let mut seed = Seed::new(count as u64);
    for number in 0..dirs {
        let dir = root.dir(format!("dir-{number:05}").as_bytes())?;
        for file in (number..count).step_by(dirs) {
            let len = usize::try_from(1 + seed.below(64))?;
            dir.file(format!("file-{file:07}").as_bytes(), &seed.bytes(len))?;
        }
    }
    Ok(())
}

/// `count` empty files with names of exactly `name_len` bytes in the one directory `root`, which is made.
///
/// # Errors
/// When the kernel refuses.
pub fn flat(root: &Path, count: usize, name_len: usize) -> Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let root = Place::open(root)?;
    let mut seed = Seed::new(name_len as u64);
    for number in 0..count {
        // The number last, so that no two names are equal; random letters first, so that sorting has work.
        let tail = format!("{number:07}");
        let letters = std::iter::repeat_with(|| b'a' + u8::try_from(seed.below(16)).unwrap_or(0));
        let mut name: Vec<u8> = letters.take(name_len.saturating_sub(tail.len())).collect();
        name.extend_from_slice(tail.as_bytes());
        root.file(&name, b"")?;
    }
    Ok(())
}
