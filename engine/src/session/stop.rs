//! The wish to stop, from a signal to every loop.

use std::sync::Arc;

use tokio::sync::watch;

use crate::types::Outcome;

/// Which signal asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// A wish to stop that can be handed around; once said it stays said.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Option<Signal>>>);

impl Stop {
    /// Nobody wants to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Asks everyone to stop. The first signal counts.
    pub fn stop(&self, signal: Signal) {
        self.0.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(signal);
            }
            first
        });
    }

    /// Which signal asked, if any did.
    #[must_use]
    pub fn asked(&self) -> Option<Signal> {
        *self.0.borrow()
    }

    /// Waits until somebody asks. Dropping the wait changes nothing.
    pub async fn wait(&self) -> Signal {
        let mut state = self.0.subscribe();
        loop {
            if let Some(signal) = *state.borrow_and_update() {
                return signal;
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Signal {
    /// How a run ends that this signal stopped.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Interrupt => Outcome::Interrupted,
            Self::Terminate => Outcome::Terminated,
        }
    }
}
