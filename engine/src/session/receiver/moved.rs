//! Files that were moved at the source: new names whose content stands at the destination under a name that is to be
//! deleted. They are found by size and time, marked as incomplete and renamed; the pass that follows compares them by
//! content, as any file whose time differs.
//!
//! Only where something is deleted anyway, and only in a session's first pass: what is not found then is sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::session::fate::Ended;
use crate::types::{Entry, EntryKind, Name, Stage, Timestamp, limits};
use crate::volume::{Dir, Status};

use super::batches::Place;
use super::context::{PassMode, Receiving};

/// A new file that waits to be found.
#[derive(Debug)]
pub struct Newcomer {
    pub size: u64,
    pub mtime: Timestamp,
    pub name: Name,
}

/// What a file is looked for by: its size and time.
type Likeness = (u64, Timestamp);

/// The new files of a pass, by size and time.
#[derive(Debug, Default)]
pub struct Newcomers {
    waiting: HashMap<Likeness, Vec<(Arc<Place>, Name)>>,
    count: usize,
}

impl Newcomers {
    /// More of one directory.
    pub fn add(&mut self, receiving: &Receiving, place: &Arc<Place>, newcomers: Vec<Newcomer>) {
        self.count += newcomers.len();
        receiving.newcomers.store(self.count as u64, Relaxed);
        for Newcomer { size, mtime, name } in newcomers {
            let key = (size, receiving.volume.clamp(mtime));
            self.waiting.entry(key).or_default().push((Arc::clone(place), name));
        }
    }

    /// Whether there is none, found or not.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all of them were found.
    pub fn all_found(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Moves the file `name` of `dir`, which is to be deleted, to where a new file of its size and time belongs.
    /// Whether it was moved.
    pub fn take(&mut self, receiving: &Receiving, dir: &Arc<Dir>, name: &Name, status: &Status) -> Result<bool, Ended> {
        let key = (status.size, status.mtime);
        if status.kind != EntryKind::File || status.nlink != 1 || status.size <= limits::PACKED_FILE_LEN_MAX {
            return Ok(false);
        }
        let Some(waiting) = self.waiting.get_mut(&key) else { return Ok(false) };
        // Many files may have one size and time; a directory that moved kept their names.
        let at = waiting.iter().position(|(_, new)| new == name).unwrap_or(0);
        if at >= waiting.len() {
            return Ok(false);
        }
        let (place, new) = waiting.swap_remove(at);
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        place.touch();
        let (moved, kept) = place.dir.keep_times(|| dir.move_to(name, status, &place.dir, &new));
        if let Err(error) = kept {
            receiving.failed(place.dir.path(), Stage::Attributes, error)?;
        }
        match moved {
            Ok(()) => {
                tracing::debug!(from = %dir.path().join(name), to = %place.dir.path().join(&new), "moved");
                Ok(true)
            }
            Err(error) => {
                // The next pass sends it; this one deletes what could not be moved.
                tracing::debug!(from = %dir.path().join(name), %error, "could not be moved");
                Ok(false)
            }
        }
    }
}

impl Receiving {
    /// Whether a new file may be found among what is to be deleted, and waits for that.
    pub fn may_have_moved(&self, entry: &Entry) -> bool {
        self.seeks_moves.load(Relaxed)
            && self.mode() == PassMode::Transfer
            && entry.size() > limits::PACKED_FILE_LEN_MAX
            && entry.link.is_none()
            && self.newcomers.load(Relaxed) < limits::EXTRAS_KEPT_MAX as u64
    }
}
