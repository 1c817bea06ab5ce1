//! A volume that is one thing: a regular file or a block device (engine-rules 23).
//!
//! ```text
//! the directory it stands in, held as the volume's root  +  its one name there
//! ```
//!
//! The operator's path is resolved once, links included. After that the rules of every volume hold: a held directory
//! and a single name, never followed. The directory belongs to somebody else: nothing here lists it, changes its
//! attributes or removes another name in it. A device is written through one descriptor, the one that claims it: its
//! sync hears of every write that failed, and the kernel clears ranges only for the one who has the claim (seen as EBUSY
//! elsewhere, while pages are dirty). Who lets go of the lock lets go of the device, whoever still holds the volume.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{CWD, FileType, FlockOperation, Mode as Bits, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::dir::{Dir, open_quietly};
use super::error::{Cannot, Error};
use super::root::{Lock, Volume, open_root};
use super::status::{Status, kind_of};
use crate::types::{EntryKind, Name, Shape, limits};

/// The one thing a volume is.
#[derive(Debug)]
pub struct Single {
    name: Name,
    status: Status,
    /// Open for writing: a destination.
    device: Option<BlockDevice>,
}

/// A block device that is written to by the one who has its volume's lock.
#[derive(Debug)]
pub struct BlockDevice {
    status: Status,
    claim: Mutex<Weak<OwnedFd>>,
}

/// What is done with a single volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Volume {
    /// What stands at an operator's path, links followed; `None` when nothing does.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn kind_at(path: &Path) -> Result<Option<EntryKind>, Error> {
        match retry_on_intr(|| rustix::fs::stat(path)) {
            Ok(stat) => Ok(kind_of(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error { op: "look at the volume", errno }),
        }
    }

    /// Opens a single file or device to be written.
    ///
    /// # Errors
    /// When it is missing, is neither, may not be read, or is a device without a size.
    pub fn open_single_destination(path: &Path) -> Result<Self, Error> {
        Self::open_single(path, Access::Write)
    }

    /// Makes an empty file, mode 0600, and opens it to be written. The directory it is made in must be there.
    ///
    /// # Errors
    /// When something of that name is there, or it cannot be made.
    pub fn make_single_destination(path: &Path) -> Result<Self, Error> {
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(CWD, path, how, Bits::RUSR | Bits::WUSR))
            .cannot("make the volume's file")?;
        Self::open_single(path, Access::Write)
    }

    pub(super) fn open_single_source(path: &Path) -> Result<Self, Error> {
        Self::open_single(path, Access::Read)
    }

    fn open_single(path: &Path, access: Access) -> Result<Self, Error> {
        let resolved = std::fs::canonicalize(path)
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
            .cannot("find the volume")?;
        let (Some(above), Some(name)) = (resolved.parent(), resolved.file_name()) else {
            return Err(Error { op: "find the volume", errno: Errno::NOTBLK });
        };
        let name = Name::new(name.as_bytes()).map_err(|_| Errno::INVAL).cannot("find the volume")?;
        let root = open_root(above).cannot("open the directory above the volume")?;
        let single = Single::open(&root, name, access)?;
        Self::with_single(root, single)
    }

    /// What the volume is, with the size that a single one had when it was opened.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.single().map_or(Shape::Directory, Single::shape)
    }

    /// The device that is written to, when this volume is one.
    #[must_use]
    pub fn block_device(&self) -> Option<&BlockDevice> {
        self.single().and_then(|single| single.device.as_ref())
    }
}

impl Single {
    fn open(root: &OwnedFd, name: Name, access: Access) -> Result<Self, Error> {
        let file = open_quietly(root.as_fd(), name.as_bytes(), OFlags::RDONLY).cannot("open the volume")?;
        let status = Status::of_content(&file)?;
        match (status.kind, access) {
            (EntryKind::BlockDevice, _) if status.size == 0 => {
                Err(Error { op: "use a device without a size", errno: Errno::NXIO })
            }
            (EntryKind::File, _) | (EntryKind::BlockDevice, Access::Read) => Ok(Self { name, status, device: None }),
            (EntryKind::BlockDevice, Access::Write) => {
                let device = BlockDevice { status, claim: Mutex::default() };
                Ok(Self { name, status, device: Some(device) })
            }
            _ => Err(Error { op: "use the volume", errno: Errno::NOTBLK }),
        }
    }

    /// Its name in the volume's root.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it was when it was opened.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let size = self.status.size;
        match self.status.kind {
            EntryKind::BlockDevice => Shape::Device { size },
            _ => Shape::File { size },
        }
    }

    /// Takes it for this holder; `None` when somebody else has it.
    ///
    /// A device is claimed: nobody can mount it or claim it meanwhile. The lock besides is only for those who look at
    /// every device that was written to, and hold a shared one while they do; what they say is no reason to wait.
    pub(super) fn lock(&self, root: &Dir) -> Result<Option<Lock>, Error> {
        let above = root.descriptor()?;
        if let Some(device) = &self.device {
            let claim = device.claim(&above, &self.name)?;
            let _ = retry_on_intr(|| rustix::fs::flock(&claim, FlockOperation::NonBlockingLockExclusive));
            return Ok(Some(Lock::holding(claim)));
        }
        let file = open_quietly(above.as_fd(), self.name.as_bytes(), OFlags::RDONLY).cannot("open the volume")?;
        Lock::take(file)
    }

    /// Bytes that tell this one from others until the machine is started again.
    pub(super) fn seed(&self) -> Vec<u8> {
        let (identity, device) = (self.status.identity, self.status.device);
        let numbers = [identity.dev, identity.ino, u64::from(device.major), u64::from(device.minor)];
        numbers.into_iter().flat_map(u64::to_be_bytes).collect()
    }
}

impl BlockDevice {
    /// Opens it for writing and for nobody else.
    fn claim(&self, root: &OwnedFd, name: &Name) -> Result<Arc<OwnedFd>, Error> {
        let op = "take the device for this run";
        let how = OFlags::RDWR | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let claim = retry_on_intr(|| rustix::fs::openat(root, name.as_bytes(), how, Bits::empty())).cannot(op)?;
        let now = Status::of_content(&claim)?;
        if now.kind != EntryKind::BlockDevice || now.device != self.status.device || now.size != self.status.size {
            return Err(Error { op, errno: Errno::STALE });
        }
        let claim = Arc::new(claim);
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&claim);
        Ok(claim)
    }

    fn claimed(&self) -> rustix::io::Result<Arc<OwnedFd>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).upgrade().ok_or(Errno::BADF)
    }

    /// What the kernel said about it, its size included.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// A second descriptor of the claimed device, for one who works under the lock.
    pub(super) fn share(&self) -> Result<OwnedFd, Error> {
        let shared = self
            .claimed()
            .and_then(|claim| claim.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)));
        shared.cannot("write to a device without its lock")
    }

    /// Brings everything written to disk.
    pub(super) fn sync(&self) -> rustix::io::Result<()> {
        let claim = self.claimed()?;
        retry_on_intr(|| rustix::fs::fsync(&claim))
    }
}

impl Dir {
    /// What the kernel says about `name`, a file or device that is opened for its size; `None` when it is gone.
    ///
    /// # Errors
    /// When it may not be read.
    pub fn content_status(&self, name: &Name) -> Result<Option<Status>, Error> {
        let descriptor = self.descriptor()?;
        match open_quietly(descriptor.as_fd(), name.as_bytes(), OFlags::RDONLY) {
            Ok(file) => Status::of_content(&file).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error { op: "open the volume", errno }),
        }
    }
}

impl Volume {
    fn with_single(root: OwnedFd, single: Single) -> Result<Self, Error> {
        let mut volume = Self::with(root, limits::DIR_FDS_MAX, super::privilege::Privilege::of_this_process())?;
        volume.single = Some(single);
        Ok(volume)
    }
}
