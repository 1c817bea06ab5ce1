//! A volume: the directory everything happens beneath, and what is true of its whole file system.
//!
//! The operator's path is resolved here, once; after that there are only held descriptors and single names. A volume
//! that is a single file or device is the directory it stands in and one name (see [`super::single`]); it refuses to
//! be anything else.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode as Bits, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::clock::Clock;
use super::descriptors::OpenDirs;
use super::dir::Dir;
use super::error::{Cannot, Error};
use super::privilege::Privilege;
use super::single::Single;
use super::state;
use super::status::Status;
use crate::types::{EntryKind, Name, Timestamp, limits};

/// An open volume. Dropping it closes its root once no [`Dir`] of it is left.
#[derive(Debug)]
pub struct Volume {
    site: Arc<Site>,
    root: Arc<Dir>,
    /// The one thing in the root that the volume is, when it is not the root itself.
    pub(super) single: Option<Single>,
    /// The answer of the first sync that failed: the kernel tells it once only (engine-rules 1).
    sync_failed: Mutex<Option<Errno>>,
    /// Directories of other file systems mounted beneath the root, one each.
    mounted: Mutex<HashMap<u64, OwnedFd>>,
}

/// What all directories of a volume share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) root: Arc<OwnedFd>,
    pub(super) open: OpenDirs,
    pub(super) privilege: Privilege,
    pub(super) status: Status,
    mount_point: bool,
    /// `None` in it when the file system cannot be tried: then every time is taken as it is.
    clock: OnceLock<Option<Clock>>,
}

/// Excludes every other holder of the same volume, in this process and others, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _descriptor: Arc<OwnedFd>,
}

/// Room left on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Bytes this process may still fill.
    pub bytes: u64,
    /// Entries that can still be made; `None` where the file system has no such bound.
    pub inodes: Option<u64>,
}

impl Volume {
    /// Opens a volume to be read.
    ///
    /// # Errors
    /// When `path` is missing, neither a directory nor a file nor a block device, or may not be read.
    pub fn open_source(path: &Path) -> Result<Self, Error> {
        if Self::kind_at(path)?.is_some_and(|kind| kind != EntryKind::Dir) {
            return Self::open_single_source(path);
        }
        let root = open_root(path).cannot("open the volume's directory")?;
        Self::with(root, limits::DIR_FDS_MAX, Privilege::of_this_process())
    }

    /// Opens a directory to be written; makes it, mode 0700, when only its last component is missing.
    ///
    /// # Errors
    /// When `path` is no directory, may not be opened, or cannot be made.
    pub fn open_destination(path: &Path) -> Result<Self, Error> {
        let root = match open_root(path) {
            Err(Errno::NOENT) => {
                retry_on_intr(|| rustix::fs::mkdir(path, Bits::RWXU)).cannot("make the volume's directory")?;
                open_root(path)
            }
            opened => opened,
        };
        let root = root.cannot("open the volume's directory")?;
        Self::with(root, limits::DIR_FDS_MAX, Privilege::of_this_process())
    }

    /// A volume that keeps at most `descriptors_max` directories open besides its root, and does what `privilege` allows.
    pub(super) fn with(root: OwnedFd, descriptors_max: usize, privilege: Privilege) -> Result<Self, Error> {
        let status = Status::of_open(&root)?;
        let above = retry_on_intr(|| rustix::fs::statat(&root, c"..", AtFlags::SYMLINK_NOFOLLOW));
        // The root of all is its own parent, and a mount point too.
        let mount_point =
            above.is_ok_and(|above| above.st_dev != status.identity.dev || above.st_ino == status.identity.ino);
        let site = Arc::new(Site {
            root: Arc::new(root),
            open: OpenDirs::new(descriptors_max),
            privilege,
            status,
            mount_point,
            clock: OnceLock::new(),
        });
        let root = Dir::root(&site);
        Ok(Self { site, root, single: None, sync_failed: Mutex::default(), mounted: Mutex::default() })
    }

    /// The one thing in the root that this volume is; `None` when it is all of the root.
    #[must_use]
    pub fn single(&self) -> Option<&Single> {
        self.single.as_ref()
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Arc<Dir> {
        &self.root
    }

    /// What this process may do.
    #[must_use]
    pub fn privilege(&self) -> &Privilege {
        &self.site.privilege
    }

    /// Device number of the root's file system.
    #[must_use]
    pub fn device(&self) -> u64 {
        self.site.status.identity.dev
    }

    /// True when the root's parent is on another file system, or there is none.
    #[must_use]
    pub fn root_is_mount_point(&self) -> bool {
        self.site.mount_point
    }

    /// True for what belongs to the file system or to us and not to the volume: `lost+found` directly under a root that is
    /// a mount point, owned by root, and our own state.
    #[must_use]
    pub fn skips(&self, dir: &Dir, name: &Name) -> bool {
        self.site.mount_point
            && dir.depth() == 0
            && name.as_bytes() == b"lost+found"
            && matches!(dir.status_of(name), Ok(Some(status)) if status.owner.uid() == 0)
            || state::is_reserved(dir, name) && state::is_ours(dir, name)
    }

    /// Takes the volume for this holder; `None` when somebody else has it. Works without privilege and dies with the
    /// process.
    ///
    /// # Errors
    /// When the file system has no locks, or a device is mounted or claimed by somebody else.
    pub fn lock(&self) -> Result<Option<Lock>, Error> {
        match &self.single {
            Some(single) => single.lock(&self.root),
            None => Lock::take(self.root.reopen()?),
        }
    }

    /// True when the root holds nothing but what [`Self::skips`].
    ///
    /// # Errors
    /// When the root cannot be listed.
    pub fn is_empty(&self) -> Result<bool, Error> {
        let mut listing = self.root.listing()?;
        let first = listing.next_chunk(3)?;
        Ok(first.iter().all(|listed| self.skips(&self.root, &listed.name)))
    }

    /// What this file system makes of `time`, by range and steps; the same time where that cannot be found out.
    #[must_use]
    pub fn clamp(&self, time: Timestamp) -> Timestamp {
        self.site.clamp(time)
    }

    /// How old a change must be here for the next one to show in the ctime.
    #[must_use]
    pub fn tick(&self) -> Duration {
        let clock = self.site.clock.get_or_init(|| Clock::probe(self.site.root.as_fd()));
        if clock.is_some_and(|clock| clock.is_fine()) { limits::CLOCK_TICK } else { limits::COARSE_TICK }
    }

    /// Brings everything written to disk. Takes minutes on a slow disk.
    ///
    /// # Errors
    /// When something could not be written. The kernel says so once; this volume remembers it and never succeeds again.
    pub fn sync(&self) -> Result<(), Error> {
        let mut failed = self.sync_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = match self.block_device() {
                Some(device) => device.sync(),
                None => self.sync_all(),
            }
            .err();
        }
        failed.map_or(Ok(()), Err).cannot("write everything to disk")
    }

    fn sync_all(&self) -> rustix::io::Result<()> {
        retry_on_intr(|| rustix::fs::syncfs(&self.site.root))?;
        let others = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        others.values().try_for_each(|other| retry_on_intr(|| rustix::fs::syncfs(other)))
    }

    /// Has what is written below `dir` synced too when it lies on another file system than the root. To be called
    /// before anything is written there: a failure that is told once must be told to us.
    ///
    /// # Errors
    /// When the directory is gone or cannot be opened.
    pub fn sync_too(&self, dir: &Dir) -> Result<(), Error> {
        let dev = dir.identity().dev;
        let mut others = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        if dev != self.device() && !others.contains_key(&dev) {
            others.insert(dev, dir.reopen()?);
        }
        Ok(())
    }

    /// Room left for this process.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free(&self) -> Result<Free, Error> {
        let stat = retry_on_intr(|| rustix::fs::fstatvfs(&self.site.root)).cannot("read the free space")?;
        let inodes = (stat.f_files > 0).then_some(stat.f_favail);
        Ok(Free { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), inodes })
    }

    /// Bytes that are the same for this directory until the machine is started again, and differ for others.
    #[must_use]
    pub fn instance_seed(&self) -> Vec<u8> {
        let mut seed = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        seed.extend_from_slice(&self.site.status.identity.dev.to_be_bytes());
        seed.extend_from_slice(&self.site.status.identity.ino.to_be_bytes());
        seed.extend(self.single.as_ref().map(Single::seed).unwrap_or_default());
        seed
    }
}

impl Lock {
    /// Locks a description of its own: locks on the same one would not exclude each other.
    pub(super) fn take(descriptor: OwnedFd) -> Result<Option<Self>, Error> {
        match retry_on_intr(|| rustix::fs::flock(&descriptor, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Some(Self::holding(Arc::new(descriptor)))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Error { op: "lock the volume", errno }),
        }
    }

    /// A descriptor that excludes others by being open.
    pub(super) fn holding(descriptor: Arc<OwnedFd>) -> Self {
        Self { _descriptor: descriptor }
    }
}

impl Site {
    /// See [`Volume::clamp`].
    pub(super) fn clamp(&self, time: Timestamp) -> Timestamp {
        let clock = self.clock.get_or_init(|| Clock::probe(self.root.as_fd()));
        clock.map_or(time, |clock| clock.clamp(time))
    }
}

/// The operator's own path may go through symlinks; what it leads to must be a directory.
pub(super) fn open_root(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Bits::empty()))
}

/// Lets modes given at creation take effect as they are. Called once, before threads start; nothing here relies on it:
/// modes are compared with what the kernel made of them.
pub fn set_umask_zero() {
    rustix::process::umask(Bits::empty());
}
