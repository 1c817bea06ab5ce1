//! A directory held by its descriptor, and what can be done to one name in it: the hands of the tree builders and the
//! eyes of the comparator. It refuses paths: names only, so that depth and links are no limit. `.` is the directory itself.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{self as rfs, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};

/// A moment: seconds since 1970, which may be negative, and nanoseconds.
pub type Moment = (i64, u32);

/// An open directory.
#[derive(Debug)]
pub struct Place {
    fd: OwnedFd,
}

/// Names as people can read them.
#[must_use]
pub fn shown(name: &[u8]) -> String {
    if name.is_empty() { ".".into() } else { name.escape_ascii().to_string() }
}

impl Place {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// When it is no directory or cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rfs::open(path, flags, Mode::empty()).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { fd })
    }

    /// Opens the directory `name`, not through links.
    ///
    /// # Errors
    /// When it is no directory or cannot be opened.
    pub fn child(&self, name: &[u8]) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rfs::openat(&self.fd, name, flags, Mode::empty()).with_context(|| wrong("open", name))?;
        Ok(Self { fd })
    }

    /// Makes the directory `name` with mode 0755 and opens it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn dir(&self, name: &[u8]) -> Result<Self> {
        rfs::mkdirat(&self.fd, name, Mode::from(0o755)).with_context(|| wrong("make the directory", name))?;
        self.child(name)
    }

    /// Makes the file `name` with this content.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn file(&self, name: &[u8], content: &[u8]) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rfs::openat(&self.fd, name, flags, Mode::from(0o644)).with_context(|| wrong("make the file", name))?;
        let file = File::from(fd);
        file.write_all_at(content, 0).with_context(|| wrong("write", name))?;
        Ok(file)
    }

    /// Makes a file of `len` bytes that is a hole but for the pieces `(offset, bytes)`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sparse(&self, name: &[u8], len: u64, pieces: &[(u64, &[u8])]) -> Result<()> {
        let file = self.file(name, b"")?;
        file.set_len(len).with_context(|| wrong("extend", name))?;
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).with_context(|| wrong("write", name))?;
        }
        Ok(())
    }

    /// Opens the existing file `name` for reading and writing, not through links.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn edit(&self, name: &[u8]) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rfs::openat(&self.fd, name, flags, Mode::empty()).with_context(|| wrong("open", name))?))
    }

    /// Opens the file `name` for reading without touching its times; never waits on a fifo or a device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read(&self, name: &[u8]) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        Ok(File::from(rfs::openat(&self.fd, name, flags, Mode::empty()).with_context(|| wrong("open", name))?))
    }

    /// Makes the symlink `name`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn symlink(&self, name: &[u8], target: &[u8]) -> Result<()> {
        rfs::symlinkat(target, &self.fd, name).with_context(|| wrong("make the symlink", name))
    }

    /// Makes the fifo, socket or device `name`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn node(&self, name: &[u8], kind: FileType, major: u32, minor: u32) -> Result<()> {
        rfs::mknodat(&self.fd, name, kind, Mode::from(0o644), rfs::makedev(major, minor))
            .with_context(|| wrong("make the node", name))
    }

    /// Gives `name` a second name.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn link(&self, name: &[u8], to: &Self, new: &[u8]) -> Result<()> {
        rfs::linkat(&self.fd, name, &to.fd, new, AtFlags::empty()).with_context(|| wrong("link", new))
    }

    /// Renames within this directory, over what is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn rename(&self, name: &[u8], to: &Self, new: &[u8]) -> Result<()> {
        rfs::renameat(&self.fd, name, &to.fd, new).with_context(|| wrong("rename", name))
    }

    /// Removes `name`, which is no directory.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unlink(&self, name: &[u8]) -> Result<()> {
        rfs::unlinkat(&self.fd, name, AtFlags::empty()).with_context(|| wrong("remove", name))
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn rmdir(&self, name: &[u8]) -> Result<()> {
        rfs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR).with_context(|| wrong("remove", name))
    }

    /// Sets owner and group, of the link itself for links.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn own(&self, name: &[u8], uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rfs::chownat(&self.fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).with_context(|| wrong("chown", name))
    }

    /// Sets the permission bits; `name` must be no link.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn mode(&self, name: &[u8], mode: u32) -> Result<()> {
        rfs::chmodat(&self.fd, name, Mode::from(mode), AtFlags::empty()).with_context(|| wrong("chmod", name))
    }

    /// Sets the modification time, of the link itself for links.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn time(&self, name: &[u8], (seconds, nanoseconds): Moment) -> Result<()> {
        let at = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        let times = Timestamps { last_access: at, last_modification: at };
        rfs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| wrong("set the time of", name))
    }

    /// Sets an extended attribute, of the link itself for links.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn xattr(&self, name: &[u8], key: &str, value: &[u8]) -> Result<()> {
        rfs::lsetxattr(OsStr::from_bytes(&self.proc_path(name)), key, value, XattrFlags::empty())
            .with_context(|| format!("{} {key}", wrong("set an attribute of", name)))
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn drop_xattr(&self, name: &[u8], key: &str) -> Result<()> {
        rfs::lremovexattr(OsStr::from_bytes(&self.proc_path(name)), key)
            .with_context(|| format!("{} {key}", wrong("remove an attribute of", name)))
    }

    /// All extended attributes, sorted by name.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn xattrs(&self, name: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = self.proc_path(name);
        let path = OsStr::from_bytes(&path);
        let mut list = vec![0u8; 65_536];
        let len = match rfs::llistxattr(path, list.as_mut_slice()) {
            Ok(len) => len,
            Err(rustix::io::Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno).with_context(|| wrong("list attributes of", name)),
        };
        list.truncate(len);
        let mut found = Vec::new();
        for key in list.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
            let mut value = vec![0u8; 65_536];
            let len =
                rfs::lgetxattr(path, key, value.as_mut_slice()).with_context(|| wrong("read an attribute of", name))?;
            value.truncate(len);
            found.push((key.to_vec(), value));
        }
        found.sort();
        Ok(found)
    }

    /// What `lstat` says.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        rfs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).with_context(|| wrong("stat", name))
    }

    /// Whether `name` is there.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        rfs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// A link's target.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn target(&self, name: &[u8]) -> Result<Vec<u8>> {
        let target = rfs::readlinkat(&self.fd, name, Vec::new()).with_context(|| wrong("read the link", name))?;
        Ok(target.into_bytes())
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in rfs::Dir::read_from(&self.fd).context("cannot list a directory")? {
            let entry = entry.context("cannot list a directory")?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The one form in which the kernel takes a directory and a name for attributes.
    fn proc_path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", self.fd.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }
}

fn wrong(what: &str, name: &[u8]) -> String {
    format!("cannot {what} {}", shown(name))
}
