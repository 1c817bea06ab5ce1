//! What a container is allowed, as a pod's securityContext comes out at the runtime. It refuses privileged containers: nothing of
//! the default configuration asks for them.

use anyhow::Result;
use serde_json::{Value, json};

use super::seccomp;
use crate::unprivileged::UID;

/// What containers get unless something is dropped: containerd's list.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// What the operator drops of root.
const DROPPED: [&str; 2] = ["CAP_MKNOD", "CAP_SETPCAP"];

/// A securityContext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `runAsUser: 0`, `readOnlyRootFilesystem: true`, as 1.4.0 has it.
    Root,
    /// The same, and MKNOD and SETPCAP dropped: 1.4.6 to 1.8.
    RootDropped,
    /// `runAsNonRoot: true`, everything dropped, no new privileges, `RuntimeDefault`: 1.7.5 and later under pod security. The
    /// user is one of the namespace's range, in group 0, with an fsGroup; the root may be written.
    Restricted,
    /// None at all, as the block path of 1.8 has it: the image's own user, nothing dropped that a user without rights would miss.
    Image,
}

/// The image's user and group.
pub const IMAGE_USER: u32 = 65_534;

impl Security {
    /// The user it runs as.
    #[must_use]
    pub fn uid(self) -> u32 {
        match self {
            Self::Root | Self::RootDropped => 0,
            Self::Restricted => UID,
            Self::Image => IMAGE_USER,
        }
    }

    /// The group it runs as.
    #[must_use]
    pub fn gid(self) -> u32 {
        match self {
            Self::Root | Self::RootDropped | Self::Restricted => 0,
            Self::Image => IMAGE_USER,
        }
    }

    /// The group that volumes are handed to.
    #[must_use]
    pub fn fs_group(self) -> Option<u32> {
        match self {
            Self::Root | Self::RootDropped | Self::Image => None,
            Self::Restricted => Some(UID),
        }
    }

    /// Whether the root filesystem may be written.
    #[must_use]
    pub fn root_read_only(self) -> bool {
        match self {
            Self::Root | Self::RootDropped => true,
            Self::Restricted | Self::Image => false,
        }
    }

    fn capabilities(self) -> Vec<&'static str> {
        match self {
            Self::Root | Self::Image => DEFAULT.to_vec(),
            Self::RootDropped => DEFAULT.into_iter().filter(|name| !DROPPED.contains(name)).collect(),
            Self::Restricted => Vec::new(),
        }
    }

    /// `user`, `capabilities` and `noNewPrivileges` of a process, and the seccomp profile when there is one.
    ///
    /// # Errors
    /// When the profile is missing.
    pub fn process(self) -> Result<(Value, Option<Value>)> {
        let capabilities = self.capabilities();
        let groups: Vec<u32> = self.fs_group().into_iter().collect();
        // A user that is not root keeps none of them when the program starts.
        let held = if self.uid() == 0 { capabilities.clone() } else { Vec::new() };
        let process = json!({
            "user": { "uid": self.uid(), "gid": self.gid(), "additionalGids": groups },
            "capabilities": { "bounding": capabilities, "effective": held, "permitted": held },
            "noNewPrivileges": self == Self::Restricted,
        });
        let profile = match self {
            Self::Root | Self::RootDropped | Self::Image => None,
            Self::Restricted => Some(seccomp::runtime_default(&capabilities)?),
        };
        Ok((process, profile))
    }
}
