//! The leaf cache: what a destination remembers of its large files from one run to the next, so that they need not be
//! read again (engine-rules 2).
//!
//! ```text
//!  begin   state file -> loaded                     by inode; used while size, mtime and ctime are the same
//!  during  loaded -> leaves for the sender          not with --checksum, --verify, or in a verification
//!          what was compared, written, kept -> kept
//!  end     sync, wait for a tick, look again, kept -> state file       only when it differs from what was loaded
//! ```
//! Nothing here can fail a run: a state that is damaged, foreign or of another volume is said and left out. It never
//! remembers what it cannot vouch for: other file systems below the root, files with several names, files that changed
//! since they were settled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::delta::{FileLeaves, FileRecord, FileStamp, State, StateError, read_state, write_state};
use crate::session::fate::lock;
use crate::types::limits::{CACHED_FILE_LEN_MIN, CACHED_FILES_MAX, CACHED_LEAVES_MAX, PACKED_FILE_LEN_MAX};
use crate::types::{Entry, EntryKind, LeafKey, Name, Options, Outcome, StatePlace, Timestamp};
use crate::volume::{self, BasisFile, Dir, StateStore, Status, Volume};

use super::batches::{How, Place, Plan};
use super::collected::Collected;
use super::context::{PassMode, Receiving};

/// What a session knows of its volume's large files.
#[derive(Debug, Default)]
pub struct LeafCache {
    store: Option<Store>,
    /// By inode.
    loaded: HashMap<u64, FileRecord>,
    kept: Mutex<HashMap<u64, Kept>>,
    /// Leaves that are held for `kept`, those under way included.
    held: AtomicU64,
}

/// Where it is kept.
#[derive(Debug)]
struct Store {
    place: StateStore,
    id: [u8; 16],
    device: u64,
    /// Loaded leaves may stand for what would be read.
    trusts: bool,
    /// What stands there is of no use and is replaced in any case.
    stale: bool,
}

/// A file that was settled in this session.
#[derive(Debug)]
struct Kept {
    dir: Arc<Dir>,
    name: Name,
    record: FileRecord,
}

/// A cache that was opened.
pub struct OpenedCache {
    pub cache: LeafCache,
    /// The key of what was loaded.
    pub key: Option<LeafKey>,
    /// For people.
    pub notes: Vec<String>,
}

impl LeafCache {
    /// Loads what is remembered of a volume.
    pub fn open(place: &StatePlace, name: &str, volume: &Volume, options: &Options) -> OpenedCache {
        let mut opened = OpenedCache { cache: Self::default(), key: None, notes: Vec::new() };
        let (store, id) = match store_at(place, name, volume, options) {
            Ok(Some(found)) => found,
            Ok(None) => return opened,
            Err(note) => {
                opened.notes.push(note);
                return opened;
            }
        };
        let mut stale = false;
        match load(&store, &id) {
            Ok(None) => {}
            Ok(Some(state)) => {
                opened.key = Some(state.key);
                opened.cache.loaded = state.files.into_iter().map(|file| (file.stamp.ino, file)).collect();
            }
            Err(Unloaded::Useless(why)) => {
                stale = true;
                opened.notes.push(format!("what was remembered of the last run is not used: {why}"));
            }
            Err(Unloaded::Unusable(error)) => {
                opened.notes.push(unusable(&error));
                return opened;
            }
        }
        for note in &opened.notes {
            tracing::warn!(volume = name, "{note}");
        }
        let trusts = !options.checksum && !options.verify;
        opened.cache.store = Some(Store { place: store, id, device: volume.device(), trusts, stale });
        opened
    }

    /// Whether anything can be kept between runs.
    pub fn keeps(&self) -> bool {
        self.store.is_some()
    }

    /// What is remembered of the content of a file of `status`, to stand for reading it.
    pub fn trusted(&self, status: &Status, source_len: u64) -> Option<Arc<FileLeaves>> {
        let trusts = self.store.as_ref().is_some_and(|store| store.trusts);
        // Smaller ones are answered leaf by leaf, zeros too.
        (trusts && source_len > PACKED_FILE_LEN_MAX).then(|| self.find(status)).flatten()
    }

    fn find(&self, status: &Status) -> Option<Arc<FileLeaves>> {
        let store = self.store.as_ref()?;
        let loaded = self.loaded.get(&status.identity.ino)?;
        let same = status.identity.dev == store.device && loaded.stamp == stamp(status);
        same.then(|| Arc::clone(&loaded.leaves))
    }

    /// Whether a file of that size is remembered.
    fn remembers(&self, size: u64) -> bool {
        self.store.is_some() && size >= CACHED_FILE_LEN_MIN
    }

    /// Takes room for leaves; `false` when there is none left.
    pub fn hold(&self, leaves: u64) -> bool {
        self.held.fetch_add(leaves, Relaxed).saturating_add(leaves) <= CACHED_LEAVES_MAX
    }

    /// Gives room for leaves back.
    pub fn let_go(&self, leaves: u64) {
        self.held.fetch_sub(leaves, Relaxed);
    }

    /// Keeps what a file holds, for which room was taken.
    fn keep(&self, dir: &Arc<Dir>, name: &Name, status: &Status, leaves: Arc<FileLeaves>) {
        let count = leaves.count();
        let ours = self.store.as_ref().is_some_and(|store| store.device == status.identity.dev);
        let mut kept = lock(&self.kept);
        let fits = kept.len() < CACHED_FILES_MAX && status.kind == EntryKind::File && status.nlink == 1;
        if !ours || !fits {
            return self.let_go(count);
        }
        let record = FileRecord { stamp: stamp(status), leaves };
        let kept_one = Kept { dir: Arc::clone(dir), name: name.clone(), record };
        if let Some(before) = kept.insert(status.identity.ino, kept_one) {
            self.let_go(before.record.leaves.count());
        }
    }

    /// After everything was synced: writes what is known now, if that is something else than what was loaded.
    ///
    /// # Errors
    /// When it cannot be written; what was there before stays, and stays right.
    pub fn save(&self, volume: &Volume, key: &LeafKey, outcome: Outcome) -> Result<(), volume::Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut kept = std::mem::take(&mut *lock(&self.kept));
        if outcome == Outcome::Differences {
            // What is on disk is not what was thought to be.
            kept.clear();
        }
        let tick = volume.tick();
        let fresh = |kept: &Kept| self.loaded.get(&kept.record.stamp.ino).is_none_or(|l| l.stamp != kept.record.stamp);
        if let Some(newest) = kept.values().filter(|kept| fresh(kept)).map(|kept| kept.record.stamp.ctime).max() {
            std::thread::sleep(until_older(newest, now(), tick));
        }
        let written = now();
        kept.retain(|_, kept| {
            let same =
                matches!(kept.dir.status_of(&kept.name), Ok(Some(status)) if stamp(&status) == kept.record.stamp);
            same && until_older(kept.record.stamp.ctime, written, tick).is_zero()
        });
        let changed = kept.len() != self.loaded.len() || kept.values().any(fresh);
        if !changed && !store.stale {
            return Ok(());
        }
        let records: Vec<&FileRecord> = kept.values().map(|kept| &kept.record).collect();
        store.place.replace(|to| write_state(to, key, written, &store.id, records.iter().copied()))
    }
}

impl Receiving {
    /// Whether a file of that size is remembered when it has arrived.
    pub fn collects(&self, size: u64) -> bool {
        self.cache.remembers(size) && self.mode() == PassMode::Transfer
    }

    /// What collects the leaves of a file that is arriving; `None` when nothing is remembered of it.
    pub fn collector(&self, plan: &Plan) -> Option<Collected> {
        let size = plan.entry.size();
        (!matches!(plan.how, How::Discard) && self.collects(size)).then(|| Collected::new(size))
    }

    /// A large file is in place: what it holds is remembered.
    pub fn remember(&self, place: &Place, entry: &Entry, collected: Collected) {
        let held = collected.held();
        // Looked at before anything is read again: what changes from here on shows.
        let settled = match place.dir.status_of(&entry.name) {
            Ok(Some(status)) if status.size == entry.size() && status.mtime == self.volume.clamp(entry.mtime) => status,
            _ => return self.cache.let_go(held),
        };
        let opened = if collected.is_whole() {
            None
        } else {
            match BasisFile::open(&place.dir, &entry.name, settled.identity) {
                Ok(file) => Some(file),
                Err(_) => return self.cache.let_go(held),
            }
        };
        let read = |buffer: &mut [u8], offset: u64| {
            opened.as_ref().is_some_and(|file| matches!(file.read_at(buffer, offset), Ok(len) if len == buffer.len()))
        };
        match collected.complete(|leaf| self.record(leaf), read) {
            Some(leaves) => {
                self.cache.let_go(held.saturating_sub(leaves.count()));
                self.cache.keep(&place.dir, &entry.name, &settled, Arc::new(leaves));
            }
            None => self.cache.let_go(held),
        }
    }

    /// A file was left as it was, `before`, but perhaps for its attributes: what was remembered of it still holds.
    pub fn remember_unchanged(&self, place: &Place, entry: &Entry, before: &Status) {
        if !self.cache.remembers(entry.size()) {
            return;
        }
        let Some(leaves) = self.cache.find(before) else { return };
        let Ok(Some(after)) = place.dir.status_of(&entry.name) else { return };
        if after.identity == before.identity && after.size == before.size && after.mtime == before.mtime {
            if self.cache.hold(leaves.count()) {
                self.cache.keep(&place.dir, &entry.name, &after, leaves);
            } else {
                self.cache.let_go(leaves.count());
            }
        }
    }
}

/// Where a volume's state is, and which volume that is; `None` where nothing is remembered, or a note for people.
pub(super) fn store_at(
    place: &StatePlace,
    name: &str,
    volume: &Volume,
    options: &Options,
) -> Result<Option<(StateStore, [u8; 16])>, String> {
    // A device has no times that tell a change (engine-rules 23).
    if options.dry_run || volume.block_device().is_some() {
        return Ok(None);
    }
    let id = || volume.state_id().map_err(|error| unusable(&error));
    match place {
        StatePlace::None => Ok(None),
        StatePlace::Volume if volume.single().is_some() => {
            Err("a single file has no room for state; name a directory with --state DIR".to_owned())
        }
        StatePlace::Volume => Ok(Some((StateStore::within(volume), id()?))),
        StatePlace::Dir(path) => {
            let id = id()?;
            Ok(Some((StateStore::outside(path, name, &id), id)))
        }
    }
}

fn unusable(error: &volume::Error) -> String {
    format!("no state is kept between runs: {error}")
}

/// Why nothing was loaded.
enum Unloaded {
    /// The place works, what stands there does not.
    Useless(String),
    /// The place does not work.
    Unusable(volume::Error),
}

fn load(store: &StateStore, id: &[u8; 16]) -> Result<Option<State>, Unloaded> {
    let Some(file) = store.open().map_err(Unloaded::Unusable)? else { return Ok(None) };
    let state = read_state(&mut std::io::BufReader::with_capacity(65_536, file), id).map_err(|error| {
        let cause = match &error {
            StateError::Io(cause) => format!("{error}: {cause}"),
            _ => error.to_string(),
        };
        Unloaded::Useless(cause)
    })?;
    if state.written > now() {
        return Err(Unloaded::Useless("it was written later than the clock says it is now".to_owned()));
    }
    Ok(Some(state))
}

fn stamp(status: &Status) -> FileStamp {
    FileStamp { ino: status.identity.ino, size: status.size, mtime: status.mtime, ctime: status.ctime }
}

/// How long until `changed` is a `tick` ago; a whole tick when it lies in the future.
fn until_older(changed: Timestamp, now: Timestamp, tick: Duration) -> Duration {
    match u64::try_from(now.nanos_since(changed)) {
        Ok(age) => tick.saturating_sub(Duration::from_nanos(age)),
        Err(_) if now < changed => tick,
        Err(_) => Duration::ZERO,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_that_is_a_tick_old_is_old_enough() {
        let at = |secs| Timestamp::new(secs, 0).unwrap();
        let tick = Duration::from_secs(2);
        assert_eq!(until_older(at(10), at(12), tick), Duration::ZERO);
        assert_eq!(until_older(at(11), at(12), tick), Duration::from_secs(1));
        assert_eq!(until_older(at(13), at(12), tick), tick, "a change in the future");
        assert_eq!(until_older(at(i64::MIN), at(12), tick), Duration::ZERO);
    }

    #[test]
    fn room_for_leaves_is_bounded() {
        let cache = LeafCache::default();
        assert!(cache.hold(CACHED_LEAVES_MAX));
        assert!(!cache.hold(1));
        cache.let_go(2);
        assert!(cache.hold(1));
    }
}
