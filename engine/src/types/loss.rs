//! What a privilege or a file system cannot keep by rule: counted per kind, never confused with a problem.

/// A kind of attribute or entry that could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossKind {
    /// Owner or group of an entry; setuid and setgid bits that must not be given to another owner.
    Ownership,
    /// A device node.
    Devices,
    /// `trusted.*` attributes.
    TrustedXattrs,
    /// `security.capability`.
    FileCapabilities,
    /// `security.selinux`, and other `security.*` labels.
    Selinux,
    /// POSIX ACLs the destination's file system does not know.
    Acls,
    /// Other attributes the destination's file system does not know.
    Xattrs,
    /// Times outside the destination's range or finer than its steps.
    Times,
}

impl LossKind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Ownership,
        Self::Devices,
        Self::TrustedXattrs,
        Self::FileCapabilities,
        Self::Selinux,
        Self::Acls,
        Self::Xattrs,
        Self::Times,
    ];

    /// The word used on the command line and in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ownership => "ownership",
            Self::Devices => "devices",
            Self::TrustedXattrs => "trusted-xattrs",
            Self::FileCapabilities => "file-capabilities",
            Self::Selinux => "selinux",
            Self::Acls => "acls",
            Self::Xattrs => "xattrs",
            Self::Times => "times",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    fn slot(self) -> usize {
        match self {
            Self::Ownership => 0,
            Self::Devices => 1,
            Self::TrustedXattrs => 2,
            Self::FileCapabilities => 3,
            Self::Selinux => 4,
            Self::Acls => 5,
            Self::Xattrs => 6,
            Self::Times => 7,
        }
    }
}

/// How often each kind was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts([u64; 8]);

impl LossCounts {
    /// One more of `kind`.
    pub fn add(&mut self, kind: LossKind, count: u64) {
        if let Some(slot) = self.0.get_mut(kind.slot()) {
            *slot = slot.saturating_add(count);
        }
    }

    /// How often `kind` was lost.
    #[must_use]
    pub fn of(&self, kind: LossKind) -> u64 {
        self.0.get(kind.slot()).copied().unwrap_or(0)
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        for kind in LossKind::ALL {
            self.add(kind, other.of(kind));
        }
    }

    /// The kinds that were lost at all, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (LossKind, u64)> + '_ {
        LossKind::ALL.into_iter().map(|kind| (kind, self.of(kind))).filter(|(_, count)| *count > 0)
    }
}

/// A set of kinds, such as those the user accepts to lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossSet(u8);

impl LossSet {
    /// Adds a kind.
    pub fn insert(&mut self, kind: LossKind) {
        self.0 |= 1 << kind.slot();
    }

    /// Whether `kind` is in it.
    #[must_use]
    pub fn contains(self, kind: LossKind) -> bool {
        self.0 & (1 << kind.slot()) != 0
    }

    /// As bits, in the order of [`LossKind::ALL`].
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From such bits: every value is a set.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether everything in `counts` is accepted by this set.
    #[must_use]
    pub fn covers(self, counts: &LossCounts) -> bool {
        counts.iter().all(|(kind, _)| self.contains(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word_and_slot() {
        let mut counts = LossCounts::default();
        for (n, kind) in (1..).zip(LossKind::ALL) {
            counts.add(kind, n);
            assert_eq!(LossKind::from_word(kind.word()), Some(kind));
        }
        for (n, kind) in (1..).zip(LossKind::ALL) {
            assert_eq!(counts.of(kind), n);
        }
    }

    #[test]
    fn a_set_covers_only_what_is_in_it() {
        let mut counts = LossCounts::default();
        let mut accepted = LossSet::default();
        assert!(accepted.covers(&counts));
        counts.add(LossKind::Ownership, 3);
        assert!(!accepted.covers(&counts));
        accepted.insert(LossKind::Ownership);
        assert!(accepted.covers(&counts));
    }
}
