//! The threads of one session: started under a name, ended by the session's fate, waited for by its task.

use std::convert::Infallible;

use tokio::sync::mpsc;

use super::error::SessionError;
use super::fate::{Ended, Fate};

/// Threads that share a fate.
#[derive(Debug)]
pub struct Crew {
    fate: Fate,
    /// Each thread holds a clone; when the last one is dropped, `gone` closes.
    present: mpsc::Sender<Infallible>,
    gone: mpsc::Receiver<Infallible>,
}

impl Crew {
    /// No threads yet.
    #[must_use]
    pub fn new(fate: &Fate) -> Self {
        let (present, gone) = mpsc::channel(1);
        Self { fate: fate.clone(), present, gone }
    }

    /// Starts a thread. When it panics or cannot be started, the session fails.
    pub fn spawn(&self, name: &str, work: impl FnOnce() -> Result<(), Ended> + Send + 'static) {
        let present = self.present.clone();
        let watch = FailOnPanic(self.fate.clone());
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _present = present;
            let _watch = watch;
            // `Ended` only says that the session is over; why is in its fate.
            let _ = work();
        });
        if started.is_err() {
            self.fate.fail(SessionError::Internal("cannot start a thread; raise the limit of processes"));
        }
    }

    /// Waits until every thread has ended. Dropping the wait leaves them to their fate.
    pub async fn all_gone(self) {
        let Self { present, mut gone, .. } = self;
        drop(present);
        let _ = gone.recv().await;
    }
}

struct FailOnPanic(Fate);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(SessionError::Internal("a worker thread panicked; please report this"));
        }
    }
}
