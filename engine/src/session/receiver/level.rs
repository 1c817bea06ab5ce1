//! A destination directory while the source's entries are merged with what stands there.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::plan::temporary_epoch;
use crate::types::{DirId, Name, RelPath, limits};
use crate::volume::{self, Listed, Listing};

use super::batches::Place;

/// Whether something stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    No,
    /// Nobody knows.
    Perhaps,
    /// The directory lists it, with this inode number.
    Listed(u64),
}

/// A directory whose batches are still coming.
#[derive(Debug)]
pub struct Level {
    pub id: DirId,
    /// `None` when it does not exist (dry run, verification) or could not be made: nothing in it can be settled.
    pub place: Option<Arc<Place>>,
    names: Names,
    /// The last name the source sent; names only go up.
    last: Option<Name>,
    /// Names that only stand here, so far.
    pub extras: Vec<Name>,
    /// How many there are beyond those kept.
    pub extras_beyond: u64,
    /// Dry run: it would be made here, with all that is in it.
    pub imagined: Option<RelPath>,
    /// They matter: something may be deleted, or differences are looked for.
    pub keeps_extras: bool,
}

#[derive(Debug)]
enum Names {
    /// Just made: nothing stands there.
    New,
    /// Listed in order, as far as needed.
    Listed { listing: Box<Listing>, ahead: VecDeque<Listed> },
    /// It cannot or must not be listed: every name may stand there, and no extras are known.
    Unknown,
}

impl Level {
    /// A directory that did not exist before.
    pub fn new_dir(id: DirId, place: Option<Arc<Place>>, imagined: Option<RelPath>) -> Self {
        Self { imagined, ..Self::with(id, place, Names::New) }
    }

    /// A directory that stands there.
    pub fn existing(id: DirId, place: Arc<Place>, keeps_extras: bool) -> (Self, Option<volume::Error>) {
        let (names, error) = match place.dir.listing() {
            Ok(listing) => (Names::Listed { listing: Box::new(listing), ahead: VecDeque::new() }, None),
            Err(error) => (Names::Unknown, Some(error)),
        };
        let mut level = Self::with(id, Some(place), names);
        level.keeps_extras = keeps_extras;
        (level, error)
    }

    /// A directory that belongs to somebody else: any name may stand there, and what else does is nobody's concern.
    pub fn unlisted(id: DirId, place: Arc<Place>) -> Self {
        Self::with(id, Some(place), Names::Unknown)
    }

    fn with(id: DirId, place: Option<Arc<Place>>, names: Names) -> Self {
        Self { id, place, names, last: None, extras: Vec::new(), extras_beyond: 0, keeps_extras: false, imagined: None }
    }

    /// Whether names still come in order. A name that does not is the peer's fault.
    pub fn advance_to(&mut self, name: &Name) -> bool {
        if self.last.as_ref().is_some_and(|last| last >= name) {
            return false;
        }
        self.last = Some(name.clone());
        true
    }

    /// Whether `name` may stand here; names before it that the source does not have become extras.
    pub fn stands(&mut self, name: &Name) -> Result<Stands, volume::Error> {
        loop {
            match self.peek(Some(name))? {
                Peek::New | Peek::End => return Ok(Stands::No),
                Peek::Unknown => return Ok(Stands::Perhaps),
                Peek::Name(Ordering::Less) => self.pass_extra(),
                Peek::Name(Ordering::Equal) => {
                    return Ok(self.pop().map_or(Stands::No, |listed| Stands::Listed(listed.ino)));
                }
                Peek::Name(Ordering::Greater) => return Ok(Stands::No),
            }
        }
    }

    /// The source has no further names: all that are left are extras. Whether all of them are known.
    pub fn drain(&mut self) -> Result<bool, volume::Error> {
        loop {
            match self.peek(None)? {
                Peek::New | Peek::End => return Ok(true),
                Peek::Unknown => return Ok(false),
                Peek::Name(_) => self.pass_extra(),
            }
        }
    }

    /// The next name here, and how it lies to the one looked for.
    fn peek(&mut self, wanted: Option<&Name>) -> Result<Peek, volume::Error> {
        match &mut self.names {
            Names::New => Ok(Peek::New),
            Names::Unknown => Ok(Peek::Unknown),
            Names::Listed { listing, ahead } => {
                if ahead.is_empty() && !listing.is_exhausted() {
                    ahead.extend(listing.next_chunk(limits::BATCH_ENTRIES_MAX)?);
                }
                Ok(ahead.front().map_or(Peek::End, |listed| {
                    Peek::Name(wanted.map_or(Ordering::Less, |wanted| listed.name.cmp(wanted)))
                }))
            }
        }
    }

    fn pop(&mut self) -> Option<Listed> {
        match &mut self.names {
            Names::Listed { ahead, .. } => ahead.pop_front(),
            Names::New | Names::Unknown => None,
        }
    }

    fn pass_extra(&mut self) {
        let Some(listed) = self.pop() else { return };
        // Temporary names of dead sessions are cleared whether or not anything is deleted.
        if !self.keeps_extras && temporary_epoch(&listed.name).is_none() {
            return;
        }
        if self.extras.len() < limits::EXTRAS_KEPT_MAX {
            self.extras.push(listed.name);
        } else {
            self.extras_beyond += 1;
        }
    }
}

enum Peek {
    New,
    Unknown,
    Name(Ordering),
    End,
}
