//! File systems made for a test: ext4, xfs and btrfs in an image on a loop device, tmpfs of a given size, a read-only view,
//! and a copy of a mounted image as a power cut would leave it. A missing tool or a refused mount is a failure, never a skip.

use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::command::must;
use crate::scene::Scene;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4, 256-byte inodes, committing every second.
    Ext4,
    /// xfs with big times and reflinks.
    Xfs,
    /// btrfs.
    Btrfs,
}

/// A mounted image, unmounted when dropped.
#[derive(Debug)]
pub struct Image {
    kind: Kind,
    file: PathBuf,
    mount: Mount,
}

/// A mount point, unmounted (lazily) when dropped.
#[derive(Debug)]
pub struct Mount {
    point: PathBuf,
}

impl Mount {
    /// A tmpfs of at most `size` bytes on `point`, which is made.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn tmpfs(point: &Path, size: u64) -> Result<Self> {
        let options = CString::new(format!("mode=0755,size={size},nr_inodes=0"))?;
        std::fs::create_dir_all(point)?;
        rustix::mount::mount("ferry-tests", point, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
            .with_context(|| format!("cannot mount a tmpfs on {}", point.display()))?;
        Ok(Self { point: point.to_owned() })
    }

    /// Shows `directory` (or a file) at `point` too, which is made when it is missing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bind(directory: &Path, point: &Path) -> Result<Self> {
        if !point.exists() {
            std::fs::create_dir_all(point)?;
        }
        rustix::mount::mount_bind(directory, point).with_context(|| format!("cannot bind {}", point.display()))?;
        Ok(Self { point: point.to_owned() })
    }

    /// A read-only view of `directory` on `point`, which is made.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn read_only(directory: &Path, point: &Path) -> Result<Self> {
        let mount = Self::bind(directory, point)?;
        rustix::mount::mount_remount(point, MountFlags::BIND | MountFlags::RDONLY, c"")
            .with_context(|| format!("cannot remount {} read-only", point.display()))?;
        Ok(mount)
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.point, UnmountFlags::DETACH);
    }
}

impl Image {
    /// Makes an image of `size` bytes (sparse) beside the mount point `name` on the scene, and mounts it.
    ///
    /// # Errors
    /// When the maker is missing or the mount is refused.
    pub fn new(scene: &Scene, name: &str, kind: Kind, size: u64) -> Result<Self> {
        Self::within(scene, scene.root(), name, kind, size)
    }

    /// Like [`Image::new`], the image and its mount point in `directory`: inside another image, copies of it are instant.
    ///
    /// # Errors
    /// When the maker is missing or the mount is refused.
    pub fn within(scene: &Scene, directory: &Path, name: &str, kind: Kind, size: u64) -> Result<Self> {
        let file = directory.join(format!("{name}.img"));
        File::create(&file)?.set_len(size)?;
        let mut maker = Command::new(match kind {
            Kind::Ext4 => "mkfs.ext4",
            Kind::Xfs => "mkfs.xfs",
            Kind::Btrfs => "mkfs.btrfs",
        });
        match kind {
            Kind::Ext4 => maker.args(["-q", "-I", "256", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
            Kind::Xfs | Kind::Btrfs => maker.arg("-q"),
        };
        must(scene, maker.arg(&file))?;
        Self::attach(scene, file, &directory.join(name), kind)
    }

    fn attach(scene: &Scene, file: PathBuf, point: &Path, kind: Kind) -> Result<Self> {
        std::fs::create_dir_all(point)?;
        let options = match kind {
            Kind::Ext4 => "loop,commit=1",
            // A copy has the same uuid as what it was copied from.
            Kind::Xfs => "loop,nouuid",
            Kind::Btrfs => "loop",
        };
        must(scene, Command::new("mount").args(["-o", options]).arg(&file).arg(point))?;
        Ok(Self { kind, file, mount: Mount { point: point.to_owned() } })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount.point
    }

    /// A directory on it, made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Copies the image as it is on its device now: what a power cut leaves. The image must lie on a file system with
    /// reflinks, so that the copy is of one moment.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn cut_power(&self, copy: &str) -> Result<PathBuf> {
        let file = self.file.with_file_name(format!("{copy}.img"));
        let to = File::create(&file)?;
        rustix::fs::ioctl_ficlone(&to, File::open(&self.file)?)
            .context("cannot clone the image: is it on xfs or btrfs?")?;
        Ok(file)
    }

    /// Mounts what [`Image::cut_power`] left; the journal is replayed.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn after_power_cut(&self, scene: &Scene, file: PathBuf) -> Result<Self> {
        let point = file.with_extension("after");
        Self::attach(scene, file, &point, self.kind)
    }
}
