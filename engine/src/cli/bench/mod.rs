//! `ferry bench`: what ferry reaches on this machine, and what limits it, with no other tool.
//!
//! ```text
//!  place ─> data ─> rates ─> run, compare, run, compare ... ─> place is cleared ─> table, record
//! ```
//! `course` does it: real sender, real receiver, real TLS on loopback, data of its own in a directory of its own. A copy that is not equal to
//! its source is a failure and no figure. It compares with no other tool (`make bench` does), and what it made is removed
//! on every way out.

mod clock;
mod course;
mod data;
mod limit;
mod place;
mod rates;
mod record;
mod rows;
mod table;

use std::sync::Arc;

use anyhow::Context as _;

use super::args::BenchArgs;
use super::config;
use super::console::Console;
use super::files::ReportFile;
use super::job::{self, Failure};
use super::values::Lanes;
use crate::types::{Exit, Outcome};
use course::Course;
use place::{Place, Scale};
use rows::{Figures, Site};

/// Measures.
pub fn run(args: &BenchArgs, console: &Arc<Console>) -> Exit {
    job::plain(console, || {
        let report = args.report.as_deref().map(ReportFile::open).transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let scale = Scale { size: args.size, files: args.files };
        let mut figures = Figures::new(scale, cores, config::lanes(Lanes::Auto));
        let in_the_way = report.as_ref().is_some_and(ReportFile::is_stream);
        let result =
            measure(args, console, &mut figures).and_then(|()| print(&table::lines(&figures), in_the_way, console));
        let (outcome, cause) = match &result {
            Ok(()) => (Outcome::Clean, None),
            Err(failure) => (failure.outcome, Some(failure.sentence())),
        };
        let record = record::report(&figures, outcome, cause.as_deref());
        let written = report.map_or(Ok(()), |file| file.commit(&record)).map_err(Failure::failed);
        // A benchmark that failed keeps its own reason.
        result.and(written).map(|()| Outcome::Clean)
    })
}

/// The table is the result, so it goes to standard output; with a report there, it is for people only.
fn print(lines: &[String], report_in_the_way: bool, console: &Console) -> Result<(), Failure> {
    if report_in_the_way {
        lines.iter().for_each(|line| console.say(line));
        return Ok(());
    }
    let printed = lines.iter().try_for_each(|line| console.result(line));
    printed.context("cannot print the table").map_err(Failure::failed)
}

/// Makes the place, measures in it, and clears it, whatever happened.
fn measure(args: &BenchArgs, console: &Arc<Console>, figures: &mut Figures) -> Result<(), Failure> {
    let mut place = None;
    // The place is made once signals are watched: from then on nothing ends this process before it is cleared.
    let outcome = job::block_on(console, |stop| async {
        let made = place.insert(Place::make(args.dir.as_deref())?);
        figures.site = Site::of(made);
        console.set_farewell(format!("ferry: stopped at once; {} remains, remove it", figures.site.path));
        made.check(figures.scale)?;
        Course::new(made.root(), console, stop).run(figures).await
    });
    let cleared = place.map_or(Ok(()), Place::clear);
    if let (Err(_), Err(remains)) = (&outcome, &cleared) {
        console.say(&format!("ferry: {}", remains.sentence()));
    }
    outcome.and(cleared)
}
