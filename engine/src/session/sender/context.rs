//! What the threads and tasks of one sending session share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::delta::Anchors;
use crate::plan::{Excludes, XattrPolicy};
use crate::session::error::SessionError;
use crate::session::fate::{Fate, lock};
use crate::session::progress::Progress;
use crate::session::report::Tally;
use crate::tunnel::Outbox;
use crate::types::{
    ChownTo, Compress, LeafKey, Moment, Options, Problem, Problems, RelPath, Restless, SessionKey, Stage, limits,
};
use crate::volume::Volume;
use crate::wire::Message;

use super::book::Book;
use super::work::WorkQueue;

/// One sending session.
pub struct Sending {
    pub fate: Fate,
    pub volume: Arc<Volume>,
    pub options: Options,
    pub chown: Option<ChownTo>,
    pub one_file_system: bool,
    pub excludes: Excludes,
    pub xattrs: XattrPolicy,
    /// What did not change since then need not be looked at in the first pass.
    pub baseline: Option<Moment>,
    /// The receiver wants to know when the last pass began.
    pub remembers: bool,
    /// Something is mounted below the root: what this pass lists makes no baseline.
    pub mounted: AtomicBool,
    pub leaf_key: LeafKey,
    pub anchors: Anchors,
    /// How content is compressed; not at all when the receiver does not take it.
    pub compress: Compress,
    pub session_key: SessionKey,
    pub control: Outbox,
    pub book: Book,
    pub work: WorkQueue,
    pub changed: ChangedPaths,
    /// What becomes of files that never hold still.
    pub restless: Restless,
    /// No further pass follows, and what does not hold still is taken as it is found.
    pub last_chance: AtomicBool,
    /// Nanoseconds that the reading threads have waited for room to send, all together.
    pub waited_ns: AtomicU64,
    /// What the receiver met.
    pub peer: Mutex<Problems>,
    /// The report is here: what breaks now breaks nothing.
    pub reported: AtomicBool,
    pub tally: Arc<Tally>,
    pub progress: Arc<Progress>,
}

impl Sending {
    /// How long the reading threads have waited for room to send, all together.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_ns.load(Relaxed))
    }

    /// Records a problem; the receiver hears of it before the end.
    pub fn problem(&self, path: RelPath, stage: Stage, cause: impl Into<String>) {
        self.tally.problem(Problem::new(path, stage, cause));
    }

    /// Tells the receiver the problems of this side, up to what its report keeps.
    pub fn tell_problems(&self) {
        for problem in self.tally.problems().kept() {
            self.post(&Message::Problem(problem.clone()));
        }
    }

    /// A connection ended: the session's failure, unless its report is here.
    pub fn broken(&self, error: SessionError) {
        if !self.reported.load(Relaxed) {
            self.fate.fail(error);
        }
    }

    /// Queues a control message. When the connection is gone the session's fate says so; nothing to do here.
    pub fn post(&self, message: &Message) {
        let _ = self.control.post(message.encode());
    }
}

/// One of them: where, at which stage, and its sentence should it become a problem.
type ChangedPath = (RelPath, Stage, &'static str);

/// Paths that changed while they were listed or read: reason for another pass, and problems if there is none.
#[derive(Debug, Default)]
pub struct ChangedPaths(Mutex<Changed>);

#[derive(Debug, Default)]
struct Changed {
    kept: Vec<ChangedPath>,
    total: u64,
    /// Of them, those the destination has in some state.
    at_hand: u64,
    vanished: u64,
}

impl ChangedPaths {
    /// One more path; `cause` is its sentence should it become a problem. `at_hand`: the destination gets some state of it,
    /// which the next run tells from the source's.
    pub fn push(&self, path: RelPath, stage: Stage, cause: &'static str, at_hand: bool) {
        let mut changed = lock(&self.0);
        changed.total += 1;
        changed.at_hand += u64::from(at_hand);
        if changed.kept.len() < limits::PROBLEMS_KEPT_MAX {
            changed.kept.push((path, stage, cause));
        }
    }

    /// A path that was listed and then gone: reason for another pass, never a problem.
    pub fn vanished(&self) {
        lock(&self.0).vanished += 1;
    }

    /// Whether a further pass may find what this one missed.
    pub fn any(&self) -> bool {
        let changed = lock(&self.0);
        changed.total > 0 || changed.vanished > 0
    }

    /// Forgets all; a new pass begins.
    pub fn clear(&self) {
        *lock(&self.0) = Changed::default();
    }

    /// The paths kept, how many there are beyond them, and whether the destination has some state of each.
    pub fn take(&self) -> (Vec<ChangedPath>, u64, bool) {
        let changed = std::mem::take(&mut *lock(&self.0));
        let beyond = changed.total.saturating_sub(changed.kept.len() as u64);
        (changed.kept, beyond, changed.at_hand == changed.total)
    }
}
