//! The volumes a receiver serves, which session has which, and which lanes are expected.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};

use crate::session::error::SessionError;
use crate::session::fate::{Fate, lock};
use crate::session::progress::Progress;
use crate::session::report::Tally;
use crate::session::stop::Stop;
use crate::types::{Bounds, Epoch, Outcome, RunId, SourceInstance, StatePlace, Token, VolumeName, limits};
use crate::wire::{LaneHello, Refuse, RefuseReason};

use super::session::{AdmittedLane, busy};

/// How long a session that is taken over may need to end.
const TAKEOVER_DEADLINE: Duration = Duration::from_secs(45);

/// What a receiver serves.
#[derive(Debug)]
pub struct Registry {
    pub slots: HashMap<VolumeName, Arc<Slot>>,
    pub bounds: Bounds,
    /// Where is remembered what large files hold.
    pub state: StatePlace,
    pub progress: Arc<Progress>,
    pub stop: Stop,
    /// A ticket admits until this moment, and one source only.
    pub ticket_expires: Option<u64>,
    expected: Mutex<HashMap<Epoch, Expected>>,
}

/// One volume.
#[derive(Debug)]
pub struct Slot {
    pub name: VolumeName,
    pub path: PathBuf,
    tally: Mutex<(Option<RunId>, Arc<Tally>)>,
    current: Mutex<Option<Current>>,
    bound: Mutex<Option<SourceInstance>>,
    ended: Mutex<Option<Ending>>,
    /// A session of the run ended because there was no space.
    full: AtomicBool,
}

/// The session that has a volume.
#[derive(Debug)]
struct Current {
    instance: SourceInstance,
    fate: Fate,
    gone: watch::Receiver<bool>,
}

/// How a volume's last session ended.
#[derive(Clone, Debug)]
pub struct Ending {
    pub outcome: Outcome,
    pub text: Option<String>,
    /// The report was made: the volume was completed.
    pub complete: bool,
    pub goodbye: bool,
    pub at: Instant,
}

#[derive(Debug)]
struct Expected {
    token: Token,
    taken: Vec<bool>,
    admit: mpsc::Sender<AdmittedLane>,
}

/// A session's hold on its volume; dropping it lets the next one in.
pub struct Hold {
    slot: Arc<Slot>,
    _present: watch::Sender<bool>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut current = lock(&self.slot.current);
        // A session that took over has put itself there already.
        if current.as_ref().is_some_and(|c| c.gone.has_changed().is_err() || *c.gone.borrow()) {
            *current = None;
        }
        self._present.send_replace(true);
    }
}

impl Registry {
    pub fn new(
        volumes: Vec<(VolumeName, PathBuf)>,
        bounds: Bounds,
        ticket_expires: Option<u64>,
        progress: Arc<Progress>,
        stop: Stop,
    ) -> Self {
        let slots = volumes.into_iter().map(|(name, path)| (name.clone(), Arc::new(Slot::new(name, path)))).collect();
        Self { slots, bounds, state: StatePlace::None, progress, stop, ticket_expires, expected: Mutex::default() }
    }

    /// The same, remembering between runs what large files hold.
    pub fn remembering(self, state: StatePlace) -> Self {
        Self { state, ..self }
    }

    /// The volume of a hello, if its source may have it.
    pub fn admit(&self, name: &VolumeName, instance: SourceInstance) -> Result<Arc<Slot>, Refuse> {
        let slot = self.slots.get(name).cloned().ok_or_else(|| Refuse {
            reason: RefuseReason::UnknownVolume,
            text: format!("no volume of the name {name} is served here"),
        })?;
        if let Some(expires) = self.ticket_expires {
            slot.bind(instance, expires)?;
        }
        Ok(slot)
    }

    /// Lanes with this epoch and token belong to a session.
    pub fn expect_lanes(&self, epoch: Epoch, token: Token, lanes: u8, admit: mpsc::Sender<AdmittedLane>) {
        let expected = Expected { token, taken: vec![false; usize::from(lanes)], admit };
        lock(&self.expected).insert(epoch, expected);
    }

    /// A session has ended; its lanes are strangers now.
    pub fn forget_lanes(&self, epoch: Epoch) {
        lock(&self.expected).remove(&epoch);
    }

    /// Where a lane goes. Each number is taken once.
    pub fn admit_lane(&self, hello: &LaneHello) -> Result<mpsc::Sender<AdmittedLane>, Refuse> {
        let stale = || Refuse {
            reason: RefuseReason::Stale,
            text: "the data connection belongs to no session that is running".to_owned(),
        };
        let mut expected = lock(&self.expected);
        let session = expected.get_mut(&hello.epoch).filter(|e| e.token.matches(&hello.token)).ok_or_else(stale)?;
        let taken = session.taken.get_mut(usize::from(hello.lane)).ok_or_else(stale)?;
        if std::mem::replace(taken, true) {
            return Err(stale());
        }
        Ok(session.admit.clone())
    }

    /// Whether every volume was completed, and no session is under way that may still be needed.
    pub fn all_complete(&self) -> bool {
        self.slots.values().all(|slot| slot.is_complete())
    }

    /// Whether any session is under way.
    pub fn is_busy(&self) -> bool {
        self.slots.values().any(|slot| slot.is_busy())
    }
}

impl Slot {
    fn new(name: VolumeName, path: PathBuf) -> Self {
        Self {
            name,
            path,
            tally: Mutex::default(),
            current: Mutex::new(None),
            bound: Mutex::new(None),
            ended: Mutex::new(None),
            full: AtomicBool::new(false),
        }
    }

    /// A ticket works for the source that used it first, until its volume is complete.
    fn bind(&self, instance: SourceInstance, expires: u64) -> Result<(), Refuse> {
        let spent = |text: &str| Err(Refuse { reason: RefuseReason::TicketSpent, text: text.to_owned() });
        let mut bound = lock(&self.bound);
        match *bound {
            Some(first) if first == instance => Ok(()),
            Some(_) => spent("the ticket was used by another source; make a new one"),
            None if unix_now() > expires => spent("the ticket has expired; make a new one"),
            None => {
                *bound = Some(instance);
                Ok(())
            }
        }
    }

    /// Takes the volume for a session, ending an older session of the same source.
    pub async fn take(self: &Arc<Self>, instance: SourceInstance, fate: &Fate) -> Result<Hold, Refuse> {
        let deadline = Instant::now() + TAKEOVER_DEADLINE;
        loop {
            let mut gone = {
                let mut current = lock(&self.current);
                match current.as_ref().filter(|c| !*c.gone.borrow() && c.gone.has_changed().is_ok()) {
                    None => {
                        let (present, gone) = watch::channel(false);
                        *current = Some(Current { instance, fate: fate.clone(), gone });
                        return Ok(Hold { slot: Arc::clone(self), _present: present });
                    }
                    Some(running) if running.instance == instance => {
                        running.fate.fail(SessionError::TakenOver);
                        running.gone.clone()
                    }
                    Some(_) => {
                        return Err(busy(&format!("the volume {} is being received from another source", self.name)));
                    }
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, gone.wait_for(|gone| *gone)).await.is_err() {
                return Err(busy(&format!("an older session on the volume {} has not ended yet", self.name)));
            }
        }
    }

    /// The figures of a run: those of its earlier sessions, or new ones when another run begins.
    pub fn tally_of(&self, run: &RunId) -> Arc<Tally> {
        let complete = self.ending().is_some_and(|ending| ending.complete);
        let mut tally = lock(&self.tally);
        if complete || tally.0.as_ref() != Some(run) {
            *tally = (Some(run.clone()), Arc::default());
        }
        Arc::clone(&tally.1)
    }

    /// The figures of the last run.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&lock(&self.tally).1)
    }

    /// Records how a session ended. `full`: there was no space.
    pub fn end(&self, ending: Ending, full: bool) {
        let was_full = self.full.load(Relaxed);
        self.full.store(full || (was_full && !ending.complete), Relaxed);
        *lock(&self.ended) = Some(ending);
    }

    /// Why nothing may be deleted before it is replaced, unless the volume was full. What else made a session fail
    /// (above all a failed sync, which the kernel tells once) must not be tried again into success.
    pub fn refuses_clear(&self) -> Option<String> {
        let why = || self.ending().and_then(|ending| ending.text);
        (!self.full.load(Relaxed)).then(|| why().unwrap_or_else(|| "the destination was not full".to_owned()))
    }

    /// How the last session ended.
    pub fn ending(&self) -> Option<Ending> {
        lock(&self.ended).clone()
    }

    /// Whether a session is under way.
    pub fn is_busy(&self) -> bool {
        lock(&self.current).as_ref().is_some_and(|c| !*c.gone.borrow() && c.gone.has_changed().is_ok())
    }

    /// Completed, and the sender knows or has had its time to come back.
    fn is_complete(&self) -> bool {
        let known = |e: Ending| e.complete && (e.goodbye || e.at.elapsed() > limits::GOODBYE_DEADLINE);
        !self.is_busy() && self.ending().is_some_and(known)
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
