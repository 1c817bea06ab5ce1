//! Which extended attributes travel, and what is to be set and removed.
//!
//! ACLs and capabilities are extended attributes here; their values are bytes that nobody looks into.

use std::cmp::Ordering;

use crate::types::{LossKind, Xattr, Xattrs};

const CAPABILITY: &[u8] = b"security.capability";
const SELINUX: &[u8] = b"security.selinux";
/// Made by the kernel from the content with a machine's own key; copies would be refused or wrong.
const OF_THE_MACHINE: [&[u8]; 2] = [b"security.ima", b"security.evm"];
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Which attributes are copied and compared. The same policy reads both sides, so that what is not wanted is neither
/// sent nor removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XattrPolicy {
    /// Any at all.
    pub enabled: bool,
    /// SELinux labels.
    pub selinux: bool,
    /// Without file capabilities, which raise privileges as setuid does.
    pub no_setuid: bool,
}

impl XattrPolicy {
    /// Whether the attribute of that name is copied and compared: `user.*`, `trusted.*`, `security.*` but for what is
    /// of the machine or against the policy, and ACLs. No other `system.*`: those are views of something else.
    #[must_use]
    pub fn wants(&self, name: &[u8]) -> bool {
        if !self.enabled || OF_THE_MACHINE.contains(&name) {
            return false;
        }
        match name {
            CAPABILITY => !self.no_setuid,
            SELINUX => self.selinux,
            _ => {
                ACLS.contains(&name)
                    || [b"user.".as_slice(), b"trusted.", b"security."].iter().any(|space| name.starts_with(space))
            }
        }
    }
}

/// What turns one list of attributes into another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XattrChanges<'a> {
    /// To be set: missing, or of another value.
    pub set: Vec<&'a Xattr>,
    /// Names to be removed.
    pub remove: Vec<&'a [u8]>,
}

impl XattrChanges<'_> {
    /// True when nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// What makes `have` equal to `want`, by name.
#[must_use]
pub fn xattr_changes<'a>(want: &'a Xattrs, have: &'a Xattrs) -> XattrChanges<'a> {
    let mut changes = XattrChanges::default();
    let (mut wanted, mut had) = (want.as_slice().iter().peekable(), have.as_slice().iter().peekable());
    loop {
        let order = match (wanted.peek(), had.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(want), Some(have)) => want.name.cmp(&have.name),
        };
        let want = if order.is_le() { wanted.next() } else { None };
        let have = if order.is_ge() { had.next() } else { None };
        match (want, have) {
            (Some(want), have) if have != Some(want) => changes.set.push(want),
            (None, Some(have)) => changes.remove.push(&have.name),
            (Some(_), _) | (None, None) => {}
        }
    }
}

/// The kind of loss when the attribute of that name cannot be kept.
#[must_use]
pub fn loss_of_xattr(name: &[u8]) -> LossKind {
    if name == CAPABILITY {
        LossKind::FileCapabilities
    } else if ACLS.contains(&name) {
        LossKind::Acls
    } else if name.starts_with(b"security.") {
        LossKind::Selinux
    } else if name.starts_with(b"trusted.") {
        LossKind::TrustedXattrs
    } else {
        LossKind::Xattrs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: XattrPolicy = XattrPolicy { enabled: true, selinux: true, no_setuid: false };

    #[test]
    fn the_table_of_wanted_names() {
        let table: [(&[u8], bool); 13] = [
            (b"user.a", true),
            (b"user.", true),
            (b"user", false),
            (b"trusted.overlay.opaque", true),
            (b"security.capability", true),
            (b"security.selinux", true),
            (b"security.apparmor", true),
            (b"security.ima", false),
            (b"security.evm", false),
            (b"system.posix_acl_access", true),
            (b"system.posix_acl_default", true),
            (b"system.nfs4_acl", false),
            (b"btrfs.compression", false),
        ];
        for (name, wanted) in table {
            assert_eq!(ALL.wants(name), wanted, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn the_policy_takes_away() {
        assert!(!XattrPolicy { enabled: false, ..ALL }.wants(b"user.a"));
        assert!(!XattrPolicy { selinux: false, ..ALL }.wants(SELINUX));
        assert!(!XattrPolicy { no_setuid: true, ..ALL }.wants(CAPABILITY));
        assert!(XattrPolicy { selinux: false, no_setuid: true, ..ALL }.wants(b"security.apparmor"));
    }

    fn xattrs(list: &[(&str, &str)]) -> Xattrs {
        let xattr =
            |(name, value): &(&str, &str)| Xattr { name: name.as_bytes().into(), value: value.as_bytes().into() };
        Xattrs::new(list.iter().map(xattr).collect()).unwrap()
    }

    #[test]
    fn changes_are_what_is_missing_different_or_too_much() {
        let want = xattrs(&[("user.a", "1"), ("user.b", "2"), ("user.d", "4")]);
        let have = xattrs(&[("user.b", "2"), ("user.c", "3"), ("user.d", "x"), ("user.e", "5")]);
        let changes = xattr_changes(&want, &have);
        let set: Vec<&[u8]> = changes.set.iter().map(|xattr| xattr.name.as_ref()).collect();
        assert_eq!(set, [b"user.a", b"user.d"]);
        assert_eq!(changes.remove, [b"user.c", b"user.e"]);
        assert!(xattr_changes(&want, &want).is_empty());
    }

    #[test]
    fn the_table_of_losses() {
        assert_eq!(loss_of_xattr(b"security.capability"), LossKind::FileCapabilities);
        assert_eq!(loss_of_xattr(b"security.selinux"), LossKind::Selinux);
        assert_eq!(loss_of_xattr(b"security.apparmor"), LossKind::Selinux);
        assert_eq!(loss_of_xattr(b"system.posix_acl_default"), LossKind::Acls);
        assert_eq!(loss_of_xattr(b"trusted.x"), LossKind::TrustedXattrs);
        assert_eq!(loss_of_xattr(b"user.x"), LossKind::Xattrs);
    }
}
