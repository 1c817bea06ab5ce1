//! Where a destination's state is kept between runs: a file in a directory of the operator's, or below `.ferry` in the
//! volume's own root.
//!
//! ```text
//! DIR/NAME-ID, NAME-ID.baseline        named by the operator, outside the volume
//! ROOT/.ferry/magic, leaves, baseline  kept out of every listing that is sent, compared or deleted
//! ```
//! A `.ferry` is ours when its magic stands in it: it is made under a temporary name and gets its own only with the magic
//! on disk. The state itself is replaced as a whole: written beside, synced, renamed. What it means is not known here.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::copying::write_all_at;
use super::dir::{Dir, open_quietly};
use super::error::{Cannot, Error};
use super::root::{Volume, open_root};
use super::status::Status;
use crate::types::{EntryKind, Name};

/// The name that is kept for us in a volume's root.
const RESERVED: &[u8] = b".ferry";
const MAGIC_NAME: &[u8] = b"magic";
const MAGIC: &[u8] = b"ferry keeps its state here; it may be removed when no ferry runs\n";
const STATE_NAME: &str = "leaves";
const BASELINE_NAME: &str = "baseline";

/// The place of one volume's state.
#[derive(Debug)]
pub struct StateStore {
    place: StorePlace,
    name: String,
}

#[derive(Debug)]
enum StorePlace {
    Outside(PathBuf),
    Within(Arc<Dir>),
}

/// Whether a name is the one that is kept for our state.
pub(super) fn is_reserved(dir: &Dir, name: &Name) -> bool {
    dir.depth() == 0 && name.as_bytes() == RESERVED
}

/// Whether the directory `name` holds our magic.
pub(super) fn is_ours(dir: &Dir, name: &Name) -> bool {
    let opened = dir.descriptor().and_then(|above| open_state_dir(&above, name.as_bytes()));
    opened.is_ok_and(|state| has_magic(&state))
}

impl Volume {
    /// Whether a name is the one that is kept for our state, whatever stands there.
    #[must_use]
    pub fn is_reserved(&self, dir: &Dir, name: &Name) -> bool {
        self.single.is_none() && is_reserved(dir, name)
    }

    /// Which volume this is, on whatever machine and after a restart: its file system's own number, the root's inode, and
    /// the name of a single file. Where a file system has no number, the number it has until the next restart.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn state_id(&self) -> Result<[u8; 16], Error> {
        let root = self.root().descriptor()?;
        let stat = retry_on_intr(|| rustix::fs::fstatvfs(&root)).cannot("read the file system's number")?;
        let mut hasher = blake3::Hasher::new_derive_key("ferry 1 state");
        hasher.update(&stat.f_fsid.to_be_bytes());
        hasher.update(&self.root().identity().ino.to_be_bytes());
        if stat.f_fsid == 0 {
            hasher.update(&self.instance_seed());
        }
        if let Some(single) = self.single() {
            hasher.update(single.name().as_bytes());
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Ok(id)
    }
}

impl StateStore {
    /// In the directory `path`, which is made when its last part is missing and something is to be kept. `volume` is the
    /// volume's name and `id` which one it is.
    #[must_use]
    pub fn outside(path: &Path, volume: &str, id: &[u8; 16]) -> Self {
        let id: String = id.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { place: StorePlace::Outside(path.to_owned()), name: format!("{volume}-{id}") }
    }

    /// In the volume's own root.
    #[must_use]
    pub fn within(volume: &Volume) -> Self {
        Self { place: StorePlace::Within(Arc::clone(volume.root())), name: STATE_NAME.to_owned() }
    }

    /// The place beside this one for the volume's ctime baseline.
    #[must_use]
    pub fn baseline(self) -> Self {
        let name = match &self.place {
            StorePlace::Outside(_) => format!("{}.{BASELINE_NAME}", self.name),
            StorePlace::Within(_) => BASELINE_NAME.to_owned(),
        };
        Self { name, ..self }
    }

    /// What is kept, to be read from its start; `None` when nothing is.
    ///
    /// # Errors
    /// When it is there and cannot be opened, or is no regular file.
    pub fn open(&self) -> Result<Option<File>, Error> {
        let Some(dir) = self.dir()? else { return Ok(None) };
        match open_quietly(dir.as_fd(), self.name.as_bytes(), OFlags::RDONLY) {
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error { op: "open the state", errno }),
            Ok(file) if Status::of_open(&file)?.kind == EntryKind::File => Ok(Some(File::from(file))),
            Ok(_) => Err(Error { op: "open the state", errno: Errno::INVAL }),
        }
    }

    /// Replaces what is kept by what `write` writes, mode 0600, and brings it to disk.
    ///
    /// # Errors
    /// When it cannot be made or written; what was kept before stays then.
    pub fn replace(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        let op = "write the state";
        let dir = match self.dir()? {
            Some(dir) => dir,
            None => self.make()?,
        };
        let beside = format!("{}.new", self.name);
        // What a killed run left.
        let _ = rustix::fs::unlinkat(&dir, &beside, AtFlags::empty());
        let file = make_file(&dir, beside.as_bytes())?;
        let written = (|| {
            let mut buffered = BufWriter::with_capacity(65_536, File::from(file));
            write(&mut buffered)?;
            buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        })();
        let moved = written.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)).and_then(|()| {
            retry_on_intr(|| rustix::fs::renameat(&dir, &beside, &dir, &self.name))?;
            retry_on_intr(|| rustix::fs::fsync(&dir))
        });
        if moved.is_err() {
            let _ = rustix::fs::unlinkat(&dir, &beside, AtFlags::empty());
        }
        moved.cannot(op)
    }

    /// The directory it is in; `None` when that is not there.
    fn dir(&self) -> Result<Option<OwnedFd>, Error> {
        let op = "open the state's directory";
        match &self.place {
            StorePlace::Outside(path) => match open_root(path) {
                Err(Errno::NOENT) => Ok(None),
                opened => opened.cannot(op).map(Some),
            },
            StorePlace::Within(root) => match open_state_dir(&*root.descriptor()?, RESERVED) {
                Err(Error { errno: Errno::NOENT, .. }) => Ok(None),
                Ok(dir) if !has_magic(&dir) => Err(Error { op: "use a .ferry that is not ours", errno: Errno::EXIST }),
                opened => opened.map(Some),
            },
        }
    }

    fn make(&self) -> Result<OwnedFd, Error> {
        let op = "make the state's directory";
        match &self.place {
            StorePlace::Outside(path) => {
                retry_on_intr(|| rustix::fs::mkdirat(CWD, path, Bits::RWXU)).cannot(op)?;
                open_root(path).cannot(op)
            }
            // The root shows the source's times, and goes on to.
            StorePlace::Within(root) => root.keep_times(|| make_within(root)).0,
        }
    }
}

/// Makes `.ferry`: under another name until its magic is on disk.
fn make_within(root: &Dir) -> Result<OwnedFd, Error> {
    let op = "make the state's directory";
    let above = root.descriptor()?;
    // A temporary's name: what a killed run leaves of it goes with the next run.
    let seed = u64::from(std::process::id());
    let temporary = format!(".ferry-{seed:x}-0");
    retry_on_intr(|| rustix::fs::mkdirat(&above, &temporary, Bits::RWXU)).cannot(op)?;
    let made = open_state_dir(&above, temporary.as_bytes()).and_then(|dir| {
        let magic = make_file(&dir, MAGIC_NAME)?;
        write_all_at(&magic, MAGIC, 0)?;
        retry_on_intr(|| rustix::fs::fsync(&magic)).and_then(|()| rustix::fs::fsync(&dir)).cannot(op)?;
        match rustix::fs::renameat_with(&*above, &temporary, &*above, RESERVED, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(&*above, &temporary, &*above, RESERVED),
            renamed => renamed,
        }
        .cannot(op)?;
        Ok(dir)
    });
    if made.is_err() {
        if let Ok(dir) = open_state_dir(&above, temporary.as_bytes()) {
            let _ = rustix::fs::unlinkat(&dir, MAGIC_NAME, AtFlags::empty());
        }
        let _ = rustix::fs::unlinkat(&above, &temporary, AtFlags::REMOVEDIR);
    }
    made
}

fn open_state_dir(above: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Error> {
    open_quietly(above.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY).cannot("open the state's directory")
}

fn has_magic(dir: &OwnedFd) -> bool {
    let Ok(file) = open_quietly(dir.as_fd(), MAGIC_NAME, OFlags::RDONLY) else { return false };
    let mut found = [0; MAGIC.len()];
    matches!(super::source::read_at(&file, &mut found, 0), Ok(len) if len == MAGIC.len()) && found == *MAGIC
}

fn make_file(dir: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Error> {
    let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(dir, name, how, Bits::RUSR | Bits::WUSR)).cannot("write the state")
}
