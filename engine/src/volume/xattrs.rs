//! Extended attributes: reading all that are wanted, and changing single ones, in each of the permitted forms.
//!
//! Values are opaque here, ACLs and capabilities too. It refuses to decide which names matter; the caller says so.

use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::{Errno, retry_on_intr};

use super::error::{Cannot, XattrError};
use crate::types::limits::{XATTR_VALUE_LEN_MAX, XATTRS_LEN_MAX};
use crate::types::{LossKind, Xattr, Xattrs};

/// The ACL of an entry.
pub(super) const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// The ACL a directory passes on.
pub(super) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
/// File capabilities.
pub(super) const CAPABILITY: &[u8] = b"security.capability";
/// SELinux labels.
pub(super) const SELINUX: &[u8] = b"security.selinux";

/// Bytes tried on the stack first: most entries have no attributes, and most attributes are short.
const SMALL_LEN: usize = 512;
/// Bytes of the longest list of names the kernel makes (XATTR_LIST_MAX).
const LIST_LEN_MAX: usize = 65_536;

/// How an inode's attributes are reached.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// By an open descriptor.
    Open(BorrowedFd<'a>),
    /// By `/proc/self/fd/N`, the kernel's own name for a descriptor: leads to exactly that inode.
    Pointed(&'a str),
    /// By `/proc/self/fd/N/NAME`: a name in a held directory, not followed. For reading only.
    Unfollowed(&'a [u8]),
}

impl Place<'_> {
    fn list_into(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        retry_on_intr(|| match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, &mut *buffer),
            Self::Pointed(path) => rustix::fs::listxattr(*path, &mut *buffer),
            Self::Unfollowed(path) => rustix::fs::llistxattr(*path, &mut *buffer),
        })
    }

    fn get_into(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        retry_on_intr(|| match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, &mut *buffer),
            Self::Pointed(path) => rustix::fs::getxattr(*path, name, &mut *buffer),
            Self::Unfollowed(path) => rustix::fs::lgetxattr(*path, name, &mut *buffer),
        })
    }

    /// The names, each ended by NUL.
    fn list(&self) -> rustix::io::Result<Vec<u8>> {
        growing(LIST_LEN_MAX, |buffer| self.list_into(buffer))
    }

    fn get(&self, name: &[u8]) -> rustix::io::Result<Vec<u8>> {
        growing(XATTR_VALUE_LEN_MAX, |buffer| self.get_into(name, buffer))
    }

    /// Whether there is an attribute `name`; false too where the file system has none.
    pub(super) fn has(&self, name: &[u8]) -> rustix::io::Result<bool> {
        let size = retry_on_intr(|| match self {
            Self::Open(fd) => rustix::fs::fgetxattr_query(fd, name),
            Self::Pointed(path) => rustix::fs::getxattr_query(*path, name),
            Self::Unfollowed(path) => rustix::fs::lgetxattr_query(*path, name),
        });
        match size {
            Ok(_) => Ok(true),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        retry_on_intr(|| match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Pointed(path) => rustix::fs::setxattr(*path, name, value, XattrFlags::empty()),
            Self::Unfollowed(path) => rustix::fs::lsetxattr(*path, name, value, XattrFlags::empty()),
        })
    }

    /// Removes `name`; that it is not there is as good.
    pub(super) fn remove(&self, name: &[u8]) -> rustix::io::Result<()> {
        let removed = retry_on_intr(|| match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Self::Pointed(path) => rustix::fs::removexattr(*path, name),
            Self::Unfollowed(path) => rustix::fs::lremovexattr(*path, name),
        });
        match removed {
            Err(Errno::NODATA) => Ok(()),
            removed => removed,
        }
    }
}

/// True for what is no attribute of its own: xfs shows its ACLs to root a second time under these names. Copied, they
/// would be litter elsewhere; removed as surplus, they would take the ACL with them.
pub(super) fn is_alias(name: &[u8]) -> bool {
    matches!(name, b"trusted.SGI_ACL_FILE" | b"trusted.SGI_ACL_DEFAULT")
}

/// All attributes that `wants` accepts.
pub(super) fn read_xattrs(place: &Place<'_>, wants: &dyn Fn(&[u8]) -> bool) -> Result<Xattrs, XattrError> {
    let names = match place.list() {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) => return Ok(Xattrs::default()),
        Err(errno) => Err(errno).cannot("list extended attributes")?,
    };
    let names = names.split(|b| *b == 0).filter(|name| !name.is_empty() && !is_alias(name));
    let mut wanted: Vec<&[u8]> = names.filter(|name| wants(name)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut list = Vec::with_capacity(wanted.len());
    let mut total: usize = 0;
    for name in wanted {
        let value = match place.get(name) {
            Ok(value) => value,
            // Gone since it was listed, or a name the file system lists and does not keep.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(Errno::RANGE | Errno::TOOBIG) => return Err(XattrError::TooLarge),
            Err(errno) => Err(errno).cannot("read an extended attribute")?,
        };
        total = total.saturating_add(name.len()).saturating_add(value.len());
        if total > XATTRS_LEN_MAX {
            return Err(XattrError::TooLarge);
        }
        list.push(Xattr { name: name.into(), value: value.into() });
    }
    Xattrs::new(list).ok_or(XattrError::TooLarge)
}

/// Fills a small buffer, and a buffer of `max` bytes when that is not enough.
fn growing(max: usize, mut fill: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; SMALL_LEN];
    match fill(&mut small) {
        Ok(len) => return Ok(small.get(..len).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    let mut large = vec![0; max];
    let len = fill(&mut large)?;
    large.truncate(len);
    Ok(large)
}

/// What is lost when the attribute `name` cannot be kept by rule.
pub(super) fn loss_of(name: &[u8]) -> LossKind {
    match name {
        ACCESS_ACL | DEFAULT_ACL => LossKind::Acls,
        CAPABILITY => LossKind::FileCapabilities,
        _ if name.starts_with(b"trusted.") => LossKind::TrustedXattrs,
        _ if name.starts_with(b"security.") => LossKind::Selinux,
        _ => LossKind::Xattrs,
    }
}
