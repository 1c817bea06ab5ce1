//! The lanes of a session: dialled early, opened with the session's token, and more of them while that pays.
//!
//! It knows nothing of what they carry.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};

use crate::session::error::SessionError;
use crate::tunnel::{self, Inbox, Outbox, Stream};
use crate::types::limits;
use crate::wire::{LaneHello, Message, Welcome};

use super::context::Sending;
use super::widening::{LOOK_EVERY, Widening};
use super::{Dial, SendVolume};

/// How long a connection may stand before its first word: the receiver lets it go after `HANDSHAKE_DEADLINE`.
const EARLY_MAX: Duration = Duration::from_secs(5);

/// The control connection knocks first: who takes one after the other should hear the hello, not wait for a lane's.
const CONTROL_FIRST: Duration = Duration::from_millis(2);

/// What is made of a lane before the receiver has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It carries content at once, a round trip earlier; should it not be welcome, the session ends.
    Trusting,
    /// It waits, and one that is not welcome is done without.
    Careful,
}

/// A lane as opened.
pub(super) struct Lane {
    pub outbox: Outbox,
    pub inbox: Inbox,
    /// Whether the receiver has said that it takes it.
    pub is_welcome: bool,
}

/// A connection that is to become a lane, and since when it stands; given up when nobody waits for it.
pub(super) struct Dialled(JoinHandle<Result<(Stream, Instant), SessionError>>);

impl Drop for Dialled {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn dial_lane(dial: &Dial, pause: Duration) -> Dialled {
    let dial = dial.clone();
    Dialled(tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        Ok((dial.dial().await?, Instant::now()))
    }))
}

/// Begins to connect the lanes before the receiver has answered the hello, which saves two or three round trips.
pub(super) fn dial_lanes(job: &SendVolume) -> Vec<Dialled> {
    (0..job.lanes).map(|_| dial_lane(&job.dial, CONTROL_FIRST)).collect()
}

/// Opens the lanes; the first must stand, a further one may be refused by what lies between.
pub(super) async fn open_lanes(
    job: &SendVolume,
    welcome: &Welcome,
    dialled: Vec<Dialled>,
    manner: Manner,
) -> Result<Vec<Lane>, SessionError> {
    let mut lanes = Vec::new();
    let mut opening = JoinSet::new();
    for (lane, dialled) in (0..welcome.lanes).zip(dialled) {
        let (dial, meter, pace) = (job.dial.clone(), Arc::clone(&job.meter), job.pace.clone());
        let hello = LaneHello { epoch: welcome.epoch, token: welcome.token, lane };
        opening.spawn(async move { open_lane(&dial, dialled, (meter, pace), hello, manner).await });
    }
    let mut failure = None;
    while let Some(opened) = opening.join_next().await {
        match opened {
            Ok(Ok(lane)) => {
                job.connections.fetch_add(1, Relaxed);
                lanes.push(lane);
            }
            Ok(Err(error)) => {
                tracing::info!(error = %error.sentence(), "a data connection could not be opened");
                failure.get_or_insert(error);
            }
            Err(_) => return Err(SessionError::Internal("a connecting task ended without a word")),
        }
    }
    match (lanes.is_empty(), failure) {
        (true, Some(error)) => Err(error),
        _ => Ok(lanes),
    }
}

async fn open_lane(
    dial: &Dial,
    mut dialled: Dialled,
    (meter, pace): (Arc<tunnel::Meter>, Option<Arc<tunnel::Pace>>),
    hello: LaneHello,
    manner: Manner,
) -> Result<Lane, SessionError> {
    let gone = SessionError::Internal("a connecting task ended without a word");
    let mut stream = match (&mut dialled.0).await.map_err(|_| gone)?? {
        (stream, since) if since.elapsed() < EARLY_MAX => stream,
        _ => dial.dial().await?,
    };
    let hello = Message::LaneHello(hello).encode();
    if manner == Manner::Trusting {
        tunnel::greet_blindly(&mut stream, &hello, &meter).await?;
        let (outbox, inbox) = tunnel::open(stream, meter, pace);
        return Ok(Lane { outbox, inbox: inbox.unanswered(), is_welcome: false });
    }
    tunnel::greet_with(&mut stream, &hello, &meter).await?;
    let (outbox, mut inbox) = tunnel::open(stream, meter, pace);
    let frame = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, inbox.recv())
        .await
        .map_err(|_| SessionError::Link(tunnel::LinkError::Silent))??;
    match Message::decode(&frame)? {
        Message::LaneWelcome => Ok(Lane { outbox, inbox, is_welcome: true }),
        Message::Refuse(refuse) => Err(SessionError::Refused { reason: refuse.reason, text: refuse.text }),
        _ => Err(SessionError::Protocol("its first message on a data connection is no answer".to_owned())),
    }
}

/// Opens further lanes while that pays.
pub(super) struct Wider<'a> {
    job: &'a SendVolume,
    sending: &'a Sending,
    hello: LaneHello,
    course: Widening,
    /// When was looked last, and what the session had carried and waited by then.
    seen: (Instant, u64, Duration),
}

impl<'a> Wider<'a> {
    /// Of a session with `lanes` lanes, whose numbers are below `next`.
    pub(super) fn new(job: &'a SendVolume, sending: &'a Sending, welcome: &Welcome, lanes: usize) -> Self {
        let next = job.lanes.min(welcome.lanes);
        let lanes = u8::try_from(lanes).unwrap_or(u8::MAX);
        let more = job.lanes_max.min(welcome.lanes).saturating_sub(next);
        // A lane that could not be opened at first is not tried again: something bounds their number.
        let most = if lanes < next || job.pace.is_some() { lanes } else { lanes.saturating_add(more) };
        let hello = LaneHello { epoch: welcome.epoch, token: welcome.token, lane: next };
        let seen = (Instant::now(), job.meter.sent(), sending.waited());
        Self { job, sending, hello, course: Widening::new(lanes, most), seen }
    }

    /// The next lane, when one more is opened; never comes when none will be. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Lane {
        while self.course.may_go_on() {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.look() {
                continue;
            }
            let (dial, meter, pace) = (&self.job.dial, Arc::clone(&self.job.meter), self.job.pace.clone());
            let hello = self.hello;
            self.hello.lane += 1;
            match open_lane(dial, dial_lane(dial, Duration::ZERO), (meter, pace), hello, Manner::Careful).await {
                Ok(lane) => {
                    self.job.connections.fetch_add(1, Relaxed);
                    tracing::info!(lanes = self.hello.lane, "the lanes wait for the way: one more");
                    return lane;
                }
                Err(error) => {
                    tracing::info!(error = %error.sentence(), "a further data connection could not be opened");
                    self.course.failed();
                }
            }
        }
        std::future::pending().await
    }

    fn look(&mut self) -> bool {
        let now = (Instant::now(), self.job.meter.sent(), self.sending.waited());
        let (at, sent, waited) = std::mem::replace(&mut self.seen, now);
        self.course.look(now.1.saturating_sub(sent), now.2.saturating_sub(waited), now.0 - at)
    }
}
