//! Plays a case: everybody once over a counting relay, not timed; then round by round, in turning order, so that what slows the
//! machine slows all alike. Each run begins with the same destination and ends with a comparison: a run that left the
//! destination unequal has no time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cases::{Case, Scale, Start};
use crate::contender::{Contender, Route};
use crate::ferry::{Equality, Ferry};
use crate::process::{self, Run};
use crate::relay::Wire;
use crate::report::{CaseReport, Presence, Standing};
use crate::site::Site;

/// A contest: the place, the judge, and who takes part.
pub struct Contest {
    site: Site,
    keys: PathBuf,
    judge: Ferry,
    present: Vec<Box<dyn Contender>>,
    presences: Vec<Presence>,
}

impl Contest {
    /// Makes keys and finds out who is here. `contenders` begins with ferry.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn new(site: Site, judge: Ferry, contenders: Vec<Box<dyn Contender>>) -> Result<Self> {
        let keys = site.logs().join("keys");
        judge.keygen(&keys)?;
        let (mut present, mut presences) = (Vec::new(), Vec::new());
        for contender in contenders {
            let (name, found) = (contender.name(), contender.version());
            let missing = found.as_ref().err().map(|error| format!("{error:#}"));
            if missing.is_none() {
                present.push(contender);
            }
            presences.push(Presence { name, version: found.ok(), missing });
        }
        Ok(Self { site, keys, judge, present, presences })
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
        let Case { name, what, must, aim, .. } = *case;
        let mut report = CaseReport { name, what, must, aim, standings: Vec::new(), trouble: None };
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
        let (room, free) = (scale.of(case.room, 0), self.site.free()?);
        ensure!(free >= room, "needs {} MiB and {} are free: use --scale or --dir", room >> 20, free >> 20);
        tell("making the data");
        case.make(&self.site, scale)?;
        case.restore(&self.site, true)?;
        self.check_the_start(case)?;
        let players: Vec<_> = self.present.iter().filter_map(|each| Some((each, each.options(case)?))).collect();
        for (contender, options) in &players {
            report.standings.push(Standing::new(contender.name(), options.join(" ")));
        }
        for round in 0..=rounds {
            let mut order: Vec<_> = players.iter().zip(report.standings.iter_mut()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for ((contender, options), standing) in order {
                if standing.trouble.is_some() {
                    continue;
                }
                let route = if round == 0 { Route::Counted } else { Route::Direct };
                match self.run(case, contender.as_ref(), options, route) {
                    Ok((_, Some(wire))) => standing.wire = Some(wire),
                    Ok((run, None)) => {
                        tell(&format!("round {round} of {rounds}, {}: {:.2} s", standing.name, run.wall_s));
                        standing.runs.push(run);
                    }
                    Err(error) => {
                        tell(&format!("round {round} of {rounds}, {}: {error:#}", standing.name));
                        standing.trouble = Some(format!("{error:#}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// A case that begins equal when it should not measures nothing.
    fn check_the_start(&self, case: &Case) -> Result<()> {
        match (case.start, self.judge.verify(&self.site)?) {
            (Start::Equal, Equality::Equal) | (Start::Empty | Start::Before, Equality::Different(_)) => Ok(()),
            (Start::Equal, Equality::Different(what)) => bail!("the destination is not equal at the start: {what}"),
            (Start::Empty | Start::Before, Equality::Equal) => bail!("the destination is equal at the start already"),
        }
    }

    fn run(
        &self,
        case: &Case,
        contender: &dyn Contender,
        options: &[&'static str],
        route: Route,
    ) -> Result<(Run, Option<Wire>)> {
        case.restore(&self.site, false)?;
        let mut stage = contender.stage(&self.site, &self.keys, options, route)?;
        let run = process::measure(stage.daemons, &mut stage.client, &self.log())?;
        let wire = stage.relay.map(crate::relay::Relay::finish);
        match self.judge.verify(&self.site).context("cannot compare source and destination")? {
            Equality::Equal => Ok((run, wire)),
            Equality::Different(what) => bail!("it ended well, but the destination differs: {what}"),
        }
    }

    fn log(&self) -> PathBuf {
        Path::new(&self.site.logs()).join("client")
    }
}
