//! A volume that is one file or one device: opened as the kind of thing that it is, refused when the source is another
//! kind, and entered under its own name, whatever name the wire has for it (engine-rules 23).
//!
//! It refuses to list, change or clean the directory that the file or device stands in: that is somebody else's.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::plan::temporary_name;
use crate::session::error::SessionError;
use crate::session::fate::Ended;
use crate::types::{Entry, EntryKind, Epoch, Name, Options, OwnerPolicy, Shape, Timestamp};
use crate::volume::{self, FileWriter, Finished, Volume};
use crate::wire::{Hello, Refuse, RefuseReason, SINGLE_NAME};

use super::batches::{OpenBatch, Plan};
use super::context::{PassMode, Receiving};
use super::registry::Slot;

/// What a session knows of a single volume.
#[derive(Debug)]
pub struct Single {
    name: Name,
    source: Shape,
    /// The one name beside it that its runs use, so that a later run finds what a killed one left.
    pub temporary: Name,
    /// The file was made for this session.
    made: AtomicBool,
}

/// A volume as it was opened for a hello.
pub struct Opened {
    pub volume: Volume,
    /// Dry run: nothing stands there; `volume` is the directory it would be made in.
    pub missing: bool,
    pub single: Option<Single>,
    /// For people.
    pub notes: Vec<String>,
}

/// Opens the volume as what it is, or makes it as what the source is.
pub fn open(slot: &Slot, hello: &Hello) -> Result<Opened, Refuse> {
    let name = &slot.name;
    let cannot = |e: volume::Error| unusable(format!("cannot open the volume {name}: {e}"));
    let kind = Volume::kind_at(&slot.path).map_err(cannot)?;
    let missing = kind.is_none() && hello.options.dry_run;
    let volume = match (kind, hello.source.is_single()) {
        (None, _) if missing => Volume::open_source(above(&slot.path)),
        (None | Some(EntryKind::Dir), false) => Volume::open_destination(&slot.path),
        (None, true) => Volume::make_single_destination(&slot.path),
        (Some(EntryKind::File | EntryKind::BlockDevice), true) => Volume::open_single_destination(&slot.path),
        (Some(kind), _) => return Err(unusable(mismatch(slot, hello.source, kind))),
    }
    .map_err(cannot)?;
    let mut notes: Vec<String> = measure(&volume, hello.source).map_err(unusable)?.into_iter().collect();
    if hello.options.atomic && volume.block_device().is_some() {
        notes.push("a device has no second copy: it is written in place, whatever --atomic says".to_owned());
    }
    let single = match (volume.single(), slot.path.file_name()) {
        (Some(single), _) => Some(Single::new(single.name().clone(), hello.source, kind.is_none())),
        (None, Some(last)) if hello.source.is_single() => {
            let last = Name::new(std::os::unix::ffi::OsStrExt::as_bytes(last));
            let last = last.map_err(|e| unusable(format!("cannot make the volume {name}: {e}")))?;
            Some(Single::new(last, hello.source, false))
        }
        (None, _) => None,
    };
    Ok(Opened { volume, missing, single, notes })
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(text: String) -> Refuse {
    Refuse { reason: RefuseReason::Unusable, text }
}

fn mismatch(slot: &Slot, source: Shape, kind: EntryKind) -> String {
    let advice = match (source, kind) {
        (_, EntryKind::Fifo | EntryKind::Socket | EntryKind::CharDevice | EntryKind::Symlink) => {
            "name a directory, a file or a block device"
        }
        (Shape::Directory, _) => "name a directory as the receiver's PATH",
        (Shape::File { .. } | Shape::Device { .. }, _) => {
            "name a file in it, or a block device, as the receiver's PATH"
        }
    };
    format!("the source is {}, but the volume {} is a {}; {advice}", source.words(), slot.name, kind.word())
}

/// Whether the source fits into a device, and what to say of the rest.
fn measure(volume: &Volume, source: Shape) -> Result<Option<String>, String> {
    let (Shape::File { size } | Shape::Device { size }, Some(device)) = (source, volume.block_device()) else {
        return Ok(None);
    };
    let room = device.status().size;
    match room.checked_sub(size) {
        None => Err(too_small(room, size)),
        Some(0) => Ok(None),
        Some(rest) => Ok(Some(format!(
            "the device has {room} bytes and the source {size}: the last {rest} bytes of the device are left as they are"
        ))),
    }
}

fn too_small(room: u64, size: u64) -> String {
    format!(
        "the source has {size} bytes and the device only {room}; nothing was written. Use a device at least as large"
    )
}

/// What is followed of the options when the volume is one file or device.
pub fn options(options: Options, source: Shape) -> Options {
    let options = Options { delete: false, delete_excluded: false, excludes: Vec::new(), ..options };
    match source {
        Shape::Directory | Shape::File { .. } => options,
        // A device has no time that tells a change, and nothing of its node belongs to its content.
        Shape::Device { .. } => Options { checksum: true, owner: OwnerPolicy::Ignore, xattrs: false, ..options },
    }
}

impl Single {
    fn new(name: Name, source: Shape, made: bool) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ferry 1 single volume");
        hasher.update(name.as_bytes());
        let mut number = [0; 8];
        hasher.finalize_xof().fill(&mut number);
        let temporary = temporary_name(Epoch(u64::from_be_bytes(number)), 0);
        Self { name, source, temporary, made: AtomicBool::new(made) }
    }

    /// Removes what a killed run left beside the file. Called by the one who has the volume's lock.
    pub fn clear(&self, volume: &Volume) -> Result<(), volume::Error> {
        match volume.root().status_of(&self.temporary)? {
            Some(status) => volume.root().remove(&self.temporary, &status),
            None => Ok(()),
        }
    }
}

impl Receiving {
    /// An entry under the name it has here. A single volume takes one file and nothing else.
    pub fn mapped(&self, mut entry: Entry) -> Result<Entry, Ended> {
        let Some(single) = &self.single else { return Ok(entry) };
        let fits = entry.name.as_bytes() == SINGLE_NAME && entry.kind() == EntryKind::File && entry.link.is_none();
        if !fits {
            return Err(self.broke("it sent another entry than the one file of a single volume"));
        }
        entry.name = single.name.clone();
        if let Shape::Device { .. } = single.source {
            self.give_own_attributes(&mut entry);
        }
        Ok(entry)
    }

    /// What comes from a device has no attributes: a file here keeps its own, and shows when it was changed.
    fn give_own_attributes(&self, entry: &mut Entry) {
        // What cannot be looked at is told when it is compared.
        let Ok(Some(own)) = self.volume.root().status_of(&entry.name) else { return };
        entry.mode = own.mode;
        entry.owner = own.owner;
        entry.mtime = match self.mode() {
            PassMode::Transfer => now(),
            PassMode::DryRun | PassMode::Verify | PassMode::Clear => own.mtime,
        };
    }

    /// Whether only content counts: the source or the destination is a device.
    pub fn keeps_content_only(&self) -> bool {
        self.volume.block_device().is_some()
            || self.single.as_ref().is_some_and(|single| matches!(single.source, Shape::Device { .. }))
    }

    /// True once, when the single file was made for this session.
    pub fn was_just_made(&self) -> bool {
        self.single.as_ref().is_some_and(|single| single.made.swap(false, Relaxed))
    }

    /// Writes a small source to the device; `None` when the volume is none.
    pub fn write_small_to_device(
        &self,
        batch: &OpenBatch,
        plan: &Plan,
        content: &[u8],
    ) -> Option<Result<Finished, volume::Error>> {
        let device = self.volume.block_device()?;
        let written = FileWriter::device(&batch.place.dir, device).and_then(|writer| {
            writer.write_at(content, 0)?;
            let wants = |name: &[u8]| self.xattrs.wants(name);
            writer.finish(plan.entry.size(), &self.attributes(&plan.entry, &wants, false), None)
        });
        Some(written)
    }

    /// The source became larger than the device since it was measured.
    pub fn device_too_small(&self, room: u64, size: u64) -> Ended {
        self.fate.fail(SessionError::Bound(too_small(room, size)));
        Ended
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Shape = Shape::File { size: 1 };
    const DEVICE: Shape = Shape::Device { size: 1 };

    #[test]
    fn what_a_single_volume_cannot_have_is_not_followed() {
        let asked = Options { delete: true, delete_excluded: true, excludes: vec!["*".into()], ..Options::default() };
        let file = options(asked.clone(), FILE);
        assert_eq!(file, Options::default());
        let device = options(asked, DEVICE);
        assert!(device.checksum && !device.xattrs && !device.delete);
        assert_eq!(device.owner, OwnerPolicy::Ignore);
    }

    #[test]
    fn the_temporary_of_a_file_is_its_own_and_always_the_same() {
        let single = |name: &[u8]| Single::new(Name::new(name).unwrap(), FILE, false).temporary;
        assert_eq!(single(b"a"), single(b"a"));
        assert_ne!(single(b"a"), single(b"b"));
        assert!(crate::plan::temporary_epoch(&single(b"a")).is_some());
    }

    #[test]
    fn a_size_that_does_not_fit_is_said_with_both_figures() {
        let text = too_small(512, 1024);
        assert!(text.contains("1024 bytes") && text.contains("only 512"), "{text}");
    }
}
