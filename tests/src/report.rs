//! `--report FILE` as the command line promises it, typed: a field that is missing or of another type is a failure. It
//! refuses to guess defaults for what was promised.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The report.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// The outcome's word.
    pub outcome: String,
    /// The exit code.
    pub exit: i32,
    /// The run's id.
    pub run: String,
    /// Each volume.
    pub volumes: Vec<VolumeReport>,
    /// Entries, counted by what became of them.
    pub entries: Entries,
    /// How many problems there were.
    pub problems_total: u64,
    /// At most 1000 of them.
    pub problems: Vec<Problem>,
    /// How often each kind was lost.
    pub loss: BTreeMap<String, u64>,
    /// Content bytes by how the destination came to have them.
    pub bytes: Bytes,
    /// What crossed the network.
    pub wire: Wire,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// One volume of a report.
#[derive(Clone, Debug, Deserialize)]
pub struct VolumeReport {
    /// Its name.
    pub name: String,
    /// Its outcome's word.
    pub outcome: String,
}

/// Entries, counted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Entries {
    /// Seen at the source.
    pub scanned: u64,
    /// Made.
    pub created: u64,
    /// Changed.
    pub updated: u64,
    /// Left.
    pub unchanged: u64,
    /// Removed.
    pub deleted: u64,
    /// Left, extended attributes unseen.
    pub trusted_attributes: u64,
}

/// One problem.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// Path below the root, escaped.
    pub path: String,
    /// Where in the flow.
    pub stage: String,
    /// What failed.
    pub cause: String,
}

/// Content bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Bytes {
    /// All regular files' sizes.
    pub total: u64,
    /// Sent.
    pub literal: u64,
    /// Of them, those that crossed compressed.
    pub compressed: u64,
    /// What these took.
    pub compressed_to: u64,
    /// Compared equal, not sent.
    pub copied: u64,
    /// Holes.
    pub holes: u64,
    /// Neither read nor sent.
    pub trusted: u64,
}

/// Bytes and connections on the network.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Wire {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Connections opened.
    pub connections: u64,
    /// Sessions after the first.
    pub reconnects: u64,
}

impl Report {
    /// Reads the report at `path`; nothing when there is no such file.
    ///
    /// # Errors
    /// When it is there and not what was promised.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("cannot read the report"),
            Ok(bytes) => {
                let shown = || format!("not a report: {}", String::from_utf8_lossy(&bytes));
                serde_json::from_slice(&bytes).with_context(shown).map(Some)
            }
        }
    }

    /// Whether a problem names this path.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.path == path)
    }
}
