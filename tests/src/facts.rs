//! What is true of one entry, read with system calls only, and what differs between two of them. It refuses to open
//! anything but regular files: a fifo would wait, a device would act.

use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Stat};

use crate::compare::Aspect;
use crate::place::{Moment, Place, shown};

/// Bytes compared at once.
const CHUNK: usize = 1 << 20;
/// Allocation a sparse file may have beyond twice the source's: what file systems add of their own.
const SPARSE_SLACK: u64 = 1 << 20;

/// Everything `lstat` and the attribute calls say of an entry.
#[derive(Debug)]
pub struct Facts {
    /// What `lstat` said.
    pub stat: Stat,
    /// Extended attributes by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// A symlink's target.
    pub target: Option<Vec<u8>>,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// When the entry cannot be read.
    pub fn read(place: &Place, name: &[u8]) -> Result<Self> {
        let stat = place.stat(name)?;
        let xattrs = place.xattrs(name)?;
        let target = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Some(place.target(name)?),
            _ => None,
        };
        Ok(Self { stat, xattrs, target })
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// The modification time.
    #[must_use]
    pub fn mtime(&self) -> Moment {
        mtime(&self.stat)
    }

    /// Sentences on what differs in `other`, apart from content and links.
    #[must_use]
    pub fn differences(&self, other: &Self, ignored: &[Aspect]) -> Vec<String> {
        if self.kind() != other.kind() {
            return vec![format!("kind {:?} became {:?}", self.kind(), other.kind())];
        }
        let mut found = Vec::new();
        self.compare_mode(other, ignored, &mut found);
        let (a, b) = (&self.stat, &other.stat);
        if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid) && !ignored.contains(&Aspect::Owner) {
            found.push(format!("owner {}:{} became {}:{}", a.st_uid, a.st_gid, b.st_uid, b.st_gid));
        }
        let untimed = ignored.contains(&Aspect::Times)
            || (self.kind() == FileType::Directory && ignored.contains(&Aspect::DirectoryTimes));
        if self.mtime() != other.mtime() && !untimed {
            found.push(format!("mtime {:?} became {:?}", self.mtime(), other.mtime()));
        }
        if self.target != other.target {
            found.push(format!("target {:?} became {:?}", self.shown_target(), other.shown_target()));
        }
        if matches!(self.kind(), FileType::CharacterDevice | FileType::BlockDevice) && a.st_rdev != b.st_rdev {
            found.push(format!("device {:#x} became {:#x}", a.st_rdev, b.st_rdev));
        }
        if self.kind() == FileType::RegularFile {
            self.compare_size(other, &mut found);
        }
        self.compare_xattrs(other, ignored, &mut found);
        found
    }

    fn compare_mode(&self, other: &Self, ignored: &[Aspect], found: &mut Vec<String>) {
        let kept = if ignored.contains(&Aspect::SetId) { 0o1777 } else { 0o7777 };
        let (a, b) = (self.stat.st_mode & kept, other.stat.st_mode & kept);
        if a != b && self.kind() != FileType::Symlink {
            found.push(format!("mode {a:04o} became {b:04o}"));
        }
    }

    fn compare_size(&self, other: &Self, found: &mut Vec<String>) {
        let (a, b) = (&self.stat, &other.stat);
        if a.st_size != b.st_size {
            found.push(format!("size {} became {}", a.st_size, b.st_size));
        }
        let (from, to) = (allocated(a), allocated(b));
        if from < a.st_size.unsigned_abs() && to > from * 2 + SPARSE_SLACK {
            found.push(format!("sparse file of {from} allocated bytes became {to}"));
        }
    }

    fn compare_xattrs(&self, other: &Self, ignored: &[Aspect], found: &mut Vec<String>) {
        let skipped = |key: &[u8]| {
            ignored.iter().any(|aspect| matches!(aspect, Aspect::Xattrs(p) if key.starts_with(p.as_bytes())))
        };
        for (key, value) in self.xattrs.iter().filter(|(key, _)| !skipped(key)) {
            match other.xattrs.iter().find(|(theirs, _)| theirs == key) {
                None => found.push(format!("attribute {} is missing", shown(key))),
                Some((_, theirs)) if theirs != value => found.push(format!("attribute {} differs", shown(key))),
                Some(_) => {}
            }
        }
        for (key, _) in other.xattrs.iter().filter(|(key, _)| !skipped(key)) {
            if !self.xattrs.iter().any(|(ours, _)| ours == key) {
                found.push(format!("attribute {} is surplus", shown(key)));
            }
        }
    }

    fn shown_target(&self) -> String {
        self.target.as_deref().map(shown).unwrap_or_default()
    }
}

/// The modification time in a `stat`.
#[must_use]
pub fn mtime(stat: &Stat) -> Moment {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(u32::MAX))
}

/// The change time in a `stat`.
#[must_use]
pub fn ctime(stat: &Stat) -> Moment {
    (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(u32::MAX))
}

fn allocated(stat: &Stat) -> u64 {
    stat.st_blocks.unsigned_abs() * 512
}

/// Where the contents of two regular files first differ: an offset, or nothing.
///
/// # Errors
/// When one cannot be read.
pub fn first_difference(source: &Place, destination: &Place, name: &[u8]) -> Result<Option<u64>> {
    let (a, b) = (source.read(name)?, destination.read(name)?);
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut offset = 0;
    loop {
        let from_a = fill(&a, &mut left, offset).with_context(|| format!("cannot read {}", shown(name)))?;
        let from_b = fill(&b, &mut right, offset).with_context(|| format!("cannot read {}", shown(name)))?;
        let (ours, theirs) = (left.get(..from_a).unwrap_or_default(), right.get(..from_b).unwrap_or_default());
        if ours != theirs {
            let same = ours.iter().zip(theirs).take_while(|(x, y)| x == y).count();
            return Ok(Some(offset + same as u64));
        }
        if from_a < CHUNK {
            return Ok(None);
        }
        offset += CHUNK as u64;
    }
}

fn fill(file: &std::fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}
