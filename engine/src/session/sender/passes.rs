//! The passes of a session, from the sender's side: scan, wait for the receiver, decide whether once more, finish.
//!
//! ```text
//!  Pass -> scan -> PassEnd -> PassDone --(something was in the way, or changed)--> Pass ...
//!                        |             \-> [verify pass] -> Finish -> Report -> Goodbye
//!                        \--(nothing was, and nothing more is asked for)------------^
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use crate::session::error::SessionError;
use crate::session::fate::{Ended, LOOK_AGAIN};
use crate::session::progress::Phase;
use crate::types::{Moment, Restless, Stage, limits};
use crate::volume::moment;
use crate::wire::{Message, Pass, PassEnd, PassKind, Report, RootEntry};

use super::context::Sending;
use super::feed::Feed;
use super::scan::Scan;

/// Passes that a receiver may ask for, each of which deletes or clears something; a bound against a hostile one.
const PASSES_MAX: u32 = 100_000;

/// What the receiver answers to a pass and to the end.
#[derive(Debug)]
pub enum Reply {
    /// The pass is settled; whether another is needed.
    PassDone { again: bool },
    /// The end.
    Report(Box<Report>),
}

/// The thread that drives a session's passes.
pub struct Passes {
    pub sending: Arc<Sending>,
    pub feed: Arc<Feed>,
    pub replies: Receiver<Reply>,
    /// The receiver's volume is empty: the first pass sends contents unasked.
    pub empty: bool,
    /// The receiver was full: what is to be deleted goes before anything is written.
    pub clears_first: bool,
    next_batch: u64,
    number: u32,
    /// When the last transfer pass began.
    listed: Option<Moment>,
}

impl Passes {
    pub fn new(
        sending: Arc<Sending>,
        feed: Arc<Feed>,
        replies: Receiver<Reply>,
        empty: bool,
        clears_first: bool,
    ) -> Self {
        Self { sending, feed, replies, empty, clears_first, next_batch: 0, number: 0, listed: None }
    }

    /// Runs to the receiver's report.
    pub fn run(mut self) -> Result<Report, Ended> {
        if self.clears_first {
            self.pass(PassKind::Clear, false)?;
        }
        let verifies = self.sending.options.verify && !self.sending.options.dry_run;
        let mut repeated = 0;
        loop {
            let last = repeated >= limits::REPEATED_PASSES_MAX && self.sending.restless == Restless::Take;
            self.sending.last_chance.store(last, Relaxed);
            let again = match self.pass(PassKind::Transfer, !verifies)? {
                Reply::PassDone { again } => again,
                Reply::Report(report) => return Ok(self.part(*report)),
            };
            let changed = self.sending.changed.any();
            let repeat = changed && repeated < limits::REPEATED_PASSES_MAX && !self.sending.options.dry_run;
            if !(again || repeat) || self.number >= PASSES_MAX {
                break;
            }
            repeated += u32::from(!again);
        }
        let listed = self.baseline();
        self.report_changed();
        self.sending.last_chance.store(false, Relaxed);
        if verifies {
            self.sending.progress.enter(Phase::Verifying);
            self.pass(PassKind::Verify, false)?;
            self.report_changed();
        }
        self.sending.progress.enter(Phase::Syncing);
        self.sending.tell_problems();
        let problems = self.sending.tally.problems_total();
        self.sending.post(&Message::Finish { problems, listed: listed.filter(|_| problems == 0) });
        match self.reply()? {
            Reply::Report(report) => Ok(self.part(*report)),
            Reply::PassDone { .. } => Err(self.out_of_place()),
        }
    }

    /// When the last transfer pass began, if that may be a baseline for the receiver: nothing in it was odd so far.
    fn baseline(&self) -> Option<Moment> {
        let sending = &self.sending;
        let odd = sending.changed.any() || sending.mounted.load(Relaxed) || sending.tally.problems_total() > 0;
        self.listed.filter(|_| sending.remembers && !odd)
    }

    /// The report is here. What we met after we said that there was nothing is told by our own report.
    fn part(&self, report: Report) -> Report {
        self.report_changed();
        self.sending.reported.store(true, Relaxed);
        self.sending.post(&Message::Goodbye);
        report
    }

    /// One pass, and what the receiver answers: its report only when this `may_be_last`.
    fn pass(&mut self, kind: PassKind, may_be_last: bool) -> Result<Reply, Ended> {
        let sending = Arc::clone(&self.sending);
        sending.progress.new_pass();
        sending.changed.clear();
        if kind != PassKind::Verify {
            sending.progress.enter(Phase::Transferring);
            sending.tally.begin_pass();
        }
        if kind == PassKind::Transfer {
            // Before anything is looked at: what changes from here on is seen next time.
            self.listed = moment();
            sending.mounted.store(false, Relaxed);
        }
        sending.post(&Message::Pass(Pass { kind, number: self.number, root: self.root()? }));
        let unasked = self.empty && self.number == 0 && kind == PassKind::Transfer && !sending.options.dry_run;
        let first = kind == PassKind::Transfer && self.number == 0;
        let baseline = sending.baseline.filter(|_| first);
        self.number += 1;
        let mut end = Scan::new(&sending, &self.feed, &mut self.next_batch, unasked, baseline).run()?;
        if kind == PassKind::Transfer {
            self.count(&end);
        }
        end.last = may_be_last && !sending.changed.any() && sending.tally.problems_total() == 0;
        end.listed = self.baseline().filter(|_| end.last);
        let last = end.last;
        sending.post(&Message::PassEnd(end));
        if kind == PassKind::Transfer && sending.options.delete {
            sending.progress.enter(Phase::Deleting);
        }
        match self.reply()? {
            Reply::Report(_) if !last => Err(self.out_of_place()),
            reply => Ok(reply),
        }
    }

    fn count(&self, end: &PassEnd) {
        self.sending.tally.scanned.store(end.entries, Relaxed);
        self.sending.tally.bytes_total.store(end.bytes, Relaxed);
    }

    fn root(&self) -> Result<RootEntry, Ended> {
        if self.sending.volume.shape().is_single() {
            return Ok(RootEntry::none());
        }
        let root = self.sending.volume.root();
        let policy = &self.sending.xattrs;
        let read = root.status().map_err(|e| e.to_string()).and_then(|status| {
            let xattrs = if policy.enabled {
                root.xattrs(&|name| policy.wants(name)).map_err(|e| e.to_string())?
            } else {
                crate::types::Xattrs::default()
            };
            let owner = self.sending.chown.map_or(status.owner, |to| to.0);
            Ok(RootEntry { mode: status.mode, owner, mtime: status.mtime, xattrs })
        });
        read.map_err(|cause: String| {
            self.sending.fate.fail(SessionError::Bound(format!("cannot read the source's root directory: {cause}")));
            Ended
        })
    }

    /// What changed and will not be looked at again is a problem now.
    fn report_changed(&self) {
        let (paths, beyond, at_hand) = self.sending.changed.take();
        let tally = &self.sending.tally;
        let before = tally.problems_total();
        for (path, stage, cause) in paths {
            self.sending.problem(path, stage, cause);
        }
        if beyond > 0 {
            let cause = format!("{beyond} more paths changed while they were read");
            self.sending.problem(crate::types::RelPath::root(), Stage::Read, cause);
        }
        if at_hand {
            tally.add(|t| &t.unsettled, tally.problems_total().saturating_sub(before));
        }
    }

    fn reply(&self) -> Result<Reply, Ended> {
        loop {
            self.sending.fate.check()?;
            match self.replies.recv_timeout(LOOK_AGAIN) {
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Ended),
            }
        }
    }

    fn out_of_place(&self) -> Ended {
        self.sending.fate.fail(SessionError::Protocol("its answer to a pass is out of place".to_owned()));
        Ended
    }
}
