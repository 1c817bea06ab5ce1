//! The shared fate of a session's threads and tasks: the first failure ends all of them, and is the one that is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::error::SessionError;

/// How long the end of a data connection waits for the control connection to say why.
pub const EXPLANATION: Duration = Duration::from_secs(1);

/// How often a waiting thread looks whether its session still lives.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether a session lives, and what ended it.
#[derive(Clone, Debug)]
pub struct Fate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    error: Mutex<Option<SessionError>>,
    ended: watch::Sender<bool>,
}

/// A thread was asked to end because its session did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl Fate {
    /// A session that lives.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { error: Mutex::new(None), ended: watch::Sender::new(false) }))
    }

    /// Ends the session with `error`, unless it has ended already.
    pub fn fail(&self, error: impl Into<SessionError>) {
        let mut slot = lock(&self.0.error);
        if !*self.0.ended.borrow() {
            *slot = Some(error.into());
            self.0.ended.send_replace(true);
        }
    }

    /// Ends the session without a failure: its work is done, and threads that still wait may go.
    pub fn conclude(&self) {
        let _slot = lock(&self.0.error);
        self.0.ended.send_replace(true);
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
