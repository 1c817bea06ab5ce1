//! What this process may do to owners and bits, decided from facts read once. Pure but for reading those facts.
//!
//! It refuses to try what cannot work: in a pod a million files that cannot be chowned would be a million failing
//! system calls. What is foreseen here is a loss, never a problem.

use rustix::thread::CapabilitySet;

use crate::types::{EntryKind, Mode, Owner};

/// Who this process is and which of root's powers it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// Effective user.
    pub euid: u32,
    /// Effective group.
    pub egid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// May give files to others (CAP_CHOWN).
    pub chown: bool,
    /// May change attributes of other owners' files (CAP_FOWNER).
    pub fowner: bool,
    /// May set setgid for a group it is not in (CAP_FSETID).
    pub fsetid: bool,
    /// May pass over permission bits (CAP_DAC_OVERRIDE).
    pub dac_override: bool,
    /// May make device nodes (CAP_MKNOD).
    pub mknod: bool,
    /// May keep `trusted.*` attributes (CAP_SYS_ADMIN).
    pub sys_admin: bool,
    /// May set file capabilities (CAP_SETFCAP).
    pub setfcap: bool,
}

/// What to do about an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerPlan {
    /// Change the user to this.
    pub uid: Option<u32>,
    /// Change the group to this.
    pub gid: Option<u32>,
    /// Something of it cannot be kept.
    pub lost: bool,
}

impl Privilege {
    /// Of this process, now. What cannot be read is taken as not held.
    pub(super) fn of_this_process() -> Self {
        let held = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let groups = rustix::process::getgroups().unwrap_or_default();
        Self {
            euid: rustix::process::geteuid().as_raw(),
            egid: rustix::process::getegid().as_raw(),
            groups: groups.into_iter().map(rustix::process::Gid::as_raw).collect(),
            chown: held.contains(CapabilitySet::CHOWN),
            fowner: held.contains(CapabilitySet::FOWNER),
            fsetid: held.contains(CapabilitySet::FSETID),
            dac_override: held.contains(CapabilitySet::DAC_OVERRIDE),
            mknod: held.contains(CapabilitySet::MKNOD),
            sys_admin: held.contains(CapabilitySet::SYS_ADMIN),
            setfcap: held.contains(CapabilitySet::SETFCAP),
        }
    }

    /// True when this process belongs to group `gid`.
    #[must_use]
    pub fn is_member(&self, gid: u32) -> bool {
        self.egid == gid || self.groups.contains(&gid)
    }

    /// How to get from the owner an inode has to the one it should have.
    #[must_use]
    pub fn plan_owner(&self, have: Owner, want: Owner) -> OwnerPlan {
        let uid = (have.uid() != want.uid()).then_some(want.uid());
        let gid = (have.gid() != want.gid()).then_some(want.gid());
        if self.chown {
            return OwnerPlan { uid, gid, lost: false };
        }
        // Without the capability the kernel lets an owner move a file to a group of ours, and nothing else.
        let group_works = have.uid() == self.euid && self.is_member(want.gid());
        OwnerPlan {
            uid: None,
            gid: gid.filter(|_| group_works),
            lost: uid.is_some() || (gid.is_some() && !group_works),
        }
    }

    /// The bits that can and may be set on an entry whose group is `gid`.
    ///
    /// `owner_kept` is false when the entry could not get its owner: then its setuid and setgid bits would act for
    /// somebody else and are dropped. On directories setgid only passes the group on and stays; the kernel silently
    /// drops it where we are not in the group, so it is dropped here, where it is counted.
    #[must_use]
    pub fn attainable_mode(&self, kind: EntryKind, want: Mode, gid: u32, owner_kept: bool) -> Mode {
        let mode = if kind == EntryKind::Dir || owner_kept { want } else { want.without_set_id() };
        if self.fsetid || self.is_member(gid) { mode } else { Mode::from_st_mode(mode.bits() & !0o2000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Privilege {
        Privilege {
            euid: 1_000_640,
            egid: 0,
            groups: vec![5_000],
            chown: false,
            fowner: false,
            fsetid: false,
            dac_override: false,
            mknod: false,
            sys_admin: false,
            setfcap: false,
        }
    }

    fn owner(uid: u32, gid: u32) -> Owner {
        Owner::new(uid, gid).unwrap()
    }

    fn mode(bits: u32) -> Mode {
        Mode::new(bits).unwrap()
    }

    #[test]
    fn without_chown_a_foreign_owner_is_lost_without_trying() {
        let plan = pod().plan_owner(owner(1_000_640, 0), owner(33, 33));
        assert_eq!(plan, OwnerPlan { uid: None, gid: None, lost: true });
    }

    #[test]
    fn without_chown_a_group_of_ours_is_tried_on_our_own_files_only() {
        let ours = pod().plan_owner(owner(1_000_640, 0), owner(1_000_640, 5_000));
        assert_eq!(ours, OwnerPlan { uid: None, gid: Some(5_000), lost: false });
        let theirs = pod().plan_owner(owner(7, 0), owner(7, 5_000));
        assert_eq!(theirs, OwnerPlan { uid: None, gid: None, lost: true });
        let half = pod().plan_owner(owner(1_000_640, 0), owner(33, 5_000));
        assert_eq!(half, OwnerPlan { uid: None, gid: Some(5_000), lost: true });
    }

    #[test]
    fn with_chown_only_what_differs_is_changed() {
        let root = Privilege { chown: true, ..pod() };
        assert_eq!(root.plan_owner(owner(0, 0), owner(0, 0)), OwnerPlan { uid: None, gid: None, lost: false });
        assert_eq!(root.plan_owner(owner(0, 0), owner(0, 9)), OwnerPlan { uid: None, gid: Some(9), lost: false });
    }

    #[test]
    fn set_id_bits_are_never_given_to_another_owner() {
        let file = |kept| pod().attainable_mode(EntryKind::File, mode(0o6755), 0, kept).bits();
        assert_eq!(file(true), 0o6755);
        assert_eq!(file(false), 0o755);
        let dir = |gid| pod().attainable_mode(EntryKind::Dir, mode(0o2775), gid, false).bits();
        assert_eq!(dir(5_000), 0o2775);
        assert_eq!(dir(77), 0o775);
    }
}
