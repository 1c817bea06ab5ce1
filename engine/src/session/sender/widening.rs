//! Whether a further lane would carry more: decided by what the lanes that stand carried, and how long they waited.
//!
//! ```text
//!  reading threads wait most of the time ──> one lane more ──> more was carried ──> look again
//!                                                     └─────── no more was ───────> never again
//! ```
//! A router, a proxy or a long way may bound each connection by itself; then more of them carry more. Where the link, the
//! destination or a processor is the limit they do not, and one lane too many is all that finding out costs. Pure: it
//! opens nothing and reads no clock.

use std::time::Duration;

/// Time between two looks: long enough for a new connection to reach its speed over a long way.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The least that is carried between two looks for the look to mean something.
const CARRIED_MIN: u64 = 1 << 20;
/// Out of a hundred: what the threads must have waited.
const WAITED_MIN: u32 = 60;
/// Out of a hundred: what must be carried with one lane more.
const GAIN_MIN: u64 = 108;

/// The lanes of a session, as many as have paid.
#[derive(Debug)]
pub struct Widening {
    lanes: u8,
    most: u8,
    /// What was carried between two looks before the last lane was opened.
    before: Option<u64>,
}

impl Widening {
    /// `lanes` stand, and there may be `most`.
    #[must_use]
    pub fn new(lanes: u8, most: u8) -> Self {
        Self { lanes, most, before: None }
    }

    /// False when no lane will be opened any more, and nobody needs to look.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        self.lanes < self.most
    }

    /// Since the last look the lanes carried `carried` bytes, and their threads waited for `waited` together. Whether
    /// another lane is to be opened now.
    pub fn look(&mut self, carried: u64, waited: Duration, since: Duration) -> bool {
        if !self.may_go_on() {
            return false;
        }
        if carried < CARRIED_MIN {
            // Nothing to send: neither a reason for another lane nor a proof against the last one.
            self.before = None;
            return false;
        }
        if let Some(before) = self.before.take()
            && carried.saturating_mul(100) < before.saturating_mul(GAIN_MIN)
        {
            self.most = self.lanes;
            return false;
        }
        let all = since.saturating_mul(u32::from(self.lanes));
        if waited.saturating_mul(100) < all.saturating_mul(WAITED_MIN) {
            return false;
        }
        self.before = Some(carried);
        self.lanes += 1;
        true
    }

    /// The lane could not be opened: those that stand must do.
    pub fn failed(&mut self) {
        self.lanes -= 1;
        self.most = self.lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LANE: u64 = 30 << 20;

    fn waiting(lanes: u32) -> Duration {
        SECOND * lanes * 9 / 10
    }

    #[test]
    fn lanes_are_opened_while_they_carry_more() {
        // A link of four lanes' worth, each lane bounded by itself.
        let mut widening = Widening::new(2, 8);
        assert!(widening.look(2 * LANE, waiting(2), SECOND));
        assert!(widening.look(3 * LANE, waiting(3), SECOND));
        assert!(widening.look(4 * LANE, waiting(4), SECOND));
        assert!(!widening.look(4 * LANE, waiting(5), SECOND), "the link is full");
        assert!(!widening.may_go_on());
    }

    #[test]
    fn threads_that_work_need_no_further_lane() {
        let mut widening = Widening::new(2, 8);
        for _ in 0..10 {
            assert!(!widening.look(50 * LANE, SECOND, SECOND));
        }
        assert!(widening.may_go_on(), "the way may become the limit later");
    }

    #[test]
    fn what_is_asked_for_is_not_exceeded() {
        let mut widening = Widening::new(2, 2);
        assert!(!widening.may_go_on());
        assert!(!widening.look(LANE, waiting(2), SECOND));
        let mut widening = Widening::new(7, 8);
        assert!(widening.look(7 * LANE, waiting(7), SECOND));
        assert!(!widening.look(14 * LANE, waiting(8), SECOND));
    }

    #[test]
    fn a_pause_proves_nothing() {
        let mut widening = Widening::new(2, 8);
        assert!(widening.look(2 * LANE, waiting(2), SECOND));
        assert!(!widening.look(0, waiting(3), SECOND));
        assert!(widening.look(2 * LANE, waiting(3), SECOND));
    }

    #[test]
    fn a_lane_that_cannot_be_opened_is_the_last_one_tried() {
        let mut widening = Widening::new(2, 8);
        assert!(widening.look(2 * LANE, waiting(2), SECOND));
        widening.failed();
        assert!(!widening.may_go_on());
    }
}
