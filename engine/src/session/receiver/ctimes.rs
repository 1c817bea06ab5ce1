//! The ctime baseline: what was equal at the end of the last run and has not changed since, on neither side, need not have
//! its extended attributes looked at (engine-rules 11).
//!
//! ```text
//!  begin   baseline -> given to the sender          same vantages, steady clocks; not with --checksum, --verify
//!  pass 0  entries not looked at -> trusted         when nothing changed here either, else another pass looks at all
//!  end     clean, synced, a tick waited -> baseline
//! ```
//! A ctime tells that an inode was not changed, not where it stands: children of a directory that is moved keep theirs. So
//! an entry is trusted only in a directory that is *the same* as then: the root is; another is when the one above is the
//! same and either that or itself shows no change, for a rename changes both. Nothing here can fail a run, and anything
//! odd means that everything is looked at.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::delta::{BASELINE_LEN, Baseline};
use crate::plan::XattrPolicy;
use crate::session::fate::lock;
use crate::session::report::Tally;
use crate::types::{Bounds, LossCounts, Moment, Options, Outcome, Shape, StatePlace, Vantage};
use crate::volume::{self, StateStore, Status, Volume, moment};
use crate::wire::Hello;

use super::batches::Place;
use super::cache::store_at;
use super::existing::Existing;

/// Added to the tick that is waited for: what a sleep may be short of.
const SLACK: Duration = Duration::from_millis(1);

/// What a session takes from the last one by ctimes, and leaves for the next.
#[derive(Debug, Default)]
pub struct Ctimes {
    keeper: Option<Keeper>,
    given: Option<Baseline>,
    /// The current pass may bring entries that were not looked at.
    admits: AtomicBool,
    /// One of them must be.
    looks_again: AtomicBool,
    /// Something is mounted below the root: no baseline is made of what was compared there.
    mounted: AtomicBool,
    /// The session had to look again.
    looked_again: AtomicBool,
    /// When the last transfer pass began.
    began: Mutex<Option<Moment>>,
}

/// Where a baseline is kept, and from where both sides are seen.
#[derive(Debug)]
struct Keeper {
    place: StateStore,
    source: Vantage,
    destination: Vantage,
}

/// What is known of a directory of the destination since the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constancy {
    /// It is the directory that stood here then.
    pub same: bool,
    /// No name was made, renamed or removed in it.
    pub quiet: bool,
}

/// What decides whether a session may have a baseline, besides the volume itself.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub hello: &'a Hello,
    /// What is followed, bounds applied.
    pub options: &'a Options,
    pub bounds: &'a Bounds,
    pub xattrs: XattrPolicy,
    pub copies_root: bool,
    /// The destination is empty: there is nothing that could be trusted.
    pub empty: bool,
}

impl Ctimes {
    /// What is kept of a volume, as far as it holds; and what people should know.
    pub fn open(state: &StatePlace, name: &str, volume: &Volume, terms: &Terms<'_>) -> (Self, Option<String>) {
        let Some(keeper) = Keeper::of(state, name, volume, terms) else { return Default::default() };
        let trusts = !terms.options.checksum && !terms.options.verify && !terms.empty;
        let (given, note) = match load(&keeper.place) {
            Loaded::Nothing => (None, None),
            Loaded::Useless => (None, Some("the ctime baseline of the last run is not used: it is damaged".to_owned())),
            Loaded::Baseline(baseline) => (Some(baseline), None),
        };
        let given = given.filter(|baseline| trusts && keeper.agrees_with(baseline));
        (Self { keeper: Some(keeper), given, ..Self::default() }, note)
    }

    /// Whether a baseline is kept at the end.
    pub fn remembers(&self) -> bool {
        self.keeper.is_some()
    }

    /// Since when the source need not look at what did not change.
    pub fn given(&self) -> Option<Moment> {
        self.given.map(|baseline| baseline.listed)
    }

    /// A transfer pass begins; the session's first may bring entries that were not looked at.
    pub fn begin_pass(&self, first: bool) {
        self.admits.store(first && self.given.is_some(), Relaxed);
        self.looks_again.store(false, Relaxed);
        self.mounted.store(false, Relaxed);
        *lock(&self.began) = moment();
    }

    /// A pass begins in which everything is looked at.
    pub fn begin_other_pass(&self) {
        self.admits.store(false, Relaxed);
        self.looks_again.store(false, Relaxed);
    }

    /// Whether an entry that was not looked at is in its place.
    pub fn admits(&self) -> bool {
        self.admits.load(Relaxed)
    }

    /// Something was not looked at that has to be: nothing is done about it before the next pass.
    pub fn look_again(&self) {
        self.looks_again.store(true, Relaxed);
        self.looked_again.store(true, Relaxed);
    }

    /// Something stands that is not what its directory lists. That it comes or goes changes no ctime.
    pub fn note_mount(&self) {
        self.mounted.store(true, Relaxed);
    }

    /// Whether this pass has met such an entry.
    pub fn looks_again(&self) -> bool {
        self.looks_again.load(Relaxed)
    }

    /// Whether an inode was certainly not changed here since the baseline.
    pub fn is_unchanged(&self, status: &Status) -> bool {
        self.given.is_some_and(|baseline| status.is_unchanged_since(&baseline.settled))
    }

    /// What is known of the root.
    pub fn constancy_of_root(&self, status: &Status) -> Constancy {
        Constancy { same: self.given.is_some(), quiet: self.is_unchanged(status) }
    }

    /// What is known of a directory that stands in `parent`.
    pub fn constancy(&self, parent: &Place, existing: &Existing) -> Constancy {
        let quiet = self.is_unchanged(&existing.status);
        Constancy { same: parent.since.same && existing.uncovered && (parent.since.quiet || quiet), quiet }
    }

    /// After everything was synced: keeps a baseline for the next run, when this one was clean and the sender has `listed`
    /// everything without anything odd. `written` is when the last thing was written here.
    ///
    /// # Errors
    /// When it cannot be written; what was there before stays, and stays right.
    pub fn save(
        &self,
        volume: &Volume,
        tally: &Tally,
        (outcome, loss): (Outcome, LossCounts),
        listed: Option<Moment>,
        written: Instant,
    ) -> Result<(), volume::Error> {
        let (Some(keeper), Some(listed)) = (&self.keeper, listed) else { return Ok(()) };
        if outcome != Outcome::Clean || loss.iter().next().is_some() || self.mounted.load(Relaxed) {
            return Ok(());
        }
        let [made, changed, gone, scanned, unlooked] =
            [&tally.created, &tally.updated, &tally.deleted, &tally.scanned, &tally.unlooked].map(|n| n.load(Relaxed));
        let touched = made + changed + gone > 0;
        if self.given.is_some() && !touched && !self.looked_again.load(Relaxed) && unlooked == scanned {
            // What is kept says all that could be said.
            return Ok(());
        }
        let settled = if touched {
            // What was written last is to be older than a tick, or the next run would not trust it.
            std::thread::sleep((volume.tick() + SLACK).saturating_sub(written.elapsed()));
            moment()
        } else {
            // Nothing was written: what somebody else changes from the first look on is seen in the next run.
            *lock(&self.began)
        };
        let Some(settled) = settled else { return Ok(()) };
        let baseline = Baseline { source: keeper.source, destination: keeper.destination, listed, settled };
        keeper.place.replace(|to| to.write_all(&baseline.to_bytes()))
    }
}

impl Keeper {
    /// `None` where nothing is kept between runs, or ctimes prove nothing, or there is nothing to spare.
    fn of(state: &StatePlace, name: &str, volume: &Volume, terms: &Terms<'_>) -> Option<Self> {
        let Terms { hello, options, bounds, xattrs, copies_root, empty: _ } = *terms;
        let source = hello.vantage?;
        let is_tree = hello.source == Shape::Directory && volume.single().is_none();
        if !is_tree || !options.xattrs || options.dry_run || !volume.tells_changes() {
            return None;
        }
        // What cannot be used is said when the leaf cache is opened.
        let (place, _) = store_at(state, name, volume, options).ok()??;
        let decides = (xattrs, options.owner, options.excludes.as_slice(), options.delete_excluded, copies_root);
        let decides = format!("{decides:?} {} {}", bounds.no_setuid, bounds.no_devices);
        let destination = volume.vantage(xattrs.selinux, decides.as_bytes()).ok()?;
        Some(Self { place: place.baseline(), source, destination })
    }

    /// Whether a baseline is of the same two volumes, seen as they are now, and our clock was not set since.
    fn agrees_with(&self, baseline: &Baseline) -> bool {
        let same = baseline.source == self.source && baseline.destination == self.destination;
        same && moment().is_some_and(|now| baseline.settled.is_steady_until(&now))
    }
}

enum Loaded {
    Nothing,
    Useless,
    Baseline(Baseline),
}

fn load(place: &StateStore) -> Loaded {
    let file = match place.open() {
        Ok(Some(file)) => file,
        Ok(None) => return Loaded::Nothing,
        Err(error) => {
            tracing::warn!(%error, "no ctime baseline");
            return Loaded::Nothing;
        }
    };
    let mut bytes = Vec::with_capacity(BASELINE_LEN + 1);
    let read = file.take(BASELINE_LEN as u64 + 1).read_to_end(&mut bytes);
    match Baseline::from_bytes(&bytes).filter(|_| read.is_ok()) {
        Some(baseline) => Loaded::Baseline(baseline),
        None => Loaded::Useless,
    }
}
