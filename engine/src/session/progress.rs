//! Figures of a run while it goes on: written by the session's threads, read by whoever draws them.
//!
//! Counters only; nothing here prints, and nothing decides by them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::types::VolumeName;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking for the receiver.
    Connecting,
    /// Waiting for a sender.
    Waiting,
    /// Listing, comparing and moving, all at once.
    Transferring,
    /// Removing what the source does not have.
    Deleting,
    /// Waiting until everything is on disk.
    Syncing,
    /// Reading back.
    Verifying,
    /// At the end.
    Done,
}

/// The live figures of a run.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    volume: Mutex<Option<VolumeName>>,
    pub(crate) entries_scanned: AtomicU64,
    pub(crate) entries_done: AtomicU64,
    pub(crate) bytes_total: AtomicU64,
    pub(crate) bytes_done: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_verified: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) scan_complete: AtomicBool,
}

/// The figures at one moment. Bytes are bytes of file content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What is going on.
    pub phase: Phase,
    /// The volume it goes on with.
    pub volume: Option<VolumeName>,
    /// Entries seen at the source in this pass.
    pub entries_scanned: u64,
    /// Of them, settled at the destination.
    pub entries_done: u64,
    /// Sizes of the files seen in this pass.
    pub bytes_total: u64,
    /// Of them, settled: sent, found equal, or trusted.
    pub bytes_done: u64,
    /// Sent (by a receiver: taken) as they are, in all passes.
    pub bytes_sent: u64,
    /// Compared by content.
    pub bytes_verified: u64,
    /// Sessions begun after the first.
    pub reconnects: u64,
    /// Whether the totals are final for this pass.
    pub scan_complete: bool,
}

#[cfg(test)]
impl Snapshot {
    /// Of a run that has not begun.
    pub fn nothing() -> Self {
        Progress::default().snapshot()
    }
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Connecting,
        Self::Waiting,
        Self::Transferring,
        Self::Deleting,
        Self::Syncing,
        Self::Verifying,
        Self::Done,
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
            Self::Transferring => "transferring",
            Self::Deleting => "deleting",
            Self::Syncing => "syncing",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}

impl Progress {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL.get(usize::from(self.phase.load(Relaxed))).copied().unwrap_or(Phase::Done)
    }

    /// All figures now. Each is right on its own; together they may be a moment apart.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: self.phase(),
            volume: self.volume.lock().map(|v| v.clone()).unwrap_or_default(),
            entries_scanned: self.entries_scanned.load(Relaxed),
            entries_done: self.entries_done.load(Relaxed),
            bytes_total: self.bytes_total.load(Relaxed),
            bytes_done: self.bytes_done.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_verified: self.bytes_verified.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            scan_complete: self.scan_complete.load(Relaxed),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let number = Phase::ALL.iter().position(|p| *p == phase).unwrap_or(0);
        self.phase.store(u8::try_from(number).unwrap_or(0), Relaxed);
    }

    pub(crate) fn serve(&self, volume: &VolumeName) {
        if let Ok(mut slot) = self.volume.lock() {
            *slot = Some(volume.clone());
        }
    }

    /// A new pass begins: what the last one counted is counted again.
    pub(crate) fn new_pass(&self) {
        for counter in [&self.entries_scanned, &self.entries_done, &self.bytes_total, &self.bytes_done] {
            counter.store(0, Relaxed);
        }
        self.scan_complete.store(false, Relaxed);
    }
}
