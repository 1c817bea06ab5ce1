//! The done-file: what ends the operator's client pod when nobody else does.
//!
//! The loop around a client's stunnel waits for a file that the rsync container makes when it ends. Killed, it makes none,
//! and the pod would run for ever. Here it is made when all local clients that had sent something are gone and none came for
//! a while; never before the first. Only where the operator's directory is mounted; the block path has another one and makes
//! its file itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::personality::files::{self, FileError};

/// How long nobody must have come.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// The files of the operator's versions: 1.6 to 1.8, and 1.5.
const DONE_FILES: [&str; 2] =
    ["/usr/share/rsync/rsync-client-container-done", "/usr/share/rsync-stunnel-mgmt/rsync-client-container-done"];

/// The clients that have sent something.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// How many there are.
    present: usize,
    /// How many there ever were. One that came and went between two looks is seen by it.
    came: u64,
}

impl Clients {
    pub(super) fn come(&mut self) {
        self.present = self.present.saturating_add(1);
        self.came = self.came.wrapping_add(1);
    }

    pub(super) fn go(&mut self) {
        self.present = self.present.saturating_sub(1);
    }
}

/// Watches for ever; `done` is done each time the last client is gone and none came for `quiet`.
pub(super) async fn watch(mut clients: watch::Receiver<Clients>, quiet: Duration, done: impl Fn()) {
    let mut known = 0;
    while next(&mut clients, known).await.is_some() {
        // Until nobody is there, and then until nobody came for a while.
        loop {
            match clients.wait_for(|clients| clients.present == 0).await {
                Ok(now) => known = now.came,
                Err(_) => return,
            }
            match timeout(quiet, next(&mut clients, known)).await {
                Ok(Some(())) => {}
                Ok(None) => return,
                Err(_) => break,
            }
        }
        done();
    }
}

/// Waits until more have come than `known`; nothing once nobody counts any more.
async fn next(clients: &mut watch::Receiver<Clients>, known: u64) -> Option<()> {
    clients.wait_for(|clients| clients.came != known).await.ok().map(|_| ())
}

/// Makes each done-file whose directory is mounted, as touch would; returns what was made and what could not be.
pub(super) fn touch_done_files() -> Vec<(PathBuf, Result<(), FileError>)> {
    let mounted = |file: &&&str| Path::new(file).parent().is_some_and(Path::is_dir);
    DONE_FILES.iter().filter(mounted).map(|file| (PathBuf::from(file), files::touch(Path::new(file)))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    /// A watch that counts what it did.
    fn watched(quiet: Duration) -> (watch::Sender<Clients>, Arc<AtomicUsize>) {
        let (sender, receiver) = watch::channel(Clients::default());
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        tokio::spawn(watch(receiver, quiet, move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        (sender, done)
    }

    async fn until(done: &AtomicUsize, times: usize) {
        let reached = async {
            while done.load(Ordering::Relaxed) < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), reached).await.unwrap();
    }

    #[tokio::test]
    async fn it_is_done_when_the_last_client_is_gone_and_again_after_the_next() {
        let (clients, done) = watched(SHORT);
        clients.send_modify(Clients::come);
        clients.send_modify(Clients::come);
        clients.send_modify(Clients::go);
        tokio::time::sleep(SHORT * 5).await;
        assert_eq!(done.load(Ordering::Relaxed), 0, "one client is left");
        clients.send_modify(Clients::go);
        until(&done, 1).await;
        tokio::time::sleep(SHORT * 5).await;
        assert_eq!(done.load(Ordering::Relaxed), 1, "once is enough");
        // Come and gone between two looks.
        clients.send_modify(|clients| {
            clients.come();
            clients.go();
        });
        until(&done, 2).await;
    }

    #[tokio::test]
    async fn it_is_never_done_before_the_first_client() {
        let (_clients, done) = watched(SHORT);
        tokio::time::sleep(SHORT * 5).await;
        assert_eq!(done.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_client_that_comes_back_in_time_defers_it() {
        let (clients, done) = watched(Duration::from_secs(3600));
        clients.send_modify(Clients::come);
        clients.send_modify(Clients::go);
        tokio::time::sleep(SHORT).await;
        clients.send_modify(Clients::come);
        tokio::time::sleep(SHORT).await;
        assert_eq!(done.load(Ordering::Relaxed), 0);
    }
}
