//! `ferry sync`: both ends in one process, over memory instead of a network. The same code on both sides; only the
//! connection differs.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::tunnel::{Meter, Pace};
use crate::types::{ChownTo, Compress, Options, Outcome, Restless, RunId, StatePlace, VolumeName, WireCount};
use crate::volume::Volume;

use super::progress::{Phase, Progress};
use super::receiver::Serving;
use super::report::{ItemSink, RunReport, Tally};
use super::sender::{Dial, SendVolume, instance_of, options_for, send_volume};
use super::stop::Stop;

/// What `ferry sync` does.
pub struct SyncRun {
    /// Which run.
    pub run: RunId,
    /// The directory, file or device to copy.
    pub source: PathBuf,
    /// What becomes its equal.
    pub destination: PathBuf,
    /// What is asked for.
    pub options: Options,
    /// Where the destination remembers what large files hold.
    pub state: StatePlace,
    /// Owners every entry gets.
    pub chown: Option<ChownTo>,
    /// Do not enter other file systems.
    pub one_file_system: bool,
    /// Threads that read and write contents.
    pub lanes: u8,
    /// Whether content is compressed between the two halves; by itself never, for there is no network to spare.
    pub compress: Compress,
    /// Bytes a second between the two halves.
    pub bwlimit: Option<NonZeroU64>,
    /// What becomes of files that never hold still.
    pub restless: Restless,
    /// Takes the changes of a dry run.
    pub on_item: Option<ItemSink>,
}

/// Copies one volume into another.
pub async fn sync(run: SyncRun, progress: Arc<Progress>, stop: Stop) -> RunReport {
    let begun = Instant::now();
    let tally = Arc::new(Tally::new(run.on_item));
    let usage = |text: String| {
        let report = tally.report("sync", Outcome::Usage, Some(text));
        RunReport::of(run.run.clone(), vec![report], WireCount::default(), begun.elapsed())
    };
    let Ok(name) = VolumeName::new("sync") else { return usage("internal error: a name".to_owned()) };
    let volume = match Volume::open_source(&run.source) {
        Ok(volume) => Arc::new(volume),
        Err(error) => return usage(format!("cannot open the source {}: {error}", run.source.display())),
    };
    let (door, connections) = mpsc::channel(16);
    // The receiving half has its own figures; what people see are the sender's.
    let serving = Serving::local(
        run.run.clone(),
        connections,
        (name.clone(), run.destination, run.state),
        Arc::default(),
        stop.clone(),
    );
    let serving = tokio::spawn(serving.serve());
    let job = SendVolume {
        run: run.run.clone(),
        instance: instance_of(&volume, &name),
        name,
        options: options_for(volume.shape(), run.options),
        volume,
        chown: run.chown,
        one_file_system: run.one_file_system,
        lanes: run.lanes,
        lanes_max: run.lanes,
        compress: if run.compress == Compress::Auto { Compress::Off } else { run.compress },
        restless: run.restless,
        retry_for: Duration::ZERO,
        dial: Dial::Memory(door),
        meter: Arc::new(Meter::default()),
        pace: run.bwlimit.map(|rate| Arc::new(Pace::new(rate))),
        connections: Arc::new(AtomicU64::new(0)),
        reconnects: Arc::new(AtomicU64::new(0)),
        clears_first: AtomicBool::new(false),
        dialled: AtomicBool::new(false),
        tally,
        progress: Arc::clone(&progress),
        stop,
    };
    let report = send_volume(&job).await;
    let SendVolume { dial, .. } = job;
    // Without anybody who could still connect, the receiving half ends.
    drop(dial);
    if serving.await.is_err() {
        tracing::error!("the receiving half ended without a word");
    }
    progress.enter(Phase::Done);
    RunReport::of(run.run, vec![report], WireCount::default(), begun.elapsed())
}
