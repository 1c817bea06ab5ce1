//! What a run has to say at its end, and the tally it is made from.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::types::{
    BytesCount, Cause, EntriesCount, LossCounts, LossKind, LossSet, Outcome, Problem, Problems, RunId, WireCount,
};

use crate::wire::{Item, ItemChange};

use super::fate::lock;

/// Takes the changes of a dry run, one by one.
#[derive(Clone)]
pub struct ItemSink(Arc<Mutex<Take>>);

type Take = Box<dyn FnMut(&Item) + Send>;

impl ItemSink {
    /// A sink that calls `take` for each change.
    pub fn new(take: impl FnMut(&Item) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(take))))
    }
}

impl std::fmt::Debug for ItemSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ItemSink")
    }
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Which run.
    pub run: RunId,
    /// The worst outcome of its volumes.
    pub outcome: Outcome,
    /// One report a volume.
    pub volumes: Vec<VolumeReport>,
    /// What crossed the network.
    pub wire: WireCount,
    /// How long it took.
    pub elapsed: Duration,
}

/// The end of one volume's run.
#[derive(Clone, Debug)]
pub struct VolumeReport {
    /// The volume's name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it is not clean: a sentence.
    pub text: Option<String>,
    /// What stands behind the outcome, where more is known of it than its sentence.
    pub cause: Option<Cause>,
    /// Entries by what became of them.
    pub entries: EntriesCount,
    /// Bytes by how the destination came to have them.
    pub bytes: BytesCount,
    /// What went wrong with single paths.
    pub problems: Problems,
    /// What could not be kept.
    pub loss: LossCounts,
    /// What the receiver's bounds or privilege changed, for people.
    pub notes: Vec<String>,
    /// Dry run: how many changes would be made.
    pub items: u64,
    /// Of the problems, those of paths that changed while they were read and are at the destination in some state, which the
    /// next run tells from the source's.
    pub unsettled: u64,
    /// From the beginning of its first session to the end of its last.
    pub elapsed: Duration,
}

/// The counters of one volume over all sessions of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) scanned: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) updated: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) vanished: AtomicU64,
    /// Entries of the last pass whose extended attributes were not looked at.
    pub(crate) unlooked: AtomicU64,
    pub(crate) bytes_total: AtomicU64,
    pub(crate) literal: AtomicU64,
    /// Of them, those that crossed compressed, and what these took on the wire.
    pub(crate) compressed: AtomicU64,
    pub(crate) compressed_to: AtomicU64,
    pub(crate) copied: AtomicU64,
    pub(crate) holes: AtomicU64,
    pub(crate) items: AtomicU64,
    /// Dry run: entries of the source that would be made or changed.
    pub(crate) stale: AtomicU64,
    pub(crate) differences: AtomicU64,
    /// Of the problems, those of paths that changed while they were read and are at the destination in some state.
    pub(crate) unsettled: AtomicU64,
    /// When the first session began and when the tally was last touched.
    times: Mutex<Option<(Instant, Instant)>>,
    problems: Mutex<Problems>,
    loss: Mutex<LossCounts>,
    notes: Mutex<Vec<String>>,
    sink: Option<ItemSink>,
}

impl Tally {
    /// Nothing counted yet; changes of a dry run go to `sink`. The time begins to run.
    #[must_use]
    pub fn new(sink: Option<ItemSink>) -> Self {
        let tally = Self { sink, ..Self::default() };
        tally.touch();
        tally
    }

    /// A session begins or ends: the time between the first and the last of these is the volume's.
    pub(crate) fn touch(&self) {
        let now = Instant::now();
        let mut times = lock(&self.times);
        *times = Some((times.map_or(now, |(begun, _)| begun), now));
    }

    /// A pass over everything begins: what the last one met, it meets again.
    pub(crate) fn begin_pass(&self) {
        *lock(&self.problems) = Problems::default();
        *lock(&self.loss) = LossCounts::default();
        self.differences.store(0, Relaxed);
        self.items.store(0, Relaxed);
        self.unlooked.store(0, Relaxed);
        self.unsettled.store(0, Relaxed);
    }

    /// The problems so far.
    pub(crate) fn problems(&self) -> Problems {
        lock(&self.problems).clone()
    }

    /// One change of a dry run.
    pub(crate) fn item(&self, item: &Item) {
        self.add(|t| &t.items, 1);
        if item.change != ItemChange::Delete {
            self.add(|t| &t.stale, 1);
        }
        if let Some(ItemSink(take)) = &self.sink {
            (lock(take))(item);
        }
    }

    /// Records a problem.
    pub fn problem(&self, problem: Problem) {
        tracing::warn!(path = %problem.path, stage = problem.stage.word(), cause = %problem.cause, "problem");
        let mut problems = lock(&self.problems);
        // Verification meets again what the transfer met.
        if !problems.kept().contains(&problem) {
            problems.push(problem);
        }
    }

    /// Adds what the peer met: in full what it told, and counted what is beyond.
    pub(crate) fn add_peer(&self, told: Problems, total: u64) {
        let mut problems = lock(&self.problems);
        problems.add_uncounted(total.saturating_sub(told.total()));
        told.kept().iter().for_each(|problem| problems.push(problem.clone()));
    }

    /// How many problems there are.
    #[must_use]
    pub fn problems_total(&self) -> u64 {
        lock(&self.problems).total()
    }

    /// Records a loss.
    pub fn lost(&self, kind: LossKind) {
        lock(&self.loss).add(kind, 1);
    }

    /// The losses so far.
    #[must_use]
    pub fn loss(&self) -> LossCounts {
        *lock(&self.loss)
    }

    /// Replaces the losses by what the peer counted.
    pub fn set_loss(&self, loss: LossCounts) {
        *lock(&self.loss) = loss;
    }

    /// Keeps a note, once.
    pub fn note(&self, note: &str) {
        let mut notes = lock(&self.notes);
        if !notes.iter().any(|n| n == note) {
            notes.push(note.to_owned());
        }
    }

    /// Adds to a counter.
    pub(crate) fn add(&self, counter: impl Fn(&Self) -> &AtomicU64, count: u64) {
        counter(self).fetch_add(count, Relaxed);
    }

    /// How the volume ended when its session ended well.
    #[must_use]
    pub fn outcome(&self, accepted: LossSet) -> (Outcome, Option<String>) {
        let problems = self.problems_total();
        let differences = self.differences.load(Relaxed);
        if differences > 0 {
            return (Outcome::Differences, Some(format!("verification found {differences} differences")));
        }
        if problems > 0 {
            return (Outcome::Problems, Some(format!("finished with {problems} problems")));
        }
        let loss = self.loss();
        if accepted.covers(&loss) {
            return (Outcome::Clean, None);
        }
        let words: Vec<&str> =
            loss.iter().map(|(kind, _)| kind).filter(|k| !accepted.contains(*k)).map(LossKind::word).collect();
        let words = words.join(",");
        let text = format!("finished, but could not keep: {words}; if that is fine, add --accept-loss {words}");
        (Outcome::Problems, Some(text))
    }

    /// The report of a volume that ended with `outcome`. What was not compared to the end is called neither unchanged nor
    /// trusted, and neither is what a dry run would change.
    #[must_use]
    pub fn report(&self, name: &str, outcome: Outcome, text: Option<String>) -> VolumeReport {
        let [scanned, created, updated] = [&self.scanned, &self.created, &self.updated].map(|c| c.load(Relaxed));
        let [total, literal, copied, holes] =
            [&self.bytes_total, &self.literal, &self.copied, &self.holes].map(|c| c.load(Relaxed));
        let stale = self.stale.load(Relaxed);
        let compared =
            matches!(outcome, Outcome::Clean | Outcome::Problems | Outcome::Differences | Outcome::SafetyHalt);
        let rest = |whole: u64, parts: &[u64]| {
            if compared { parts.iter().fold(whole, |rest, part| rest.saturating_sub(*part)) } else { 0 }
        };
        let elapsed = lock(&self.times).map_or(Duration::ZERO, |(begun, last)| last - begun);
        VolumeReport {
            name: name.to_owned(),
            outcome,
            text,
            cause: None,
            entries: EntriesCount {
                scanned,
                created,
                updated,
                unchanged: rest(scanned, &[created, updated, stale]),
                deleted: self.deleted.load(Relaxed),
                vanished: self.vanished.load(Relaxed),
                trusted_attributes: if compared { self.unlooked.load(Relaxed) } else { 0 },
            },
            bytes: BytesCount {
                total,
                literal,
                compressed: self.compressed.load(Relaxed),
                compressed_to: self.compressed_to.load(Relaxed),
                copied,
                holes,
                trusted: if stale > 0 { 0 } else { rest(total, &[literal, copied, holes]) },
            },
            problems: lock(&self.problems).clone(),
            loss: self.loss(),
            notes: lock(&self.notes).clone(),
            items: self.items.load(Relaxed),
            unsettled: self.unsettled.load(Relaxed),
            elapsed,
        }
    }
}

impl VolumeReport {
    /// The same, with what stands behind the outcome.
    #[must_use]
    pub fn because(self, cause: Option<Cause>) -> Self {
        Self { cause, ..self }
    }
}

impl RunReport {
    /// Puts the volumes together: the worst outcome is the run's.
    #[must_use]
    pub fn of(run: RunId, volumes: Vec<VolumeReport>, wire: WireCount, elapsed: Duration) -> Self {
        let outcome = volumes.iter().map(|v| v.outcome).max().unwrap_or(Outcome::Clean);
        Self { run, outcome, volumes, wire, elapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RelPath, Stage};

    #[test]
    fn what_a_cut_session_found_is_forgotten_when_the_next_one_begins() {
        let tally = Tally::default();
        tally.add(|t| &t.differences, 1);
        tally.problem(Problem::new(RelPath::root(), Stage::Verify, "it differs"));
        assert_eq!(tally.outcome(LossSet::default()).0, Outcome::Differences);
        tally.begin_pass();
        assert_eq!(tally.outcome(LossSet::default()).0, Outcome::Clean);
    }

    #[test]
    fn a_problem_met_twice_counts_once() {
        let tally = Tally::default();
        for cause in ["gone", "gone", "unreadable"] {
            tally.problem(Problem::new(RelPath::root(), Stage::Scan, cause));
        }
        assert_eq!(tally.problems_total(), 2);
    }
}
