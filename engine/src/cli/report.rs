//! The report of a run: what `--report` and `--termination-log` hold, as JSON.
//!
//! Built from what the session returned, nothing else; the same numbers as the summary people see. Paths are shown
//! escaped. A run that never began has a report too: its one problem is the sentence that was printed.

use serde_json::{Map, Value, json};

use super::remedy;
use crate::session::{RunReport, VolumeReport};
use crate::types::{BytesCount, EntriesCount, LossCounts, Outcome, Problem, RunId, WireCount, limits};

/// Bytes of a termination log: the kubelet keeps the last 4096, and an object that lost its head is no object.
pub const TERMINATION_LEN_MAX: usize = 4_000;
/// Problems a termination log tries to name.
const TERMINATION_PROBLEMS_MAX: usize = 10;
/// Bytes of one sentence in a termination log.
const TERMINATION_TEXT_LEN_MAX: usize = 300;

/// On which side of a transfer this process stands: the same figures are words of going or of coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `send`, `sync`.
    Sends,
    /// `receive`.
    Receives,
}

impl Side {
    /// What happened to content that crossed.
    #[must_use]
    pub fn moved(self) -> &'static str {
        match self {
            Self::Sends => "sent",
            Self::Receives => "received",
        }
    }
}

/// How a whole run ended: what the session reported, or that it never began.
#[derive(Debug)]
pub struct Ending {
    /// Which run.
    pub run: RunId,
    /// Which side of it.
    pub side: Side,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it never began, or ended as a whole, in a sentence.
    pub cause: Option<String>,
    /// Each volume.
    pub volumes: Vec<VolumeReport>,
    /// What crossed the network.
    pub wire: WireCount,
    /// How long it took.
    pub elapsed: std::time::Duration,
}

/// The sums over all volumes.
#[derive(Debug, Default)]
pub struct Totals {
    /// Entries.
    pub entries: EntriesCount,
    /// Content bytes.
    pub bytes: BytesCount,
    /// Losses by kind.
    pub loss: LossCounts,
    /// All problems.
    pub problems: u64,
}

impl Ending {
    /// A run that the session reported.
    #[must_use]
    pub fn of(report: RunReport, side: Side) -> Self {
        let RunReport { run, outcome, volumes, wire, elapsed } = report;
        Self { run, side, outcome, cause: None, volumes, wire, elapsed }
    }

    /// A run that never began.
    #[must_use]
    pub fn never_began(run: RunId, side: Side, outcome: Outcome, cause: String) -> Self {
        let elapsed = std::time::Duration::ZERO;
        Self { run, side, outcome, cause: Some(cause), volumes: Vec::new(), wire: WireCount::default(), elapsed }
    }

    /// The sums over all volumes.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals { problems: u64::from(self.cause.is_some()), ..Totals::default() };
        for volume in &self.volumes {
            add_entries(&mut sum.entries, &volume.entries);
            add_bytes(&mut sum.bytes, &volume.bytes);
            sum.loss.merge(&volume.loss);
            sum.problems = sum.problems.saturating_add(volume.problems.total());
        }
        sum
    }

    /// The object `--report` writes, with a line end.
    #[must_use]
    pub fn report(&self) -> Vec<u8> {
        let totals = self.totals();
        let volumes: Vec<Value> = self.volumes.iter().map(volume_record).collect();
        let problems: Vec<Value> = self.problems(limits::PROBLEMS_KEPT_MAX).collect();
        let object = json!({
            "outcome": self.outcome.word(),
            "exit": self.outcome.exit().0,
            "run": self.run.as_str(),
            "volumes": volumes,
            "entries": entries_record(&totals.entries),
            "problems_total": totals.problems,
            "problems": problems,
            "loss": loss_record(&totals.loss),
            "bytes": bytes_record(&totals.bytes),
            "wire": {
                "sent": self.wire.sent,
                "received": self.wire.received,
                "connections": self.wire.connections,
                "reconnects": self.wire.reconnects,
            },
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        let mut bytes = format!("{object:#}").into_bytes();
        bytes.push(b'\n');
        bytes
    }

    /// The object `--termination-log` writes: at most [`TERMINATION_LEN_MAX`] bytes, with as many problems as fit.
    #[must_use]
    pub fn termination(&self) -> Vec<u8> {
        let totals = self.totals();
        let mut problems: Vec<Value> = self.problems(TERMINATION_PROBLEMS_MAX).map(shorten).collect();
        let mut texts = self.volume_texts();
        loop {
            let object = json!({
                "run": self.run.as_str(),
                "outcome": self.outcome.word(),
                "exit": self.outcome.exit().0,
                "entries": entries_record(&totals.entries),
                "bytes": bytes_record(&totals.bytes),
                "loss": loss_record(&totals.loss),
                "problems_total": totals.problems,
                "problems": problems,
                "volumes": texts,
                "remedy": remedy::of(self).map(|text| cut(&text, TERMINATION_TEXT_LEN_MAX)),
            });
            let line = object.to_string();
            // Without problems and texts everything left is bounded far below the limit; the test holds that.
            if line.len() <= TERMINATION_LEN_MAX || (problems.pop().is_none() && texts.pop().is_none()) {
                return line.into_bytes();
            }
        }
    }

    /// The volumes that did not end clean, with what was said of them.
    fn volume_texts(&self) -> Vec<Value> {
        let failed = self.volumes.iter().filter(|volume| volume.outcome != Outcome::Clean);
        let record = |volume: &VolumeReport| {
            let text = volume.text.as_deref().map(|text| cut(text, TERMINATION_TEXT_LEN_MAX));
            json!({ "name": cut(&volume.name, TERMINATION_TEXT_LEN_MAX), "outcome": volume.outcome.word(), "text": text })
        };
        failed.take(TERMINATION_PROBLEMS_MAX).map(record).collect()
    }

    fn problems(&self, most: usize) -> impl Iterator<Item = Value> + '_ {
        let whole = self.cause.iter().map(|cause| json!({ "path": "", "stage": "start", "cause": cause }));
        let each = self.volumes.iter().flat_map(|volume| {
            volume.problems.kept().iter().map(|problem| problem_record(&volume.name, self.volumes.len() > 1, problem))
        });
        whole.chain(each).take(most)
    }
}

fn problem_record(volume: &str, name_it: bool, problem: &Problem) -> Value {
    let mut record = Map::new();
    if name_it {
        record.insert("volume".into(), volume.into());
    }
    record.insert("path".into(), problem.path.to_string().into());
    record.insert("stage".into(), problem.stage.word().into());
    record.insert("cause".into(), problem.cause.clone().into());
    Value::Object(record)
}

fn volume_record(volume: &VolumeReport) -> Value {
    json!({
        "name": volume.name,
        "outcome": volume.outcome.word(),
        "exit": volume.outcome.exit().0,
        "text": volume.text,
        "notes": volume.notes,
        "entries": entries_record(&volume.entries),
        "bytes": bytes_record(&volume.bytes),
        "loss": loss_record(&volume.loss),
        "problems_total": volume.problems.total(),
        "items": volume.items,
        "elapsed_ms": u64::try_from(volume.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

fn entries_record(count: &EntriesCount) -> Value {
    json!({
        "scanned": count.scanned,
        "created": count.created,
        "updated": count.updated,
        "unchanged": count.unchanged,
        "deleted": count.deleted,
        "vanished": count.vanished,
        "trusted_attributes": count.trusted_attributes,
    })
}

fn bytes_record(count: &BytesCount) -> Value {
    json!({
        "total": count.total,
        "literal": count.literal,
        "compressed": count.compressed,
        "compressed_to": count.compressed_to,
        "copied": count.copied,
        "holes": count.holes,
        "trusted": count.trusted,
    })
}

fn loss_record(loss: &LossCounts) -> Value {
    Value::Object(loss.iter().map(|(kind, count)| (kind.word().to_owned(), count.into())).collect())
}

fn add_entries(sum: &mut EntriesCount, more: &EntriesCount) {
    sum.scanned = sum.scanned.saturating_add(more.scanned);
    sum.created = sum.created.saturating_add(more.created);
    sum.updated = sum.updated.saturating_add(more.updated);
    sum.unchanged = sum.unchanged.saturating_add(more.unchanged);
    sum.deleted = sum.deleted.saturating_add(more.deleted);
    sum.vanished = sum.vanished.saturating_add(more.vanished);
    sum.trusted_attributes = sum.trusted_attributes.saturating_add(more.trusted_attributes);
}

fn add_bytes(sum: &mut BytesCount, more: &BytesCount) {
    sum.total = sum.total.saturating_add(more.total);
    sum.literal = sum.literal.saturating_add(more.literal);
    sum.compressed = sum.compressed.saturating_add(more.compressed);
    sum.compressed_to = sum.compressed_to.saturating_add(more.compressed_to);
    sum.copied = sum.copied.saturating_add(more.copied);
    sum.holes = sum.holes.saturating_add(more.holes);
    sum.trusted = sum.trusted.saturating_add(more.trusted);
}

/// Cuts each text of a record; a path of 100 KiB says no more than its first part.
fn shorten(record: Value) -> Value {
    match record {
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, shorten(value))).collect()),
        Value::String(text) => Value::String(cut(&text, TERMINATION_TEXT_LEN_MAX)),
        other => other,
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests;
