//! What can go wrong on a disk: the operation, the kernel's answer, and what a person can do about it.
//!
//! An error here never names the entry: the caller knows which one it asked about and says so. It refuses to invent
//! causes; what the kernel did not say is not in the sentence.

use std::fmt;

use rustix::io::Errno;

/// An operation on a disk that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was tried, as a verb phrase: "open a directory".
    pub op: &'static str,
    /// The kernel's answer.
    pub errno: Errno,
}

/// Why extended attributes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XattrError {
    /// The kernel refused.
    #[error(transparent)]
    Fs(#[from] Error),
    /// Together they are larger than `XATTRS_LEN_MAX`.
    #[error(
        "the extended attributes are larger than {} bytes together; remove some of them",
        crate::types::limits::XATTRS_LEN_MAX
    )]
    TooLarge,
}

/// Turns a kernel's answer into an [`Error`] that says what was tried.
pub(super) trait Cannot<T> {
    /// Adds the verb phrase.
    fn cannot(self, op: &'static str) -> Result<T, Error>;
}

impl<T> Cannot<T> for rustix::io::Result<T> {
    fn cannot(self, op: &'static str) -> Result<T, Error> {
        self.map_err(|errno| Error { op, errno })
    }
}

impl Error {
    /// True when the entry, or a directory on the way to it, is no longer what it was.
    #[must_use]
    pub fn is_vanished(&self) -> bool {
        matches!(self.errno, Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::LOOP)
    }

    /// True when the disk or the quota is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self.errno, Errno::NOSPC | Errno::DQUOT)
    }

    /// True when the file system is mounted read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.errno == Errno::ROFS
    }

    /// True when we lack the privilege.
    #[must_use]
    pub fn is_privilege(&self) -> bool {
        matches!(self.errno, Errno::PERM | Errno::ACCESS)
    }

    /// True when something has that name already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno == Errno::EXIST
    }

    /// True when a directory still holds something.
    #[must_use]
    pub fn is_not_empty(&self) -> bool {
        matches!(self.errno, Errno::NOTEMPTY | Errno::EXIST)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(known) = KNOWN.iter().find(|known| known.errno == self.errno) else {
            return write!(f, "cannot {}: {}", self.op, std::io::Error::from(self.errno));
        };
        write!(f, "cannot {}: {} ({})", self.op, known.words, known.name)?;
        match known.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// An answer of the kernel in words.
struct Known {
    errno: Errno,
    name: &'static str,
    words: &'static str,
    remedy: Option<&'static str>,
}

const fn known(errno: Errno, name: &'static str, words: &'static str, remedy: Option<&'static str>) -> Known {
    Known { errno, name, words, remedy }
}

/// The answers a volume gives in practice; others are shown in the kernel's own words.
const KNOWN: [Known; 28] = [
    known(Errno::ACCESS, "EACCES", "permission denied", Some("run as root, or as the owner of the volume")),
    known(Errno::PERM, "EPERM", "operation not permitted", Some("run with the privilege for it, such as root")),
    known(Errno::NOENT, "ENOENT", "it does not exist", None),
    known(Errno::NOTDIR, "ENOTDIR", "it is not a directory", None),
    known(Errno::ISDIR, "EISDIR", "it is a directory", None),
    known(Errno::LOOP, "ELOOP", "a symlink is in the way", None),
    known(Errno::STALE, "ESTALE", "it was replaced by something else meanwhile", Some("run again when it is quiet")),
    known(Errno::EXIST, "EEXIST", "something of that name is there already", None),
    known(Errno::NOTEMPTY, "ENOTEMPTY", "the directory is not empty", None),
    known(Errno::BUSY, "EBUSY", "it is in use or a mount point", Some("unmount what is mounted there")),
    known(Errno::XDEV, "EXDEV", "it is on another file system", None),
    known(Errno::NOSPC, "ENOSPC", "no space left", Some("free space or inodes, or enlarge the volume")),
    known(Errno::DQUOT, "EDQUOT", "the quota is used up", Some("free space or raise the quota")),
    known(Errno::FBIG, "EFBIG", "the file is too large for the file system", None),
    known(Errno::ROFS, "EROFS", "the file system is read-only", Some("mount it read-write")),
    known(Errno::IO, "EIO", "input/output error", Some("check the disk and the kernel's log")),
    known(Errno::NOTBLK, "ENOTBLK", "it is neither a directory nor a regular file nor a block device", None),
    known(Errno::NODEV, "ENODEV", "no such device", None),
    known(Errno::INVAL, "EINVAL", "the file system does not accept it", None),
    known(Errno::ILSEQ, "EILSEQ", "the file system does not accept such a name", None),
    known(Errno::NAMETOOLONG, "ENAMETOOLONG", "the name or the path is too long", None),
    known(Errno::MLINK, "EMLINK", "too many links", None),
    known(Errno::MFILE, "EMFILE", "too many open files", Some("raise the limit on open files (ulimit -n)")),
    known(Errno::NFILE, "ENFILE", "too many open files in the system", Some("raise fs.file-max")),
    known(Errno::TXTBSY, "ETXTBSY", "the program is running", None),
    known(Errno::OPNOTSUPP, "EOPNOTSUPP", "the file system does not support it", None),
    known(Errno::NOSYS, "ENOSYS", "the system does not offer it", Some("mount /proc, or use a newer kernel")),
    known(Errno::RANGE, "ERANGE", "it is larger than the file system takes", None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_failed_why_and_what_to_do() {
        let error = Error { op: "create a file", errno: Errno::ROFS };
        assert_eq!(
            error.to_string(),
            "cannot create a file: the file system is read-only (EROFS); mount it read-write"
        );
        assert!(error.is_read_only());
        let strange = Error { op: "read a file", errno: Errno::PIPE };
        assert!(strange.to_string().starts_with("cannot read a file: "));
    }

    #[test]
    fn a_swapped_parent_reads_as_vanished() {
        for errno in [Errno::NOENT, Errno::NOTDIR, Errno::STALE, Errno::LOOP] {
            assert!(Error { op: "open a directory", errno }.is_vanished());
        }
        assert!(!Error { op: "open a directory", errno: Errno::ACCESS }.is_vanished());
    }
}
