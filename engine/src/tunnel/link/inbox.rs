//! The side that reads: whole frames, one at a time, with an ear for silence.
//!
//! A frame's length is checked before a byte of it is allocated, and its body is read straight into its own memory.
//! Pings are swallowed. After any error the inbox is closed: there is no finding the next frame again.

use std::io;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use super::halves::{Cord, ReadSide};
use crate::tunnel::pace::Meter;
use crate::tunnel::timing::Timing;
use crate::types::limits::{FRAME_LEN_MAX, HELLO_LEN_MAX, SILENCE_MAX};
use crate::wire::{Frame, FrameKind, Message, PREAMBLE_LEN, PreambleError, WireError, agree, frame_len};

/// Bytes of the length before each frame.
const PREFIX_LEN: usize = 4;
/// Bytes buffered for small frames: one TLS record, which is all that a read returns at once.
const BUFFER_LEN: usize = 16_384;
/// Bytes thrown away after our own end before we hang up.
const READ_AWAY_MAX: u64 = 64 * 1_048_576;

/// Where received frames are taken. Has one reader; dropped, it leaves the outbox as it is.
pub struct Inbox {
    reader: BufReader<ReadSide>,
    cord: Arc<Cord>,
    meter: Arc<Meter>,
    timing: Timing,
    /// When the last byte arrived.
    heard: Instant,
    /// What has arrived of the next frame: kept here, so that a dropped `recv` loses nothing.
    prefix: Vec<u8>,
    body: Vec<u8>,
    ended: bool,
    awaits_preamble: bool,
}

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer closed the connection between two frames, or it was killed here.
    #[error("the connection is closed")]
    Closed,
    /// Not even a ping.
    #[error("nothing was heard from the peer for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// It broke, possibly in the middle of a frame.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// Something else listens there, or another version.
    #[error("the peer answered, but cannot be spoken to")]
    Preamble(#[from] PreambleError),
    /// Not a frame, or a longer one than there may be.
    #[error("the peer sent something that is not a frame")]
    Malformed(#[from] WireError),
}

impl Inbox {
    pub(super) fn new(side: ReadSide, cord: Arc<Cord>, meter: Arc<Meter>, timing: Timing) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_LEN, side),
            cord,
            meter,
            timing,
            heard: Instant::now(),
            prefix: Vec::with_capacity(PREFIX_LEN),
            body: Vec::new(),
            ended: false,
            awaits_preamble: false,
        }
    }

    /// The next frame that is no ping, of at most `FRAME_LEN_MAX` bytes. May be dropped at any time without losing a
    /// byte.
    ///
    /// # Errors
    /// [`LinkError`]; from then on it is always [`LinkError::Closed`].
    pub async fn recv(&mut self) -> Result<Frame, LinkError> {
        self.recv_at_most(FRAME_LEN_MAX).await
    }

    /// The peer's preamble has not come yet: it is read before the first frame.
    #[must_use]
    pub fn unanswered(mut self) -> Self {
        self.awaits_preamble = true;
        self
    }

    /// Memory for the next frame, where none of it has arrived yet and this has room for more.
    pub fn reuse(&mut self, mut buffer: Vec<u8>) {
        if self.body.is_empty() && self.body.capacity() < buffer.capacity() {
            buffer.clear();
            self.body = buffer;
        }
    }

    /// [`Self::recv`] for the first frame of a stranger, of at most `HELLO_LEN_MAX` bytes. The caller sets the
    /// deadline.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub async fn recv_hello(&mut self) -> Result<Frame, LinkError> {
        self.recv_at_most(HELLO_LEN_MAX).await
    }

    /// Reads and throws away what still comes, until the peer hangs up too or `linger` has passed. A connection closed
    /// with bytes unread is reset, and a reset can destroy what we said last before the peer has read it.
    pub async fn read_away(self) {
        let mut rest = self.reader.take(READ_AWAY_MAX);
        let mut nowhere = tokio::io::sink();
        let copied = timeout(self.timing.linger, tokio::io::copy(&mut rest, &mut nowhere)).await;
        if let Ok(Err(error)) = copied {
            tracing::trace!(error = &error as &dyn std::error::Error, "the peer did not hang up in order");
        }
    }

    async fn recv_at_most(&mut self, max: usize) -> Result<Frame, LinkError> {
        if self.ended {
            return Err(LinkError::Closed);
        }
        let received = match self.preamble().await {
            Ok(()) => self.receive(max).await,
            Err(error) => Err(error),
        };
        if received.is_err() {
            self.ended = true;
            if self.cord.is_cut() {
                return Err(LinkError::Closed);
            }
        }
        received
    }

    /// Reads the peer's preamble if it is still to come. May be dropped without losing a byte, as everything here.
    async fn preamble(&mut self) -> Result<(), LinkError> {
        while self.awaits_preamble {
            let Self { reader, prefix, heard, timing, .. } = self;
            if hear(reader, prefix, PREAMBLE_LEN, *heard, timing.silence_max).await? == 0 {
                return Err(LinkError::Closed);
            }
            *heard = Instant::now();
            if let Ok(theirs) = <[u8; PREAMBLE_LEN]>::try_from(prefix.as_slice()) {
                agree(theirs)?;
                prefix.clear();
                self.awaits_preamble = false;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, max: usize) -> Result<Frame, LinkError> {
        loop {
            let prefix = loop {
                match self.prefix.as_slice().try_into() {
                    Ok(prefix) => break prefix,
                    Err(_) => self.read_prefix().await?,
                }
            };
            let len = frame_len(prefix, max)?;
            if self.body.capacity() < len {
                self.body.reserve_exact(len - self.body.len());
            }
            while self.body.len() < len {
                self.read_body(len).await?;
            }
            self.prefix.clear();
            let frame = Frame::new(take(&mut self.body))?;
            if frame.kind() != FrameKind::Ping {
                return Ok(frame);
            }
            // Refuses a ping that carries something.
            Message::decode(&frame)?;
        }
    }

    async fn read_prefix(&mut self) -> Result<(), LinkError> {
        let Self { reader, prefix, heard, timing, meter, .. } = self;
        match hear(reader, prefix, PREFIX_LEN, *heard, timing.silence_max).await? {
            0 if prefix.is_empty() => Err(LinkError::Closed),
            0 => Err(LinkError::Io(io::ErrorKind::UnexpectedEof.into())),
            count => {
                *heard = Instant::now();
                meter.count_received(count);
                Ok(())
            }
        }
    }

    async fn read_body(&mut self, len: usize) -> Result<(), LinkError> {
        let Self { reader, body, heard, timing, meter, .. } = self;
        match hear(reader, body, len, *heard, timing.silence_max).await? {
            0 => Err(LinkError::Io(io::ErrorKind::UnexpectedEof.into())),
            count => {
                *heard = Instant::now();
                meter.count_received(count);
                Ok(())
            }
        }
    }
}

/// Reads some bytes, until `into` has `len` at most, and returns how many: 0 at the end of the stream.
async fn hear<R: AsyncRead + Unpin>(
    reader: &mut R,
    into: &mut Vec<u8>,
    len: usize,
    heard: Instant,
    silence_max: Duration,
) -> Result<usize, LinkError> {
    let mut wanted = reader.take(len.saturating_sub(into.len()) as u64);
    let read = match timeout_at(heard + silence_max, wanted.read_buf(into)).await {
        Ok(read) => read,
        Err(_) => {
            // Perhaps it was us who did not listen: what the kernel has meanwhile is looked at once before judging.
            yield_now().await;
            match timeout(Duration::ZERO, wanted.read_buf(into)).await {
                Ok(read) => read,
                Err(_) => return Err(LinkError::Silent),
            }
        }
    };
    read.map_err(LinkError::Io)
}
