//! Giving an inode its attributes, in the one order that works (engine-rules 19):
//!
//! ```text
//! owner -> extended attributes, ACLs among them, surplus ones removed -> capability -> mode -> mtime
//! ```
//!
//! A change of owner drops setuid and capabilities, an ACL changes the mode's group bits and a mode the ACL's mask, and
//! only the mtime must be last: until then the entry shows itself as incomplete. What equals already is not touched, so
//! a second run changes nothing. It refuses to give setuid or setgid bits to an owner they were not meant for.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::dir::Dir;
use super::error::{Cannot, Error};
use super::handle::Handle;
use super::root::Site;
use super::status::Status;
use super::xattrs::{ACCESS_ACL, CAPABILITY, DEFAULT_ACL, SELINUX, is_alias, loss_of, read_xattrs};
use crate::types::{EntryKind, LossKind, Mode, Name, Owner, Timestamp, Xattrs};

/// The attributes an entry should get.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// Its owner; `None` leaves the one it has, and drops setuid and setgid bits of files.
    pub owner: Option<Owner>,
    /// Its permission bits; of no effect on symlinks.
    pub mode: Mode,
    /// Its modification time.
    pub mtime: Timestamp,
    /// Its extended attributes; `None` leaves those it has.
    pub xattrs: Option<&'a Xattrs>,
    /// Which names are ours to keep, compare and remove.
    pub wants: &'a dyn Fn(&[u8]) -> bool,
    /// It was made in a directory with a default ACL: what came by that is removed.
    pub inherited: bool,
    /// It was there before: its extended attributes are compared, and surplus ones removed.
    pub existing: bool,
}

/// What became of an entry's attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What could not be kept by rule, each kind once.
    pub losses: Vec<LossKind>,
    /// What should have worked and did not, as sentences.
    pub problems: Vec<String>,
}

/// Whether the mtime in a [`Status`] still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MtimeSeen {
    /// Nothing was written since.
    Valid,
    /// The content was written since: set it whatever was seen.
    Stale,
}

impl Dir {
    /// Gives `name`, which is a `kind`, its attributes.
    ///
    /// # Errors
    /// When `name` is gone or something else, or the disk fails. What an attribute cannot be is in [`Applied`].
    pub fn apply_to(&self, name: &Name, kind: EntryKind, attributes: &Attributes<'_>) -> Result<Applied, Error> {
        let descriptor = self.descriptor()?;
        let handle = Handle::take(descriptor.as_fd(), name, kind).cannot("open for setting attributes")?;
        let have = Status::of_open(&handle)?;
        if have.kind != kind {
            return Err(Error { op: "set attributes", errno: Errno::STALE });
        }
        apply(&self.site, &handle, &have, MtimeSeen::Valid, attributes)
    }

    /// Gives this directory its attributes: after everything beneath it is done.
    ///
    /// # Errors
    /// When it is gone, or the disk fails. What an attribute cannot be is in [`Applied`].
    pub fn apply(&self, attributes: &Attributes<'_>) -> Result<Applied, Error> {
        let descriptor = self.descriptor()?;
        let have = Status::of_open(&*descriptor)?;
        apply(&self.site, &Handle::Borrowed(descriptor.as_fd()), &have, MtimeSeen::Valid, attributes)
    }
}

/// Gives a held inode its attributes.
pub(super) fn apply(
    site: &Site,
    handle: &Handle<'_>,
    have: &Status,
    mtime: MtimeSeen,
    attributes: &Attributes<'_>,
) -> Result<Applied, Error> {
    let mut work = Work {
        site,
        handle,
        have,
        want: attributes,
        owner_kept: attributes.owner.is_some(),
        gid: have.owner.gid(),
        mode_disturbed: false,
        applied: Applied::default(),
    };
    work.owner()?;
    work.xattrs()?;
    work.mode()?;
    work.mtime(mtime)?;
    Ok(work.applied)
}

/// One inode on its way to its attributes.
struct Work<'a> {
    site: &'a Site,
    handle: &'a Handle<'a>,
    have: &'a Status,
    want: &'a Attributes<'a>,
    /// It has the owner its setuid and setgid bits were meant for.
    owner_kept: bool,
    /// Its group by now.
    gid: u32,
    /// Something was done that changes modes on the way.
    mode_disturbed: bool,
    applied: Applied,
}

impl Work<'_> {
    fn lose(&mut self, kind: LossKind) {
        if !self.applied.losses.contains(&kind) {
            self.applied.losses.push(kind);
        }
    }

    fn owner(&mut self) -> Result<(), Error> {
        let Some(want) = self.want.owner else { return Ok(()) };
        let plan = self.site.privilege.plan_owner(self.have.owner, want);
        let mut lost = plan.lost;
        if plan.uid.is_some() || plan.gid.is_some() {
            match self.handle.chown(plan.uid, plan.gid) {
                Ok(()) => {
                    self.gid = plan.gid.unwrap_or(self.gid);
                    self.mode_disturbed = self.have.mode.is_set_id();
                }
                // Numbers outside our user namespace, or a server that maps root to nobody.
                Err(Errno::PERM | Errno::INVAL | Errno::OVERFLOW) => lost = true,
                Err(errno) => Err(errno).cannot("change the owner")?,
            }
        }
        if lost {
            self.owner_kept = false;
            self.lose(LossKind::Ownership);
        }
        Ok(())
    }

    fn xattrs(&mut self) -> Result<(), Error> {
        let none = Xattrs::default();
        let want = self.want.xattrs.unwrap_or(&none);
        if self.want.inherited {
            self.remove_inherited(want)?;
        }
        if self.want.xattrs.is_none() {
            return Ok(());
        }
        let have = if self.want.existing { self.present()? } else { Xattrs::default() };
        for surplus in have.as_slice().iter().filter(|x| want.value(&x.name).is_none()) {
            self.remove(&surplus.name)?;
        }
        // Capabilities last: other attributes do not clear them, but nothing is set after what matters most.
        let (capabilities, others): (Vec<_>, Vec<_>) =
            want.as_slice().iter().partition(|x| x.name.as_ref() == CAPABILITY);
        for xattr in others.into_iter().chain(capabilities) {
            let ours = (self.want.wants)(&xattr.name) && !is_alias(&xattr.name);
            if ours && have.value(&xattr.name) != Some(&xattr.value) {
                self.set(&xattr.name, &xattr.value)?;
            }
        }
        Ok(())
    }

    /// The attributes it has, of those that are ours. When they cannot be read all wanted ones are set again.
    fn present(&mut self) -> Result<Xattrs, Error> {
        match read_xattrs(&self.handle.xattrs(), self.want.wants) {
            Ok(xattrs) => Ok(xattrs),
            Err(super::XattrError::Fs(error)) if error.errno == Errno::IO => Err(error),
            Err(error) => {
                self.applied.problems.push(error.to_string());
                Ok(Xattrs::default())
            }
        }
    }

    fn remove_inherited(&mut self, want: &Xattrs) -> Result<(), Error> {
        let names: &[&[u8]] = match self.have.kind {
            EntryKind::Dir => &[ACCESS_ACL, DEFAULT_ACL],
            EntryKind::Symlink => &[], // They have no ACLs.
            EntryKind::File | EntryKind::Fifo | EntryKind::Socket | EntryKind::CharDevice | EntryKind::BlockDevice => {
                &[ACCESS_ACL]
            }
        };
        for name in names.iter().filter(|name| want.value(name).is_none()) {
            self.remove(name)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let mut done = self.handle.xattrs().set(name, value);
        if done == Err(Errno::ACCESS) && self.have.owner.uid() == self.site.privilege.euid {
            // `user.*` needs the owner's write bit, which the entry may lack; its mode comes later.
            let writable = Mode::from_st_mode(self.have.mode.bits() | 0o200);
            self.mode_disturbed = true;
            done = self.handle.chmod(writable).and_then(|()| self.handle.xattrs().set(name, value));
        }
        self.mode_disturbed |= name == ACCESS_ACL;
        self.xattr_outcome(name, done, "set")
    }

    fn remove(&mut self, name: &[u8]) -> Result<(), Error> {
        if name == SELINUX {
            return Ok(()); // Every inode has a label where SELinux is; it cannot be taken away.
        }
        self.mode_disturbed |= name == ACCESS_ACL;
        match self.handle.xattrs().remove(name) {
            // A file system without such attributes has none to remove.
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => self.xattr_outcome(name, done, "remove"),
        }
    }

    fn xattr_outcome(&mut self, name: &[u8], done: rustix::io::Result<()>, verb: &str) -> Result<(), Error> {
        let by_rule = name.starts_with(b"security.") || name.starts_with(b"system.");
        match done {
            Ok(()) => {}
            Err(Errno::PERM | Errno::OPNOTSUPP) => self.lose(loss_of(name)),
            // A label the policy does not know, an ACL with numbers outside our user namespace.
            Err(Errno::INVAL | Errno::ACCESS) if by_rule => self.lose(loss_of(name)),
            Err(errno @ (Errno::IO | Errno::ROFS | Errno::NOENT)) => Err(errno).cannot("change extended attributes")?,
            // No space here is the file system's bound on attributes, not a full disk (engine-rules 19).
            Err(errno) => {
                let cause = Error { op: "change it", errno };
                let name = crate::types::Escaped(name);
                self.applied.problems.push(format!("cannot {verb} the extended attribute {name}: {cause}"));
            }
        }
        Ok(())
    }

    fn mode(&mut self) -> Result<(), Error> {
        if self.have.kind == EntryKind::Symlink {
            return Ok(());
        }
        let want = self.want.mode;
        let mode = self.site.privilege.attainable_mode(self.have.kind, want, self.gid, self.owner_kept);
        if mode != want {
            self.lose(LossKind::Ownership);
        }
        if mode == self.have.mode && !self.mode_disturbed {
            return Ok(());
        }
        self.settle(self.handle.chmod(mode), "change the mode")
    }

    fn mtime(&mut self, seen: MtimeSeen) -> Result<(), Error> {
        let want = self.site.clamp(self.want.mtime);
        if want != self.want.mtime {
            self.lose(LossKind::Times);
        }
        if seen == MtimeSeen::Valid && self.have.mtime == want {
            return Ok(());
        }
        self.settle(self.handle.set_mtime(want), "set the modification time")
    }

    /// What somebody else's entry does not let us do is this entry's problem; everything else is an error.
    fn settle(&mut self, done: rustix::io::Result<()>, op: &'static str) -> Result<(), Error> {
        match done {
            Err(errno @ (Errno::PERM | Errno::ACCESS)) => {
                self.applied.problems.push(Error { op, errno }.to_string());
                Ok(())
            }
            done => done.cannot(op),
        }
    }
}
