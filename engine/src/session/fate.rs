//! The shared fate of a session's threads and tasks: the first failure ends all of them, and is the one that is told.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::error::SessionError;

/// How long the end of a data connection waits for the control connection to say why.
pub const EXPLANATION: Duration = Duration::from_secs(1);

/// How often a waiting thread looks whether its session still lives. The end rings every [`Fate::bell`]; this is for who
/// was just about to wait, and for who waits elsewhere.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether a session lives, and what ended it.
#[derive(Clone, Debug)]
pub struct Fate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    error: Mutex<Option<SessionError>>,
    ended: watch::Sender<bool>,
    bells: Mutex<Vec<Weak<Condvar>>>,
}

/// A thread was asked to end because its session did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl Fate {
    /// A session that lives.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { error: Mutex::new(None), ended: watch::Sender::new(false), bells: Mutex::default() }))
    }

    /// Ends the session with `error`, unless it has ended already.
    pub fn fail(&self, error: impl Into<SessionError>) {
        let mut slot = lock(&self.0.error);
        if !*self.0.ended.borrow() {
            *slot = Some(error.into());
            self.end();
        }
    }

    /// Ends the session without a failure: its work is done, and threads that still wait may go.
    pub fn conclude(&self) {
        let _slot = lock(&self.0.error);
        self.end();
    }

    fn end(&self) {
        self.0.ended.send_replace(true);
        for bell in lock(&self.0.bells).drain(..).filter_map(|bell| bell.upgrade()) {
            bell.notify_all();
        }
    }

    /// What threads of the session wait on for more to do: it rings at the end too.
    #[must_use]
    pub fn bell(&self) -> Arc<Condvar> {
        let bell = Arc::new(Condvar::new());
        lock(&self.0.bells).push(Arc::downgrade(&bell));
        bell
    }

    /// `Err` when the session has ended.
    ///
    /// # Errors
    /// [`Ended`], to be passed up with `?`.
    pub fn check(&self) -> Result<(), Ended> {
        if *self.0.ended.borrow() { Err(Ended) } else { Ok(()) }
    }

    /// Waits for the end. Dropping the wait changes nothing.
    pub async fn ended(&self) {
        let mut ended = self.0.ended.subscribe();
        // The sender lives as long as we do, so an error cannot come.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// What ended it, once.
    #[must_use]
    pub fn take_error(&self) -> Option<SessionError> {
        lock(&self.0.error).take()
    }
}

impl Default for Fate {
    fn default() -> Self {
        Self::new()
    }
}

/// Locks, also when a thread died while it held the lock: the session is failing then, and its counters may be read.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_end_wakes_who_waits_on_a_bell() {
        for end in [Fate::conclude, |fate: &Fate| fate.fail(SessionError::Internal("test"))] {
            let fate = Fate::new();
            let (bell, gate) = (fate.bell(), Mutex::new(()));
            let begun = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut held = lock(&gate);
                    let deadline = Duration::from_secs(30);
                    while fate.check().is_ok() && begun.elapsed() < deadline {
                        held = bell.wait_timeout(held, deadline).unwrap().0;
                    }
                });
                // Until the other thread waits, it holds the gate; a ring before that would be missed.
                std::thread::sleep(Duration::from_millis(50));
                drop(lock(&gate));
                end(&fate);
            });
            assert!(begun.elapsed() < Duration::from_secs(10), "it slept on");
        }
    }
}
