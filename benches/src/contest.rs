//! Plays a case: everybody once over a counting relay, not timed; then round by round, in turning order, so that what slows the
//! machine slows all alike. Each run begins with the same destination and ends with a comparison: a run that left the
//! destination unequal has no time.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::bars::Limit;
use crate::cases::{Case, Scale};
use crate::contender::{Contender, Job, Reach, Route};
use crate::course::{self, Course, Look};
use crate::ferry::Ferry;
use crate::line::Line;
use crate::process::{self, Run};
use crate::relay::Wire;
use crate::report::{CaseReport, Presence, Standing};
use crate::site::Site;

/// Seconds after which a run is a long one.
const LONG_S: f64 = 60.0;
/// Timed runs of who takes that long: rsync reads and sends 20 GiB of holes, and its figure is no better for having been made
/// five times.
const LONG_RUNS: usize = 2;

/// A contest: the place, the judge, and who takes part.
pub struct Contest {
    site: Site,
    keys: PathBuf,
    line: Line,
    present: Vec<Box<dyn Contender>>,
    presences: Vec<Presence>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The bytes on the wire, and a close look at the copy.
    Count,
    /// The time.
    Time,
}

impl Contest {
    /// Makes keys and finds out who is here. `contenders` begins with ferry; all of them run over `line`.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn new(site: Site, ferry: &Ferry, line: Line, contenders: Vec<Box<dyn Contender>>) -> Result<Self> {
        let keys = site.logs().join("keys");
        ferry.keygen(&keys)?;
        let (mut present, mut presences) = (Vec::new(), Vec::new());
        for contender in contenders {
            let (name, found) = (contender.name().to_owned(), found(contender.as_ref(), line));
            let missing = found.as_ref().err().map(|error| format!("{error:#}"));
            if missing.is_none() {
                present.push(contender);
            }
            presences.push(Presence { name, version: found.ok(), missing });
        }
        Ok(Self { site, keys, line, present, presences })
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

    /// Plays one case; what goes wrong is in the report. `tell` hears of each step.
    pub fn play(&self, case: &Case, scale: Scale, rounds: u32, tell: &mut dyn FnMut(&str)) -> CaseReport {
        let (name, what, limit) = (case.name, case.what, Limit::of(case, scale));
        let mut report = CaseReport { name, what, limit, standings: Vec::new(), trouble: None };
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
        let players: Vec<_> = self.present.iter().filter_map(|each| Some((each, each.options(case)?))).collect();
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
                let purpose = if round == 0 { Purpose::Count } else { Purpose::Time };
                let found = self.run(&course, contender.as_ref(), options, purpose);
                if let Some(said) = enter(standing, purpose, found) {
                    tell(&format!("round {round} of {rounds}, {}: {said}", standing.name));
                }
            }
        }
        Ok(())
    }

    fn run(
        &self,
        course: &Course<'_>,
        contender: &dyn Contender,
        options: &[&'static str],
        purpose: Purpose,
    ) -> Result<(Run, Option<Wire>)> {
        course.restore()?;
        let (source, destination, logs) = (course.source(), course.destination(), self.site.logs());
        let (before, keys) = (course.origin(), self.keys.as_path());
        let route = match (purpose, self.line) {
            (Purpose::Time, Line::FREE) => Route::Direct,
            (Purpose::Time | Purpose::Count, line) => Route::Relayed(line),
        };
        let job =
            Job { source: &source, destination: &destination, before: &before, logs: &logs, keys, options, route };
        contender.prepare(&job)?;
        let mut stage = contender.stage(&job)?;
        let run = process::measure(stage.daemons, &mut stage.client, &logs.join("client"), || course.settle())?;
        let wire = stage.relay.map(crate::relay::Relay::finish);
        let look = match purpose {
            Purpose::Count => Look::Close,
            Purpose::Time => Look::Quick,
        };
        match course.difference(look, contender.keeps()).context("cannot compare source and destination")? {
            None => Ok((run, wire)),
            Some(what) => bail!("it ended well, but the destination differs: {what}"),
        }
    }
}

/// Enters what a run found; in words, when there is something to tell.
fn enter(standing: &mut Standing, purpose: Purpose, found: Result<(Run, Option<Wire>)>) -> Option<String> {
    match (found, purpose) {
        (Ok((_, wire)), Purpose::Count) => {
            standing.wire = wire;
            None
        }
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

/// Whether a contender that takes long has run often enough.
fn enough(runs: &[Run]) -> bool {
    runs.len() >= LONG_RUNS && runs.iter().all(|run| run.wall_s > LONG_S)
}

/// A contender's version, or why it takes no part.
fn found(contender: &dyn Contender, line: Line) -> Result<String> {
    let able = contender.reach() == Reach::Network || line == Line::FREE;
    ensure!(able, "it copies on one machine only, so not over a line with a delay or a bandwidth");
    contender.version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_takes_more_than_a_minute_runs_less_often() {
        let runs = |walls: &[f64]| {
            walls.iter().map(|wall_s| Run { wall_s: *wall_s, cpu_s: 1.0, memory_bytes: 1 }).collect::<Vec<_>>()
        };
        assert!(enough(&runs(&[70.0, 61.0])));
        assert!(!enough(&runs(&[70.0])) && !enough(&runs(&[70.0, 59.0, 80.0])) && !enough(&[]));
    }
}
