//! Writing a file's content so that a kill or a power cut never leaves a wrong file that looks right.
//!
//! ```text
//! created    a new name            written directly; until its last step its mtime is not the source's
//! temporary  a name beside         written, given its attributes, renamed over; removed when it is dropped before that
//! in place   the file itself       its mtime is made to differ, durably, before the first change
//! device     the device itself     content only; the volume's sync brings it to disk
//! ```
//!
//! Length first, then data to disk where that is needed, then attributes, mtime last, then the rename. Data is synced
//! before the final mtime when the file system could otherwise store the final length and time before the data: written
//! in place, out of order, or extended to its length (engine-rules 1, measured on ext4 and xfs). It refuses to write in
//! place what carries privilege, and to copy from old content that is not there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode as Bits, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::attributes::{Applied, Attributes, MtimeSeen, apply};
use super::basis::open_file;
use super::behind;
use super::clock::set_mtime;
use super::copying::{clear_range, copy_range, is_hole, write_all_at};
use super::dir::Dir;
use super::error::{Cannot, Error};
use super::handle::Handle;
use super::single::BlockDevice;
use super::source::read_at;
use super::status::{Identity, Status};
use super::xattrs::{CAPABILITY, Place};
use crate::types::{Name, Timestamp, limits};

/// A file being written. Several threads may write different parts at once.
#[derive(Debug)]
pub struct FileWriter {
    dir: Arc<Dir>,
    file: OwnedFd,
    shape: Shape,
    /// The end of the furthest write.
    high: AtomicU64,
    /// A write came after one further on, or shares a page with one before it.
    disordered: AtomicBool,
    /// Anything was changed at all.
    changed: AtomicBool,
}

#[derive(Debug)]
enum Shape {
    Created {
        /// Another file to take content from, and what it was like when it was compared.
        alike: Option<(OwnedFd, Status)>,
    },
    Temporary {
        /// `None` once it has its final name.
        name: Option<Name>,
        /// As `alike`.
        basis: Option<(OwnedFd, Status)>,
    },
    InPlace {
        old_len: u64,
        /// Names its inode may have: with another one, something else would be changed too.
        names_max: u64,
        /// The mtime that marks the file as incomplete, until it was set.
        mark: Mutex<Option<Timestamp>>,
    },
    /// A block device of so many bytes: no length, no attributes, no mark but the run's exit code.
    Device { len: u64 },
}

/// A file that is in place with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What became of its attributes.
    pub applied: Applied,
    /// Which inode it is.
    pub identity: Identity,
}

impl FileWriter {
    /// Makes the file `name`, mode 0600.
    ///
    /// # Errors
    /// When something of that name is there, or it cannot be made.
    pub fn create(dir: &Arc<Dir>, name: &Name) -> Result<Self, Error> {
        let file = create_file(dir, name, Bits::RUSR | Bits::WUSR)?;
        Ok(Self::new(dir, file, Shape::Created { alike: None }))
    }

    /// The same, taking content from the regular file `basis`, which must stay as it was `seen` until the end.
    ///
    /// # Errors
    /// When something of that name is there, it cannot be made, or the basis is not what was seen.
    pub fn create_alike(dir: &Arc<Dir>, name: &Name, basis: (&Dir, &Name, &Status)) -> Result<Self, Error> {
        let (above, standing, seen) = basis;
        let (alike, _) = open_file(above, standing, seen.identity, OFlags::RDONLY)?;
        let file = create_file(dir, name, Bits::RUSR | Bits::WUSR)?;
        Ok(Self::new(dir, file, Shape::Created { alike: Some((alike, *seen)) }))
    }

    /// Makes the temporary file `temp`, mode 0600, which may take content from the regular file `basis`; that must stay as it
    /// was seen until the end.
    ///
    /// # Errors
    /// When something of that name is there, it cannot be made, or the basis is not the inode it should be.
    pub fn temporary(dir: &Arc<Dir>, temp: &Name, basis: Option<(&Name, &Status)>) -> Result<Self, Error> {
        let basis = match basis {
            Some((name, seen)) => Some((open_file(dir, name, seen.identity, OFlags::RDONLY)?.0, *seen)),
            None => None,
        };
        let file = create_file(dir, temp, Bits::RUSR | Bits::WUSR)?;
        Ok(Self::new(dir, file, Shape::Temporary { name: Some(temp.clone()), basis }))
    }

    /// Opens the regular file `name`, which must be the inode that was `seen`, to be changed where it is into a source's file of this
    /// `mtime`. Changes nothing yet.
    ///
    /// `None` when it must not be or cannot be written in place: it has setuid, setgid or capabilities, has got a name it
    /// did not have, is a running program, or its mode keeps us out. A [`Self::temporary`] works there.
    ///
    /// # Errors
    /// When it is gone or another inode.
    pub fn in_place(dir: &Arc<Dir>, name: &Name, seen: &Status, mtime: Timestamp) -> Result<Option<Self>, Error> {
        let (file, status) = match open_file(dir, name, seen.identity, OFlags::RDWR) {
            Err(Error { errno: Errno::ACCESS | Errno::PERM | Errno::TXTBSY, .. }) => return Ok(None),
            opened => opened?,
        };
        let capable = Place::Open(file.as_fd()).has(CAPABILITY).cannot("read a file's capabilities")?;
        if capable || status.mode.is_set_id() || status.nlink > seen.nlink {
            return Ok(None);
        }
        // Also where it does not look like the source's: what somebody remembers of it by its times must not outlive the
        // change of its content, not even over a power cut.
        let mark = Mutex::new(Some(mark_beside(dir.site.clamp(mtime))));
        Ok(Some(Self::new(dir, file, Shape::InPlace { old_len: status.size, names_max: seen.nlink, mark })))
    }

    /// Writes to a device where it is. Its data is brought to disk by the volume's sync.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn device(root: &Arc<Dir>, device: &BlockDevice) -> Result<Self, Error> {
        Ok(Self::new(root, device.share()?, Shape::Device { len: device.status().size }))
    }

    fn new(dir: &Arc<Dir>, file: OwnedFd, shape: Shape) -> Self {
        Self {
            dir: Arc::clone(dir),
            file,
            shape,
            high: AtomicU64::new(0),
            disordered: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        }
    }

    /// True when the old content is under what is written: what is equal needs no copy.
    #[must_use]
    pub fn basis_is_in_place(&self) -> bool {
        matches!(self.shape, Shape::InPlace { .. } | Shape::Device { .. })
    }

    /// True when it is written in place and nothing was changed so far.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.basis_is_in_place() && !self.changed.load(Ordering::Acquire)
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = end_of(offset, bytes.len() as u64)?;
        self.begin(offset, end)?;
        write_all_at(&self.file, bytes, offset)?;
        if let Some(from) = self.new_from() {
            behind::follow(&self.file, from, end);
        }
        Ok(())
    }

    /// Makes `len` bytes at `offset` read as zeros without storing them, where the file system can. Touches nothing
    /// where nothing is stored already.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn hole(&self, offset: u64, len: u64) -> Result<(), Error> {
        let stored_end = self.old_len().max(self.high.load(Ordering::Acquire));
        let end = end_of(offset, len)?.min(stored_end);
        if offset >= end || is_hole(&self.file, offset, end) {
            return Ok(());
        }
        self.begin(offset, end)?;
        clear_range(&self.file, offset, end)
    }

    /// Takes `len` bytes at `offset` from the old content; they stay where they are when it is in place.
    ///
    /// # Errors
    /// When there is no old content, or it does not reach that far, or the disk is full or fails.
    pub fn copy_from_basis(&self, offset: u64, len: u64) -> Result<(), Error> {
        let op = "copy from the file's old content";
        let end = end_of(offset, len)?;
        match &self.shape {
            Shape::Temporary { basis: Some((basis, _)), .. } | Shape::Created { alike: Some((basis, _)) } => {
                self.begin(offset, end)?;
                // Blocks that are shared are on disk at once, with the length they give the file; what was written
                // between them is not (seen on xfs: a power cut left zeros under the final size and time).
                self.disordered.store(true, Ordering::Release);
                copy_range(basis, &self.file, offset, offset, len)
            }
            Shape::InPlace { old_len: len, .. } | Shape::Device { len } if end <= *len => Ok(()),
            Shape::InPlace { .. }
            | Shape::Device { .. }
            | Shape::Temporary { basis: None, .. }
            | Shape::Created { alike: None } => Err(Error { op, errno: Errno::INVAL }),
        }
    }

    /// Takes `len` bytes from another place `from` of the old content, for `offset`. Only beside it.
    ///
    /// # Errors
    /// When it is written in place or there is no old content, it does not reach that far, or the disk is full or fails.
    pub fn move_from_basis(&self, from: u64, offset: u64, len: u64) -> Result<(), Error> {
        let basis = self.basis_beside()?;
        self.begin(offset, end_of(offset, len)?)?;
        self.disordered.store(true, Ordering::Release);
        copy_range(basis, &self.file, from, offset, len)
    }

    /// Takes what the old content has now at `offset`, at most `len` bytes: it was written there in place for this file.
    ///
    /// # Errors
    /// As for [`Self::move_from_basis`].
    pub fn take_over(&self, offset: u64, len: u64) -> Result<(), Error> {
        let basis = self.basis_beside()?;
        // A hole at the end that was made in place is not in the length.
        let there = Status::of_open(basis)?.size.saturating_sub(offset).min(len);
        if there == 0 { Ok(()) } else { self.copy_from_basis(offset, there) }
    }

    /// The `len` bytes of the old content at `from`.
    ///
    /// # Errors
    /// When it is written in place or there is no old content, it does not reach that far, or the disk fails.
    pub fn read_basis(&self, from: u64, len: u64) -> Result<Vec<u8>, Error> {
        let op = "read a file's old content";
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| Error { op, errno: Errno::FBIG })?];
        if read_at(self.basis_beside()?, &mut bytes, from)? < bytes.len() {
            return Err(Error { op, errno: Errno::STALE });
        }
        Ok(bytes)
    }

    fn basis_beside(&self) -> Result<&OwnedFd, Error> {
        match &self.shape {
            Shape::Temporary { basis: Some((basis, _)), .. } => Ok(basis),
            Shape::Temporary { basis: None, .. }
            | Shape::Created { .. }
            | Shape::InPlace { .. }
            | Shape::Device { .. } => Err(Error { op: "move content within a file", errno: Errno::INVAL }),
        }
    }

    /// Completes the file: length `size`, data on disk where that is needed, attributes, mtime, and, for a temporary,
    /// its `final_name`, replacing what has that name. A temporary without a final name keeps its own.
    ///
    /// # Errors
    /// When the disk is full or fails; a temporary is removed then, other files keep showing themselves as incomplete.
    pub fn finish(
        mut self,
        size: u64,
        attributes: &Attributes<'_>,
        final_name: Option<&Name>,
    ) -> Result<Finished, Error> {
        if let Shape::Device { .. } = self.shape {
            let identity = Status::of_open(&self.file)?.identity;
            return Ok(Finished { applied: Applied::default(), identity });
        }
        self.set_len(size)?;
        if self.needs_sync() {
            retry_on_intr(|| rustix::fs::fdatasync(&self.file)).cannot("write a file to disk")?;
            if let Some(from) = self.new_from() {
                behind::let_go(&self.file, from, size);
            }
        }
        self.expect_basis()?;
        let have = Status::of_open(&self.file)?;
        if have.size != size {
            return Err(Error { op: "complete a file that somebody else is writing", errno: Errno::STALE });
        }
        // A new file has the mtime of its last write; one in place keeps its own while nothing is written.
        let untouched = self.basis_is_in_place() && !*self.changed.get_mut();
        let mtime_seen = if untouched { MtimeSeen::Valid } else { MtimeSeen::Stale };
        let applied = apply(&self.dir.site, &Handle::Borrowed(self.file.as_fd()), &have, mtime_seen, attributes)?;
        if let Shape::Temporary { name: temporary, .. } = &mut self.shape {
            if let (Some(from), Some(to)) = (temporary.as_ref(), final_name) {
                self.dir.rename(from, to)?;
            }
            *temporary = None;
        }
        Ok(Finished { applied, identity: have.identity })
    }

    /// Gives up: a temporary is removed, other files stay and show themselves as incomplete by their mtime.
    pub fn abandon(self) {
        drop(self);
    }

    /// Gives up on the file `name` of a source that may be written to at this moment: what was written is marked beside `mtime`,
    /// the source's as scanned, for the time of writing could be the one that the source gets, too. A file that was made and
    /// got nothing is removed.
    ///
    /// # Errors
    /// When it cannot be marked.
    pub fn leave_unfinished(self, name: &Name, mtime: Timestamp) -> Result<(), Error> {
        let is_changed = self.changed.load(Ordering::Acquire);
        match (&self.shape, is_changed) {
            (Shape::Created { .. }, false) => {
                self.remove_made(name);
                Ok(())
            }
            (Shape::Created { .. } | Shape::InPlace { .. }, true) => {
                set_mtime(&self.file, mark_beside(self.dir.site.clamp(mtime))).cannot("mark a file as incomplete")
            }
            (Shape::InPlace { .. }, false) | (Shape::Temporary { .. } | Shape::Device { .. }, _) => Ok(()),
        }
    }

    /// Removes the file that was made, if it still has that name.
    fn remove_made(&self, name: &Name) {
        let made = Status::of_open(&self.file).map(|made| made.identity).ok();
        let stands = self.dir.status_of(name).ok().flatten().map(|stands| stands.identity);
        if let (true, Ok(descriptor)) = (made.is_some() && made == stands, self.dir.descriptor()) {
            // What stays behind is empty and looks unlike the source's.
            let _ = rustix::fs::unlinkat(&descriptor, name.as_bytes(), AtFlags::empty());
        }
    }

    fn old_len(&self) -> u64 {
        match self.shape {
            Shape::InPlace { old_len: len, .. } | Shape::Device { len } => len,
            Shape::Created { .. } | Shape::Temporary { .. } => 0,
        }
    }

    /// Where content begins that only comes from memory. `None` for what is made of old content, which may be read again soon,
    /// and for a device, which is old content.
    fn new_from(&self) -> Option<u64> {
        match self.shape {
            Shape::Created { alike: None } | Shape::Temporary { basis: None, .. } => Some(0),
            Shape::InPlace { old_len, .. } => Some(old_len),
            Shape::Created { alike: Some(_) } | Shape::Temporary { basis: Some(_), .. } | Shape::Device { .. } => None,
        }
    }

    /// Before every change from `offset` to `end`: makes the incomplete mark durable, and notes the order.
    fn begin(&self, offset: u64, end: u64) -> Result<(), Error> {
        self.mark_incomplete()?;
        let before = self.high.fetch_max(end, Ordering::AcqRel);
        // A page that was stored half-filled is stored again later than the pages after it.
        if offset < before || !offset.is_multiple_of(limits::LEAF_LEN as u64) {
            self.disordered.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Notes a change; the first one of a file that looks like the source's makes it look different, on disk, first.
    fn mark_incomplete(&self) -> Result<(), Error> {
        if let Shape::InPlace { mark, names_max, .. } = &self.shape {
            // Held until the mark is on disk: no other thread may write before that.
            let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.changed.load(Ordering::Acquire) && Status::of_open(&self.file)?.nlink > *names_max {
                return Err(Error { op: "change a file that has just got another name", errno: Errno::STALE });
            }
            if let Some(mtime) = *mark {
                set_mtime(&self.file, mtime).cannot("mark a file as incomplete")?;
                retry_on_intr(|| rustix::fs::fsync(&self.file)).cannot("mark a file as incomplete")?;
                *mark = None;
            }
        }
        self.changed.store(true, Ordering::Release);
        Ok(())
    }

    /// A file that content was taken from must be as it was when it was compared.
    fn expect_basis(&self) -> Result<(), Error> {
        if let Shape::Created { alike: Some((basis, seen)) } | Shape::Temporary { basis: Some((basis, seen)), .. } =
            &self.shape
        {
            let now = Status::of_open(basis)?;
            if (now.size, now.mtime) != (seen.size, seen.mtime) {
                return Err(Error { op: "copy from a file that somebody else is writing", errno: Errno::STALE });
            }
        }
        Ok(())
    }

    fn set_len(&mut self, size: u64) -> Result<(), Error> {
        // Asked, not remembered: a hole that was copied at the end is not in the length.
        if size == Status::of_open(&self.file)?.size {
            return Ok(());
        }
        let had_data = *self.changed.get_mut();
        self.mark_incomplete()?;
        retry_on_intr(|| rustix::fs::ftruncate(&self.file, size)).cannot("set a file's length")?;
        // The new length may reach the disk before the data that was written.
        *self.disordered.get_mut() |= had_data;
        Ok(())
    }

    fn needs_sync(&mut self) -> bool {
        if self.basis_is_in_place() { *self.changed.get_mut() } else { *self.disordered.get_mut() }
    }
}

impl Drop for FileWriter {
    /// Removes a temporary that did not get its final name.
    fn drop(&mut self) {
        if let Shape::Temporary { name: Some(name), .. } = &self.shape
            && let Ok(descriptor) = self.dir.descriptor()
        {
            // What stays behind has a temporary's name and goes with the next run.
            let _ = rustix::fs::unlinkat(&descriptor, name.as_bytes(), AtFlags::empty());
        }
    }
}

/// Makes a regular file of that mode, which must not be there yet.
pub(super) fn create_file(dir: &Dir, name: &Name, mode: Bits) -> Result<OwnedFd, Error> {
    let descriptor = dir.descriptor()?;
    let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(&descriptor, name.as_bytes(), how, mode)).cannot("create a file")
}

fn end_of(offset: u64, len: u64) -> Result<u64, Error> {
    offset.checked_add(len).ok_or(Error { op: "write beyond the largest offset", errno: Errno::FBIG })
}

/// An mtime that differs from the source's by more than any file system's step, on the side that is surely in range.
pub(super) fn mark_beside(source: Timestamp) -> Timestamp {
    let secs = if source.secs() > MARK_SECS { source.secs() - MARK_SECS } else { source.secs() + MARK_SECS };
    Timestamp::new(secs, 0).unwrap_or_default()
}

/// Further than FAT's two seconds.
const MARK_SECS: i64 = 10;
