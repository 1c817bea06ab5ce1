//! The shape of the report and the bound of the termination log.

use std::time::Duration;

use super::*;
use crate::types::{LossKind, Problems, RelPath, Stage};

fn volume(name: &str, outcome: Outcome) -> VolumeReport {
    VolumeReport {
        name: name.to_owned(),
        outcome,
        text: None,
        cause: None,
        entries: EntriesCount {
            scanned: 10,
            created: 1,
            updated: 2,
            unchanged: 3,
            deleted: 4,
            vanished: 5,
            trusted_attributes: 6,
        },
        bytes: BytesCount {
            total: 100,
            literal: 10,
            compressed: 8,
            compressed_to: 3,
            copied: 20,
            holes: 30,
            trusted: 40,
        },
        problems: Problems::default(),
        loss: LossCounts::default(),
        notes: Vec::new(),
        items: 0,
        unsettled: 0,
        elapsed: Duration::from_millis(1200),
    }
}

fn ending(outcome: Outcome, volumes: Vec<VolumeReport>) -> Ending {
    let wire = WireCount { sent: 1, received: 2, connections: 3, reconnects: 4 };
    let (run, elapsed) = (RunId::new("r1").unwrap(), Duration::from_millis(1500));
    Ending { run, side: Side::Sends, outcome, cause: None, volumes, wire, elapsed }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_report_has_the_promised_fields_and_sums() {
    let mut second = volume("b", Outcome::Problems);
    second.problems.push(Problem::new(RelPath::from_bytes(b"x\n\xff").unwrap(), Stage::Read, "cannot open"));
    second.loss.add(LossKind::Ownership, 7);
    let report = ending(Outcome::Problems, vec![volume("a", Outcome::Clean), second]).report();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(
        keys(&report),
        [
            "bytes",
            "elapsed_ms",
            "entries",
            "exit",
            "loss",
            "outcome",
            "problems",
            "problems_total",
            "run",
            "volumes",
            "wire"
        ]
    );
    assert_eq!((&report["outcome"], &report["exit"], &report["run"]), (&json!("problems"), &json!(3), &json!("r1")));
    assert_eq!(
        report["entries"],
        json!({"scanned": 20, "created": 2, "updated": 4, "unchanged": 6, "deleted": 8, "vanished": 10, "trusted_attributes": 12})
    );
    assert_eq!(
        report["bytes"],
        json!({
            "total": 200,
            "literal": 20,
            "compressed": 16,
            "compressed_to": 6,
            "copied": 40,
            "holes": 60,
            "trusted": 80
        })
    );
    assert_eq!(report["wire"], json!({"sent": 1, "received": 2, "connections": 3, "reconnects": 4}));
    assert_eq!(report["loss"], json!({"ownership": 7}));
    assert_eq!((&report["problems_total"], &report["elapsed_ms"]), (&json!(1), &json!(1500)));
    let problem = json!({"volume": "b", "path": "x\\x0a\\xff", "stage": "read", "cause": "cannot open"});
    assert_eq!(report["problems"], json!([problem]));
    assert_eq!(report["volumes"][1]["name"], "b");
    assert_eq!(report["volumes"][1]["outcome"], "problems");
}

#[test]
fn a_run_that_never_began_reports_why() {
    let run = RunId::new("r").unwrap();
    let report = Ending::never_began(run, Side::Sends, Outcome::Usage, "no such source".into()).report();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!((&report["exit"], &report["problems_total"]), (&json!(2), &json!(1)));
    assert_eq!(report["problems"][0]["cause"], "no such source");
}

#[test]
fn problems_in_the_report_are_bounded_and_all_are_counted() {
    let mut many = volume("a", Outcome::Problems);
    for _ in 0..1_500 {
        many.problems.push(Problem::new(RelPath::root(), Stage::Scan, "gone"));
    }
    let mut more = volume("b", Outcome::Problems);
    more.problems.push(Problem::new(RelPath::root(), Stage::Scan, "gone"));
    let report: Value = serde_json::from_slice(&ending(Outcome::Problems, vec![many, more]).report()).unwrap();
    assert_eq!(report["problems"].as_array().unwrap().len(), 1_000);
    assert_eq!(report["problems_total"], 1_501);
}

#[test]
fn a_termination_log_never_outgrows_what_the_kubelet_keeps() {
    let mut volumes = Vec::new();
    for _ in 0..50 {
        let mut bad = volume(&"v".repeat(63), Outcome::Problems);
        bad.entries = EntriesCount {
            scanned: u64::MAX,
            created: u64::MAX,
            updated: u64::MAX,
            unchanged: u64::MAX,
            deleted: u64::MAX,
            vanished: u64::MAX,
            trusted_attributes: u64::MAX,
        };
        bad.text = Some("\u{1}é\"".repeat(3_000));
        LossKind::ALL.into_iter().for_each(|kind| bad.loss.add(kind, u64::MAX));
        for _ in 0..50 {
            let path = RelPath::from_bytes(&[b'\\'; 8_000]).unwrap();
            bad.problems.push(Problem::new(path, Stage::Attributes, "\u{1}".repeat(8_000)));
        }
        volumes.push(bad);
    }
    let mut ending = ending(Outcome::Problems, volumes);
    ending.run = RunId::new(&"\"".repeat(64)).unwrap();
    ending.cause = Some("\u{1}".repeat(9_000));
    let log = ending.termination();
    assert!(log.len() <= TERMINATION_LEN_MAX, "{} bytes", log.len());
    let log: Value = serde_json::from_slice(&log).unwrap();
    assert_eq!((&log["exit"], &log["outcome"]), (&json!(3), &json!("problems")));
    assert!(!log["remedy"].is_null());
    // Nothing above stands in the way of a run that names its problems.
    let mut plain = volume("a", Outcome::Problems);
    plain.problems.push(Problem::new(RelPath::root(), Stage::Scan, "gone"));
    let log: Value =
        serde_json::from_slice(&super::tests::ending(Outcome::Problems, vec![plain]).termination()).unwrap();
    assert_eq!(log["problems"][0]["cause"], "gone");
}
