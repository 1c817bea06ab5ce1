//! TEMPORARY declarations of the faces `cli` uses; dropped at the merge.
#![allow(missing_docs, clippy::unused_async)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::tunnel::{Acceptor, Connector};
use crate::types::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    Transferring,
    Deleting,
    Syncing,
    Verifying,
    Done,
}
impl Phase {
    pub fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Transferring => "transferring",
            Self::Deleting => "deleting",
            Self::Syncing => "syncing",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub phase: Phase,
    pub volume: Option<VolumeName>,
    pub entries_scanned: u64,
    pub entries_done: u64,
    pub bytes_total: u64,
    pub bytes_done: u64,
    pub bytes_sent: u64,
    pub bytes_verified: u64,
    pub reconnects: u64,
    pub scan_complete: bool,
}
#[derive(Debug, Default)]
pub struct Progress;
impl Progress {
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: Phase::Connecting,
            volume: None,
            entries_scanned: 0,
            entries_done: 0,
            bytes_total: 0,
            bytes_done: 0,
            bytes_sent: 0,
            bytes_verified: 0,
            reconnects: 0,
            scan_complete: false,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}
impl Signal {
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Interrupt => Outcome::Interrupted,
            Self::Terminate => Outcome::Terminated,
        }
    }
}
#[derive(Clone, Debug, Default)]
pub struct Stop;
impl Stop {
    pub fn new() -> Self {
        Self
    }
    pub fn stop(&self, _signal: Signal) {}
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemChange {
    Create,
    Update,
    Attributes,
    Delete,
}
#[derive(Clone, Debug)]
pub struct Item {
    pub change: ItemChange,
    pub kind: EntryKind,
    pub path: RelPath,
}
#[derive(Clone)]
pub struct ItemSink;
impl ItemSink {
    pub fn new(_take: impl FnMut(&Item) + Send + 'static) -> Self {
        Self
    }
}
pub struct SendRun {
    pub run: RunId,
    pub volumes: Vec<(VolumeName, PathBuf)>,
    pub options: Options,
    pub chown: Option<ChownTo>,
    pub one_file_system: bool,
    pub lanes: u8,
    pub retry_for: Duration,
    pub bwlimit: Option<u64>,
    pub connector: Connector,
    pub on_item: Option<ItemSink>,
}
pub struct ReceiveRun {
    pub run: RunId,
    pub acceptor: Acceptor,
    pub volumes: Vec<(VolumeName, PathBuf)>,
    pub bounds: Bounds,
    pub once: bool,
    pub idle_exit: Option<Duration>,
    pub ticket_expires: Option<u64>,
}
pub struct SyncRun {
    pub run: RunId,
    pub source: PathBuf,
    pub destination: PathBuf,
    pub options: Options,
    pub chown: Option<ChownTo>,
    pub one_file_system: bool,
    pub lanes: u8,
    pub bwlimit: Option<u64>,
    pub on_item: Option<ItemSink>,
}
pub struct VerifyRun {
    pub source: PathBuf,
    pub destination: PathBuf,
    pub excludes: Vec<String>,
    pub owner: OwnerPolicy,
    pub xattrs: bool,
    pub ignore_extra: bool,
}
pub struct Difference {
    pub path: RelPath,
    pub what: String,
}
#[derive(Debug)]
pub struct VerifyReport {
    pub outcome: Outcome,
    pub differences: u64,
    pub entries: u64,
    pub bytes: u64,
    pub problems: Problems,
}
#[derive(Clone, Debug)]
pub struct RunReport {
    pub run: RunId,
    pub outcome: Outcome,
    pub volumes: Vec<VolumeReport>,
    pub wire: WireCount,
    pub elapsed: Duration,
}
#[derive(Clone, Debug)]
pub struct VolumeReport {
    pub name: String,
    pub outcome: Outcome,
    pub text: Option<String>,
    pub entries: EntriesCount,
    pub bytes: BytesCount,
    pub problems: Problems,
    pub loss: LossCounts,
    pub notes: Vec<String>,
    pub items: u64,
}
fn nothing(run: RunId) -> RunReport {
    RunReport {
        run,
        outcome: Outcome::Failed,
        volumes: Vec::new(),
        wire: WireCount::default(),
        elapsed: Duration::ZERO,
    }
}
pub async fn send(run: SendRun, _progress: Arc<Progress>, _stop: Stop) -> RunReport {
    nothing(run.run)
}
pub async fn receive(run: ReceiveRun, _progress: Arc<Progress>, _stop: Stop) -> RunReport {
    nothing(run.run)
}
pub async fn sync(run: SyncRun, _progress: Arc<Progress>, _stop: Stop) -> RunReport {
    nothing(run.run)
}
pub fn verify(_run: VerifyRun, _on: &mut dyn FnMut(Difference), _progress: &Progress, _stop: &Stop) -> VerifyReport {
    VerifyReport { outcome: Outcome::Failed, differences: 0, entries: 0, bytes: 0, problems: Problems::default() }
}
