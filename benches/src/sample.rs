//! A report for tests: one case, ferry, rsync+stunnel, and one that failed.

use crate::caches::Caches;
use crate::cases::{Case, Scale};
use crate::ferry::Ferry;
use crate::line::Line;
use crate::machine::Machine;
use crate::process::{Run, Sides};
use crate::relay::Wire;
use crate::report::{CaseReport, Presence, Report, Standing};
use crate::rsync::{Options, Rsync};

/// The report.
pub(crate) fn report() -> Report {
    let case = Case::named("pages").unwrap();
    let anonymous = Sides { source: 2 << 20, destination: 4 << 20 };
    let run = |wall_s| Run { wall_s, cpu_s: 1.0, memory_bytes: 5 << 20, anonymous, ..Run::default() };
    let plain = Ferry::at(&std::env::current_exe().unwrap()).unwrap();
    let mut ferry = Standing::new(&plain, case, &[]);
    ferry.runs = vec![run(1.0), run(2.0)];
    ferry.wire = Some(Wire { up: 1_000_000, down: 500, connections: 2 });
    let mut rsync = Standing::new(&Rsync::with(Options::Default), case, &["-aHAX"]);
    rsync.runs = vec![run(3.0), run(5.0)];
    rsync.wire = Some(Wire { up: 4_400_000, down: 0, connections: 1 });
    let mut best = Standing::new(&Rsync::with(Options::Best), case, &["-aHAX"]);
    best.trouble = Some("it ended\nbadly".to_owned());
    let standings = vec![ferry, rsync, best];
    let mut case = CaseReport { what: "pages", standings, ..CaseReport::new(case, Scale::FULL, Line::FREE) };
    case.sum_up();
    let missing = Presence { name: "rclone".to_owned(), version: None, missing: Some("not installed".to_owned()) };
    Report {
        command: "ferry-bench".to_owned(),
        machine: Machine::now().unwrap(),
        load_after: "0 0 0".to_owned(),
        medium: "tmpfs".to_owned(),
        line: Line::FREE,
        tbf: None,
        caches: Caches::Memory.words(),
        scale: 1.0,
        runs: 2,
        contenders: vec![missing],
        cases: vec![case],
    }
}
