//! The figures as programs read them: the object `--report` writes, on every way out. Figures that were not reached are
//! not there; none is made up.

use serde_json::{Value, json};

use super::limit::{Judgement, Limit, Rate};
use super::rows::{Figures, Row};
use super::table;
use crate::types::Outcome;

/// The object, with a line end; `cause` says why it did not end clean.
#[must_use]
pub fn report(figures: &Figures, outcome: Outcome, cause: Option<&str>) -> Vec<u8> {
    let rows: Vec<Value> = figures.rows.iter().map(|row| row_record(figures, row)).collect();
    let parts: Vec<Value> = figures
        .parts()
        .into_iter()
        .map(|(key, _, unit, rate)| {
            json!({
                "part": key,
                "unit": unit.key(),
                "amount": rate.amount,
                "a_second": rate.a_second(),
                "elapsed_ms": milliseconds(&rate),
                "cpu_ms": rate.spent.cpu.as_secs_f64() * 1_000.0,
            })
        })
        .collect();
    let object = json!({
        "outcome": outcome.word(),
        "exit": outcome.exit().0,
        "cause": cause,
        "cores": figures.machine.cores,
        "others_share": figures.machine.others,
        "connections": figures.lanes,
        "place": {
            "path": figures.site.path,
            "file_system": figures.site.file_system,
            "memory": figures.site.is_memory,
        },
        "size": figures.scale.size,
        "files": figures.scale.files,
        "files_bytes": figures.small_bytes,
        "runs": rows,
        "parts": parts,
    });
    let mut bytes = format!("{object:#}").into_bytes();
    bytes.push(b'\n');
    bytes
}

fn row_record(figures: &Figures, row: &Row) -> Value {
    let judged = figures.judged(row);
    json!({
        "run": row.case.key(),
        "unit": row.case.unit().key(),
        "amount": row.amount,
        "a_second": row.a_second(),
        "elapsed_ms": milliseconds(&Rate { amount: row.amount, spent: row.spent }),
        "cpu_ms": row.spent.cpu.as_secs_f64() * 1_000.0,
        "wire": row.work.sent,
        "cpu_share": judged.as_ref().map(|judged| judged.cpu),
        "machine_share": row.spent.machine,
        "limit": judged.as_ref().map(key),
        "sentence": judged.as_ref().map(|judged| table::limit(judged, figures)),
    })
}

fn milliseconds(rate: &Rate) -> f64 {
    rate.spent.wall.as_secs_f64() * 1_000.0
}

fn key(judged: &Judgement) -> &'static str {
    match judged.limit {
        Limit::Cpu => "cpu",
        Limit::Others(_) => "other-programs",
        Limit::Reading(_) => "reading",
        Limit::Writing(_) => "writing",
        Limit::Tls(_) => "tls",
        Limit::OneCore(_) => "one-core",
        Limit::Latency => "latency",
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::figures_for_tests;
    use super::*;

    #[test]
    fn the_report_has_what_the_table_has() {
        let figures = figures_for_tests();
        let record: Value = serde_json::from_slice(&report(&figures, Outcome::Clean, None)).unwrap();
        assert_eq!((&record["outcome"], &record["exit"], &record["cause"]), (&json!("clean"), &json!(0), &Value::Null));
        assert_eq!(record["place"]["file_system"], "ext4");
        assert_eq!(record["runs"].as_array().unwrap().len(), 5);
        assert_eq!(record["runs"][0]["a_second"], 500.0);
        assert_eq!(record["runs"][0]["limit"], "cpu");
        assert_eq!(record["parts"].as_array().unwrap().len(), 6);
    }

    #[test]
    fn a_run_that_never_began_has_a_report_without_figures() {
        let mut figures = figures_for_tests();
        (figures.raw, figures.rows) = (None, Vec::new());
        let record: Value = serde_json::from_slice(&report(&figures, Outcome::Usage, Some("no such place"))).unwrap();
        assert_eq!((&record["exit"], &record["cause"]), (&json!(2), &json!("no such place")));
        assert_eq!((&record["runs"], &record["parts"]), (&json!([]), &json!([])));
    }
}
