//! Making, renaming, linking and removing single entries, by (held directory, name).
//!
//! New entries get the least mode there is; their attributes come later. Nothing is removed before it was seen to be
//! what the caller thinks it is, and nothing is overwritten but by [`Dir::rename`].

use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode as Bits, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::basis::open_file;
use super::clock::set_mtime;
use super::dir::{Dir, expect, open_quietly};
use super::error::{Cannot, Error};
use super::handle::Handle;
use super::status::{Identity, Status};
use super::writer::mark_beside;
use crate::types::{Device, EntryKind, Mode, Name, Timestamp};

/// Owner may read and write, nobody else anything.
const PRIVATE: Bits = Bits::RUSR.union(Bits::WUSR);

impl Dir {
    /// Makes the directory `name`, mode 0700.
    ///
    /// # Errors
    /// When something of that name is there, or it cannot be made.
    pub fn make_dir(self: &Arc<Self>, name: &Name) -> Result<Arc<Self>, Error> {
        let descriptor = self.descriptor()?;
        retry_on_intr(|| rustix::fs::mkdirat(&descriptor, name.as_bytes(), Bits::RWXU)).cannot("make a directory")?;
        let how = OFlags::RDONLY | OFlags::DIRECTORY;
        let made = open_quietly(descriptor.as_fd(), name.as_bytes(), how).cannot("open a new directory")?;
        self.opened_child(name, made)
    }

    /// Makes the symlink `name` with `target`, whatever that is.
    ///
    /// # Errors
    /// When something of that name is there, or it cannot be made.
    pub fn make_symlink(&self, name: &Name, target: &[u8]) -> Result<(), Error> {
        let descriptor = self.descriptor()?;
        retry_on_intr(|| rustix::fs::symlinkat(target, &descriptor, name.as_bytes())).cannot("make a symlink")
    }

    /// Makes the fifo `name`, mode 0600.
    ///
    /// # Errors
    /// When something of that name is there, or it cannot be made.
    pub fn make_fifo(&self, name: &Name) -> Result<(), Error> {
        self.make_node(name, FileType::Fifo, 0, "make a fifo")
    }

    /// Makes the socket `name`, mode 0600; nothing listens on it.
    ///
    /// # Errors
    /// When something of that name is there, or it cannot be made.
    pub fn make_socket(&self, name: &Name) -> Result<(), Error> {
        self.make_node(name, FileType::Socket, 0, "make a socket")
    }

    /// Makes a device node, mode 0600; `kind` is a character or block device.
    ///
    /// # Errors
    /// When something of that name is there, `kind` is no device, or the privilege is missing.
    pub fn make_device(&self, name: &Name, kind: EntryKind, device: Device) -> Result<(), Error> {
        let op = "make a device node";
        let file_type = match kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            EntryKind::File | EntryKind::Dir | EntryKind::Symlink | EntryKind::Fifo | EntryKind::Socket => {
                return Err(Error { op, errno: Errno::INVAL });
            }
        };
        self.make_node(name, file_type, rustix::fs::makedev(device.major, device.minor), op)
    }

    fn make_node(&self, name: &Name, kind: FileType, device: u64, op: &'static str) -> Result<(), Error> {
        let descriptor = self.descriptor()?;
        retry_on_intr(|| rustix::fs::mknodat(&descriptor, name.as_bytes(), kind, PRIVATE, device)).cannot(op)
    }

    /// Renames `from` to `to` in this directory; what was `to` is replaced in one step.
    ///
    /// # Errors
    /// When `from` is gone, or `to` is a directory and `from` is not.
    pub fn rename(&self, from: &Name, to: &Name) -> Result<(), Error> {
        let descriptor = self.descriptor()?;
        retry_on_intr(|| rustix::fs::renameat(&descriptor, from.as_bytes(), &descriptor, to.as_bytes()))
            .cannot("rename")
    }

    /// Moves the file `name`, which must still be what `expected` says, to `new` in the directory `to`, where nothing
    /// stands. It gets an mtime beside its own first: whoever looks there before its content was compared sees a file
    /// that is not finished.
    ///
    /// # Errors
    /// When it is gone or something else, or something stands at `new`.
    pub fn move_to(&self, name: &Name, expected: &Status, to: &Self, new: &Name) -> Result<(), Error> {
        let op = "move";
        let (here, there) = (self.descriptor()?, to.descriptor()?);
        let found = Status::of_name(&*here, name)?.ok_or(Error { op, errno: Errno::NOENT })?;
        expect(&found, expected.kind, expected.identity, op)?;
        let (file, _) = open_file(self, name, expected.identity, OFlags::RDONLY)?;
        set_mtime(&file, mark_beside(expected.mtime)).cannot(op)?;
        let (from, to_name) = (name.as_bytes(), new.as_bytes());
        let moved = retry_on_intr(|| rustix::fs::renameat_with(&here, from, &there, to_name, RenameFlags::NOREPLACE));
        match moved {
            // A file system without that promise: look first.
            Err(Errno::INVAL | Errno::NOSYS) if Status::of_name(&*there, new)?.is_none() => {
                retry_on_intr(|| rustix::fs::renameat(&here, from, &there, to_name)).cannot(op)
            }
            moved => moved.cannot(op),
        }
    }

    /// Puts this directory's modification time back to what it was before entries were changed.
    ///
    /// # Errors
    /// When it is gone, or its times cannot be set.
    pub fn put_time_back(&self, mtime: Timestamp) -> Result<(), Error> {
        set_mtime(&*self.descriptor()?, mtime).cannot("put a directory's modification time back")
    }

    /// Makes `new` another name of `leader`, which must be the inode `leader_id`.
    ///
    /// # Errors
    /// When `new` is there, or `leader` is gone or another inode (then `new` is not left behind).
    pub fn link(&self, new: &Name, leader_dir: &Self, leader: &Name, leader_id: Identity) -> Result<(), Error> {
        let op = "make a hard link";
        let (here, there) = (self.descriptor()?, leader_dir.descriptor()?);
        retry_on_intr(|| rustix::fs::linkat(&there, leader.as_bytes(), &here, new.as_bytes(), AtFlags::empty()))
            .cannot(op)?;
        let made = Status::of_name(&*here, new)?.ok_or(Error { op, errno: Errno::NOENT })?;
        if made.identity == leader_id {
            return Ok(());
        }
        retry_on_intr(|| rustix::fs::unlinkat(&here, new.as_bytes(), AtFlags::empty())).cannot("undo a hard link")?;
        Err(Error { op, errno: Errno::STALE })
    }

    /// Removes `name`, which must still be what `expected` says: not a directory, or an empty one.
    ///
    /// # Errors
    /// When it is gone, something else, a directory with something in it, or a mount point.
    pub fn remove(&self, name: &Name, expected: &Status) -> Result<(), Error> {
        let op = "remove";
        let descriptor = self.descriptor()?;
        let found = Status::of_name(&*descriptor, name)?.ok_or(Error { op, errno: Errno::NOENT })?;
        expect(&found, expected.kind, expected.identity, op)?;
        let how = if found.kind == EntryKind::Dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        retry_on_intr(|| rustix::fs::unlinkat(&descriptor, name.as_bytes(), how)).cannot(op)
    }

    /// Does `f`, which changes entries of this directory, and puts this directory's mtime back to what it was before.
    /// Without privilege also gives ourselves the permission for it, and takes that back. Also returns whether that
    /// worked; `f` is done in any case.
    pub fn keep_times<R>(&self, f: impl FnOnce() -> R) -> (R, Result<(), Error>) {
        // One at a time, or one would take the other's change for the mtime to keep.
        let _alone = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // A directory that cannot be opened up says so in what `f` does.
        let closed = self.open_up().unwrap_or(None);
        let before = self.status();
        let done = f();
        let put_back = before.and_then(|before| {
            let descriptor = self.descriptor()?;
            if Status::of_open(&*descriptor)?.mtime != before.mtime {
                set_mtime(&*descriptor, before.mtime).cannot("put a directory's modification time back")?;
            }
            let handle = Handle::Borrowed(descriptor.as_fd());
            closed.map_or(Ok(()), |mode| handle.chmod(mode).cannot("put a directory's mode back"))
        });
        (done, put_back)
    }

    /// Without privilege: gives ourselves read, write and search permission on this directory if it is ours and lacks
    /// one. Nothing remembers it; the directory's own attributes come at its end.
    ///
    /// # Errors
    /// When it is gone, or its mode cannot be changed.
    pub fn make_accessible(&self) -> Result<(), Error> {
        self.open_up().map(drop)
    }

    /// [`Self::make_accessible`]; the mode it had, if that was changed.
    fn open_up(&self) -> Result<Option<Mode>, Error> {
        let Some((parent, name)) = self.place() else { return Ok(None) };
        if self.site.privilege.dac_override {
            return Ok(None);
        }
        let op = "make a directory accessible";
        let above = parent.descriptor()?;
        let handle = Handle::point(above.as_fd(), name).cannot(op)?;
        let status = Status::of_open(&handle)?;
        expect(&status, EntryKind::Dir, self.identity(), op)?;
        let accessible = Mode::from_st_mode(status.mode.bits() | 0o700);
        if accessible == status.mode || status.owner.uid() != self.site.privilege.euid {
            return Ok(None);
        }
        handle.chmod(accessible).cannot(op)?;
        Ok(Some(status.mode))
    }
}
