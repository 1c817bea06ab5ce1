//! New files that are alike one that stands: of its size and time. They are compared with it by leaves, and what is equal
//! is copied here instead of sent. It refuses to believe likeness: what differs comes, as from any basis.
//!
//! Only a file that was kept in this pass and has one name serves: nothing of ours changes it before the pass is over, and
//! the writer gives up when anybody else did. What comes later in the walk is not known yet, and is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::session::fate::lock;
use crate::types::{Entry, EntryKind, Name, Timestamp, limits};
use crate::volume::Status;

use super::batches::Place;
use super::context::{PassMode, Receiving};

/// A file below this is sent sooner than it is compared.
const ALIKE_LEN_MIN: u64 = 1_048_576;

/// A file that stands and stays.
#[derive(Debug)]
pub struct Standing {
    pub place: Arc<Place>,
    pub name: Name,
    pub status: Status,
}

/// The large files kept in this pass, the first of each size and time.
#[derive(Debug, Default)]
pub struct Alike {
    standing: Mutex<HashMap<(u64, Timestamp), Arc<Standing>>>,
}

impl Alike {
    /// A new pass: what stood may be changed in it.
    pub fn clear(&self) {
        lock(&self.standing).clear();
    }
}

impl Receiving {
    /// Remembers a file that is kept as it is.
    pub fn stands(&self, place: &Arc<Place>, name: &Name, status: &Status) {
        if status.kind != EntryKind::File || status.size < ALIKE_LEN_MIN || status.nlink != 1 || self.options.atomic {
            return;
        }
        let mut standing = lock(&self.alike.standing);
        if standing.len() < limits::ALIKE_KEPT_MAX {
            let new = || Arc::new(Standing { place: Arc::clone(place), name: name.clone(), status: *status });
            standing.entry((status.size, status.mtime)).or_insert_with(new);
        }
    }

    /// The file that a new one may be alike.
    pub fn alike(&self, entry: &Entry) -> Option<Arc<Standing>> {
        if entry.size() < ALIKE_LEN_MIN || self.mode() != PassMode::Transfer {
            return None;
        }
        let key = (entry.size(), self.volume.clamp(entry.mtime));
        lock(&self.alike.standing).get(&key).cloned()
    }
}
