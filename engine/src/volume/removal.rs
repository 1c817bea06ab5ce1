//! Removing and counting whole trees, without recursion and without leaving the file system.
//!
//! Every directory is first removed as if it were empty: the kernel refuses that for mount points (also bind mounts of
//! the same file system) before anything beneath them is touched, and saves listing what is empty. Another device is
//! never entered. What cannot be removed is reported and everything else goes on.

use std::sync::Arc;
use std::vec;

use rustix::fs::AtFlags;
use rustix::io::{Errno, retry_on_intr};

use super::dir::{Dir, expect};
use super::error::{Cannot, Error};
use super::listing::{Listed, Listing};
use super::status::Status;
use crate::types::{EntryKind, Name, RelPath};

/// Names taken from a listing at a time.
const CHUNK: usize = 1_024;

/// What became of one entry of a tree that is removed.
#[derive(Clone, Copy, Debug)]
pub struct Removed<'a> {
    /// The directory it was in.
    pub dir: &'a Dir,
    /// Its name there.
    pub name: &'a Name,
    /// What it was.
    pub kind: EntryKind,
    /// Whether it is gone.
    pub result: Result<(), Error>,
}

impl Removed<'_> {
    /// Its path, for people. Made on demand: it may be long.
    #[must_use]
    pub fn path(&self) -> RelPath {
        self.dir.path().join(self.name)
    }
}

impl Dir {
    /// Removes `name`, which must still be what `expected` says, and everything beneath it on file system `device`.
    /// Calls `on` for every entry that was removed or could not be, and returns how many were removed.
    ///
    /// A directory that stays only because something in it could not be removed is not reported itself.
    pub fn remove_tree(
        self: &Arc<Self>,
        name: &Name,
        expected: &Status,
        device: u64,
        on: &mut dyn FnMut(Removed<'_>),
    ) -> u64 {
        let mut removal = Removal { device, on, removed: 0, levels: Vec::new() };
        match self.status_of(name).and_then(|found| still(found, expected)) {
            Ok(status) => removal.entry(self, name, &status),
            Err(error) => removal.report(self, name, expected.kind, Err(error)),
        }
        while let Some(level) = removal.levels.last_mut() {
            let dir = Arc::clone(&level.dir);
            match level.next() {
                Ok(Some(listed)) => removal.listed(&dir, &listed),
                Ok(None) => removal.leave(None),
                Err(error) => removal.leave(Some(error)),
            }
        }
        removal.removed
    }

    /// Counts `name` and everything beneath it on its file system, and stops at `limit`.
    ///
    /// # Errors
    /// When `name` is not what `expected` says, or a directory cannot be listed.
    pub fn count_tree(self: &Arc<Self>, name: &Name, expected: &Status, limit: u64) -> Result<u64, Error> {
        let status = still(self.status_of(name)?, expected)?;
        let mut count = 1;
        let mut levels = Vec::new();
        if status.kind == EntryKind::Dir {
            levels.push(Level::enter(self, name, &status)?);
        }
        while count < limit {
            let Some(level) = levels.last_mut() else { break };
            let Some(listed) = level.next()? else {
                levels.pop();
                continue;
            };
            count += 1;
            if listed.kind.is_some_and(|kind| kind != EntryKind::Dir) {
                continue;
            }
            match level.dir.status_of(&listed.name)? {
                Some(below) if below.kind == EntryKind::Dir && below.identity.dev == status.identity.dev => {
                    let level = Level::enter(&level.dir, &listed.name, &below)?;
                    levels.push(level);
                }
                _ => {}
            }
        }
        Ok(count.min(limit))
    }

    /// Removes a name without asking what it is; the kernel refuses when it is a directory and `kind` is not.
    fn unlink(&self, name: &Name, kind: EntryKind) -> Result<(), Error> {
        let descriptor = self.descriptor()?;
        let how = if kind == EntryKind::Dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        retry_on_intr(|| rustix::fs::unlinkat(&descriptor, name.as_bytes(), how)).cannot("remove")
    }
}

/// A directory on the way down.
struct Level {
    dir: Arc<Dir>,
    status: Status,
    listing: Listing,
    chunk: vec::IntoIter<Listed>,
    /// Something in it could not be removed.
    failed: bool,
}

impl Level {
    fn enter(parent: &Arc<Dir>, name: &Name, status: &Status) -> Result<Self, Error> {
        let dir = parent.child(name, status.identity)?;
        let listing = dir.listing()?;
        Ok(Self { dir, status: *status, listing, chunk: Vec::new().into_iter(), failed: false })
    }

    fn next(&mut self) -> Result<Option<Listed>, Error> {
        if let Some(listed) = self.chunk.next() {
            return Ok(Some(listed));
        }
        self.chunk = self.listing.next_chunk(CHUNK)?.into_iter();
        Ok(self.chunk.next())
    }
}

/// A tree being removed: the directories from its top to where we are.
struct Removal<'a> {
    device: u64,
    on: &'a mut dyn FnMut(Removed<'_>),
    removed: u64,
    levels: Vec<Level>,
}

impl Removal<'_> {
    fn report(&mut self, dir: &Dir, name: &Name, kind: EntryKind, result: Result<(), Error>) {
        match result {
            Ok(()) => self.removed = self.removed.saturating_add(1),
            Err(_) => self.levels.iter_mut().rev().take(1).for_each(|level| level.failed = true),
        }
        (self.on)(Removed { dir, name, kind, result });
    }

    /// An entry as the listing shows it.
    fn listed(&mut self, dir: &Arc<Dir>, listed: &Listed) {
        if let Some(kind) = listed.kind.filter(|kind| *kind != EntryKind::Dir) {
            let result = dir.unlink(&listed.name, kind);
            return self.report(dir, &listed.name, kind, result);
        }
        match dir.status_of(&listed.name) {
            Ok(Some(status)) => self.entry(dir, &listed.name, &status),
            Ok(None) => {} // Somebody else removed it.
            Err(error) => self.report(dir, &listed.name, EntryKind::Dir, Err(error)),
        }
    }

    /// An entry as the kernel shows it: removed at once, or entered.
    fn entry(&mut self, dir: &Arc<Dir>, name: &Name, status: &Status) {
        if status.identity.dev != self.device {
            return self.report(dir, name, status.kind, Err(Error { op: "remove", errno: Errno::XDEV }));
        }
        let result = dir.unlink(name, status.kind);
        if status.kind != EntryKind::Dir || !result.is_err_and(|error| error.is_not_empty()) {
            return self.report(dir, name, status.kind, result);
        }
        let entered = Level::enter(dir, name, status).and_then(|level| level.dir.make_accessible().map(|()| level));
        match entered {
            Ok(level) => self.levels.push(level),
            Err(error) => self.report(dir, name, status.kind, Err(error)),
        }
    }

    /// Everything in the deepest directory was tried; `error` when it could not be listed to its end.
    fn leave(&mut self, error: Option<Error>) {
        let Some(level) = self.levels.pop() else { return };
        let Some((parent, name)) = level.dir.place() else { return };
        let result = error.map_or_else(|| parent.remove(name, &level.status), Err);
        if level.failed && result.is_err_and(|error| error.is_not_empty()) {
            self.levels.iter_mut().rev().take(1).for_each(|above| above.failed = true);
            return;
        }
        self.report(parent, name, EntryKind::Dir, result);
    }
}

/// The status of an entry that must be the one expected.
fn still(found: Option<Status>, expected: &Status) -> Result<Status, Error> {
    let op = "remove";
    let found = found.ok_or(Error { op, errno: Errno::NOENT })?;
    expect(&found, expected.kind, expected.identity, op)?;
    Ok(found)
}
