//! The receiver's side: serves volumes by name, one session a volume at a time, many volumes at once.
//!
//! ```text
//!  control --> generator -- Need, Leaves, BatchDone --> control
//!                 |  makes directories, links, devices; plans files
//!                 v
//!  lanes ----> writers -- content, attributes --> volume          ledger: directories last, deepest first
//! ```

mod alike;
mod arriving;
mod basis;
mod batches;
mod beside;
mod cache;
mod collected;
mod compressed;
mod consider;
mod context;
mod ctimes;
mod existing;
mod extras;
mod finish;
mod generator;
mod inodes;
mod kept;
mod ledger;
mod level;
mod links;
mod moved;
mod registry;
mod session;
mod single;
#[cfg(test)]
mod tests;
mod unlooked;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::tunnel::{self, Acceptor, GreetError, Inbox, Meter, Outbox, PortDoor, Stranger, Stream};
use crate::types::{Bounds, Outcome, RunId, StatePlace, VolumeName, WireCount, limits};
use crate::wire::{Hello, LaneHello, Message, Refuse, RefuseReason};

use super::error::SessionError;
use super::fate::Fate;
use super::progress::{Phase, Progress};
use super::report::{RunReport, VolumeReport};
use super::stop::Stop;
use registry::{Ending, Registry};

/// How often a receiver looks whether it is done.
const LOOK: Duration = Duration::from_millis(50);

/// Where connections come in.
pub enum Door {
    /// From the network.
    Tunnel(Acceptor),
    /// From rsync's port, inside what an operator has opened.
    Port(PortDoor),
    /// From the other half of the process, for `ferry sync`.
    Memory(Mutex<mpsc::Receiver<Stream>>),
}

/// What `ferry receive` does.
pub struct ReceiveRun {
    /// Which run.
    pub run: RunId,
    /// Where connections come in.
    pub door: Door,
    /// Which volume is where.
    pub volumes: Vec<(VolumeName, PathBuf)>,
    /// What is permitted, whatever a sender asks.
    pub bounds: Bounds,
    /// Where is remembered what large files hold.
    pub state: StatePlace,
    /// End when each volume was completed once.
    pub once: bool,
    /// End when nobody was there for this long.
    pub idle_exit: Option<Duration>,
    /// A ticket admits until this moment (seconds since 1970), and one source only.
    pub ticket_expires: Option<u64>,
}

/// A receiver at work.
pub struct Serving {
    pub run: RunId,
    pub door: Door,
    pub once: bool,
    pub idle_exit: Option<Duration>,
    registry: Arc<Registry>,
    meter: Arc<Meter>,
}

/// Serves until it is done or stopped.
pub async fn receive(run: ReceiveRun, progress: Arc<Progress>, stop: Stop) -> RunReport {
    let registry = Registry::new(run.volumes, run.bounds, run.ticket_expires, progress, stop).remembering(run.state);
    let serving = Serving {
        run: run.run,
        door: run.door,
        once: run.once,
        idle_exit: run.idle_exit,
        registry: Arc::new(registry),
        meter: Arc::default(),
    };
    serving.serve().await
}

impl Serving {
    /// The receiving half of `ferry sync`.
    pub fn local(
        run: RunId,
        connections: mpsc::Receiver<Stream>,
        (name, path, state): (VolumeName, PathBuf, StatePlace),
        progress: Arc<Progress>,
        stop: Stop,
    ) -> Self {
        let registry = Registry::new(vec![(name, path)], Bounds::default(), None, progress, stop).remembering(state);
        Self {
            run,
            door: Door::Memory(Mutex::new(connections)),
            once: true,
            idle_exit: None,
            registry: Arc::new(registry),
            meter: Arc::default(),
        }
    }

    /// Accepts connections until the run is done or stopped; the report of what was received.
    pub async fn serve(self) -> RunReport {
        let begun = Instant::now();
        let registry = Arc::clone(&self.registry);
        let mut connections = JoinSet::new();
        let mut idle_since = Instant::now();
        let mut accepted = 0;
        registry.progress.enter(Phase::Waiting);
        loop {
            tokio::select! {
                arrival = self.arrival() => match arrival {
                    Some(arrival) => {
                        accepted += 1;
                        connections.spawn(introduce(arrival, Arc::clone(&registry), Arc::clone(&self.meter)));
                    }
                    None => break,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                _ = registry.stop.wait() => break,
                () = tokio::time::sleep(LOOK) => {}
            }
            if registry.is_busy() {
                idle_since = Instant::now();
            }
            if self.once && registry.all_complete() {
                break;
            }
            if self.idle_exit.is_some_and(|limit| idle_since.elapsed() > limit) {
                break;
            }
        }
        self.wait_for_sessions(&mut connections).await;
        registry.progress.enter(Phase::Done);
        self.report(begun, accepted)
    }

    /// Sessions under way see the stop themselves; everything else is let go.
    async fn wait_for_sessions(&self, connections: &mut JoinSet<()>) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.registry.is_busy() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        connections.shutdown().await;
    }

    async fn arrival(&self) -> Option<Arrival> {
        match &self.door {
            Door::Memory(door) => door.lock().await.recv().await.map(Arrival::Inside),
            Door::Tunnel(acceptor) => Some(Arrival::Network(persistently(|| acceptor.accept()).await)),
            Door::Port(door) => Some(Arrival::Port(persistently(|| door.accept()).await)),
        }
    }

    fn report(&self, begun: Instant, connections: u64) -> RunReport {
        let stopped = self.registry.stop.asked();
        let mut volumes: Vec<VolumeReport> = Vec::new();
        for slot in self.registry.slots.values() {
            let (outcome, text) = match (slot.ending(), stopped) {
                (Some(ending), _) => (ending.outcome, ending.text),
                (None, Some(signal)) => (signal.outcome(), Some("stopped before anything was received".to_owned())),
                (None, None) => (Outcome::Network, Some("nobody sent anything".to_owned())),
            };
            volumes.push(slot.tally().report(slot.name.as_str(), outcome, text));
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        let wire = WireCount { sent: self.meter.sent(), received: self.meter.received(), connections, reconnects: 0 };
        let mut report = RunReport::of(self.run.clone(), volumes, wire, begun.elapsed());
        if let Some(signal) = stopped {
            report.outcome = report.outcome.max(signal.outcome());
        }
        report
    }
}

/// The next connection of a port that goes on whatever happens to it.
async fn persistently<T, F: Future<Output = std::io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(arrived) => return arrived,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying on");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

enum Arrival {
    Network(tunnel::Handshake),
    Port(tunnel::PortArrival),
    Inside(Stream),
}

/// A connection from its first byte to its end.
async fn introduce(arrival: Arrival, registry: Arc<Registry>, meter: Arc<Meter>) {
    let (mut stream, stranger, bound) = match arrival {
        Arrival::Inside(stream) => (stream, None, None),
        Arrival::Port(arrival) => match arrival.complete().await {
            Some((stream, stranger, volume)) => (stream, Some(stranger), Some(volume)),
            None => return,
        },
        Arrival::Network(handshake) => {
            let peer = handshake.peer();
            match handshake.complete().await {
                Ok((stream, stranger)) => (stream, Some(stranger), None),
                Err(error) if error.is_probe() => return tracing::debug!(%peer, "somebody looked whether we listen"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    return tracing::info!(%peer, error, "a connection was refused");
                }
            }
        }
    };
    match tunnel::greet(&mut stream).await {
        Ok(_) => {}
        // A lane that was dialled early and is not needed: its sender was refused, or has gone.
        Err(error @ GreetError::Io(_)) => return tracing::debug!(%error, "a connection ended before its first word"),
        Err(error) => return tracing::info!(%error, "a connection was no ferry's"),
    }
    let (outbox, mut inbox) = tunnel::open(stream, meter, None);
    let first = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, inbox.recv_hello()).await;
    let message = match first {
        Ok(Ok(frame)) => Message::decode(&frame),
        Ok(Err(error)) => return tracing::info!(%error, "a connection ended before its hello"),
        Err(_) => return tracing::info!("a connection sent no hello in time"),
    };
    match message {
        // Who proved a module's password has it for that module.
        Ok(Message::Hello(hello)) if bound.as_ref().is_some_and(|volume| *volume != hello.volume) => {
            refuse(outbox, inbox, "the hello is for another volume than the module that was asked for").await;
        }
        Ok(Message::Hello(hello)) => begin_session(registry, outbox, inbox, hello, stranger).await,
        Ok(Message::LaneHello(hello)) => begin_lane(&registry, outbox, inbox, hello, stranger).await,
        Ok(_) => refuse(outbox, inbox, "the first message is no hello").await,
        Err(error) => refuse(outbox, inbox, &error.to_string()).await,
    }
}

async fn refuse(outbox: Outbox, inbox: Inbox, text: &str) {
    session::refuse_politely(outbox, inbox, Refuse { reason: RefuseReason::Malformed, text: text.to_owned() }).await;
}

async fn begin_lane(registry: &Registry, outbox: Outbox, inbox: Inbox, hello: LaneHello, stranger: Option<Stranger>) {
    match registry.admit_lane(&hello) {
        Ok(admit) => {
            drop(stranger);
            let _ = outbox.post(Message::LaneWelcome.encode());
            // A session that has ended meanwhile drops the lane, which closes it.
            let _ = admit.send((outbox, inbox)).await;
        }
        Err(refuse) => session::refuse_politely(outbox, inbox, refuse).await,
    }
}

async fn begin_session(
    registry: Arc<Registry>,
    outbox: Outbox,
    inbox: Inbox,
    hello: Hello,
    stranger: Option<Stranger>,
) {
    let slot = match registry.admit(&hello.volume, hello.instance) {
        Ok(slot) => slot,
        Err(refuse) => return session::refuse_politely(outbox, inbox, refuse).await,
    };
    drop(stranger);
    let fate = Fate::new();
    let hold = match slot.take(hello.instance, &fate).await {
        Ok(hold) => hold,
        Err(refuse) => return session::refuse_politely(outbox, inbox, refuse).await,
    };
    registry.progress.serve(&slot.name);
    tracing::info!(volume = %slot.name, run = %hello.run, "a session begins");
    let dry_run = hello.options.dry_run;
    let end = session::run(&registry, &slot, fate, outbox, inbox, hello).await;
    let (outcome, text) = session::outcome_of(&end);
    tracing::info!(volume = %slot.name, outcome = %outcome.word(), text, "a session has ended");
    let complete = end.result.is_ok() && !dry_run;
    let full = matches!(&end.result, Err(SessionError::Volume { source, .. }) if source.is_no_space());
    slot.end(Ending { outcome, text, complete, goodbye: end.goodbye, at: Instant::now() }, full);
    drop(hold);
    if !registry.is_busy() {
        registry.progress.enter(Phase::Waiting);
    }
}
