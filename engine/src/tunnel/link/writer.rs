//! The task that writes: small frames together, large ones as they are, a ping when there is nothing else.
//!
//! What is written is flushed whenever the queue is empty, never later. Under a pace a frame leaves in chunks, each
//! flushed before the next one is waited for, so that a slow connection is never a silent one.

use std::io;
use std::mem::take;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::halves::WriteSide;
use super::spare::Spare;
use crate::tunnel::pace::{Meter, Pace};
use crate::tunnel::timing::Timing;
use crate::wire::Message;

/// Small frames are collected up to this many bytes.
const COLLECTED_LEN_MAX: usize = 131_072;
/// A frame of this many bytes is written as it is: copying it would cost more than a write of its own.
const LARGE_LEN: usize = 32_768;

/// What is handed to the writer.
pub(super) enum Queued {
    /// A whole frame.
    Frame {
        frame: Vec<u8>,
        /// It holds one of the outbox's places until it is written.
        holds_place: bool,
    },
    /// The end; to be answered when all before it is written.
    Finish(oneshot::Sender<io::Result<()>>),
}

pub(super) struct Writer {
    side: WriteSide,
    queue: mpsc::UnboundedReceiver<Queued>,
    places: mpsc::Receiver<()>,
    spare: Arc<Spare>,
    meter: Arc<Meter>,
    pace: Option<Arc<Pace>>,
    timing: Timing,
    collected: Vec<u8>,
    /// Places held by collected frames.
    places_owed: usize,
    last_sent: Instant,
}

impl Writer {
    pub(super) fn new(
        side: WriteSide,
        (queue, places, spare): (mpsc::UnboundedReceiver<Queued>, mpsc::Receiver<()>, Arc<Spare>),
        meter: Arc<Meter>,
        pace: Option<Arc<Pace>>,
        timing: Timing,
    ) -> Self {
        let last_sent = Instant::now();
        Self { side, queue, places, spare, meter, pace, timing, collected: Vec::new(), places_owed: 0, last_sent }
    }

    /// Writes until it is told to finish, every outbox is gone (`released`), or the connection breaks.
    pub(super) async fn run(mut self, released: oneshot::Receiver<()>) {
        let patience = self.timing.silence_max;
        let result = {
            let mut work = pin!(self.work());
            tokio::select! {
                biased;
                result = &mut work => result,
                // Nobody is left to be told of an end that takes too long.
                _ = released => timeout(patience, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
            }
        };
        if let Err(error) = result {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection can no longer be written to");
        }
    }

    async fn work(&mut self) -> io::Result<()> {
        loop {
            match self.next().await? {
                Some(Queued::Frame { frame, holds_place }) => self.take_frame(frame, holds_place).await?,
                Some(Queued::Finish(done)) => {
                    let result = self.close().await;
                    // Whoever asked may have gone; the connection is closed all the same.
                    let _ = done.send(result);
                    return Ok(());
                }
                None => return self.close().await,
            }
        }
    }

    /// What is to be written next; `None` when nothing ever will be. Whatever was collected is sent before it waits.
    async fn next(&mut self) -> io::Result<Option<Queued>> {
        loop {
            match self.queue.try_recv() {
                Ok(queued) => return Ok(Some(queued)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) => {}
            }
            self.send_collected().await?;
            self.side.flush().await?;
            match timeout_at(self.last_sent + self.timing.ping_after, self.queue.recv()).await {
                Ok(queued) => return Ok(queued),
                Err(_) => self.write(&Message::Ping.encode()).await?,
            }
        }
    }

    async fn take_frame(&mut self, frame: Vec<u8>, holds_place: bool) -> io::Result<()> {
        let large = frame.len() >= LARGE_LEN;
        if large || self.collected.len() + frame.len() > COLLECTED_LEN_MAX {
            self.send_collected().await?;
        }
        self.places_owed += usize::from(holds_place);
        if large {
            self.write(&frame).await?;
            // What was posted is not asked for again.
            if holds_place {
                self.spare.keep(frame);
            }
            self.return_places();
        } else {
            self.collected.extend_from_slice(&frame);
        }
        Ok(())
    }

    async fn send_collected(&mut self) -> io::Result<()> {
        if !self.collected.is_empty() {
            let mut collected = take(&mut self.collected);
            self.write(&collected).await?;
            collected.clear();
            self.collected = collected;
        }
        self.return_places();
        Ok(())
    }

    fn return_places(&mut self) {
        for _ in 0..take(&mut self.places_owed) {
            // There is one for each place owed: it was taken before the frame was queued.
            let _ = self.places.try_recv();
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.pace {
            None => self.side.write_all(bytes).await?,
            Some(pace) => {
                for chunk in bytes.chunks(pace.chunk_len()) {
                    sleep_until(pace.book(chunk.len())).await;
                    self.side.write_all(chunk).await?;
                    self.side.flush().await?;
                }
            }
        }
        self.meter.count_sent(bytes.len());
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Sends what is left and closes the writing side, with a goodbye where the stream has one.
    async fn close(&mut self) -> io::Result<()> {
        self.send_collected().await?;
        self.side.flush().await?;
        self.side.shutdown().await
    }
}
