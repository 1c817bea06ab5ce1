//! What the reading threads have to do, in the order it was asked for, and the credit of the lanes they write to.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use crate::delta::SegmentLeaves;
use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::types::{EntryIndex, LeafDigest, SegmentIndex, limits};

use super::book::SentBatch;
use super::feed::{Answer, Parked};
use super::large::LargeFile;

/// One piece of work for a reading thread.
#[derive(Debug)]
pub enum Work {
    /// Small files of a batch, whole.
    Pack { batch: Arc<SentBatch>, indexes: Vec<EntryIndex> },
    /// One small file that the receiver has a basis for.
    Compare { batch: Arc<SentBatch>, index: EntryIndex, leaves: Vec<LeafDigest> },
    /// Segments of a large file that the receiver has nothing of, from the first to before the second.
    Stretch { file: Arc<LargeFile>, next: u64, end: u64 },
    /// A segment that waited for something, and what it waited for.
    Parked { parked: Box<Parked>, answer: Answer },
    /// One segment of a large file with the leaves of its basis.
    Segment { file: Arc<LargeFile>, segment: SegmentIndex, leaves: Arc<SegmentLeaves> },
}

/// A queue of work; bounded by the credit of the batches and segments it comes from.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Mutex<VecDeque<Work>>,
    more: Arc<Condvar>,
}

impl WorkQueue {
    /// Nothing to do yet.
    pub fn new(fate: &Fate) -> Self {
        Self { queue: Mutex::default(), more: fate.bell() }
    }

    /// Adds work at the end.
    pub fn push(&self, work: Work) {
        lock(&self.queue).push_back(work);
        self.more.notify_one();
    }

    /// Puts the rest of some work back at the front, so that other threads go on with the same file.
    pub fn put_back(&self, work: Work) {
        lock(&self.queue).push_front(work);
        self.more.notify_one();
    }

    /// The next work, waiting for it.
    pub fn pop(&self, fate: &Fate) -> Result<Work, Ended> {
        let mut queue = lock(&self.queue);
        loop {
            fate.check()?;
            if let Some(work) = queue.pop_front() {
                return Ok(work);
            }
            queue = match self.more.wait_timeout(queue, LOOK_AGAIN) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// Content bytes sent on a lane that the receiver has not yet taken to disk.
#[derive(Debug, Default)]
pub struct LaneCredit {
    state: Mutex<Bytes>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Bytes {
    sent: u64,
    taken: u64,
}

impl LaneCredit {
    /// Waits until `len` more bytes may be sent.
    pub fn take(&self, len: u64, fate: &Fate) -> Result<(), Ended> {
        let mut bytes = lock(&self.state);
        while bytes.sent - bytes.taken + len > limits::LANE_CREDIT {
            fate.check()?;
            bytes = match self.returned.wait_timeout(bytes, LOOK_AGAIN) {
                Ok((bytes, _)) => bytes,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        bytes.sent += len;
        Ok(())
    }

    /// The receiver has taken `total` bytes of this lane so far. `false` when that cannot be.
    pub fn acknowledge(&self, total: u64) -> bool {
        let mut bytes = lock(&self.state);
        if total < bytes.taken || total > bytes.sent {
            return false;
        }
        bytes.taken = total;
        drop(bytes);
        self.returned.notify_all();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_held_to_its_credit_and_an_acknowledgement_to_what_was_sent() {
        let fate = Fate::new();
        let credit = LaneCredit::default();
        assert_eq!(credit.take(limits::LANE_CREDIT, &fate), Ok(()));
        assert!(!credit.acknowledge(limits::LANE_CREDIT + 1));
        fate.conclude();
        assert_eq!(credit.take(1, &fate), Err(Ended));
        assert!(credit.acknowledge(limits::LANE_CREDIT));
        assert!(!credit.acknowledge(0));
        assert_eq!(credit.take(1, &fate), Ok(()));
    }
}
