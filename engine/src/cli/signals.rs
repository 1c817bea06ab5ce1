//! SIGINT and SIGTERM: the first asks the session to stop cleanly, the second ends the process at once.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::console::Console;
use crate::session::{Signal, Stop};

/// Watches for signals until dropped.
#[derive(Debug)]
pub struct Watch(JoinHandle<()>);

/// Begins to watch. Must be called within the runtime.
///
/// # Errors
/// What the system said when it does not let us.
pub fn watch(stop: Stop, console: Arc<Console>) -> io::Result<Watch> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(Watch(tokio::spawn(async move {
        let mut asked = false;
        loop {
            // Both are cancel safe: a signal that arrives between two rounds is kept for the next one.
            let signal = tokio::select! {
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = terminate.recv() => Signal::Terminate,
                else => return,
            };
            if asked {
                console.detach();
                console.say(&console.farewell());
                std::process::exit(i32::from(signal.outcome().exit().0));
            }
            asked = true;
            console.say("ferry: stopping cleanly; a second signal ends at once");
            stop.stop(signal);
        }
    })))
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
