//! The names in a directory, strictly increasing, however many there are, in bounded memory.
//!
//! ```text
//! read all names -> they fit: sort, hand out
//!                -> too many: keep a fair sample, cut the names into ranges at its quantiles,
//!                   read the directory again for each range (a range that is still too large is cut again)
//! ```
//!
//! It says at the end whether the directory stayed the same from before the first read to after the last: a name moved
//! while we read may have been seen under neither name, and nothing may be deleted on such evidence (engine-rules 3).
//! It refuses to leave out in silence what it cannot name.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::RawDir;
use rustix::io::Errno;

use super::dir::Dir;
use super::error::{Cannot, Error};
use super::names::{Limit, Names, Sample};
use super::status::{Status, kind_of};
use crate::types::{EntryKind, Name, Timestamp, limits};

/// Bytes for the kernel to fill with entries at a time; some file systems are slow with little.
const READ_LEN: usize = 65_536;

/// A directory being listed.
#[derive(Debug)]
pub struct Listing {
    dir: Arc<Dir>,
    limit: Limit,
    /// Ranges not yet read, the lowest last.
    ranges: Vec<Range>,
    /// The range being handed out, and how many of its names were.
    names: Names,
    handed_out: usize,
    /// The directory's mtime and ctime when it was first looked at.
    first: Option<(Timestamp, Timestamp)>,
    changed: bool,
    unnameable: bool,
}

/// One name as the directory shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: Name,
    /// What it is, where the file system says so in its directories.
    pub kind: Option<EntryKind>,
    /// Its inode number as the directory has it.
    pub ino: u64,
}

/// Whether a listing can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingEnd {
    /// Every name was handed out, and the directory's times stayed the same all the while.
    Complete,
    /// The directory changed while it was listed, or was not listed to its end.
    Changed,
}

/// Names from `low`, itself included, up to `high`, itself excluded.
#[derive(Debug, Default)]
struct Range {
    low: Vec<u8>,
    high: Option<Vec<u8>>,
}

impl Dir {
    /// Begins to list this directory. Reads nothing yet.
    ///
    /// # Errors
    /// None today; a listing fails in [`Listing::next_chunk`].
    pub fn listing(self: &Arc<Self>) -> Result<Listing, Error> {
        Ok(Listing::with_limit(self, Limit::new(limits::LISTING_NAMES_LEN_MAX, limits::LISTING_SAMPLES)))
    }
}

impl Listing {
    pub(super) fn with_limit(dir: &Arc<Dir>, limit: Limit) -> Self {
        Self {
            dir: Arc::clone(dir),
            limit,
            ranges: vec![Range::default()],
            names: Names::default(),
            handed_out: 0,
            first: None,
            changed: false,
            unnameable: false,
        }
    }

    /// The directory that is listed.
    #[must_use]
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// At most `max` further names (at least one is meant), each greater than all before; none when there are no more.
    ///
    /// # Errors
    /// When the directory cannot be read, is gone, or, after all other names, when one is too long to be a [`Name`].
    pub fn next_chunk(&mut self, max: usize) -> Result<Vec<Listed>, Error> {
        while self.handed_out >= self.names.len() {
            match self.ranges.pop() {
                Some(range) => self.read(range)?,
                None if std::mem::take(&mut self.unnameable) => {
                    return Err(Error { op: "list a name of more than 255 bytes", errno: Errno::NAMETOOLONG });
                }
                None => return Ok(Vec::new()),
            }
        }
        let chunk: Vec<Listed> = self.names.iter_from(self.handed_out).take(max.max(1)).collect();
        self.handed_out += chunk.len();
        if self.handed_out >= self.names.len() {
            self.names = Names::default();
            self.handed_out = 0;
        }
        Ok(chunk)
    }

    /// Whether every name was handed out.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.ranges.is_empty() && self.names.len() == 0 && !self.unnameable
    }

    /// Whether the directory is too large to be listed at once, as far as that is known.
    #[must_use]
    pub fn is_ranged(&self) -> bool {
        self.first.is_some() && !self.ranges.is_empty()
    }

    /// Whether the listing can be relied on.
    #[must_use]
    pub fn finish(self) -> ListingEnd {
        let all = self.ranges.is_empty() && self.names.len() == 0;
        if all && !self.changed && !self.unnameable { ListingEnd::Complete } else { ListingEnd::Changed }
    }

    /// Reads the directory once for `range`: its names are there to be handed out afterwards, or smaller ranges are.
    fn read(&mut self, range: Range) -> Result<(), Error> {
        let descriptor = self.dir.reopen()?;
        self.watch(&descriptor)?;
        let mut found = Found::new(self.limit);
        let mut buffer = Vec::with_capacity(READ_LEN);
        let mut entries = RawDir::new(&descriptor, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry.cannot("list a directory")?,
            };
            let name = entry.file_name().to_bytes();
            if name.len() > limits::NAME_LEN_MAX {
                self.unnameable = true;
            } else if !matches!(name, b"." | b"..") && range.holds(name) {
                found.add(name, kind_of(entry.file_type()), entry.ino());
            }
        }
        self.watch(&descriptor)?;
        match found {
            Found::All { names, .. } => {
                self.names = names.sorted();
                self.handed_out = 0;
            }
            Found::TooMany(sample) => self.ranges.extend(range.cut(sample.quantiles()).into_iter().rev()),
        }
        Ok(())
    }

    /// Notes whether the directory changed since the first look.
    fn watch(&mut self, descriptor: &OwnedFd) -> Result<(), Error> {
        let status = Status::of_open(descriptor)?;
        let Some(first) = self.first else {
            status.wait_for_tick();
            let status = Status::of_open(descriptor)?;
            self.first = Some((status.mtime, status.ctime));
            return Ok(());
        };
        self.changed |= first != (status.mtime, status.ctime);
        Ok(())
    }
}

impl Range {
    fn holds(&self, name: &[u8]) -> bool {
        name >= self.low.as_slice() && self.high.as_ref().is_none_or(|high| name < high.as_slice())
    }

    /// The ranges between `cuts`, which are increasing names of this range. Each is smaller than this one.
    fn cut(self, cuts: Vec<Vec<u8>>) -> Vec<Self> {
        let mut pieces = Vec::with_capacity(cuts.len() + 1);
        let mut low = self.low;
        for cut in cuts.into_iter() {
            if cut > low {
                pieces.push(Self { low: std::mem::replace(&mut low, cut.clone()), high: Some(cut) });
            }
        }
        pieces.push(Self { low, high: self.high });
        pieces
    }
}

/// What one reading of the directory has brought so far.
enum Found {
    All { names: Names, limit: Limit },
    TooMany(Sample),
}

impl Found {
    fn new(limit: Limit) -> Self {
        Self::All { names: Names::default(), limit }
    }

    fn add(&mut self, name: &[u8], kind: Option<EntryKind>, ino: u64) {
        match self {
            Self::TooMany(sample) => sample.add(name),
            Self::All { names, limit } if limit.fits(names, name) => names.push(name, kind, ino),
            Self::All { names, limit } => {
                let mut sample = Sample::of(std::mem::take(names), *limit);
                sample.add(name);
                *self = Self::TooMany(sample);
            }
        }
    }
}
