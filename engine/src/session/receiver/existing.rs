//! What stands at a name of the destination, how it differs from the source's entry, and how that is said.

use std::sync::Arc;

use crate::plan::{self, AttributeDiff, Policy, Verdict, loss_of_xattr, temporary_epoch, xattr_changes};
use crate::session::fate::Ended;
use crate::types::{
    Content, Entry, EntryKind, LossKind, Mode, Name, Outcome, Owner, OwnerPolicy, RelPath, Stage, Xattr, Xattrs,
};
use crate::volume::{self, Dir, Error, Identity, Status, XattrError};
use crate::wire::{ItemChange, Report};

use super::batches::{How, Place};
use super::consider::Subdir;
use super::context::{PassMode, Receiving};
use super::ctimes::Constancy;
use super::ledger::Close;
use super::level::Level;

const CAPABILITY: &[u8] = b"security.capability";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// An entry of the destination.
#[derive(Clone, Debug)]
pub struct Existing {
    pub status: Status,
    pub plan: plan::Existing,
    /// Those this receiver copies; `None` when they could not be read, and differ then.
    pub xattrs: Option<Xattrs>,
    /// It stands where its directory says: nothing is mounted over it.
    pub uncovered: bool,
}

impl Existing {
    pub fn new(status: Status, target: Option<Box<[u8]>>, xattrs: Option<Xattrs>) -> Self {
        let device = matches!(status.kind, EntryKind::CharDevice | EntryKind::BlockDevice).then_some(status.device);
        let plan = plan::Existing {
            kind: status.kind,
            mode: status.mode,
            owner: status.owner,
            mtime: status.mtime,
            size: status.size,
            device,
            nlink: status.nlink,
            target,
        };
        Self { status, plan, xattrs, uncovered: false }
    }

    /// Whether it is a program with capabilities, which is never written in place.
    pub fn has_capability(&self) -> bool {
        self.xattrs.as_ref().is_none_or(|xattrs| xattrs.value(CAPABILITY).is_some())
    }

    /// Whether what is made in it inherits ACLs.
    pub fn has_default_acl(&self) -> bool {
        self.xattrs.as_ref().is_none_or(|xattrs| xattrs.value(DEFAULT_ACL).is_some())
    }
}

impl Receiving {
    /// What is compared in this pass.
    pub fn policy(&self) -> Policy {
        Policy { owner: self.options.owner, checksum: self.options.checksum, verify: self.mode() == PassMode::Verify }
    }

    /// What the plan says of an entry. Without the privilege to change owners, what an entry cannot get does not count
    /// as a difference: it would be one for ever.
    pub fn verdict(&self, entry: &Entry, existing: Option<&Existing>, policy: Policy) -> Verdict {
        let clamp = |time| self.volume.clamp(time);
        match existing {
            Some(existing) if !self.volume.privilege().chown => {
                let mut attainable = entry.clone();
                (attainable.owner, attainable.mode) = self.attainable(entry, existing);
                plan::compare(&attainable, Some(&existing.plan), &policy, clamp)
            }
            _ => plan::compare(entry, existing.map(|e| &e.plan), &policy, clamp),
        }
    }

    /// The owner and mode an entry can get here.
    fn attainable(&self, entry: &Entry, existing: &Existing) -> (Owner, Mode) {
        let (privilege, have) = (self.volume.privilege(), &existing.status);
        let keeps = self.options.owner == OwnerPolicy::Keep;
        let wanted = if keeps { entry.owner } else { have.owner };
        let plan = privilege.plan_owner(have.owner, wanted);
        let owner = Owner::new(plan.uid.unwrap_or(have.owner.uid()), plan.gid.unwrap_or(have.owner.gid()));
        let owner = owner.unwrap_or(have.owner);
        (owner, privilege.attainable_mode(have.kind, entry.mode, owner.gid(), keeps && !plan.lost))
    }

    /// Whether what only the destination has matters in this pass.
    pub fn looks_for_extras(&self) -> bool {
        self.options.delete
    }

    /// The path of a directory whose batches come.
    pub fn path_in(&self, level: &Level) -> RelPath {
        level.place.as_ref().map_or_else(RelPath::root, |place| place.dir.path())
    }

    /// What stands at an entry's name.
    pub fn describe(&self, place: &Place, entry: &Entry) -> Result<Option<Existing>, Error> {
        let dir = &place.dir;
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let (status, xattrs) = if self.xattrs.enabled {
            match dir.inspect(&entry.name, Some(entry.kind()), &wants) {
                Ok(Some((status, xattrs))) => (status, Some(xattrs)),
                Ok(None) => return Ok(None),
                Err(XattrError::Fs(error)) if error.is_vanished() => return Ok(None),
                // Unreadable attributes are set anew; the entry itself must be there.
                Err(XattrError::Fs(_) | XattrError::TooLarge) => match dir.status_of(&entry.name)? {
                    Some(status) => (status, None),
                    None => return Ok(None),
                },
            }
        } else {
            match dir.status_of(&entry.name)? {
                Some(status) => (status, Some(Xattrs::default())),
                None => return Ok(None),
            }
        };
        let both_links = status.kind == EntryKind::Symlink && entry.kind() == EntryKind::Symlink;
        let target = if both_links { Some(dir.target_of(&entry.name)?) } else { None };
        Ok(Some(Existing::new(status, target, xattrs)))
    }

    /// What a directory itself is like.
    pub fn describe_dir(&self, dir: &Dir, status: &Status) -> Result<Existing, Ended> {
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let xattrs = if self.xattrs.enabled { dir.xattrs(&wants).ok() } else { Some(Xattrs::default()) };
        Ok(Existing::new(*status, None, xattrs))
    }

    /// A directory of the destination as the session's threads use it.
    pub fn place(&self, dir: &Arc<Dir>, status: &Status, since: Constancy) -> Place {
        let privilege = self.volume.privilege();
        let restricted =
            !privilege.dac_override && status.owner.uid() == privilege.euid && status.mode.bits() & 0o700 != 0o700;
        Place::unread(Arc::clone(dir), restricted, since)
    }

    /// Whether any attribute of an entry must be set. What the privilege cannot keep is counted and not tried.
    pub fn attributes_differ(&self, entry: &Entry, existing: &Existing, diff: AttributeDiff) -> bool {
        let owned = self.owner_or_mode_differs(entry, existing, diff);
        let extended = self.xattrs_differ(entry, existing);
        owned || diff.mtime || extended
    }

    /// Whether a directory's own attributes must be set.
    pub fn dir_differs(&self, entry: &Entry, existing: &Existing) -> bool {
        match self.verdict(entry, Some(existing), self.policy()) {
            Verdict::Keep { attributes } => self.attributes_differ(entry, existing, attributes),
            _ => true,
        }
    }

    /// Counts what of owner and mode cannot be kept; whether the rest differs.
    fn owner_or_mode_differs(&self, entry: &Entry, existing: &Existing, diff: AttributeDiff) -> bool {
        let (owner, mode) = self.attainable(entry, existing);
        let keeps_owner = self.options.owner == OwnerPolicy::Keep;
        let has_mode = entry.kind() != EntryKind::Symlink;
        if (keeps_owner && owner != entry.owner) || (has_mode && mode != entry.mode) {
            self.lost(LossKind::Ownership);
        }
        diff.owner || diff.mode
    }

    fn xattrs_differ(&self, entry: &Entry, existing: &Existing) -> bool {
        if !self.xattrs.enabled {
            return false;
        }
        let Some(have) = &existing.xattrs else { return true };
        let changes = xattr_changes(&entry.xattrs, have);
        let set = changes.set.iter().filter(|xattr| self.xattr_can_be_set(xattr)).count();
        // A label cannot be removed, only replaced.
        let removed = changes.remove.iter().filter(|name| **name != b"security.selinux").count();
        set + removed > 0
    }

    fn xattr_can_be_set(&self, xattr: &Xattr) -> bool {
        let privilege = self.volume.privilege();
        let kind = loss_of_xattr(&xattr.name);
        let can = match kind {
            LossKind::TrustedXattrs => privilege.sys_admin,
            LossKind::FileCapabilities => privilege.setfcap,
            _ => true,
        };
        if !can {
            self.lost(kind);
        }
        can
    }

    /// Removes temporary names that sessions before this one left, and takes all temporary names out of `names`.
    pub fn clear_temporaries(&self, place: &Place, names: &mut Vec<Name>) -> Result<(), Ended> {
        let mut failure = Ok(());
        names.retain(|name| {
            let Some(epoch) = temporary_epoch(name) else { return true };
            if epoch != self.epoch && failure.is_ok() {
                place.touch();
                failure = self.clear_temporary(place, name);
            }
            false
        });
        failure
    }

    fn clear_temporary(&self, place: &Place, name: &Name) -> Result<(), Ended> {
        let removed = match place.dir.status_of(name) {
            // A state that was being made.
            Ok(Some(status)) if status.kind == EntryKind::Dir => self.clear_tree(place, name, &status),
            Ok(Some(status)) => place.dir.remove(name, &status),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        removed.or_else(|error| self.failed(place.dir.path().join(name), Stage::Delete, error))
    }

    fn clear_tree(&self, place: &Place, name: &Name, status: &Status) -> Result<(), volume::Error> {
        let mut result = Ok(());
        place.dir.remove_tree(name, status, self.volume.device(), &mut |removed| result = result.and(removed.result));
        result
    }

    /// Makes a directory.
    pub fn make_dir(&self, place: &Arc<Place>, entry: Entry) -> Result<Subdir, Ended> {
        place.touch();
        match place.dir.make_dir(&entry.name) {
            Ok(dir) => {
                self.tally.add(|t| &t.created, 1);
                let place = Arc::new(Place::new(dir, place.inherited(), false));
                Ok(Subdir {
                    place: Some(place),
                    close: Some(Close { entry, differs: true, knows_xattrs: true }),
                    stood: false,
                    imagined: None,
                })
            }
            Err(error) => {
                self.failed(place.dir.path().join(&entry.name), Stage::Write, error)?;
                Ok(Subdir::none())
            }
        }
    }

    /// Enters a directory that stands.
    pub fn enter_dir(&self, parent: &Place, entry: Entry, existing: &Existing) -> Result<Subdir, Ended> {
        let dir = match parent.dir.child(&entry.name, existing.status.identity) {
            Ok(dir) => dir,
            Err(error) => {
                self.failed(parent.dir.path().join(&entry.name), Stage::Compare, error)?;
                return Ok(Subdir::none());
            }
        };
        if let Err(error) = self.volume.sync_too(&dir) {
            self.failed(dir.path(), Stage::Compare, error)?;
            return Ok(Subdir::none());
        }
        let place = self.place(&dir, &existing.status, self.ctimes.constancy(parent, existing));
        place.inherits(existing.has_default_acl() && self.xattrs.enabled);
        let transfers = self.mode() == PassMode::Transfer;
        let mut differs = transfers && self.dir_differs(&entry, existing);
        if differs {
            self.tally.add(|t| &t.updated, 1);
        }
        let unreadable = place.restricted && existing.status.mode.bits() & 0o500 != 0o500;
        if transfers && unreadable {
            place.touch();
            differs = true;
        }
        let place = Arc::new(place);
        Ok(Subdir {
            place: Some(place),
            close: Some(Close { entry, differs, knows_xattrs: true }),
            stood: true,
            imagined: None,
        })
    }

    /// Makes a link, pipe, socket or device, beside and renamed over when something stands there.
    pub fn try_special(&self, place: &Place, entry: &Entry, how: &How) -> Result<Identity, volume::Error> {
        let dir = &place.dir;
        let temporary = (!matches!(how, How::Create)).then(|| self.temporary());
        let name = temporary.as_ref().unwrap_or(&entry.name);
        match &entry.content {
            Content::Symlink(target) => dir.make_symlink(name, target)?,
            Content::Fifo => dir.make_fifo(name)?,
            Content::Socket => dir.make_socket(name)?,
            Content::CharDevice(device) => dir.make_device(name, EntryKind::CharDevice, *device)?,
            Content::BlockDevice(device) => dir.make_device(name, EntryKind::BlockDevice, *device)?,
            // The caller sends files and directories elsewhere.
            Content::File(_) | Content::Dir => {}
        }
        let wants = |name: &[u8]| self.xattrs.wants(name);
        let applied = dir.apply_to(name, entry.kind(), &self.attributes(entry, &wants, place.inherited()))?;
        self.applied(|| dir.path().join(&entry.name), applied);
        if let Some(temporary) = &temporary {
            dir.rename(temporary, &entry.name)?;
        }
        let status = dir.status_of(&entry.name)?;
        Ok(status.map_or(Identity { dev: 0, ino: 0 }, |status| status.identity))
    }

    /// Dry run: the directory at `path` would be made, and what is in it too.
    pub fn imagines(&self, path: RelPath) -> Option<RelPath> {
        (self.mode() == PassMode::DryRun).then_some(path)
    }

    /// Dry run: it would be made. Verification: it is missing.
    pub fn tell_missing(&self, entry: &Entry, path: RelPath) {
        match self.mode() {
            PassMode::Verify => self.difference(path, "it is missing at the destination"),
            PassMode::DryRun | PassMode::Transfer | PassMode::Clear => self.say(ItemChange::Create, entry.kind(), path),
        }
    }

    /// Dry run: it would be replaced. Verification: something else stands there.
    pub fn tell_other(&self, entry: &Entry, existing: &Existing, path: RelPath) {
        match self.mode() {
            PassMode::Verify => {
                let (here, there) = (existing.status.kind.word(), entry.kind().word());
                let text = if here == there {
                    format!("the {here} is not the one of the source")
                } else {
                    format!("a {here} stands where the source has a {there}")
                };
                self.difference(path, text);
            }
            PassMode::DryRun | PassMode::Transfer | PassMode::Clear => self.say(ItemChange::Update, entry.kind(), path),
        }
    }

    /// Dry run: its content would be sent. Verification: size or time tell that it differs.
    pub fn tell_content(&self, entry: &Entry, existing: &Existing, path: RelPath) {
        match self.mode() {
            PassMode::Verify => {
                let text = if entry.size() == existing.status.size {
                    format!("its time is {}, the source's is {}", existing.status.mtime, entry.mtime)
                } else {
                    format!("it has {} bytes, the source has {}", existing.status.size, entry.size())
                };
                self.difference(path, text);
            }
            PassMode::DryRun | PassMode::Transfer | PassMode::Clear => self.say(ItemChange::Update, entry.kind(), path),
        }
    }

    /// Dry run: its attributes would be set. Verification: they differ.
    pub fn say_attributes(&self, entry: &Entry, existing: &Existing, path: &RelPath) {
        let Verdict::Keep { attributes } =
            self.verdict(entry, Some(existing), Policy { verify: false, ..self.policy() })
        else {
            return;
        };
        // Losses were counted while transferring; here only what should be equal counts.
        let losses = self.tally.loss();
        let differs = self.attributes_differ(entry, existing, attributes);
        match self.mode() {
            PassMode::Verify => {
                self.tally.set_loss(losses);
                if differs {
                    self.difference(path.clone(), "its attributes differ from the source's");
                }
            }
            PassMode::DryRun if differs => self.say(ItemChange::Attributes, entry.kind(), path.clone()),
            PassMode::DryRun | PassMode::Transfer | PassMode::Clear => {}
        }
    }

    /// The receiver's last word.
    pub fn report(&self, outcome: Outcome, text: String, problems_total: u64) -> Report {
        let figures = self.tally.report("", outcome, None);
        Report {
            outcome,
            text,
            created: figures.entries.created,
            updated: figures.entries.updated,
            deleted: figures.entries.deleted,
            bytes: figures.bytes,
            problems_total,
            loss: self.tally.loss(),
        }
    }
}
