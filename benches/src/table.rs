//! The table for people: Markdown that reads well on a terminal too, every row with its case, its spread and its verdict, and
//! beneath it whatever went wrong.

use std::num::NonZeroU32;

use crate::bars::{self, Verdict, WireVerdict};
use crate::contender::Side;
use crate::figures::{Middle, Spread};
use crate::line::Line;
use crate::owed::{Judged, Mark, Sense};
use crate::report::{CaseReport, Report, Standing};

const HEAD: [&str; 11] = [
    "case",
    "contender",
    "time s",
    "ratio (min-max)",
    "must / aim",
    "CPU s",
    "CPU, ferry / it",
    "memory MiB",
    "wire MB",
    "wire MB, at most",
    "round trips",
];
/// What is owed besides, in a table of its own: few cases owe it.
const BESIDES_HEAD: [&str; 5] = ["case", "contender", "what", "measured", "must / aim"];

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for case in &report.cases {
        rows.extend(case.standings.iter().map(|standing| row(case, standing)));
    }
    let owed = report.cases.iter().flat_map(|case| case.judged.iter().map(|judged| besides(case, judged)));
    let owed: Vec<_> = [BESIDES_HEAD.map(str::to_owned)].into_iter().chain(owed).collect();
    let mut text = aligned(&rows);
    if owed.len() > 1 {
        text.push_str(&format!("\nWhat is owed besides:\n\n{}", aligned(&owed)));
    }
    text.push('\n');
    text.push_str(&notes(report));
    text
}

fn row(case: &CaseReport, standing: &Standing) -> [String; 11] {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let (middle, ratio) = (standing.middle, standing.ratio.map(|ratio| spread(ratio, standing.side)));
    [
        case.name.to_owned(),
        standing.name.to_owned(),
        if standing.trouble.is_some() { "failed".to_owned() } else { number(middle.map(|middle| middle.wall_s)) },
        ratio.unwrap_or_else(|| "-".to_owned()),
        verdict(standing).unwrap_or_else(|| "-".to_owned()),
        number(middle.map(|middle| middle.cpu_s)),
        number(standing.cpu_ratio.map(|ratio| ratio.median)),
        middle.map_or_else(|| "-".to_owned(), memory),
        standing.wire.map_or_else(|| "-".to_owned(), |wire| megabytes(wire.total())),
        standing.wire_verdict.map_or_else(|| "-".to_owned(), wire),
        standing.trips.map_or_else(|| "-".to_owned(), |trips| format!("{trips:.1}")),
    ]
}

/// All processes together, and both sides where there are two.
fn memory(middle: Middle) -> String {
    let (together, sides) = (middle.memory_bytes >> 20, middle.anonymous);
    match sides.destination {
        0 => together.to_string(),
        destination => format!("{together} ({} + {})", sides.source >> 20, destination >> 20),
    }
}

/// A figure that is owed besides, and its bar where there is one.
fn besides(case: &CaseReport, judged: &Judged) -> [String; 5] {
    let bar = judged.bar.map_or_else(|| "-".to_owned(), mark);
    let measured = format!("{:.2}", judged.measured);
    [case.name.to_owned(), judged.contender.to_owned(), judged.what.to_owned(), measured, bar]
}

fn mark(mark: Mark) -> String {
    let sense = match mark.sense {
        Sense::AtMost => "at most",
        Sense::AtLeast => "at least",
    };
    format!("{sense} {}: {}", bars(mark.must, mark.aim), words(mark.verdict, mark.aim))
}

/// What is owed, and aimed at where that is more.
fn bars(must: f64, aim: Option<f64>) -> String {
    aim.map_or_else(|| must.to_string(), |aim| format!("{must} / {aim}"))
}

/// A verdict, where nothing more is aimed at without a word of aims.
fn words(verdict: Verdict, aim: Option<f64>) -> &'static str {
    match (verdict, aim) {
        (Verdict::AimMet | Verdict::MustMet, None) => "met",
        (verdict, _) => verdict.words(),
    }
}

fn spread(ratio: Spread, side: Side) -> String {
    let text = format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.min, ratio.max);
    match side {
        Side::Theirs => text,
        Side::Ours => format!("rsync / it: {text}"),
    }
}

/// The targets of a ratio and which one is met.
fn verdict(standing: &Standing) -> Option<String> {
    let (ratio, targets) = (standing.ratio?, standing.targets?);
    let word = words(bars::time(ratio.median, targets), targets.aim);
    Some(format!("{}: {word}", bars(targets.must, targets.aim)))
}

/// The limits of the wire and which one is kept to.
fn wire(found: WireVerdict) -> String {
    let (must, word) = (megabytes(found.must_bytes), found.verdict.words());
    match found.aim_bytes == found.must_bytes {
        true => format!("{must}: {word}"),
        false => format!("{must} / {}: {word}", megabytes(found.aim_bytes)),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.3}", bytes as f64 / 1e6)
}

fn notes(report: &Report) -> String {
    let machine = &report.machine;
    let mut lines = vec![
        format!(
            "{}, {} x {}, Linux {}, {} GiB of memory at hand, data on {}; load {} before, {} after.",
            machine.date,
            machine.processors,
            machine.model,
            machine.kernel,
            machine.memory_available >> 30,
            report.medium,
            machine.load,
            report.load_after
        ),
        format!(
            "`{}`: scale {}, {} runs each after one that is not timed; medians. Ratio: its time / ferry's, pair by pair.",
            report.command, report.scale, report.runs
        ),
        link(report),
        report.caches.to_owned(),
        "Wire: all bytes both ways between the TLS endpoints, counted by a relay in the run that is not timed; limits are \
         against rsync's default options. Memory: anonymous resident, all processes together (at the source's side + at the \
         destination's, each at its own worst moment)."
            .to_owned(),
        "After every run source and destination were compared: names, sizes, times and bytes; after the one that is not timed \
         every attribute too."
            .to_owned(),
    ];
    lines.extend(
        report.contenders.iter().filter_map(|each| Some(format!("{}: {}.", each.name, each.version.as_ref()?))),
    );
    lines.extend(report.cases.iter().map(|case| played(case, report.line, report.runs as usize)));
    lines.extend(report.troubles().into_iter().map(|trouble| format!("**{}**", trouble.replace('\n', " | "))));
    lines.iter().map(|line| format!("* {line}\n")).collect()
}

/// What a case is, who played with which options, and who did so less often.
fn played(case: &CaseReport, common: Line, rounds: usize) -> String {
    let player = |standing: &Standing| {
        let options = if standing.options.is_empty() { "defaults" } else { &standing.options };
        let runs = match standing.runs.len() {
            runs if runs == rounds || standing.trouble.is_some() => String::new(),
            runs => format!(", {runs} runs for they are long"),
        };
        format!("{} {options}{runs}", standing.name)
    };
    let unable = case.unable.iter().map(|name| format!("{name} not over a line"));
    let players: Vec<String> = case.standings.iter().map(player).chain(unable).collect();
    let over = if case.line == common { String::new() } else { format!(", over {}", relay(case.line)) };
    format!("{}: {}{over} ({}).", case.name, case.what, players.join("; "))
}

/// What lies between the two sides.
fn link(report: &Report) -> String {
    match (report.tbf, report.line) {
        (Some(mbit), _) => format!(
            "Line: two network namespaces and a veth pair between them, `tc tbf` at {mbit} Mbit/s on each end, no delay."
        ),
        (None, Line::FREE) => "Line: the loopback, unless a case has its own.".to_owned(),
        (None, line) => format!("Line: {}.", relay(line)),
    }
}

/// A line of ours.
fn relay(line: Line) -> String {
    let bound = |mbit: Option<NonZeroU32>, whose: &str| mbit.map(|mbit| format!("{mbit} Mbit/s each way {whose}"));
    let delay = (line.rtt_ms > 0).then(|| format!("{} ms there and back", line.rtt_ms));
    let shared = bound(line.mbit, "shared by all connections");
    let own = bound(line.connection_mbit, "for each connection");
    let words: Vec<String> = [delay, shared, own].into_iter().flatten().collect();
    format!("a relay: {}", words.join(", "))
}

/// Cells padded to the width of their columns.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = rows.iter().map(|row| line(row));
    let head = lines.next().unwrap_or_default();
    [head, line(&rule)].into_iter().chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::report;

    #[test]
    fn every_contender_has_a_row_and_the_ratio_its_verdict() {
        let text = markdown(&report());
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| pages")).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(rows[0].contains("| 1.50 ") && rows[0].contains(" 1.000 "), "{}", rows[0]);
        assert!(rows[0].contains("1.100 / 0.733: must met"), "{}", rows[0]);
        assert!(rows[1].contains("2.75 (2.50-3.00)") && rows[1].contains("2.5 / 3.5: must met"), "{}", rows[1]);
        assert!(rows[2].contains("failed"), "{}", rows[2]);
        let widths: Vec<usize> = text.lines().take(5).map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }

    #[test]
    fn memory_is_shown_by_side_and_round_trips_where_they_were_counted() {
        let mut report = report();
        report.cases[0].standings[1].trips = Some(29.04);
        report.cases[0].standings[1].middle.as_mut().unwrap().anonymous.destination = 0;
        let text = markdown(&report);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| pages")).collect();
        assert!(rows[0].contains("| 5 (2 + 4) ") && rows[0].ends_with("| -           |"), "{}", rows[0]);
        assert!(rows[1].contains("| 5  ") && rows[1].ends_with("| 29.0        |"), "{}", rows[1]);
    }

    #[test]
    fn what_is_owed_besides_has_a_table_of_its_own() {
        let mut report = report();
        assert!(!markdown(&report).contains("besides"));
        let bar = Mark { sense: Sense::AtMost, must: 10.0, aim: None, verdict: Verdict::AimMet };
        let judged = |bar| Judged { contender: "ferry", what: "round trips", measured: 6.0, bar };
        report.cases[0].judged = vec![judged(Some(bar)), judged(None)];
        let aims = Mark { must: 0.55, aim: Some(0.45), verdict: Verdict::MustMet, ..bar };
        report.cases[0].judged.push(judged(Some(aims)));
        let text = markdown(&report);
        let rows: Vec<&str> = text.lines().filter(|line| line.contains("round trips | 6.00")).collect();
        assert!(rows[0].contains("at most 10: met") && rows[1].contains("| -"), "{text}");
        assert!(rows[2].contains("at most 0.55 / 0.45: must met"), "{text}");
    }

    #[test]
    fn every_line_is_described() {
        let mut report = report();
        assert!(markdown(&report).contains("Line: the loopback"));
        report.cases[0].line = Line { rtt_ms: 50, ..Line::FREE };
        report.cases[0].unable = vec!["cp -a, local"];
        assert!(markdown(&report).contains("; cp -a, local not over a line)"));
        assert!(markdown(&report).contains("pages: pages, over a relay: 50 ms there and back (ferry"));
        let mbit = NonZeroU32::new;
        report.line = Line { rtt_ms: 0, mbit: mbit(1000), connection_mbit: mbit(250) };
        let words =
            "Line: a relay: 1000 Mbit/s each way shared by all connections, 250 Mbit/s each way for each connection.";
        assert!(markdown(&report).contains(words));
        report.tbf = mbit(100);
        assert!(markdown(&report).contains("`tc tbf` at 100 Mbit/s"));
    }

    #[test]
    fn what_is_missing_or_failed_is_named() {
        let text = markdown(&report());
        assert!(text.contains("rclone took no part: not installed"), "{text}");
        assert!(text.contains("pages, rsync+stunnel, best flags: it ended | badly"), "{text}");
    }
}
