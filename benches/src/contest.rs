//! Plays a case: everybody once over a counting relay, not timed, and where round trips are counted a few times more over lines of
//! different length; then round by round, in turning order, so that what slows the
//! machine slows all alike. Each run begins with the same destination and ends with a comparison: a run that left the
//! destination unequal has no time.

use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::caches::Caches;
use crate::cases::{Case, Scale};
use crate::contender::{Contender, Job, Reach, Route};
use crate::course::{self, Course, Look};
use crate::ferry::Ferry;
use crate::figures;
use crate::flow::Flow;
use crate::line::Line;
use crate::owed::Owed;
use crate::process::{self, Run};
use crate::relay::{Relay, Wire};
use crate::report::{CaseReport, Presence, Standing};
use crate::site::Site;
use crate::span::Far;

/// Seconds after which a run is a long one.
const LONG_S: f64 = 60.0;
/// Timed runs of who takes that long: rsync reads and sends 20 GiB of holes, and its figure is no better for having been made
/// five times.
const LONG_RUNS: usize = 2;
/// How much longer than its own the two lines are over which round trips are counted, in milliseconds there and back: long enough
/// on both that what is done meanwhile hides in the waiting, and far enough apart that 20 ms of noise are a tenth of a trip.
const TRIP_LINES_MS: [u32; 2] = [50, 250];
/// Runs over each of them, of which the fastest counts: noise only adds.
const TRIP_RUNS: u32 = 2;

/// A contest: the place, the judge, and who takes part.
pub struct Contest {
    site: Site,
    keys: PathBuf,
    conditions: Conditions,
    present: Vec<Box<dyn Contender>>,
    presences: Vec<Presence>,
}

/// Under which conditions everybody runs.
#[derive(Debug)]
pub struct Conditions {
    /// The line of every case; a case's own where this one is free.
    pub line: Line,
    /// Where the destination's side runs.
    pub far: Far,
    /// The bandwidth on the way there, if it is bounded.
    pub tbf: Option<NonZeroU32>,
    /// What is in the page cache.
    pub caches: Caches,
    /// In which cases round trips are counted.
    pub trips: Trips,
}

/// In which cases round trips are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trips {
    /// Where they are owed.
    WhereOwed,
    /// In all.
    Everywhere,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The bytes on the wire, and a close look at the copy.
    Count,
    /// How much of its time is waiting for this much longer a line.
    Wait(u32),
    /// The time.
    Time,
}

/// What a run found.
type Found = (Run, Option<(Wire, Flow)>);

impl Conditions {
    /// The line a case is played over.
    fn line(&self, case: &Case) -> Line {
        if self.is_free() { case.line } else { self.line }
    }

    /// Whether nothing was asked for.
    fn is_free(&self) -> bool {
        self.line == Line::FREE && self.tbf.is_none()
    }
}

impl Contest {
    /// Makes keys and finds out who is here. `contenders` begins with ferry; all of them run under the same conditions.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn new(site: Site, ferry: &Ferry, conditions: Conditions, contenders: Vec<Box<dyn Contender>>) -> Result<Self> {
        let keys = site.logs().join("keys");
        ferry.keygen(&keys)?;
        let (mut present, mut presences) = (Vec::new(), Vec::new());
        for contender in contenders {
            let (name, found) = (contender.name().to_owned(), found(contender.as_ref(), &conditions));
            let missing = found.as_ref().err().map(|error| format!("{error:#}"));
            if missing.is_none() {
                present.push(contender);
            }
            presences.push(Presence { name, version: found.ok(), missing });
        }
        Ok(Self { site, keys, conditions, present, presences })
    }

    /// Each contender, here or not.
    #[must_use]
    pub fn presences(&self) -> Vec<Presence> {
        self.presences.clone()
    }

    /// What the data lies on.
    #[must_use]
    pub fn medium(&self) -> String {
        self.site.medium()
    }

    /// The conditions.
    #[must_use]
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Plays one case; what goes wrong is in the report. `tell` hears of each step.
    pub fn play(&self, case: &Case, scale: Scale, rounds: u32, tell: &mut dyn FnMut(&str)) -> CaseReport {
        let mut report = CaseReport::new(case, scale, self.conditions.line(case));
        report.mbit = report.mbit.or(self.conditions.tbf);
        let end = self.try_play(case, scale, rounds, tell, &mut report);
        report.trouble = end.and_then(|()| self.site.clear()).err().map(|error| format!("{error:#}"));
        report.sum_up();
        report
    }

    fn try_play(
        &self,
        case: &Case,
        scale: Scale,
        rounds: u32,
        tell: &mut dyn FnMut(&str),
        report: &mut CaseReport,
    ) -> Result<()> {
        self.site.clear()?;
        course::room(&self.site, case, scale)?;
        tell("making the data");
        let course = Course::lay(&self.site, case, scale)?;
        report.content_bytes = course.content_bytes()?;
        let players = self.present.iter().filter_map(|each| Some((each, each.options(case)?)));
        let able = |reach| reach == Reach::Network || report.line == Line::FREE;
        let (players, unable): (Vec<_>, Vec<_>) = players.partition(|(each, _)| able(each.reach()));
        report.unable = unable.iter().map(|(each, _)| each.name()).collect();
        for (contender, options) in &players {
            report.standings.push(Standing::new(contender.as_ref(), case, options));
        }
        for round in 0..=rounds {
            let mut order: Vec<_> = players.iter().zip(report.standings.iter_mut()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for ((contender, options), standing) in order {
                if standing.trouble.is_some() || enough(&standing.runs) {
                    continue;
                }
                let run = |purpose| self.run(&course, contender.as_ref(), options, purpose);
                let purpose = if round == 0 { Purpose::Count } else { Purpose::Time };
                let mut said = enter(standing, purpose, run(purpose));
                if round == 0 && standing.trouble.is_none() && self.counts_trips(case) {
                    said = match trips(|more_ms| Ok(run(Purpose::Wait(more_ms))?.0.wall_s)) {
                        Ok(trips) => {
                            standing.trips = trips;
                            trips.map(|trips| format!("{trips:.1} round trips"))
                        }
                        Err(error) => enter(standing, purpose, Err(error)),
                    };
                }
                if let Some(said) = said {
                    tell(&format!("round {round} of {rounds}, {}: {said}", standing.name));
                }
            }
        }
        Ok(())
    }

    fn counts_trips(&self, case: &Case) -> bool {
        let owed = case.owed.iter().any(|owed| matches!(owed, Owed::Trips { .. }));
        owed || self.conditions.trips == Trips::Everywhere
    }

    fn run(
        &self,
        course: &Course<'_>,
        contender: &dyn Contender,
        options: &[&'static str],
        purpose: Purpose,
    ) -> Result<Found> {
        course.restore()?;
        let (source, destination, logs) = (course.source(), course.destination(), self.site.logs());
        let (before, keys) = (course.origin(), self.keys.as_path());
        let line = self.conditions.line(course.case());
        let route = match (purpose, line) {
            (Purpose::Time, Line::FREE) => Route::Direct,
            (Purpose::Time | Purpose::Count, line) => Route::Relayed(line),
            (Purpose::Wait(more_ms), line) => Route::Relayed(line.longer_by(more_ms)),
        };
        let (source, destination, before, logs) = (&source, &destination, &before, &logs);
        let job = Job { source, destination, before, logs, keys, options, route, far: &self.conditions.far };
        contender.prepare(&job)?;
        let mut stage = contender.stage(&job)?;
        if purpose == Purpose::Time {
            self.conditions.caches.ready(source, destination)?;
        }
        let run = process::measure(stage.daemons, &mut stage.client, &logs.join("client"), || course.settle())?;
        let wire = stage.relay.map(Relay::finish);
        let look = match purpose {
            Purpose::Count => Look::Close,
            Purpose::Time | Purpose::Wait(_) => Look::Quick,
        };
        match course.difference(look, contender.keeps()).context("cannot compare source and destination")? {
            None => Ok((run, wire)),
            Some(what) => bail!("it ended well, but the destination differs: {what}"),
        }
    }
}

/// Enters what a run found; in words, when there is something to tell.
fn enter(standing: &mut Standing, purpose: Purpose, found: Result<Found>) -> Option<String> {
    match (found, purpose) {
        (Ok((_, carried)), Purpose::Count) => {
            (standing.wire, standing.flow) = carried.unzip();
            None
        }
        (Ok(_), Purpose::Wait(_)) => None,
        (Ok((run, _)), Purpose::Time) => {
            standing.runs.push(run);
            Some(format!("{:.2} s", run.wall_s))
        }
        (Err(error), _) => {
            let trouble = format!("{error:#}");
            standing.trouble = Some(trouble.clone());
            Some(trouble)
        }
    }
}

/// Round trips, from the times of runs over lines that are this much longer.
fn trips(mut time: impl FnMut(u32) -> Result<f64>) -> Result<Option<f64>> {
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..TRIP_RUNS {
        for (fastest, more_ms) in fastest.iter_mut().zip(TRIP_LINES_MS) {
            *fastest = fastest.min(time(more_ms)?);
        }
    }
    let ([near_s, far_s], [near_ms, far_ms]) = (fastest, TRIP_LINES_MS);
    Ok(figures::round_trips(near_s, far_s, f64::from(far_ms - near_ms) / 1000.0))
}

/// Whether a contender that takes long has run often enough.
fn enough(runs: &[Run]) -> bool {
    runs.len() >= LONG_RUNS && runs.iter().all(|run| run.wall_s > LONG_S)
}

/// A contender's version, or why it takes no part.
fn found(contender: &dyn Contender, conditions: &Conditions) -> Result<String> {
    let able = contender.reach() == Reach::Network || conditions.is_free();
    ensure!(able, "it copies on one machine only, so not over a line with a delay or a bandwidth");
    contender.version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_counted_between_the_fastest_runs_of_both_lines() {
        let mut runs = 0;
        let found = trips(|more_ms| {
            runs += 1;
            // The first run over each line is slow; every copy works for 0.4 s and waits nine times.
            let noise = if runs <= 2 { 0.7 } else { 0.0 };
            Ok(0.4 + noise + 9.0 * f64::from(more_ms) / 1000.0)
        });
        assert!((found.unwrap().unwrap() - 9.0).abs() < 1e-9);
        assert!(trips(|_| bail!("unequal")).is_err());
    }

    #[test]
    fn a_case_keeps_its_line_unless_another_is_asked_for() {
        let line = |line, tbf| {
            let (far, caches) = (Far::Here, Caches::Memory);
            let conditions = Conditions { line, far, tbf, caches, trips: Trips::WhereOwed };
            conditions.line(Case::named("thousand").unwrap())
        };
        let asked = Line { rtt_ms: 7, ..Line::FREE };
        assert_eq!((line(Line::FREE, None).rtt_ms, line(asked, None).rtt_ms), (50, 7));
        assert_eq!(line(Line::FREE, NonZeroU32::new(100)), Line::FREE);
    }

    #[test]
    fn only_who_takes_more_than_a_minute_runs_less_often() {
        let runs =
            |walls: &[f64]| walls.iter().map(|wall_s| Run { wall_s: *wall_s, ..Run::default() }).collect::<Vec<_>>();
        assert!(enough(&runs(&[70.0, 61.0])));
        assert!(!enough(&runs(&[70.0])) && !enough(&runs(&[70.0, 59.0, 80.0])) && !enough(&[]));
    }
}
