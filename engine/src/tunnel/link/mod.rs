//! A stream as two queues of frames: an outbox that anyone may post to, and an inbox with one reader.
//!
//! ```text
//!  post ───────────────┐                                    ┌── silence, EOF, malformed
//!  send (8 places) ────┴─> queue ─> writer task ─> stream ──> inbox ─> recv
//!                                   pace, pings
//! ```
//! One writer task per connection owns the writing half: reading never waits for writing. All that goes out leaves in
//! the order it was queued, however it was queued. What frames mean, pings excepted, is not known here, and no
//! connection is ever taken up again once it broke.

mod halves;
mod inbox;
mod spare;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

pub use inbox::{Inbox, LinkError};
pub use spare::Spare;

use super::pace::{Meter, Pace};
use super::stream::Stream;
use super::timing::Timing;
use halves::{Cord, split};
use writer::{Queued, Writer};

/// Frames that [`Outbox::send`] lets wait: at data frames of 256 KiB 2 MiB a connection.
const PLACES: usize = 8;

/// Where frames are handed over to be sent. When the last clone is dropped, what is queued is still sent, for at most
/// `SILENCE_MAX`, and the connection's writing side is closed.
#[derive(Clone)]
pub struct Outbox {
    queue: mpsc::UnboundedSender<Queued>,
    places: mpsc::Sender<()>,
    link: Arc<Link>,
}

/// The connection no longer takes frames: it broke, was killed, or was finished. The inbox knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection takes no more frames")]
pub struct Closed;

/// What the clones of an outbox share.
struct Link {
    cord: Arc<Cord>,
    writer: AbortHandle,
    spare: Arc<Spare>,
    timing: Timing,
    /// Dropped with the last clone, which tells the writer.
    _held: oneshot::Sender<()>,
}

/// Turns a stream, preambles exchanged, into an outbox and an inbox. Bytes are counted in `meter`; `pace` slows what is
/// sent. Must be called inside a tokio runtime, where it spawns the writer task.
#[must_use]
pub fn open(stream: Stream, meter: Arc<Meter>, pace: Option<Arc<Pace>>) -> (Outbox, Inbox) {
    open_with(stream, meter, pace, Timing::default())
}

/// [`open`] with other waiting times.
#[must_use]
pub fn open_with(stream: Stream, meter: Arc<Meter>, pace: Option<Arc<Pace>>, timing: Timing) -> (Outbox, Inbox) {
    let (read_side, write_side, cord) = split(stream);
    let (queue, queued) = mpsc::unbounded_channel();
    let (places, places_taken) = mpsc::channel(PLACES);
    let (held, released) = oneshot::channel();
    let spare = Arc::new(Spare::default());
    let writer = Writer::new(write_side, (queued, places_taken, Arc::clone(&spare)), Arc::clone(&meter), pace, timing);
    let writer = tokio::spawn(writer.run(released)).abort_handle();
    let link = Arc::new(Link { cord: Arc::clone(&cord), writer, spare, timing, _held: held });
    (Outbox { queue, places, link }, Inbox::new(read_side, cord, meter, timing))
}

impl Outbox {
    /// The memory of a large frame that was sent as content, with whatever it holds; empty when there is none.
    #[must_use]
    pub fn spare(&self) -> Vec<u8> {
        self.link.spare.take()
    }

    /// Queues a whole frame, length prefix included. Never waits: for what the protocol's credits bound.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn post(&self, frame: Vec<u8>) -> Result<(), Closed> {
        self.queue.send(Queued::Frame { frame, holds_place: false }).map_err(|_| Closed)
    }

    /// Queues a whole frame once fewer than 8 queued this way are waiting: for data. When the future is dropped before
    /// it is done, the frame is not sent.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&self, frame: Vec<u8>) -> Result<(), Closed> {
        self.places.send(()).await.map_err(|_| Closed)?;
        self.queue.send(Queued::Frame { frame, holds_place: true }).map_err(|_| Closed)
    }

    /// [`Self::send`] for threads of their own; panics inside a task, as everything does that blocks.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn blocking_send(&self, frame: Vec<u8>) -> Result<(), Closed> {
        self.places.blocking_send(()).map_err(|_| Closed)?;
        self.queue.send(Queued::Frame { frame, holds_place: true }).map_err(|_| Closed)
    }

    /// Writes everything that was queued before, by any clone, and says goodbye in TLS; nothing can be queued after.
    /// Once it returns the kernel has it all; that the peer read it is known by its answer only. The connection stays
    /// open for reading until the inbox is dropped; to close it without harming what was said last, let
    /// [`Inbox::read_away`] follow.
    ///
    /// # Errors
    /// [`LinkError`]; after `SILENCE_MAX` the connection is killed.
    pub async fn finish(self) -> Result<(), LinkError> {
        let (done, finished) = oneshot::channel();
        self.queue.send(Queued::Finish(done)).map_err(|_| LinkError::Closed)?;
        match timeout(self.link.timing.silence_max, finished).await {
            Ok(Ok(result)) => result.map_err(LinkError::Io),
            Ok(Err(_)) => Err(LinkError::Closed),
            Err(_) => {
                self.kill();
                Err(LinkError::Silent)
            }
        }
    }

    /// Drops the connection now: nothing queued is sent, a waiting [`Inbox::recv`] returns [`LinkError::Closed`].
    pub fn kill(&self) {
        self.link.writer.abort();
        self.link.cord.cut();
    }
}
