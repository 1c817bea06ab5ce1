//! The four generations of the operator and what differs between them by name and number. It refuses to hold commands and files:
//! those are in `client` and `conf`.

use super::security::Security;

/// A generation, as one of the ways it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.4.6: root; the client's stunnel is a pod of its own behind a Service; no shell around rsync.
    V14,
    /// 1.5: root with a read-only root filesystem; stunnel beside rsync, both in a shell.
    V15,
    /// 1.7.0: as root, in the new layout.
    V17,
    /// 1.7.5 and later under pod security: any user, everything dropped.
    V17Restricted,
    /// 1.8, volumes with a filesystem, as root.
    V18,
    /// 1.8 under pod security.
    V18Restricted,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::V14, Self::V15, Self::V17, Self::V17Restricted, Self::V18, Self::V18Restricted];

    /// What its containers are allowed.
    #[must_use]
    pub fn security(self) -> Security {
        match self {
            Self::V14 => Security::Root,
            Self::V15 | Self::V17 | Self::V18 => Security::RootDropped,
            Self::V17Restricted | Self::V18Restricted => Security::Restricted,
        }
    }

    /// The port of the rsync daemon.
    #[must_use]
    pub fn daemon_port(self) -> u16 {
        if self.is_old() { 22 } else { 2222 }
    }

    /// The port stunnel accepts on, on both sides.
    #[must_use]
    pub fn stunnel_port(self) -> u16 {
        if self.is_old() { 2222 } else { 6443 }
    }

    /// 1.4 and 1.5, before crane-lib.
    #[must_use]
    pub fn is_old(self) -> bool {
        match self {
            Self::V14 | Self::V15 => true,
            Self::V17 | Self::V17Restricted | Self::V18 | Self::V18Restricted => false,
        }
    }

    /// The name of the container that copies: what the operator looks its log up by.
    #[must_use]
    pub fn client_container(self) -> &'static str {
        if self.is_old() { "rsync-client" } else { "rsync" }
    }

    /// The name of the daemon's container.
    #[must_use]
    pub fn daemon_container(self) -> &'static str {
        if self.is_old() { "rsyncd" } else { "rsync" }
    }

    /// The directory that rsync's and stunnel's containers of a client share, when they do.
    #[must_use]
    pub fn shared_directory(self) -> Option<&'static str> {
        match self {
            Self::V14 => None,
            Self::V15 => Some("/usr/share/rsync-stunnel-mgmt"),
            Self::V17 | Self::V17Restricted | Self::V18 | Self::V18Restricted => Some("/usr/share/rsync"),
        }
    }
}
