//! The sender's side: one volume after the other, each in as many sessions as the network takes.
//!
//! ```text
//!  scan ---- Batch ----> control                 reading threads, one a lane
//!    |                                             ^            |
//!    +-- (empty volume) ----> feed ----> work -----+            v
//!                              ^                              Pack, Data, Runs, FileEnd ----> lanes
//!  answers <-- Need, Leaves ---+
//! ```
//!
//! A cut ends a session; the next one begins with a first pass and finds what is there. Nothing else is remembered.

mod book;
mod compare;
mod content;
mod context;
mod course;
mod feed;
mod lanes;
mod large;
mod passes;
mod reader;
mod scan;
mod session;
mod shrink;
mod widening;
mod work;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::tunnel::{self, Connector, Meter, Pace, PortConnector, Stream, memory_pair};
use crate::types::{
    ChownTo, Compress, LossSet, Options, Outcome, Restless, RunId, Shape, SourceInstance, VolumeName, WireCount, limits,
};
use crate::volume::Volume;
use crate::wire::Report;

use super::error::SessionError;
use super::progress::{Phase, Progress};
use super::report::{ItemSink, RunReport, Tally, VolumeReport};
use super::stop::Stop;

/// How connections to the receiver come about.
#[derive(Clone)]
pub enum Dial {
    /// Over the network.
    Tunnel(Arc<Connector>),
    /// Through rsync's port, inside what an operator has opened.
    Port(PortConnector),
    /// Inside the process, for `ferry sync`.
    Memory(mpsc::Sender<Stream>),
}

/// What `ferry send` does.
pub struct SendRun {
    /// Which run.
    pub run: RunId,
    /// What to send under which name.
    pub volumes: Vec<(VolumeName, PathBuf)>,
    /// What is asked for.
    pub options: Options,
    /// Owners every entry gets.
    pub chown: Option<ChownTo>,
    /// Do not enter other file systems.
    pub one_file_system: bool,
    /// Data connections to begin with.
    pub lanes: u8,
    /// Data connections that may be opened, when more carry more.
    pub lanes_max: u8,
    /// Whether content is compressed, if the receiver can take it.
    pub compress: Compress,
    /// Time without progress before the network is given up.
    pub retry_for: Duration,
    /// Bytes a second on the wire, all connections together.
    pub bwlimit: Option<NonZeroU64>,
    /// Where to.
    pub dial: Dial,
    /// What becomes of files that never hold still.
    pub restless: Restless,
    /// Takes the changes of a dry run.
    pub on_item: Option<ItemSink>,
}

/// One volume on its way.
pub struct SendVolume {
    pub run: RunId,
    pub name: VolumeName,
    pub volume: Arc<Volume>,
    pub instance: SourceInstance,
    pub options: Options,
    pub chown: Option<ChownTo>,
    pub one_file_system: bool,
    pub lanes: u8,
    pub lanes_max: u8,
    pub compress: Compress,
    pub restless: Restless,
    pub retry_for: Duration,
    pub dial: Dial,
    pub meter: Arc<Meter>,
    pub pace: Option<Arc<Pace>>,
    pub connections: Arc<AtomicU64>,
    pub reconnects: Arc<AtomicU64>,
    /// The next session deletes before it writes.
    pub clears_first: AtomicBool,
    /// A session was tried.
    pub dialled: AtomicBool,
    pub tally: Arc<Tally>,
    pub progress: Arc<Progress>,
    pub stop: Stop,
}

impl Dial {
    /// One connection.
    pub async fn dial(&self) -> Result<Stream, SessionError> {
        match self {
            Self::Tunnel(connector) => Ok(connector.connect().await?),
            Self::Port(connector) => Ok(connector.connect().await?),
            Self::Memory(door) => {
                let (ours, theirs) = memory_pair();
                door.send(theirs).await.map_err(|_| SessionError::Internal("the receiving half has ended"))?;
                Ok(ours)
            }
        }
    }
}

/// Sends every volume of the run, one after the other.
pub async fn send(run: SendRun, progress: Arc<Progress>, stop: Stop) -> RunReport {
    let begun = Instant::now();
    let meter = Arc::new(Meter::default());
    let pace = run.bwlimit.map(|rate| Arc::new(Pace::new(rate)));
    let connections = Arc::new(AtomicU64::new(0));
    let reconnects = Arc::new(AtomicU64::new(0));
    let mut reports = Vec::new();
    for (name, path) in run.volumes {
        let tally = Arc::new(Tally::new(run.on_item.clone()));
        progress.serve(&name);
        let opened = Volume::open_source(&path);
        let volume = match opened {
            Ok(volume) => Arc::new(volume),
            Err(error) => {
                let text = format!("cannot open the source {}: {error}", path.display());
                reports.push(tally.report(name.as_str(), Outcome::Usage, Some(text)));
                continue;
            }
        };
        let job = SendVolume {
            run: run.run.clone(),
            instance: instance_of(&volume, &name),
            name,
            options: options_for(volume.shape(), run.options.clone()),
            volume,
            chown: run.chown,
            one_file_system: run.one_file_system,
            lanes: run.lanes,
            lanes_max: run.lanes_max,
            compress: run.compress,
            restless: run.restless,
            retry_for: run.retry_for,
            dial: run.dial.clone(),
            meter: Arc::clone(&meter),
            pace: pace.clone(),
            connections: Arc::clone(&connections),
            reconnects: Arc::clone(&reconnects),
            clears_first: AtomicBool::new(false),
            dialled: AtomicBool::new(false),
            tally,
            progress: Arc::clone(&progress),
            stop: stop.clone(),
        };
        reports.push(send_volume(&job).await);
        if stop.asked().is_some() {
            break;
        }
    }
    progress.enter(Phase::Done);
    let wire = WireCount {
        sent: meter.sent(),
        received: meter.received(),
        connections: connections.load(Relaxed),
        reconnects: reconnects.load(Relaxed),
    };
    RunReport::of(run.run, reports, wire, begun.elapsed())
}

/// The same after a restart on the same machine: boot, root device and inode, and the volume's name, under a key.
pub fn instance_of(volume: &Volume, name: &VolumeName) -> SourceInstance {
    let mut hasher = blake3::Hasher::new_derive_key("ferry 1 source instance");
    hasher.update(&volume.instance_seed());
    hasher.update(name.as_str().as_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    SourceInstance(id)
}

/// What is asked for a volume of this shape: in a single file or device there is nothing to delete or leave out.
pub fn options_for(shape: Shape, options: Options) -> Options {
    if !shape.is_single() {
        return options;
    }
    Options { delete: false, delete_excluded: false, max_delete: None, excludes: Vec::new(), ..options }
}

/// Sends one volume, in as many sessions as it takes.
pub async fn send_volume(job: &SendVolume) -> VolumeReport {
    let mut patience = Patience::new(job.retry_for);
    let mut seen = 0;
    let mut told = String::new();
    loop {
        job.progress.enter(Phase::Connecting);
        let connected = job.connections.load(Relaxed);
        let ended = tokio::select! {
            ended = session::run(job) => ended,
            signal = job.stop.wait(), if job.stop.asked().is_some() => Err(SessionError::Stopped(signal)),
        };
        let error = match ended {
            Ok(report) => return conclude(job, &report),
            Err(error) => error,
        };
        // Full, perhaps, of what is to be deleted: once, that goes first (engine-rules 14).
        let failed = matches!(error, SessionError::Aborted { outcome: Outcome::Failed, .. });
        if failed && job.options.delete && !job.clears_first.swap(true, Relaxed) {
            tracing::info!(volume = %job.name, error = %error.sentence(), "once more, deleting first");
            continue;
        }
        let moved = job.tally.literal.load(Relaxed) + job.progress.entries_done.load(Relaxed);
        let gone_on = std::mem::replace(&mut seen, moved) != moved;
        let pause = if error.may_pass() && job.stop.asked().is_none() { patience.pause(gone_on) } else { None };
        let Some(pause) = pause else {
            // Once we were told to stop, what breaks is part of stopping.
            let error = job.stop.asked().map_or(error, SessionError::Stopped);
            job.tally.touch();
            return gave_up(job, &error);
        };
        say_again(job, &error, pause, &mut told);
        if job.connections.load(Relaxed) != connected {
            job.reconnects.fetch_add(1, Relaxed);
            job.progress.reconnects.fetch_add(1, Relaxed);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            signal = job.stop.wait() => {
                let error = SessionError::Stopped(signal);
                return gave_up(job, &error);
            }
        }
    }
}

/// The volume's report when its last session failed.
fn gave_up(job: &SendVolume, error: &SessionError) -> VolumeReport {
    job.tally.report(job.name.as_str(), error.outcome(), Some(error.sentence())).because(error.cause())
}

/// Says that it will be tried again: loudly when the reason is a new one, for whoever waits should know for what.
fn say_again(job: &SendVolume, error: &SessionError, pause: Duration, told: &mut String) {
    let (volume, sentence, pause_ms) = (&job.name, error.sentence(), pause.as_millis());
    if *told == sentence {
        return tracing::info!(%volume, error = %sentence, pause_ms, "connecting again");
    }
    let give_up_s = job.retry_for.as_secs();
    tracing::warn!(%volume, error = %sentence, pause_ms, give_up_s, "connecting again");
    *told = sentence;
}

/// The volume's report from the receiver's.
fn conclude(job: &SendVolume, report: &Report) -> VolumeReport {
    let tally = &job.tally;
    tally.touch();
    let (compressed, compressed_to) = (tally.compressed.load(Relaxed), tally.compressed_to.load(Relaxed));
    if compressed > 0 {
        tracing::info!(volume = %job.name, compressed, compressed_to, "content crossed compressed");
    }
    // The receiver counts over all sessions of a run.
    tally.created.store(report.created, Relaxed);
    tally.updated.store(report.updated, Relaxed);
    tally.deleted.store(report.deleted, Relaxed);
    tally.set_loss(report.loss);
    // What equals by what the receiver remembered was not compared, and only the receiver knows.
    tally.copied.fetch_min(report.bytes.copied, Relaxed);
    if report.outcome == Outcome::Differences {
        tally.differences.store(report.problems_total.max(1), Relaxed);
    }
    if !session::is_an_end(report.outcome) || report.outcome == Outcome::SafetyHalt {
        return tally.report(job.name.as_str(), report.outcome, Some(report.text.clone()));
    }
    // What of the loss is a failure the receiver has judged, by what was asked and by what its own side accepts.
    let (ours, text) = tally.outcome(LossSet::from_bits(u8::MAX));
    let outcome = ours.max(report.outcome);
    let text = text.or_else(|| (!report.text.is_empty()).then(|| report.text.clone()));
    tally.report(job.name.as_str(), outcome, text)
}

/// How long to go on trying: the time without progress, and growing pauses.
struct Patience {
    limit: Duration,
    since: Instant,
    pause: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), pause: limits::RETRY_PAUSE_MIN }
    }

    /// The next pause, or `None` when patience is over.
    fn pause(&mut self, gone_on: bool) -> Option<Duration> {
        if gone_on {
            self.since = Instant::now();
            self.pause = limits::RETRY_PAUSE_MIN;
        }
        let left = self.limit.checked_sub(self.since.elapsed())?;
        let pause = self.pause.min(left.max(Duration::from_millis(1)));
        self.pause = (self.pause * 2).min(limits::RETRY_PAUSE_MAX);
        Some(pause)
    }
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N], SessionError> {
    tunnel::random_bytes().ok_or(SessionError::Internal("the system gives no random bytes"))
}
