//! What only the destination has: counted first, removed last, and only where the source's listing was complete.
//!
//! The walk into a directory that goes is a loop; it never crosses to another file system and never follows a link.

use std::sync::Arc;

use crate::plan::Excludes;
use crate::session::fate::Ended;
use crate::types::{EntryKind, Name, RelPath, Stage, limits};
use crate::volume::{self, Dir, Listing, Status};
use crate::wire::ItemChange;

use super::batches::Place;
use super::context::{PassMode, Receiving};
use super::moved::Newcomers;

/// Extras of a pass.
#[derive(Debug, Default)]
pub struct Extras {
    list: Vec<(Arc<Place>, Vec<Name>)>,
    kept: usize,
    /// Entries that would go, those inside extra directories included; exact only when a bound asks for it.
    pub count: u64,
    /// More than were kept: another pass finds the rest.
    pub overflow: bool,
}

/// What walks into extras: the session, and the patterns that protect.
#[derive(Clone, Copy)]
pub struct Sweep<'a> {
    pub receiving: &'a Receiving,
    pub excludes: &'a Excludes,
}

/// What to do with an entry met on the way.
enum Purpose<'a> {
    Count {
        limit: u64,
    },
    Remove,
    /// Move the files that are new ones elsewhere.
    Find(&'a mut Newcomers),
}

impl Purpose<'_> {
    fn removes(&self) -> bool {
        matches!(self, Self::Remove)
    }
}

/// A directory being emptied or counted.
struct Open {
    dir: Arc<Dir>,
    listing: Listing,
    ahead: Vec<Name>,
    status: Status,
    name: Name,
    /// Something in it stays, so it stays.
    keep: bool,
}

impl Extras {
    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.overflow
    }

    /// Takes the extras of one directory.
    pub fn add(&mut self, sweep: Sweep<'_>, place: &Arc<Place>, names: Vec<Name>, beyond: u64) -> Result<(), Ended> {
        let names: Vec<Name> = names.into_iter().filter(|name| sweep.is_extra(place, name)).collect();
        self.overflow |= beyond > 0 || self.kept + names.len() > limits::EXTRAS_KEPT_MAX;
        self.count = self.count.saturating_add(beyond);
        if let Some(max) = sweep.receiving.options.max_delete {
            for name in &names {
                let limit = max.saturating_add(1).saturating_sub(self.count);
                self.count = self.count.saturating_add(sweep.walk(place, name, &mut Purpose::Count { limit })?);
            }
        } else {
            self.count = self.count.saturating_add(names.len() as u64);
        }
        let room = limits::EXTRAS_KEPT_MAX.saturating_sub(self.kept);
        let kept: Vec<Name> = names.into_iter().take(room).collect();
        self.kept += kept.len();
        if !kept.is_empty() {
            self.list.push((Arc::clone(place), kept));
        }
        Ok(())
    }

    /// Looks among the extras for new files that were only moved, and moves them.
    pub fn find(&self, sweep: Sweep<'_>, newcomers: &mut Newcomers) -> Result<(), Ended> {
        for (place, names) in &self.list {
            if newcomers.all_found() {
                return Ok(());
            }
            place.touch();
            // A new file of the same directory puts its times back itself; here nothing may be nested in that.
            let before = place.dir.status();
            for name in names {
                sweep.walk(place, name, &mut Purpose::Find(newcomers))?;
            }
            if let (Ok(before), Ok(after)) = (before, place.dir.status())
                && before.mtime != after.mtime
            {
                let kept = place.dir.put_time_back(before.mtime);
                kept.or_else(|error| sweep.receiving.failed(place.dir.path(), Stage::Attributes, error))?;
            }
        }
        Ok(())
    }

    /// Removes all that were kept. How many entries went.
    pub fn remove(self, sweep: Sweep<'_>) -> Result<u64, Ended> {
        let mut removed = 0_u64;
        for (place, names) in self.list {
            let (swept, kept) = place.dir.keep_times(|| -> Result<u64, Ended> {
                names.iter().try_fold(0, |sum: u64, name| Ok(sum + sweep.walk(&place, name, &mut Purpose::Remove)?))
            });
            removed += swept?;
            if let Err(error) = kept {
                sweep.receiving.failed(place.dir.path(), Stage::Attributes, error)?;
            }
        }
        sweep.receiving.tally.add(|t| &t.deleted, removed);
        Ok(removed)
    }
}

impl Sweep<'_> {
    /// Whether a name that only the destination has is one that goes.
    fn is_extra(&self, place: &Place, name: &Name) -> bool {
        !self.receiving.volume.skips(&place.dir, name)
            && !self.receiving.volume.is_reserved(&place.dir, name)
            && !self.is_protected(&place.dir, name)
    }

    fn is_protected(&self, dir: &Dir, name: &Name) -> bool {
        if self.excludes.is_empty() || self.receiving.options.delete_excluded {
            return false;
        }
        let is_dir = matches!(dir.status_of(name), Ok(Some(status)) if status.kind == EntryKind::Dir);
        self.excludes.matches(&dir.path().join(name), is_dir)
    }

    /// Counts or removes one extra with all below it. How many entries.
    fn walk(&self, place: &Place, name: &Name, purpose: &mut Purpose<'_>) -> Result<u64, Ended> {
        let mut done = 0;
        let mut stack: Vec<Open> = Vec::new();
        let mut next = Some(name.clone());
        loop {
            self.receiving.fate.check()?;
            if matches!(purpose, Purpose::Count { limit } if done >= *limit) {
                return Ok(done);
            }
            let dir = stack.last().map_or(&place.dir, |open| &open.dir);
            if let Some(name) = next.take() {
                match self.visit(dir, &name, purpose)? {
                    Visit::Done => done += 1,
                    Visit::Gone => {}
                    Visit::Stays => stack.iter_mut().for_each(|open| open.keep = true),
                    Visit::Enter(open) => stack.push(*open),
                }
            }
            let Some(open) = stack.last_mut() else { return Ok(done) };
            match self.next_name(open) {
                Ok(Some(name)) => next = Some(name),
                Ok(None) => {
                    let Some(open) = stack.pop() else { return Ok(done) };
                    let parent = stack.last().map_or(&place.dir, |open| &open.dir);
                    let left = self.leave(parent, &open, purpose)?;
                    done += u64::from(left);
                    if !left {
                        stack.iter_mut().for_each(|open| open.keep = true);
                    }
                }
                Err(error) => {
                    self.receiving.failed(open.dir.path(), Stage::Delete, error)?;
                    stack.iter_mut().for_each(|open| open.keep = true);
                    stack.pop();
                }
            }
            if stack.is_empty() && next.is_none() {
                return Ok(done);
            }
        }
    }

    fn next_name(&self, open: &mut Open) -> Result<Option<Name>, volume::Error> {
        loop {
            if let Some(name) = open.ahead.pop() {
                if self.is_protected(&open.dir, &name) {
                    open.keep = true;
                    continue;
                }
                return Ok(Some(name));
            }
            if open.listing.is_exhausted() {
                return Ok(None);
            }
            open.ahead =
                open.listing.next_chunk(limits::BATCH_ENTRIES_MAX)?.into_iter().map(|l| l.name).rev().collect();
        }
    }

    fn visit(&self, dir: &Arc<Dir>, name: &Name, purpose: &mut Purpose<'_>) -> Result<Visit, Ended> {
        let path = || dir.path().join(name);
        let status = match dir.status_of(name) {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(Visit::Gone),
            Err(error) => return self.stays(path(), error),
        };
        if let Purpose::Find(newcomers) = purpose {
            newcomers.take(self.receiving, dir, name, &status)?;
        }
        if status.kind != EntryKind::Dir {
            if purpose.removes()
                && let Err(error) = dir.remove(name, &status)
            {
                return self.stays(path(), error);
            }
            return Ok(Visit::Done);
        }
        if status.identity.dev != self.receiving.volume.device() {
            if purpose.removes() {
                self.receiving.problem(
                    path(),
                    Stage::Delete,
                    "another file system is mounted there; it is not deleted",
                );
            }
            return Ok(Visit::Stays);
        }
        if !matches!(purpose, Purpose::Count { .. }) {
            // As if it were empty: the kernel refuses that for a mount point, also one of the same file system, before
            // anything beneath it is touched.
            match dir.remove(name, &status) {
                Ok(()) => return Ok(Visit::Done),
                Err(error) if error.is_not_empty() => {}
                Err(error) if purpose.removes() => return self.stays(path(), error),
                // Nothing is looked for where nothing may be removed.
                Err(_) => return Ok(Visit::Stays),
            }
        }
        let opened = dir.child(name, status.identity).and_then(|child| {
            if purpose.removes() && !self.receiving.volume.privilege().dac_override {
                child.make_accessible()?;
            }
            let listing = child.listing()?;
            Ok((child, listing))
        });
        match opened {
            Ok((dir, listing)) => Ok(Visit::Enter(Box::new(Open {
                dir,
                listing,
                ahead: Vec::new(),
                status,
                name: name.clone(),
                keep: false,
            }))),
            Err(error) => self.stays(path(), error),
        }
    }

    fn stays(&self, path: RelPath, error: volume::Error) -> Result<Visit, Ended> {
        self.receiving.failed(path, Stage::Delete, error)?;
        Ok(Visit::Stays)
    }

    fn leave(&self, parent: &Dir, open: &Open, purpose: &mut Purpose<'_>) -> Result<bool, Ended> {
        if open.keep {
            return Ok(false);
        }
        if purpose.removes()
            && let Err(error) = parent.remove(&open.name, &open.status)
        {
            self.receiving.failed(open.dir.path(), Stage::Delete, error)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Verification or a dry run: names what is too much.
    pub fn say(&self, place: &Place, names: &[Name]) {
        for name in names.iter().filter(|name| self.is_extra(place, name)) {
            let path = place.dir.path().join(name);
            match self.receiving.mode() {
                PassMode::Verify => self.receiving.difference(path, "the source does not have it"),
                PassMode::DryRun | PassMode::Transfer | PassMode::Clear => {
                    let kind = place.dir.status_of(name).ok().flatten().map_or(EntryKind::File, |s| s.kind);
                    self.receiving.say(ItemChange::Delete, kind, path);
                }
            }
        }
    }
}

enum Visit {
    Done,
    Gone,
    Stays,
    Enter(Box<Open>),
}
