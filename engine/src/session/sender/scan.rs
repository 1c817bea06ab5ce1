//! One pass over the source: directories depth first, their entries in name order, into batches.
//!
//! It reads attributes only; contents are the reading threads' business. A directory whose listing fits in memory is
//! listed whole before its children are entered; a larger one is entered range by range, so memory stays bounded. What
//! certainly did not change since a baseline gets no look at its extended attributes ([`since`]).

mod since;
mod single;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::plan::{LinkTable, SeenLink, temporary_epoch};
use crate::session::fate::Ended;
use crate::types::{
    BatchId, Content, DirId, Entry, EntryIndex, EntryKind, FileContent, Moment, Name, Stage, Xattrs, limits,
};
use crate::volume::{self, Dir, Identity, Listed, Listing, ListingEnd, Status, XattrError};
use crate::wire::{BatchEncoder, ListEnd, PassEnd};

use super::book::{SentBatch, SentFile};
use super::context::Sending;
use super::feed::Feed;
use since::Constancy;

/// Walks the source once and sends what it sees.
pub struct Scan<'a> {
    sending: &'a Sending,
    feed: &'a Feed,
    /// Contents go unasked: the receiver's volume is empty.
    unasked: bool,
    links: LinkTable,
    next_batch: &'a mut u64,
    next_dir: u64,
    entries: u64,
    bytes: u64,
    root_entries: u64,
    /// What did not change since then need not be looked at.
    baseline: Option<Moment>,
}

/// A directory on the way down.
struct Level {
    dir: Arc<Dir>,
    id: DirId,
    since: Constancy,
    listing: Option<Listing>,
    children: VecDeque<Child>,
    complete: bool,
}

struct Child {
    name: Name,
    identity: Identity,
    id: DirId,
    since: Constancy,
    /// Announced, but not entered: on another file system, or too deep.
    closed: bool,
}

/// What was seen of a name, its extended attributes apart.
struct Seen {
    status: Status,
    /// Its inode number as the directory has it.
    listed_ino: u64,
    /// Whether its extended attributes were looked at; there was no need to otherwise.
    looked: bool,
}

/// A batch being put together.
struct Draft {
    encoder: BatchEncoder,
    id: BatchId,
    files: Vec<SentFile>,
}

impl<'a> Scan<'a> {
    pub fn new(
        sending: &'a Sending,
        feed: &'a Feed,
        next_batch: &'a mut u64,
        unasked: bool,
        baseline: Option<Moment>,
    ) -> Self {
        Self {
            sending,
            feed,
            unasked,
            links: LinkTable::new(),
            next_batch,
            next_dir: 1,
            entries: 0,
            bytes: 0,
            root_entries: 0,
            baseline,
        }
    }

    /// Walks all of it.
    pub fn run(mut self) -> Result<PassEnd, Ended> {
        if let Some(single) = self.sending.volume.single() {
            return self.single(single.name());
        }
        let root = Arc::clone(self.sending.volume.root());
        let mut stack = Vec::new();
        let since = self.constancy_of_root(&root);
        self.enter(&mut stack, root, DirId(0), since)?;
        while let Some(level) = stack.last_mut() {
            self.sending.fate.check()?;
            if let Some(child) = level.children.pop_front() {
                self.enter_child(&mut stack, &child)?;
            } else if level.listing.is_some() {
                self.advance(level)?;
            } else {
                stack.pop();
            }
        }
        self.sending.progress.scan_complete.store(true, Relaxed);
        Ok(PassEnd {
            entries: self.entries,
            bytes: self.bytes,
            source_empty: self.root_entries == 0,
            last: false,
            listed: None,
        })
    }

    fn enter_child(&mut self, stack: &mut Vec<Level>, child: &Child) -> Result<(), Ended> {
        let Some(parent) = stack.last() else { return Ok(()) };
        if child.closed {
            return self.close_unread(child.id, &parent.dir);
        }
        match parent.dir.child(&child.name, child.identity) {
            Ok(dir) => self.enter(stack, dir, child.id, child.since),
            Err(error) => {
                let at = parent.dir.path().join(&child.name);
                self.sending.problem(at, Stage::Scan, error.to_string());
                let dir = Arc::clone(&parent.dir);
                self.close_unread(child.id, &dir)
            }
        }
    }

    fn enter(&mut self, stack: &mut Vec<Level>, dir: Arc<Dir>, id: DirId, since: Constancy) -> Result<(), Ended> {
        let listing = match dir.listing() {
            Ok(listing) => listing,
            Err(error) => {
                if error.is_vanished() {
                    self.sending.changed.vanished();
                } else {
                    self.sending.problem(dir.path(), Stage::Scan, error.to_string());
                }
                return self.close_unread(id, &dir);
            }
        };
        let mut level = Level { dir, id, since, listing: Some(listing), children: VecDeque::new(), complete: true };
        while level.listing.as_ref().is_some_and(|l| !l.is_ranged()) {
            self.advance(&mut level)?;
        }
        stack.push(level);
        Ok(())
    }

    /// Ends a directory that was announced but cannot be listed: nothing in it may be deleted.
    fn close_unread(&mut self, id: DirId, dir: &Arc<Dir>) -> Result<(), Ended> {
        let draft = self.draft(id);
        self.send(draft, dir, ListEnd::Incomplete)
    }

    /// Takes the next names of a directory's listing and sends them.
    fn advance(&mut self, level: &mut Level) -> Result<(), Ended> {
        let Some(listing) = level.listing.as_mut() else { return Ok(()) };
        let names = match listing.next_chunk(limits::BATCH_ENTRIES_MAX) {
            Ok(names) => names,
            Err(error) => {
                if error.is_vanished() {
                    self.sending.changed.vanished();
                } else {
                    self.sending.problem(level.dir.path(), Stage::Scan, error.to_string());
                }
                level.listing = None;
                return self.close_unread(level.id, &level.dir);
            }
        };
        let mut draft = self.draft(level.id);
        for listed in &names {
            if draft.encoder.is_full() {
                let full = std::mem::replace(&mut draft, self.draft(level.id));
                self.send(full, &level.dir, ListEnd::More)?;
            }
            self.add(level, &mut draft, listed)?;
        }
        let ended = level.listing.as_ref().is_none_or(Listing::is_exhausted);
        let end = if ended { self.finish(level) } else { ListEnd::More };
        let dir = Arc::clone(&level.dir);
        self.send(draft, &dir, end)
    }

    /// The listing is through: complete only if the directory stayed as it was.
    fn finish(&self, level: &mut Level) -> ListEnd {
        let unchanged = level.listing.take().is_some_and(|listing| listing.finish() == ListingEnd::Complete);
        if !unchanged {
            let cause = "the directory changed while it was listed; run again when it is quiet";
            // What was there all the time was listed, and nothing is deleted for what was not.
            self.sending.changed.push(level.dir.path(), Stage::Scan, cause, true);
        }
        if unchanged && level.complete { ListEnd::Complete } else { ListEnd::Incomplete }
    }

    fn draft(&mut self, dir: DirId) -> Draft {
        let id = BatchId(*self.next_batch);
        *self.next_batch += 1;
        Draft { encoder: BatchEncoder::new(id, dir), id, files: Vec::new() }
    }

    fn send(&mut self, draft: Draft, dir: &Arc<Dir>, end: ListEnd) -> Result<(), Ended> {
        let entries = draft.encoder.count();
        let frame = draft.encoder.finish(end);
        let batch = SentBatch { id: draft.id, dir: Arc::clone(dir), entries, encoded: frame.len(), files: draft.files };
        let batch = self.sending.book.admit(batch, &self.sending.fate)?;
        self.sending.control.post(frame).map_err(|_| Ended)?;
        if self.unasked {
            self.feed.everything(self.sending, &batch);
        }
        Ok(())
    }

    /// Adds one name of a directory to the draft, or records why it cannot be.
    fn add(&mut self, level: &mut Level, draft: &mut Draft, listed: &Listed) -> Result<(), Ended> {
        let (dir, name) = (&level.dir, &listed.name);
        if self.sending.volume.skips(dir, name) {
            return Ok(());
        }
        if temporary_epoch(name).is_some() {
            let cause = "the name is kept for ferry's temporary files; remove it if no ferry is receiving here";
            self.sending.problem(dir.path().join(name), Stage::Scan, cause);
            return Ok(());
        }
        if self.sending.volume.is_reserved(dir, name) {
            let cause =
                "the name is kept for ferry's state, and what stands there is none; rename it to have it copied";
            self.sending.problem(dir.path().join(name), Stage::Scan, cause);
            return Ok(());
        }
        let (seen, xattrs) = match self.look(level, listed) {
            Ok(Some(seen)) => seen,
            Ok(None) => {
                // It may stand under another name that the listing, being older, does not have.
                level.complete = false;
                self.sending.tally.add(|t| &t.vanished, 1);
                self.sending.changed.vanished();
                return Ok(());
            }
            Err(cause) => return self.missing(level, name, &cause),
        };
        if self.is_excluded(dir, name, seen.status.kind) {
            return Ok(());
        }
        self.note_mount(&seen);
        match self.entry(dir, name, &seen.status, xattrs) {
            Ok((entry, leads)) => self.enter_entry(level, draft, &entry, &seen, leads),
            Err(EntryError::Vanished) => {
                self.sending.changed.vanished();
                level.complete = false;
            }
            Err(EntryError::Because(cause)) => return self.missing(level, name, &cause),
        }
        Ok(())
    }

    /// What there is to see of a name; `None` when it is gone.
    fn look(&self, level: &Level, listed: &Listed) -> Result<Option<(Seen, Xattrs)>, String> {
        let seen = |status, looked| Seen { status, listed_ino: listed.ino, looked };
        if let Some(status) = self.unchanged(level, listed) {
            return Ok(Some((seen(status, false), Xattrs::default())));
        }
        Ok(self.look_at(&level.dir, listed)?.map(|(status, xattrs)| (seen(status, true), xattrs)))
    }

    /// Status and extended attributes of a name; `None` when it is gone.
    fn look_at(&self, dir: &Dir, listed: &Listed) -> Result<Option<(Status, Xattrs)>, String> {
        let policy = &self.sending.xattrs;
        if policy.enabled {
            let wants = |name: &[u8]| policy.wants(name);
            return dir.inspect(&listed.name, listed.kind, &wants).map_err(|error| match error {
                XattrError::Fs(error) => error.to_string(),
                XattrError::TooLarge => {
                    format!("its extended attributes are larger than {} bytes together", limits::XATTRS_LEN_MAX)
                }
            });
        }
        let status = dir.status_of(&listed.name).map_err(|error| error.to_string())?;
        Ok(status.map(|status| (status, Xattrs::default())))
    }

    /// An entry that cannot be described: a problem, and nothing in its directory may be deleted.
    fn missing(&self, level: &mut Level, name: &Name, cause: &str) -> Result<(), Ended> {
        level.complete = false;
        self.sending.problem(level.dir.path().join(name), Stage::Scan, cause);
        self.sending.fate.check()
    }

    fn is_excluded(&self, dir: &Dir, name: &Name, kind: EntryKind) -> bool {
        !self.sending.excludes.is_empty()
            && self.sending.excludes.matches(&dir.path().join(name), kind == EntryKind::Dir)
    }

    fn enter_entry(&mut self, level: &mut Level, draft: &mut Draft, entry: &Entry, seen: &Seen, leads: bool) {
        let index = EntryIndex(u32::try_from(draft.encoder.count()).unwrap_or(u32::MAX));
        if seen.looked {
            draft.encoder.push(entry);
        } else {
            draft.encoder.push_unlooked(entry);
            self.sending.tally.add(|t| &t.unlooked, 1);
        }
        self.entries += 1;
        self.sending.progress.entries_scanned.fetch_add(1, Relaxed);
        if level.id == DirId(0) {
            self.root_entries += 1;
        }
        match &entry.content {
            Content::File(FileContent { size }) => {
                if leads {
                    self.bytes = self.bytes.saturating_add(*size);
                    self.sending.progress.bytes_total.fetch_add(*size, Relaxed);
                    draft.files.push(SentFile::new(index, entry.name.clone(), seen.status));
                }
            }
            Content::Dir => self.announce(level, entry, seen),
            Content::Symlink(_)
            | Content::Fifo
            | Content::Socket
            | Content::CharDevice(_)
            | Content::BlockDevice(_) => {}
        }
    }

    fn announce(&mut self, level: &mut Level, entry: &Entry, seen: &Seen) {
        let identity = seen.status.identity;
        let elsewhere = self.sending.one_file_system && identity.dev != self.sending.volume.device();
        let too_deep = level.dir.depth() + 1 > limits::DEPTH_MAX;
        if too_deep {
            let cause = format!("directories are nested deeper than {}", limits::DEPTH_MAX);
            self.sending.problem(level.dir.path().join(&entry.name), Stage::Scan, cause);
        }
        level.children.push_back(Child {
            name: entry.name.clone(),
            identity,
            id: DirId(self.next_dir),
            since: self.constancy(level, &entry.name, seen),
            closed: elsewhere || too_deep,
        });
        self.next_dir += 1;
    }

    /// Everything about an entry, and whether it carries its own content (the first name of its inode does).
    fn entry(&mut self, dir: &Dir, name: &Name, status: &Status, xattrs: Xattrs) -> Result<(Entry, bool), EntryError> {
        let content = match status.kind {
            EntryKind::File => Content::File(FileContent { size: status.size }),
            EntryKind::Dir => Content::Dir,
            EntryKind::Symlink => Content::Symlink(dir.target_of(name)?),
            EntryKind::Fifo => Content::Fifo,
            EntryKind::Socket => Content::Socket,
            EntryKind::CharDevice => Content::CharDevice(status.device),
            EntryKind::BlockDevice => Content::BlockDevice(status.device),
        };
        let seen = match status.kind {
            EntryKind::Dir => None,
            _ if status.nlink < 2 => None,
            _ => Some(self.links.see(status.identity.dev, status.identity.ino, status.nlink)),
        };
        let (link, leads) = match seen {
            None => (None, true),
            Some(Some(SeenLink { group, leader })) => (Some(group), leader),
            Some(None) => return Err(EntryError::Because("too many hard-linked files at once".to_owned())),
        };
        let owner = self.sending.chown.map_or(status.owner, |to| to.0);
        let entry = Entry { name: name.clone(), mode: status.mode, owner, mtime: status.mtime, xattrs, link, content };
        Ok((entry, leads))
    }
}

enum EntryError {
    Vanished,
    Because(String),
}

impl From<volume::Error> for EntryError {
    fn from(error: volume::Error) -> Self {
        if error.is_vanished() { Self::Vanished } else { Self::Because(error.to_string()) }
    }
}
