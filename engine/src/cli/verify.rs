//! `ferry verify SRC DST`: compares two trees strictly and prints each difference on standard output. Also how `ferry demo`
//! and `ferry bench` judge the copies they made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;

use super::args::VerifyArgs;
use super::config::VerifyConfig;
use super::console::Console;
use super::job::{self, Failure};
use super::report::Side;
use super::{progress, units};
use crate::session::{self, Progress, Stop, VerifyReport, VerifyRun};
use crate::types::{Outcome, OwnerPolicy};

/// Compares.
///
/// # Errors
/// What was typed cannot be done, or this process failed.
pub fn run(args: &VerifyArgs, console: &Arc<Console>) -> Result<Outcome, Failure> {
    let VerifyConfig { source, destination, excludes, owner, xattrs, ignore_extra } = VerifyConfig::new(args)?;
    let run = VerifyRun { source, destination, excludes, owner, xattrs, ignore_extra };
    let begun = Instant::now();
    let id = job::run_id()?;
    let report = job::block_on(console, |stop| {
        let (progress, printer) = (Arc::new(Progress::default()), Arc::clone(console));
        let counted = Arc::clone(&progress);
        // Comparing is file work: it blocks its thread, and signals are watched beside it.
        let work = tokio::task::spawn_blocking(move || {
            let mut print = |difference: session::Difference| {
                // A reader that went away does not change what is found.
                let _ = printer.result(&format!("{}: {}", difference.path, difference.what));
            };
            session::verify(&run, &mut print, &counted, &stop)
        });
        async move {
            let _display = progress::show(args.progress, Side::Sends, &id, &progress, console);
            work.await.context("the comparison ended early").map_err(Failure::failed)
        }
    })?;
    for line in lines(&report, begun) {
        console.say(&line);
    }
    Ok(report.outcome)
}

/// Compares everything of two trees that this process made; differences are logged.
///
/// # Errors
/// The comparison itself ended early.
pub async fn strictly(source: PathBuf, destination: PathBuf, stop: Stop) -> Result<VerifyReport, Failure> {
    let run = VerifyRun {
        source,
        destination,
        excludes: Vec::new(),
        owner: OwnerPolicy::Keep,
        xattrs: true,
        ignore_extra: false,
    };
    // Comparing is file work: it blocks its thread.
    let work = tokio::task::spawn_blocking(move || {
        session::verify(
            &run,
            &mut |difference| tracing::error!(path = %difference.path, what = difference.what, "difference"),
            &Progress::default(),
            &stop,
        )
    });
    work.await.context("the comparison ended early").map_err(Failure::failed)
}

fn lines(report: &VerifyReport, begun: Instant) -> Vec<String> {
    let verdict = match report.outcome {
        Outcome::Clean => "equal".to_owned(),
        Outcome::Differences => format!("{} differences", units::count(report.differences)),
        Outcome::Problems
        | Outcome::SafetyHalt
        | Outcome::Refused
        | Outcome::Network
        | Outcome::Failed
        | Outcome::Usage
        | Outcome::Interrupted
        | Outcome::Terminated => super::summary::words(report.outcome).to_owned(),
    };
    let (entries, bytes) = (units::count(report.entries), units::bytes(report.bytes));
    let mut lines = vec![format!(
        "verify: {verdict}; {entries} entries and {bytes} compared in {}",
        units::duration(begun.elapsed())
    )];
    let problems = report.problems.kept().iter();
    lines.extend(problems.map(|p| format!("  problem  {} ({}): {}", p.path, p.stage.word(), p.cause)));
    let more = report.problems.total().saturating_sub(report.problems.kept().len() as u64);
    if more > 0 {
        lines.push(format!("           and {} more problems", units::count(more)));
    }
    lines
}
