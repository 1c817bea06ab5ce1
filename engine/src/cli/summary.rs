//! What people see at the end: a few honest lines, made from the same figures as the report.

use super::report::{Ending, Side};
use super::{remedy, units};
use crate::session::VolumeReport;
use crate::types::{EntriesCount, Outcome};

/// Problems named in the summary of one volume; the report has more.
const PROBLEMS_SHOWN_MAX: usize = 5;

/// The lines of the summary.
#[must_use]
pub fn lines(ending: &Ending, dry_run: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for volume in &ending.volumes {
        volume_lines(&mut lines, volume, ending.side, dry_run);
    }
    let wire = &ending.wire;
    if wire.connections > 0 {
        let (sent, received) = (units::bytes(wire.sent), units::bytes(wire.received));
        let (connections, reconnects) = (units::count(wire.connections), units::count(wire.reconnects));
        lines.push(format!(
            "network: {sent} sent, {received} received, {connections} connections, {reconnects} reconnects"
        ));
    }
    if let Some(cause) = &ending.cause {
        lines.push(format!("ferry: {cause}"));
    }
    if let Some(remedy) = remedy::of(ending).filter(|_| ending.outcome != Outcome::Usage) {
        lines.push(format!("ferry: {} (exit {}): {remedy}", words(ending.outcome), ending.outcome.exit().0));
    }
    lines
}

fn volume_lines(lines: &mut Vec<String>, volume: &VolumeReport, side: Side, dry_run: bool) {
    let text = volume.text.as_deref().unwrap_or_else(|| words(volume.outcome));
    let dry = if dry_run { "dry run, nothing was touched; " } else { "" };
    let name = if volume.name.is_empty() { "volume" } else { &volume.name };
    lines.push(format!("{name}: {text} ({dry}{})", units::duration(volume.elapsed)));
    // A run that came to nothing has no figures to look at.
    if volume.outcome == Outcome::Clean || volume.entries.scanned > 0 || volume.bytes.literal > 0 {
        lines.push(format!("  entries  {}", entries(&volume.entries)));
        lines.push(format!("  bytes    {}", bytes(volume, side)));
    }
    if dry_run {
        lines.push(format!("  changes  {} would be made", units::count(volume.items)));
    }
    for (kind, count) in volume.loss.iter() {
        let (count, word, keep) = (units::count(count), kind.word(), remedy::keep(kind));
        let what = if volume.outcome == Outcome::Clean { "accepted".to_owned() } else { format!("to keep it, {keep}") };
        lines.push(format!("  lost     {word} of {count} entries ({what})"));
    }
    lines.extend(volume.notes.iter().map(|note| format!("  note     {note}")));
    let shown = volume.problems.kept().iter().take(PROBLEMS_SHOWN_MAX);
    lines.extend(shown.map(|p| format!("  problem  {} ({}): {}", p.path, p.stage.word(), p.cause)));
    let more = volume.problems.total().saturating_sub(PROBLEMS_SHOWN_MAX as u64);
    if more > 0 {
        lines.push(format!("           and {} more problems; --report FILE lists up to 1,000", units::count(more)));
    }
}

fn entries(count: &EntriesCount) -> String {
    let mut text = format!("{} scanned", units::count(count.scanned));
    let parts = [
        (count.created, "created"),
        (count.updated, "updated"),
        (count.unchanged, "unchanged"),
        (count.deleted, "deleted"),
        (count.vanished, "vanished at the source"),
    ];
    for (n, (amount, what)) in parts.into_iter().filter(|(amount, _)| *amount > 0).enumerate() {
        let before = if n == 0 { ": " } else { ", " };
        text += &format!("{before}{} {what}", units::count(amount));
    }
    if count.trusted_attributes > 0 {
        text += &format!("; attributes of {} trusted by ctime", units::count(count.trusted_attributes));
    }
    text
}

fn bytes(volume: &VolumeReport, side: Side) -> String {
    let count = &volume.bytes;
    let mut text = String::new();
    // Before the source's listing is complete there is no total.
    if count.total > 0 || count.literal == 0 {
        text += &format!("{}: ", units::bytes(count.total));
    }
    text += &format!("{} {}", units::bytes(count.literal), side.moved());
    if let Some(rate) = units::rate(count.literal, volume.elapsed).filter(|_| count.literal > 0) {
        text += &format!(" ({rate})");
    }
    if count.compressed > 0 {
        let (from, to) = (units::bytes(count.compressed), units::bytes(count.compressed_to));
        text += &format!(", {from} of it compressed to {to}");
    }
    let parts = [(count.copied, "compared equal"), (count.holes, "holes"), (count.trusted, "trusted, not compared")];
    for (amount, what) in parts.into_iter().filter(|(amount, _)| *amount > 0) {
        text += &format!(", {} {what}", units::bytes(amount));
    }
    text
}

/// An outcome in the words of the summary.
#[must_use]
pub fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Clean => "clean",
        Outcome::Problems => "finished, not everything could be kept",
        Outcome::Differences => "differences were found",
        Outcome::SafetyHalt => "halted before deleting",
        Outcome::Refused => "refused",
        Outcome::Network => "the network was given up",
        Outcome::Failed => "failed",
        Outcome::Usage => "cannot be done as asked",
        Outcome::Interrupted => "interrupted",
        Outcome::Terminated => "terminated",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::{BytesCount, LossCounts, LossKind, Problem, Problems, RelPath, RunId, Stage, WireCount};

    fn ending(outcome: Outcome) -> Ending {
        let volume = VolumeReport {
            name: "data".into(),
            outcome,
            text: None,
            cause: None,
            entries: EntriesCount { scanned: 1_200, created: 200, unchanged: 1_000, ..EntriesCount::default() },
            bytes: BytesCount { total: 3 << 20, literal: 1 << 20, trusted: 2 << 20, ..BytesCount::default() },
            problems: Problems::default(),
            loss: LossCounts::default(),
            notes: Vec::new(),
            items: 0,
            unsettled: 0,
            elapsed: Duration::from_secs(2),
        };
        let (run, elapsed) = (RunId::new("r").unwrap(), Duration::from_secs(2));
        Ending {
            run,
            side: Side::Sends,
            outcome,
            cause: None,
            volumes: vec![volume],
            wire: WireCount::default(),
            elapsed,
        }
    }

    #[test]
    fn a_clean_run_is_three_lines() {
        assert_eq!(
            lines(&ending(Outcome::Clean), false),
            [
                "data: clean (2.0 s)",
                "  entries  1,200 scanned: 200 created, 1,000 unchanged",
                "  bytes    3.00 MiB: 1.00 MiB sent (512 KiB/s), 2.00 MiB trusted, not compared",
            ]
        );
    }

    #[test]
    fn what_was_compressed_is_said_with_what_it_took() {
        let mut squeezed = ending(Outcome::Clean);
        squeezed.volumes[0].bytes.compressed = 768 << 10;
        squeezed.volumes[0].bytes.compressed_to = 64 << 10;
        let text = lines(&squeezed, false).join("\n");
        assert!(text.contains("1.00 MiB sent (512 KiB/s), 768 KiB of it compressed to 64.0 KiB, 2.00 MiB"), "{text}");
    }

    #[test]
    fn attributes_that_were_not_looked_at_are_said() {
        let mut trusting = ending(Outcome::Clean);
        trusting.volumes[0].entries.trusted_attributes = 1_000;
        let text = lines(&trusting, false).join("\n");
        assert!(text.contains("1,000 unchanged; attributes of 1,000 trusted by ctime"), "{text}");
    }

    #[test]
    fn a_loss_says_how_to_accept_it_and_how_to_keep_it() {
        let mut lossy = ending(Outcome::Problems);
        lossy.volumes[0].loss.add(LossKind::Ownership, 12);
        let text = lines(&lossy, false).join("\n");
        assert!(text.contains("ownership of 12 entries (to keep it, run the receiver with CAP_CHOWN"), "{text}");
        assert!(
            text.contains("(exit 3): everything else is in place; if losing this is fine, add --accept-loss"),
            "{text}"
        );
    }

    #[test]
    fn only_the_first_problems_are_shown_and_the_rest_counted() {
        let mut bad = ending(Outcome::Problems);
        for _ in 0..7 {
            bad.volumes[0].problems.push(Problem::new(RelPath::root(), Stage::Read, "cannot open"));
        }
        let text = lines(&bad, false).join("\n");
        assert_eq!(text.matches("problem  . (read): cannot open").count(), 5, "{text}");
        assert!(text.contains("and 2 more problems"), "{text}");
    }
}
