//! What a session was asked to do (the sender's options) and what the receiver permits (its bounds).

use std::path::PathBuf;

use super::{LossSet, Owner};

/// What the sender asks for, as it crosses the wire in the hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Remove what the source does not have.
    pub delete: bool,
    /// Remove excluded entries at the destination too.
    pub delete_excluded: bool,
    /// Halt instead of deleting more than this.
    pub max_delete: Option<u64>,
    /// Let an empty source empty the destination.
    pub allow_empty_source: bool,
    /// Compare by content, not by size and times.
    pub checksum: bool,
    /// Read the destination back from disk at the end.
    pub verify: bool,
    /// Say what would be done, touch nothing.
    pub dry_run: bool,
    /// Never show a half-written file under its name.
    pub atomic: bool,
    /// Whether owners are kept.
    pub owner: OwnerPolicy,
    /// Keep extended attributes, ACLs and capabilities.
    pub xattrs: bool,
    /// What happens to SELinux labels.
    pub selinux: SelinuxPolicy,
    /// What happens to the root directory's own attributes.
    pub root_attrs: RootAttrs,
    /// Losses that are no failure.
    pub accept_loss: LossSet,
    /// Gitignore patterns, anchored at the root, in order.
    pub excludes: Vec<String>,
}

/// Whether content is compressed on the wire. The sender's own business; the receiver only agrees to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// While that is measured to be faster.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Whatever shrinks, at this level.
    Zstd(ZstdLevel),
}

/// A level of zstd's: 1 is fast, 19 small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZstdLevel(u8);

impl ZstdLevel {
    /// What zstd itself takes unless told.
    pub const DEFAULT: Self = Self(3);
    /// The highest level; those beyond it need memory out of proportion to what they gain on pieces this small.
    pub const MAX: u8 = 19;

    /// A level from 1 to [`Self::MAX`].
    #[must_use]
    pub fn new(level: u8) -> Option<Self> {
        (1..=Self::MAX).contains(&level).then_some(Self(level))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Where a destination remembers its large files' leaves between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StatePlace {
    /// Nowhere.
    #[default]
    None,
    /// In the volume, below a name that is kept for it.
    Volume,
    /// In a directory outside.
    Dir(PathBuf),
}

/// Whether and how owners are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerPolicy {
    /// Numeric owners as they are at the source.
    Keep,
    /// Whatever the destination gives; not compared.
    Ignore,
}

/// Owners every entry gets instead of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChownTo(pub Owner);

/// What happens to SELinux labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelinuxPolicy {
    /// Skip where SELinux is active and we are confined, keep elsewhere.
    Auto,
    /// Copy labels.
    Keep,
    /// Leave labels to the destination.
    Skip,
}

/// What happens to the root directory's own attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootAttrs {
    /// Copy when we may chown and the destination root is not a group-owned setgid directory, else keep and say so.
    Auto,
    /// Leave the destination's.
    Keep,
    /// Copy the source's.
    Copy,
}

/// What a receiver permits, whatever the sender asks: the stricter side wins (engine-rules 20). Loss alone is judged more mildly
/// here, for the receiver's privilege is what makes most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Nothing is ever deleted.
    pub no_delete: bool,
    /// Halt instead of deleting more than this.
    pub max_delete: Option<u64>,
    /// No device nodes are made.
    pub no_devices: bool,
    /// Setuid and setgid bits, and file capabilities, are dropped.
    pub no_setuid: bool,
    /// No extended attributes are set.
    pub no_xattrs: bool,
    /// Content bytes one session may write.
    pub quota: Option<u64>,
    /// Kinds of loss that are no failure on this side, beside those the sender accepts.
    pub accept_loss: LossSet,
}

/// What a sender does with a file that does not hold still in any pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restless {
    /// The destination keeps what it has of it.
    #[default]
    Leave,
    /// It is sent as it is found in the last pass, and at the destination shows itself as unlike the source's.
    Take,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delete: false,
            delete_excluded: false,
            max_delete: None,
            allow_empty_source: false,
            checksum: false,
            verify: false,
            dry_run: false,
            atomic: false,
            owner: OwnerPolicy::Keep,
            xattrs: true,
            selinux: SelinuxPolicy::Auto,
            root_attrs: RootAttrs::Auto,
            accept_loss: LossSet::default(),
            excludes: Vec::new(),
        }
    }
}

impl Options {
    /// The options a receiver with these bounds follows.
    #[must_use]
    pub fn bounded(mut self, bounds: &Bounds) -> Self {
        self.delete &= !bounds.no_delete;
        self.xattrs &= !bounds.no_xattrs;
        self.max_delete = match (self.max_delete, bounds.max_delete) {
            (Some(asked), Some(allowed)) => Some(asked.min(allowed)),
            (asked, allowed) => asked.or(allowed),
        };
        self.accept_loss = LossSet::from_bits(self.accept_loss.bits() | bounds.accept_loss.bits());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::LossKind;
    use super::*;

    #[test]
    fn a_receiver_accepts_more_loss_and_never_less() {
        let set = |kind| {
            let mut set = LossSet::default();
            set.insert(kind);
            set
        };
        let asked = Options { accept_loss: set(LossKind::Times), ..Options::default() };
        assert_eq!(asked.clone().bounded(&Bounds::default()).accept_loss, set(LossKind::Times));
        let milder = asked.bounded(&Bounds { accept_loss: set(LossKind::Ownership), ..Bounds::default() }).accept_loss;
        assert!(milder.contains(LossKind::Ownership) && milder.contains(LossKind::Times));
    }

    #[test]
    fn the_stricter_side_wins() {
        let asked = Options { delete: true, max_delete: Some(10), ..Options::default() };
        let bounds = Bounds { max_delete: Some(3), no_xattrs: true, ..Bounds::default() };
        let followed = asked.clone().bounded(&bounds);
        assert!(followed.delete);
        assert!(!followed.xattrs);
        assert_eq!(followed.max_delete, Some(3));
        let none = asked.bounded(&Bounds { no_delete: true, ..Bounds::default() });
        assert!(!none.delete);
        assert_eq!(none.max_delete, Some(10));
    }
}
