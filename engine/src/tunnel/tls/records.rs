//! TLS between two buffers: records that came are opened where they lie, records that go are put side by side. No socket.
//!
//! ```text
//!  socket ─> incoming ─ opened in place ─> the caller's memory        (what does not fit there: rest)
//!  socket <─ outgoing <─ sealed ────────── the caller's bytes, handshake, alerts
//! ```
//! All buffers are bounded: a peer can fill `incoming` and no more, and what it sends while it has filled it without a whole
//! record or handshake message ends the connection. Reading never waits for writing: what TLS has to answer lies in `outgoing`
//! until somebody sends it. After an error there is nothing but that error, and the alert that tells the peer of it.

use std::io;

use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use tokio::io::ReadBuf;

use super::buffer::Buffer;
use super::side::Side;

/// Bytes read from a socket at once. More than the largest handshake message (64 KiB) in records of 16 KiB.
pub(super) const INCOMING_LEN: usize = 131_072;
/// Plain bytes of the longest record (RFC 8446, 5.1).
const RECORD_LEN: usize = 16_384;
/// Plain bytes that are sealed and written at once: a frame of `DATA_LEN_MAX` and what precedes the content.
const SEALED_LEN: usize = 17 * RECORD_LEN;

/// One connection's TLS and its buffers.
pub(super) struct Records<S> {
    side: S,
    pub(super) incoming: Buffer,
    pub(super) outgoing: Buffer,
    /// The end of a record for which the caller had no room.
    rest: Buffer,
    /// Bytes of `incoming` that TLS has looked at and wants to see again: parts of records or handshake messages. What lies
    /// behind them it has not seen.
    seen: usize,
    end: End,
    failed: Option<rustls::Error>,
}

/// Which ways are closed in order.
#[derive(Clone, Copy, Default)]
struct End {
    /// The peer said goodbye.
    theirs: bool,
    /// We did.
    ours: bool,
}

/// What is wanted of TLS.
enum Wish<'a, 'b> {
    /// To see all of `incoming`, and plain bytes.
    Read(&'a mut ReadBuf<'b>),
    /// To seal these bytes.
    Seal(&'a [u8]),
    /// To say goodbye.
    Part,
}

/// What came of one step.
enum Step {
    /// Something was done, and perhaps more can be.
    Again,
    /// Plain bytes were found.
    Plain,
    /// All that came is looked at.
    Starved,
    /// The wish is granted.
    Done,
}

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There are plain bytes for the caller.
    Plain,
    /// More has to come first.
    Starved,
    /// Nothing will come.
    Closed,
}

impl<S: Side> Records<S> {
    pub(super) fn new(side: S) -> Self {
        Self {
            side,
            incoming: Buffer::new(INCOMING_LEN),
            outgoing: Buffer::new(0),
            rest: Buffer::new(0),
            seen: 0,
            end: End::default(),
            failed: None,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.side.is_handshaking()
    }

    /// There is an error that [`Self::read`] hands out.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Fills `into` with what has come, as far as there are whole records. Bytes that are there are handed out before an
    /// error that follows them is.
    pub(super) fn read(&mut self, into: &mut ReadBuf<'_>) -> Result<Stop, rustls::Error> {
        let before = into.filled().len();
        self.rest.pour(into);
        while into.remaining() > 0 && !self.end.theirs && self.failed.is_none() {
            match self.step(Wish::Read(into)) {
                Ok(Step::Again | Step::Plain | Step::Done) => {}
                Ok(Step::Starved) => break,
                Err(error) => self.fail(error),
            }
        }
        match &self.failed {
            _ if into.filled().len() > before => Ok(Stop::Plain),
            Some(error) => Err(error.clone()),
            None if self.end.theirs => Ok(Stop::Closed),
            None => Ok(Stop::Starved),
        }
    }

    /// Looks at what has come during a handshake.
    pub(super) fn shake_hands(&mut self) -> Result<(), rustls::Error> {
        // Whoever speaks first may have sent bytes with its last word; they are kept for the first read.
        while self.rest.is_empty() {
            match self.step(Wish::Read(&mut ReadBuf::new(&mut []))) {
                Ok(Step::Again | Step::Done) => {}
                Ok(Step::Plain | Step::Starved) => break,
                Err(error) => {
                    self.fail(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Seals the first of `plain` into `outgoing`, which must be empty, and says how many bytes it took: some.
    pub(super) fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
        if self.end.ours {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the connection was closed for writing on this side",
            ));
        }
        let plain = plain.get(..SEALED_LEN).unwrap_or(plain);
        self.grant(|| Wish::Seal(plain))?;
        Ok(plain.len())
    }

    /// Puts our goodbye into `outgoing`, once.
    pub(super) fn part(&mut self) -> io::Result<()> {
        if self.end.ours || self.failed.is_some() {
            return Ok(());
        }
        self.end.ours = true;
        self.grant(|| Wish::Part)
    }

    fn grant<'a>(&mut self, wish: impl Fn() -> Wish<'a, 'a>) -> io::Result<()> {
        loop {
            if let Some(error) = &self.failed {
                return Err(tls(error.clone()));
            }
            match self.step(wish()) {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Again) => {}
                // Neither can be: a connection that may be written to says so.
                Ok(Step::Plain | Step::Starved) => return Err(tls(rustls::Error::HandshakeNotComplete)),
                Err(error) => self.fail(error),
            }
        }
    }

    /// Remembers why it is over, and puts the alert that says so to the peer into `outgoing`.
    fn fail(&mut self, error: rustls::Error) {
        self.failed = Some(error);
        // TLS is asked only as long as it has something to send: then it looks at nothing that came.
        while self.side.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.side.process(&mut []).state else { return };
            if encode(&mut data, &mut self.outgoing).is_err() {
                return;
            }
        }
    }

    fn step(&mut self, wish: Wish<'_, '_>) -> Result<Step, rustls::Error> {
        let Self { side, incoming, outgoing, rest, seen, end, .. } = self;
        // Who writes must not open what came, for nobody may have asked for it yet. But what TLS knows to lie in the buffer,
        // a part of a handshake message, it must find there whenever it is asked.
        let reads = matches!(wish, Wish::Read(_));
        let shown = if reads { incoming.len() } else { *seen };
        let UnbufferedStatus { discard, state } = side.process(incoming.front_mut(shown));
        let mut used = discard;
        let step = match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                let mut nowhere = ReadBuf::new(&mut []);
                let into = match wish {
                    Wish::Read(into) => into,
                    Wish::Seal(_) | Wish::Part => &mut nowhere,
                };
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    used = used.saturating_add(record.discard);
                    deal(record.payload, into, rest);
                }
                Step::Plain
            }
            ConnectionState::EncodeTlsData(mut data) => {
                encode(&mut data, outgoing)?;
                Step::Again
            }
            // It lies in order in `outgoing`; that it leaves is the stream's care.
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Step::Again
            }
            ConnectionState::WriteTraffic(mut traffic) => match wish {
                Wish::Read(_) => Step::Starved,
                Wish::Seal(plain) => {
                    put(outgoing, |room| traffic.encrypt(plain, room))?;
                    Step::Done
                }
                Wish::Part => {
                    put(outgoing, |room| traffic.queue_close_notify(room))?;
                    Step::Done
                }
            },
            ConnectionState::BlockedHandshake => Step::Starved,
            ConnectionState::PeerClosed => {
                end.theirs = true;
                Step::Again
            }
            ConnectionState::Closed => {
                end.theirs = true;
                Step::Starved
            }
            other => {
                return Err(rustls::Error::General(format!("the TLS library wants what we do not know: {other:?}")));
            }
        };
        incoming.consume(used);
        if reads {
            *seen = if matches!(step, Step::Starved) { incoming.len() } else { 0 };
        }
        Ok(step)
    }
}

/// Hands out a record; what the caller has no room for is kept.
fn deal(record: &[u8], into: &mut ReadBuf<'_>, rest: &mut Buffer) {
    let (now, later) = record.split_at_checked(into.remaining()).unwrap_or((record, &[]));
    into.put_slice(now);
    if !later.is_empty() {
        rest.append(later);
    }
}

/// Puts a record of TLS's own into `outgoing`: how long those are is for TLS to say, not for the peer.
fn encode<D>(data: &mut EncodeTlsData<'_, D>, outgoing: &mut Buffer) -> Result<(), rustls::Error> {
    put(outgoing, |room| {
        data.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => EncryptError::InsufficientSize(size),
            EncodeError::AlreadyEncoded => EncryptError::EncryptExhausted,
        })
    })
}

/// Puts into `outgoing` what `write` writes, making as much room as that asks for: a little more than the plain bytes.
fn put(
    outgoing: &mut Buffer,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), rustls::Error> {
    loop {
        match write(outgoing.room()) {
            Ok(written) => {
                outgoing.fill(written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if outgoing.room().len() < required_size =>
            {
                outgoing.grow(required_size);
            }
            Err(EncryptError::InsufficientSize(_) | EncryptError::EncryptExhausted) => {
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

/// An error of TLS as one of a stream; `failure` finds it there again.
pub(super) fn tls(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
