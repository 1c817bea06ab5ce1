//! Edits of one file's content, each a value that can be shown, repeated and made smaller. It refuses nothing: a place beyond
//! the end is taken modulo the length, so that any script fits any file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, fallocate};

use crate::trees::Seed;

/// One edit. Places and lengths are bytes; new content is that of a seed.
#[expect(missing_docs, reason = "the fields mean the same in every variant")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Other bytes in the same place.
    Overwrite { at: u64, len: u64, seed: u64 },
    /// New bytes, what follows moves up.
    Insert { at: u64, len: u64, seed: u64 },
    /// Bytes go, what follows moves down.
    Delete { at: u64, len: u64 },
    /// New bytes at the end.
    Append { len: u64, seed: u64 },
    /// The end goes.
    Truncate { at: u64 },
    /// The file grows by a hole.
    Grow { len: u64 },
    /// A hole where something was.
    Punch { at: u64, len: u64 },
    /// Zeros that are stored.
    Zero { at: u64, len: u64 },
    /// A block is taken out and put in elsewhere.
    Move { at: u64, len: u64, to: u64 },
    /// Two stretches of one length change places, as far as they do not overlap.
    Swap { one: u64, other: u64, len: u64 },
}

/// Applies a script to the file at `path`, which keeps its inode.
///
/// # Errors
/// When the kernel refuses.
pub fn apply(path: &Path, script: &[Edit]) -> Result<()> {
    let file = File::options().read(true).write(true).open(path).context("cannot open what is to be edited")?;
    script.iter().try_for_each(|edit| one(&file, edit).with_context(|| format!("cannot do {edit:?}")))
}

fn one(file: &File, edit: &Edit) -> Result<()> {
    let size = file.metadata()?.len();
    let within = |at: u64, len: u64| {
        let at = at % (size + 1);
        (at, len.min(size - at))
    };
    let fresh = |seed: u64, len: u64| -> Result<Vec<u8>> { Ok(Seed::new(seed).bytes(usize::try_from(len)?)) };
    match *edit {
        Edit::Overwrite { at, len, seed } => {
            let (at, len) = within(at, len);
            file.write_all_at(&fresh(seed, len)?, at)?;
        }
        Edit::Append { len, seed } => file.write_all_at(&fresh(seed, len)?, size)?,
        Edit::Truncate { at } => file.set_len(at % (size + 1))?,
        Edit::Grow { len } => file.set_len(size + len)?,
        Edit::Punch { at, len } => {
            let (at, len) = within(at, len);
            if len > 0 {
                fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, len)?;
            }
        }
        Edit::Zero { at, len } => {
            let (at, len) = within(at, len);
            file.write_all_at(&vec![0; usize::try_from(len)?], at)?;
        }
        Edit::Insert { at, len, seed } => shift(file, within(at, 0).0, 0, &fresh(seed, len)?)?,
        Edit::Delete { at, len } => {
            let (at, len) = within(at, len);
            shift(file, at, len, &[])?;
        }
        Edit::Move { at, len, to } => {
            let (at, len) = within(at, len);
            let block = read(file, at, len)?;
            shift(file, at, len, &[])?;
            shift(file, to % (size - len + 1), 0, &block)?;
        }
        Edit::Swap { one, other, len } => {
            let (one, other) = (one % (size + 1), other % (size + 1));
            let (low, high) = (one.min(other), one.max(other));
            let len = len.min(high - low).min(size - high);
            let blocks = (read(file, low, len)?, read(file, high, len)?);
            file.write_all_at(&blocks.1, low)?;
            file.write_all_at(&blocks.0, high)?;
        }
    }
    Ok(())
}

fn read(file: &File, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len)?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Puts `new` where `gone` bytes were; what follows moves.
fn shift(file: &File, at: u64, gone: u64, new: &[u8]) -> Result<()> {
    let size = file.metadata()?.len();
    let rest = read(file, at + gone, size - at - gone)?;
    file.write_all_at(new, at)?;
    file.write_all_at(&rest, at + new.len() as u64)?;
    Ok(file.set_len(size - gone + new.len() as u64)?)
}
