//! The fast path: a whole small file from memory, in as few system calls as there are.
//!
//! ```text
//! open, fstat, write, futimens, close          the owner is right from the start, no further attributes
//! open, fstat, write, fchown, ..., futimens, close
//! ```
//!
//! The final mode is given at creation only where nothing can go wrong with it: the owner new files get here is known
//! and wanted, no set-id bits, no ACL in play. The guess is checked before a byte is written. One write in order needs
//! no sync (engine-rules 1): until its data is on disk the file is too short. It refuses nothing a
//! [`FileWriter`](super::FileWriter) takes; the result is the same.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode as Bits};
use rustix::io::retry_on_intr;

use super::attributes::{Attributes, MtimeSeen, apply};
use super::copying::write_all_at;
use super::dir::Dir;
use super::error::{Cannot, Error};
use super::handle::Handle;
use super::status::Status;
use super::writer::{Finished, create_file};
use crate::types::{Mode, Name, Xattrs};

/// Writes the file `name` with `bytes` and its attributes: directly when there is no such name yet, or as `temp`, which
/// is then renamed over `name`.
///
/// # Errors
/// When `name` (or `temp`) is there already, the disk is full or fails. A temporary is removed then; a file written
/// directly stays and shows itself as incomplete by size or mtime.
pub fn write_small(
    dir: &Arc<Dir>,
    name: &Name,
    temp: Option<&Name>,
    bytes: &[u8],
    attributes: &Attributes<'_>,
) -> Result<Finished, Error> {
    let made = temp.unwrap_or(name);
    let mode = first_mode(dir, attributes);
    let file = create_file(dir, made, Bits::from_raw_mode(mode.bits()))?;
    let written = fill(dir, &file, mode, bytes, attributes);
    let Some(temp) = temp else { return written };
    let finished = written.and_then(|finished| dir.rename(temp, name).map(|()| finished));
    if finished.is_err()
        && let Ok(descriptor) = dir.descriptor()
    {
        // What stays behind has a temporary's name and goes with the next run.
        let _ = rustix::fs::unlinkat(&descriptor, temp.as_bytes(), AtFlags::empty());
    }
    finished
}

fn fill(dir: &Dir, file: &OwnedFd, mode: Mode, bytes: &[u8], attributes: &Attributes<'_>) -> Result<Finished, Error> {
    let mut have = Status::of_open(file)?;
    let newborn = *dir.newborn.get_or_init(|| have.owner);
    if newborn != have.owner && mode != private() {
        // The directory gives other owners than before: nobody reads this until it has its own.
        retry_on_intr(|| rustix::fs::fchmod(file, Bits::from_raw_mode(private().bits()))).cannot("change the mode")?;
        have.mode = private();
    }
    write_all_at(file, bytes, 0)?;
    let applied = apply(&dir.site, &Handle::Borrowed(file.as_fd()), &have, MtimeSeen::Stale, attributes)?;
    Ok(Finished { applied, identity: have.identity })
}

/// The mode to create with: the final one where the file is complete with it.
fn first_mode(dir: &Dir, attributes: &Attributes<'_>) -> Mode {
    let owner_fits = match (attributes.owner, dir.newborn.get()) {
        (None, _) => true,
        (Some(want), Some(newborn)) => want == *newborn,
        (Some(_), None) => false,
    };
    let plain = !attributes.mode.is_set_id() && !attributes.inherited && attributes.xattrs.is_none_or(Xattrs::is_empty);
    if owner_fits && plain { attributes.mode } else { private() }
}

/// Owner may read and write, nobody else anything.
fn private() -> Mode {
    Mode::from_st_mode(0o600)
}
