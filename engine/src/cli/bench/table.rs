//! The figures as people read them: a line and a bar a row, and beneath it what it took and what limits it.
//!
//! Plain characters only, so that it reads the same on a terminal, in a file and in a mail. Bars compare rows of one unit:
//! the fastest run has the longest, and a part by itself that is faster still ends in `>`.

use std::time::Duration;

use super::limit::{Judgement, Limit, Part};
use super::rows::{Case, Figures, Row, Unit};
use crate::cli::units;

/// Cells of the longest bar.
const BAR_LEN: usize = 20;

/// The lines of the table.
#[must_use]
pub fn lines(figures: &Figures) -> Vec<String> {
    let (cores, connections) = (cores(figures.machine.cores), connections(figures.lanes));
    let mut lines = vec![
        format!("ferry bench: {cores}, {connections}, both ends on this machine, over TLS on loopback"),
        format!("data in {}, {}; removed again", figures.site.path, figures.site.words),
        String::new(),
        "ferry reaches".to_owned(),
    ];
    for row in &figures.rows {
        let bar = bar(row.a_second(), fastest(figures, row.case.unit()));
        lines.push(line(&row.case.words(figures.scale), &row.case.unit().rate(row.a_second()), &bar));
        lines.extend(details(figures, row).into_iter().map(|detail| format!("      {detail}")));
    }
    lines.push(String::new());
    lines.push("each part by itself, one thread, just now (> is beyond the scale)".to_owned());
    for (_, words, unit, rate) in figures.parts() {
        lines.push(line(&words, &unit.rate(rate.a_second()), &bar(rate.a_second(), fastest(figures, unit))));
    }
    lines.push(String::new());
    lines.extend(notes(figures));
    lines
}

fn line(words: &str, rate: &str, bar: &str) -> String {
    format!("  {words:<36} {rate:>17}  {bar}").trim_end().to_owned()
}

/// The fastest run of this unit.
fn fastest(figures: &Figures, unit: Unit) -> f64 {
    figures.rows.iter().filter(|row| row.case.unit() == unit).map(Row::a_second).fold(0.0, f64::max)
}

fn bar(value: f64, longest: f64) -> String {
    let share = if longest > 0.0 { value / longest } else { 0.0 };
    if share > 1.0 {
        return format!("{}>", "=".repeat(BAR_LEN));
    }
    // Whatever was reached shows.
    let cells = ((share * BAR_LEN as f64).round() as usize).max(usize::from(value > 0.0));
    "=".repeat(cells.min(BAR_LEN))
}

/// What a run took, and what limits it.
fn details(figures: &Figures, row: &Row) -> Vec<String> {
    let mut words = took(row.spent.wall);
    if row.case.unit() == Unit::Bytes {
        words.push_str(&format!(", {} on the wire", units::bytes(row.work.sent)));
    }
    let Some(judged) = figures.judged(row) else { return vec![words] };
    vec![format!("{words}, CPU {}", percent(judged.cpu)), limit(&judged, figures)]
}

/// What limits a run, in words.
#[must_use]
pub fn limit(judged: &Judgement, figures: &Figures) -> String {
    let medium = if figures.site.is_memory { "memory" } else { "disk" };
    let alone = |share: f64| format!("{} of the time by itself", percent(share));
    match judged.limit {
        Limit::Cpu => {
            let busy = match figures.machine.cores {
                1 => "the core is busy".to_owned(),
                2 => "both cores are busy".to_owned(),
                cores => format!("all {cores} cores are busy"),
            };
            format!("Limit: CPU, {busy}{}", parts(judged))
        }
        Limit::Others(share) => {
            format!("Limit: other programs, which have {} of the CPU; measure again when it is quiet", percent(share))
        }
        Limit::Reading(share) => format!("Limit: {medium}, reading takes {}", alone(share)),
        Limit::Writing(share) => format!("Limit: {medium}, writing and syncing takes {}", alone(share)),
        Limit::Tls(share) => format!("Limit: TLS, which takes {} on {}", alone(share), connections(figures.lanes)),
        Limit::OneCore(busy) => {
            let of = figures.machine.cores;
            format!(
                "Limit: one core, {busy:.1} of {of} are busy: part of the work cannot be shared out{}",
                parts(judged)
            )
        }
        Limit::Latency => "Limit: latency, nothing is busy: round trips and waiting for each other".to_owned(),
    }
}

fn parts(judged: &Judgement) -> String {
    let named: Vec<String> =
        judged.parts.iter().map(|(part, share)| format!("{} {}", word(*part), percent(*share))).collect();
    if named.is_empty() { String::new() } else { format!(" ({} of it)", named.join(", ")) }
}

fn word(part: Part) -> &'static str {
    match part {
        Part::Reading => "reading",
        Part::Hashing => "hashing",
        Part::Tls => "TLS",
        Part::Writing => "writing",
        Part::Making => "making files",
    }
}

/// What one must know to read the figures.
fn notes(figures: &Figures) -> Vec<String> {
    let mut notes = vec![
        "The source was read from the page cache, and one machine did the work of both ends.".to_owned(),
        "After each run source and destination were compared byte by byte: equal.".to_owned(),
    ];
    if figures.site.is_memory {
        notes.push("The data was in memory: a disk is slower. Measure one with --dir.".to_owned());
    }
    let first = figures.rows.iter().find(|row| row.case == Case::LargeFirst);
    if let Some((first, fetch)) = first.zip(figures.raw.and_then(|raw| raw.fetch))
        && fetch.a_second() < first.a_second()
    {
        notes.push(format!(
            "From this disk a first copy reaches at most {}: so fast it is read.",
            Unit::Bytes.rate(fetch.a_second())
        ));
    }
    notes
}

fn cores(cores: usize) -> String {
    if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") }
}

fn connections(lanes: u8) -> String {
    if lanes == 1 { "1 connection".to_owned() } else { format!("{lanes} connections") }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A time of a run: `43 ms`, `1.27 s`.
fn took(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 0.01 => format!("{:.1} ms", seconds * 1_000.0),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        _ if seconds < 60.0 => format!("{seconds:.2} s"),
        _ => units::duration(time),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::figures_for_tests;
    use super::*;

    #[test]
    fn the_table_has_every_row_its_bar_and_its_limit() {
        let lines = lines(&figures_for_tests());
        let text = lines.join("\n");
        for words in
            ["one file of 512 MiB", "10,000 small files", "nothing changed", "read the disk", "BLAKE3", "TLS on"]
        {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        assert_eq!(text.matches("Limit: CPU, both cores are busy").count(), 5, "{text}");
        assert!(text.is_ascii() && lines.iter().all(|line| line.len() < 100), "{text}");
        let bars = lines.iter().filter(|line| line.ends_with(['=', '>']));
        assert!(bars.clone().all(|line| line.len() <= 80), "{text}");
        assert_eq!(bars.count(), 5 + 6, "{text}");
        // The runs go at one rate, the parts go twice as fast.
        let drawn =
            |rate: &str, end: char| lines.iter().filter(|line| line.contains(rate) && line.ends_with(end)).count();
        assert_eq!([drawn(" 500 B/s", '='), drawn("1000 B/s", '>'), drawn("100 files/s", '>')], [3, 5, 1], "{text}");
        assert!(!text.contains("reaches at most"), "{text}");
    }

    #[test]
    fn memory_is_not_called_a_disk_and_a_slow_disk_is_said() {
        let mut figures = figures_for_tests();
        figures.site.is_memory = true;
        let text = lines(&figures).join("\n");
        assert!(text.contains("a disk is slower"), "{text}");
        let judged = Judgement { cpu: 0.1, limit: Limit::Writing(0.75), parts: Vec::new() };
        assert_eq!(limit(&judged, &figures), "Limit: memory, writing and syncing takes 75 % of the time by itself");
        figures.site.is_memory = false;
        if let Some(fetch) = figures.raw.as_mut().and_then(|raw| raw.fetch.as_mut()) {
            fetch.amount = 200;
        }
        let text = lines(&figures).join("\n");
        assert!(text.contains("at most 200 B/s"), "{text}");
    }

    #[test]
    fn each_limit_is_a_sentence_of_its_own() {
        let limits = [
            Limit::Cpu,
            Limit::Others(0.5),
            Limit::Reading(0.7),
            Limit::Writing(0.7),
            Limit::Tls(0.7),
            Limit::OneCore(1.1),
            Limit::Latency,
        ];
        let say = |limit_is| {
            let parts = vec![(Part::Tls, 0.4), (Part::Hashing, 0.2)];
            limit(&Judgement { cpu: 0.5, limit: limit_is, parts }, &figures_for_tests())
        };
        let mut said: Vec<String> = limits.into_iter().map(say).collect();
        assert_eq!(said.first().unwrap(), "Limit: CPU, both cores are busy (TLS 40 %, hashing 20 % of it)");
        said.sort();
        said.dedup();
        assert_eq!(said.len(), limits.len());
    }

    #[test]
    fn times_and_bars_are_readable_at_both_ends() {
        let shown = [4_321, 43_210, 1_270_000, 245_000_000].map(Duration::from_micros).map(took);
        assert_eq!(shown, ["4.3 ms", "43 ms", "1.27 s", "4m05s"]);
        assert_eq!([bar(1.0, 1e9), bar(0.0, 1.0), bar(0.0, 0.0)], ["=".to_owned(), String::new(), String::new()]);
        assert_eq!((bar(5.0, 5.0).len(), bar(2.5, 5.0).len()), (BAR_LEN, BAR_LEN / 2));
        assert!(bar(5.1, 5.0).ends_with("=>"));
    }
}
