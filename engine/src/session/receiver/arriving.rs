//! A large file that is arriving: its segments in any order on any lane, each covered once, then its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::session::fate::lock;
use crate::types::limits::SEGMENT_LEN;
use crate::volume::FileWriter;
use crate::wire::FileState;

use super::batches::Plan;
use super::collected::Collected;

/// More separate stretches of covered segments than any sender of ours leaves.
const STRETCHES_MAX: usize = 4_096;

/// A large file on its way to disk.
#[derive(Debug)]
pub struct Arriving {
    pub plan: Box<Plan>,
    /// `None` once it is finished, or when it could not be opened, or is only compared.
    pub writer: RwLock<Option<FileWriter>>,
    /// While everything is equal to the basis nothing is written: the stretches that were.
    deferred: Mutex<Option<Vec<(u64, u64)>>>,
    /// What is known of its leaves, when they are to be remembered.
    pub leaves: Mutex<Option<Collected>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    size: u64,
    /// Where the next operation of a segment begins that has begun.
    cursors: HashMap<u64, u64>,
    covered: Covered,
    end: Option<FileState>,
    failed: bool,
    differs: bool,
}

/// Whole segments, as stretches `[from, to)`.
#[derive(Debug, Default)]
struct Covered {
    stretches: BTreeMap<u64, u64>,
    count: u64,
}

/// An operation does not fit where it says it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced;

/// How a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub state: FileState,
    /// Writing failed; the problem was told.
    pub failed: bool,
    /// Compared only: some of it differs.
    pub differs: bool,
}

impl Arriving {
    /// A file of the plan's size; `writer` is missing when it could not be opened or is only compared.
    pub fn new(plan: Box<Plan>, writer: Option<FileWriter>, failed: bool) -> Self {
        let size = plan.entry.size();
        let state =
            State { size, cursors: HashMap::new(), covered: Covered::default(), end: None, failed, differs: false };
        Self {
            plan,
            writer: RwLock::new(writer),
            deferred: Mutex::new(None),
            leaves: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    /// The same, collecting what is known of its leaves.
    pub fn collecting(self, leaves: Option<Collected>) -> Self {
        Self { leaves: Mutex::new(leaves), ..self }
    }

    /// A file that is written only when something turns out to differ from its basis.
    pub fn deferred(plan: Box<Plan>) -> Self {
        let arriving = Self::new(plan, None, false);
        *lock(&arriving.deferred) = Some(Vec::new());
        arriving
    }

    /// Notes that a stretch equals the basis. `false` when the file is being written and it must be copied.
    pub fn defer(&self, offset: u64, len: u64) -> bool {
        match lock(&self.deferred).as_mut() {
            None => false,
            Some(stretches) => {
                match stretches.last_mut() {
                    Some((from, so_far)) if *from + *so_far == offset => *so_far += len,
                    _ => stretches.push((offset, len)),
                }
                true
            }
        }
    }

    /// Whether nothing has differed so far.
    pub fn is_deferred(&self) -> bool {
        lock(&self.deferred).is_some()
    }

    /// Begins to write a deferred file: `open` gets the stretches to copy first. Nothing when it is being written.
    pub fn begin<E>(&self, open: impl FnOnce(&[(u64, u64)]) -> Result<FileWriter, E>) -> Result<(), E> {
        let mut deferred = lock(&self.deferred);
        if let Some(stretches) = deferred.take() {
            let writer = open(&stretches)?;
            *self.writer.write().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        }
        Ok(())
    }

    /// From here on the basis stays as it is: a file that is written in place is written beside, by the writer that `open`
    /// makes of the stretches written so far. Nothing when it is already.
    pub fn turn<E>(&self, open: impl FnOnce(Vec<(u64, u64)>) -> Result<FileWriter, E>) -> Result<(), E> {
        let mut writer = self.writer.write().unwrap_or_else(PoisonError::into_inner);
        if writer.as_ref().is_some_and(FileWriter::basis_is_in_place) {
            // No operation is under way: each one is covered before it lets go of the writer.
            let written = lock(&self.state).written();
            *writer = Some(open(written)?);
        }
        Ok(())
    }

    /// Bytes of the basis, while it is there to be read.
    pub fn read_basis(&self, from: u64, len: u64) -> Option<Vec<u8>> {
        let writer = self.writer.read().unwrap_or_else(PoisonError::into_inner);
        writer.as_ref()?.read_basis(from, len).ok()
    }

    /// An operation covers `len` bytes at `offset`. The segment it completes, if it completes one.
    pub fn cover(&self, offset: u64, len: u64) -> Result<Option<u64>, Misplaced> {
        lock(&self.state).cover(offset, len)
    }

    /// Writing failed; what still comes is let go.
    pub fn fail(&self) {
        lock(&self.state).failed = true;
    }

    /// Whether writing failed.
    pub fn has_failed(&self) -> bool {
        lock(&self.state).failed
    }

    /// Compared only: some of it differs.
    pub fn differs(&self) {
        lock(&self.state).differs = true;
    }

    /// The sender's end. `false` when there was one already.
    pub fn ended(&self, end: FileState) -> bool {
        lock(&self.state).end.replace(end).is_none()
    }

    /// The end, once everything is covered and the sender has said so; told once.
    pub fn complete(&self) -> Option<End> {
        let mut state = lock(&self.state);
        if state.covered.count < state.size.div_ceil(SEGMENT_LEN) {
            return None;
        }
        let end = state.end.take()?;
        Some(End { state: end, failed: state.failed, differs: state.differs })
    }
}

impl State {
    /// Where something was written: whole segments, and the beginnings of those begun.
    fn written(&self) -> Vec<(u64, u64)> {
        let whole = self.covered.stretches.iter().map(|(from, to)| {
            let start = from * SEGMENT_LEN;
            (start, to.saturating_mul(SEGMENT_LEN).min(self.size) - start)
        });
        let begun = self.cursors.iter().map(|(segment, end)| (segment * SEGMENT_LEN, end - segment * SEGMENT_LEN));
        whole.chain(begun).collect()
    }

    fn cover(&mut self, offset: u64, len: u64) -> Result<Option<u64>, Misplaced> {
        let segment = offset / SEGMENT_LEN;
        let start = segment * SEGMENT_LEN;
        let segment_end = start.saturating_add(SEGMENT_LEN).min(self.size);
        let end = offset.checked_add(len).filter(|end| *end <= segment_end && len > 0).ok_or(Misplaced)?;
        let cursor = self.cursors.get(&segment).copied().unwrap_or(start);
        if cursor != offset || self.covered.contains(segment) {
            return Err(Misplaced);
        }
        if end < segment_end {
            if self.cursors.len() >= STRETCHES_MAX {
                return Err(Misplaced);
            }
            self.cursors.insert(segment, end);
            return Ok(None);
        }
        self.cursors.remove(&segment);
        self.covered.insert(segment)?;
        Ok(Some(segment))
    }
}

impl Covered {
    fn contains(&self, segment: u64) -> bool {
        self.stretches.range(..=segment).next_back().is_some_and(|(_, to)| segment < *to)
    }

    fn insert(&mut self, segment: u64) -> Result<(), Misplaced> {
        let after = self.stretches.remove(&(segment + 1));
        let to = after.unwrap_or(segment + 1);
        match self.stretches.range_mut(..=segment).next_back() {
            Some((_, end)) if *end == segment => *end = to,
            _ => drop(self.stretches.insert(segment, to)),
        }
        self.count += 1;
        if self.stretches.len() > STRETCHES_MAX { Err(Misplaced) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(size: u64) -> State {
        State { size, cursors: HashMap::new(), covered: Covered::default(), end: None, failed: false, differs: false }
    }

    #[test]
    fn segments_may_come_in_any_order_but_each_without_gap_and_once() {
        let mut file = state(2 * SEGMENT_LEN + 10);
        assert_eq!(file.cover(2 * SEGMENT_LEN, 10), Ok(Some(2)));
        assert_eq!(file.cover(0, 100), Ok(None));
        assert_eq!(file.cover(101, 1), Err(Misplaced), "a gap");
        assert_eq!(file.cover(0, 100), Err(Misplaced), "again");
        assert_eq!(file.cover(100, SEGMENT_LEN), Err(Misplaced), "across a segment's end");
        assert_eq!(file.cover(100, SEGMENT_LEN - 100), Ok(Some(0)));
        assert_eq!(file.cover(0, SEGMENT_LEN), Err(Misplaced), "a whole segment again");
        assert_eq!(file.cover(SEGMENT_LEN, SEGMENT_LEN), Ok(Some(1)));
        assert_eq!(file.covered.count, 3);
        assert_eq!(file.covered.stretches.len(), 1);
    }

    #[test]
    fn nothing_lies_beyond_the_end() {
        let mut file = state(10);
        assert_eq!(file.cover(5, 6), Err(Misplaced));
        assert_eq!(file.cover(10, 1), Err(Misplaced));
        assert_eq!(file.cover(u64::MAX, 1), Err(Misplaced));
        assert_eq!(file.cover(0, 0), Err(Misplaced));
        assert_eq!(file.cover(0, 10), Ok(Some(0)));
    }
}
