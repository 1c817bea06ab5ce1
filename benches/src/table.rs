//! The table for people: Markdown that reads well on a terminal too, every row with its case, its spread and its verdict, and
//! beneath it whatever went wrong.

use crate::bars::{self, WireVerdict};
use crate::contender::Side;
use crate::figures::Spread;
use crate::line::Line;
use crate::report::{CaseReport, Report, Standing};

const HEAD: [&str; 10] = [
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
];

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for case in &report.cases {
        rows.extend(case.standings.iter().map(|standing| row(case, standing)));
    }
    let mut text = aligned(&rows);
    text.push('\n');
    text.push_str(&notes(report));
    text
}

fn row(case: &CaseReport, standing: &Standing) -> [String; 10] {
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
        middle.map_or_else(|| "-".to_owned(), |middle| (middle.memory_bytes >> 20).to_string()),
        standing.wire.map_or_else(|| "-".to_owned(), |wire| megabytes(wire.total())),
        standing.wire_verdict.map_or_else(|| "-".to_owned(), wire),
    ]
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
    let word = bars::time(ratio.median, targets).words();
    Some(match targets.aim {
        Some(aim) => format!("{} / {aim}: {word}", targets.must),
        None => format!("{}: {word}", targets.must),
    })
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
        line(report.line),
        "Wire: all bytes both ways between the TLS endpoints, counted by a relay in the run that is not timed; limits are \
         against rsync's default options. Memory: anonymous resident, all processes together."
            .to_owned(),
        "After every run source and destination were compared: names, sizes, times and bytes; after the one that is not timed \
         every attribute too."
            .to_owned(),
    ];
    lines.extend(
        report.contenders.iter().filter_map(|each| Some(format!("{}: {}.", each.name, each.version.as_ref()?))),
    );
    lines.extend(report.cases.iter().map(|case| played(case, report.runs as usize)));
    lines.extend(report.troubles().into_iter().map(|trouble| format!("**{}**", trouble.replace('\n', " | "))));
    lines.iter().map(|line| format!("* {line}\n")).collect()
}

/// What a case is, who played with which options, and who did so less often.
fn played(case: &CaseReport, rounds: usize) -> String {
    let player = |standing: &Standing| {
        let options = if standing.options.is_empty() { "defaults" } else { &standing.options };
        let runs = match standing.runs.len() {
            runs if runs == rounds || standing.trouble.is_some() => String::new(),
            runs => format!(", {runs} runs for they are long"),
        };
        format!("{} {options}{runs}", standing.name)
    };
    let players: Vec<String> = case.standings.iter().map(player).collect();
    format!("{}: {} ({}).", case.name, case.what, players.join("; "))
}

/// What lies between the two sides.
fn line(line: Line) -> String {
    let bandwidth =
        line.mbit.map_or_else(|| "no bound on bandwidth".to_owned(), |mbit| format!("{mbit} Mbit/s each way"));
    match line {
        Line::FREE => "Line: the loopback.".to_owned(),
        Line { rtt_ms, .. } => {
            format!("Line: a relay that delays, {rtt_ms} ms there and back, {bandwidth}, shared by all connections.")
        }
    }
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
    fn what_is_missing_or_failed_is_named() {
        let text = markdown(&report());
        assert!(text.contains("rclone took no part: not installed"), "{text}");
        assert!(text.contains("pages, rsync+stunnel, best flags: it ended | badly"), "{text}");
    }
}
