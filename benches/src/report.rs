//! What a contest found, as JSON keeps it: every run, not only the middle, so that any other figure can be made from the file.

use std::num::NonZeroU32;

use serde::Serialize;

use crate::bars::{Limit, WireVerdict};
use crate::cases::{Case, Scale};
use crate::contender::{Contender, Side, Targets};
use crate::figures::{self, Middle, Spread};
use crate::flow::Flow;
use crate::line::Line;
use crate::machine::Machine;
use crate::owed::{Given, Judged, Owed};
use crate::process::Run;
use crate::relay::Wire;
use crate::rsync::Rsync;

/// The whole contest.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The command that makes it.
    pub command: String,
    /// Where and when.
    pub machine: Machine,
    /// The load averages at the end.
    pub load_after: String,
    /// What the data lay on.
    pub medium: String,
    /// The delay and the bandwidth between the sides, unless a case has its own.
    pub line: Line,
    /// Megabits a second of a link with tbf that both sides have between them.
    pub tbf: Option<NonZeroU32>,
    /// What the page cache held when a timed run began, in words.
    pub caches: &'static str,
    /// The factor on sizes and counts.
    pub scale: f64,
    /// Timed runs of each contender in each case.
    pub runs: u32,
    /// Each contender with its version, or with what is missing.
    pub contenders: Vec<Presence>,
    /// The cases.
    pub cases: Vec<CaseReport>,
}

/// A contender, here or not.
#[derive(Clone, Debug, Serialize)]
pub struct Presence {
    /// Its name.
    pub name: String,
    /// Its version; nothing when it is missing.
    pub version: Option<String>,
    /// What is missing.
    pub missing: Option<String>,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// The line it was played over.
    pub line: Line,
    /// Megabits a second of that line, or of the link with tbf, where there is a bound.
    pub mbit: Option<NonZeroU32>,
    /// Bytes of the files that are copied, holes included.
    pub content_bytes: u64,
    /// What ferry may put on the wire.
    pub limit: Option<Limit>,
    /// What is owed besides time and bytes.
    pub owed: &'static [Owed],
    /// Who took part, ferry first.
    pub standings: Vec<Standing>,
    /// Who is here but cannot copy over that line.
    pub unable: Vec<&'static str>,
    /// The figures of what is owed besides.
    pub judged: Vec<Judged>,
    /// Why the case was not played at all.
    pub trouble: Option<String>,
}

/// One contender in one case.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Its name on the command line.
    pub id: &'static str,
    /// Its name in tables.
    pub name: &'static str,
    /// Whose it is.
    pub side: Side,
    /// Its options.
    pub options: String,
    /// The ratios that are owed and aimed at.
    pub targets: Option<Targets>,
    /// Every timed run, in order: runs of the same position are pairs.
    pub runs: Vec<Run>,
    /// The middle of them.
    pub middle: Option<Middle>,
    /// What it put on the wire in the run that was not timed.
    pub wire: Option<Wire>,
    /// How what came from the source's side was spread in time in that run.
    pub flow: Option<Flow>,
    /// Round trips it waits for, where they were counted.
    pub trips: Option<f64>,
    /// Its bytes against the limit, when it is ours.
    pub wire_verdict: Option<WireVerdict>,
    /// Its time divided by ferry's; of another setting of ferry, rsync+stunnel's time divided by its.
    pub ratio: Option<Spread>,
    /// ferry's CPU seconds divided by its.
    pub cpu_ratio: Option<Spread>,
    /// Why it has no figures, or not all.
    pub trouble: Option<String>,
}

impl Standing {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(contender: &dyn Contender, case: &Case, options: &[&str]) -> Self {
        Self {
            id: contender.id(),
            name: contender.name(),
            side: contender.side(),
            options: options.join(" "),
            targets: contender.targets(case),
            runs: Vec::new(),
            middle: None,
            wire: None,
            flow: None,
            trips: None,
            wire_verdict: None,
            ratio: None,
            cpu_ratio: None,
            trouble: None,
        }
    }
}

impl CaseReport {
    /// Nobody took part yet.
    #[must_use]
    pub fn new(case: &Case, scale: Scale, line: Line) -> Self {
        Self {
            name: case.name,
            what: case.what,
            line,
            mbit: line.mbit,
            content_bytes: 0,
            limit: Limit::of(case, scale),
            owed: case.owed,
            standings: Vec::new(),
            unable: Vec::new(),
            judged: Vec::new(),
            trouble: None,
        }
    }

    /// Works out the figures from the runs. Ratios are against the first standing, ferry, and those of ferry's other settings
    /// against rsync+stunnel; a contender that failed has none.
    pub fn sum_up(&mut self) {
        let runs = |standing: &Standing| standing.trouble.is_none().then(|| standing.runs.clone());
        let ours = self.standings.first().and_then(runs);
        let reference = self.standings.iter().find(|standing| standing.id == Rsync::REFERENCE);
        let (theirs, their_wire) = (reference.and_then(runs), reference.and_then(|standing| standing.wire));
        for (place, standing) in self.standings.iter_mut().enumerate() {
            if standing.trouble.is_some() {
                continue;
            }
            standing.middle = figures::middle(&standing.runs);
            match (standing.side, &ours, &theirs) {
                (Side::Theirs, Some(ours), _) => {
                    standing.ratio = figures::ratio(&standing.runs, ours);
                    standing.cpu_ratio = figures::cpu_ratio(&standing.runs, ours);
                }
                (Side::Ours, _, Some(theirs)) if place > 0 => standing.ratio = figures::ratio(theirs, &standing.runs),
                (Side::Theirs | Side::Ours, _, _) => {}
            }
            if standing.side == Side::Ours {
                let sent = self.limit.zip(standing.wire);
                standing.wire_verdict = sent.and_then(|(limit, sent)| limit.judge(sent, their_wire));
            }
        }
        let (content_bytes, mbit) = (self.content_bytes, self.mbit.map(NonZeroU32::get));
        let given = Given { standings: &self.standings, content_bytes, mbit };
        self.judged = self.owed.iter().flat_map(|owed| owed.judge(given)).collect();
    }
}

impl Report {
    /// Everything that was missing, failed or unequal, a sentence each.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let missing = self
            .contenders
            .iter()
            .filter_map(|each| each.missing.as_ref().map(|missing| format!("{} took no part: {missing}", each.name)));
        let cases = self.cases.iter().flat_map(|case| {
            let whole = case.trouble.iter().map(move |trouble| format!("{}: {trouble}", case.name));
            let single = case.standings.iter().filter_map(move |standing| {
                standing.trouble.as_ref().map(|trouble| format!("{}, {}: {trouble}", case.name, standing.name))
            });
            whole.chain(single)
        });
        missing.chain(cases).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Verdict;
    use crate::ferry::{Ferry, Setting};
    use crate::rsync::Options;

    fn standing(contender: &dyn Contender, wall_s: f64) -> Standing {
        let runs = vec![Run { wall_s, cpu_s: wall_s, memory_bytes: 1, ..Run::default() }];
        let wire = Some(Wire { up: 1000, down: 0, connections: 1 });
        Standing { runs, wire, ..Standing::new(contender, case("pages"), &[]) }
    }

    fn case(name: &str) -> &'static Case {
        Case::named(name).unwrap()
    }

    fn ferry(setting: Setting) -> Ferry {
        Ferry::at(&std::env::current_exe().unwrap()).unwrap().set(setting)
    }

    fn report(standings: Vec<Standing>) -> CaseReport {
        let mut report = CaseReport { standings, ..CaseReport::new(case("pages"), Scale::FULL, Line::FREE) };
        report.sum_up();
        report
    }

    const RSYNC: Rsync = Rsync::with(Options::Default);

    #[test]
    fn ratios_are_against_ferry_and_those_of_its_settings_against_rsync() {
        let (plain, cached) = (standing(&ferry(Setting::Plain), 1.0), standing(&ferry(Setting::Cached), 0.5));
        let report = report(vec![plain, cached, standing(&RSYNC, 3.0)]);
        let ratios: Vec<_> = report.standings.iter().map(|each| each.ratio.map(|ratio| ratio.median)).collect();
        assert_eq!(ratios, [None, Some(6.0), Some(3.0)]);
        let verdicts: Vec<_> = report.standings.iter().map(|each| each.wire_verdict.map(|it| it.verdict)).collect();
        assert_eq!(verdicts, [Some(Verdict::Missed), Some(Verdict::Missed), None]);
    }

    #[test]
    fn nobody_is_faster_than_a_ferry_that_failed_or_slower_once_it_failed_itself() {
        let failed = |standing| Standing { trouble: Some("unequal".to_owned()), ..standing };
        let ours = || standing(&ferry(Setting::Plain), 1.0);
        let one = report(vec![failed(ours()), standing(&RSYNC, 3.0)]);
        assert!(one.standings[1].ratio.is_none() && one.standings[1].middle.is_some());
        let two = report(vec![ours(), failed(standing(&RSYNC, 3.0))]);
        assert!(two.standings[1].ratio.is_none() && two.standings[1].middle.is_none());
    }
}
