//! What a contest found, as JSON keeps it: every run, not only the middle, so that any other figure can be made from the file.

use serde::Serialize;

use crate::figures::{self, Middle, Spread};
use crate::machine::Machine;
use crate::process::Run;
use crate::relay::Wire;

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
    /// The ratio that is owed.
    pub must: f64,
    /// The ratio that is aimed at.
    pub aim: f64,
    /// Who took part, ferry first.
    pub standings: Vec<Standing>,
    /// Why the case was not played at all.
    pub trouble: Option<String>,
}

/// One contender in one case.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: String,
    /// Every timed run, in order: runs of the same position are pairs.
    pub runs: Vec<Run>,
    /// The middle of them.
    pub middle: Option<Middle>,
    /// What it put on the wire in the run that was not timed.
    pub wire: Option<Wire>,
    /// Its time divided by ferry's.
    pub ratio: Option<Spread>,
    /// ferry's CPU seconds divided by its.
    pub cpu_ratio: Option<Spread>,
    /// Why it has no figures, or not all.
    pub trouble: Option<String>,
}

impl Standing {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(name: String, options: String) -> Self {
        let (runs, middle, wire, ratio, cpu_ratio, trouble) = (Vec::new(), None, None, None, None, None);
        Self { name, options, runs, middle, wire, ratio, cpu_ratio, trouble }
    }
}

impl CaseReport {
    /// Works out the figures from the runs. Ratios are against the first standing, ferry; a contender that failed has none.
    pub fn sum_up(&mut self) {
        let ours = self.standings.first().filter(|ours| ours.trouble.is_none()).map(|ours| ours.runs.clone());
        for (place, standing) in self.standings.iter_mut().enumerate() {
            if standing.trouble.is_some() {
                continue;
            }
            standing.middle = figures::middle(&standing.runs);
            if let Some(ours) = ours.as_ref().filter(|_| place > 0) {
                standing.ratio = figures::ratio(&standing.runs, ours);
                standing.cpu_ratio = figures::cpu_ratio(&standing.runs, ours);
            }
        }
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

    fn standing(name: &str, wall_s: f64) -> Standing {
        let runs = vec![Run { wall_s, cpu_s: wall_s, memory_bytes: 1 }];
        Standing { runs, ..Standing::new(name.to_owned(), String::new()) }
    }

    fn case(standings: Vec<Standing>) -> CaseReport {
        CaseReport { name: "pages", what: "", must: 2.0, aim: 3.0, standings, trouble: None }
    }

    #[test]
    fn ratios_are_against_ferry_and_it_has_none_itself() {
        let mut case = case(vec![standing("ferry", 1.0), standing("rsync", 3.0)]);
        case.sum_up();
        let ratios: Vec<_> = case.standings.iter().map(|each| each.ratio.map(|ratio| ratio.median)).collect();
        assert_eq!(ratios, [None, Some(3.0)]);
    }

    #[test]
    fn nobody_is_faster_than_a_ferry_that_failed_or_slower_once_it_failed_itself() {
        let failed = Standing { trouble: Some("unequal".to_owned()), ..standing("x", 1.0) };
        let mut one = case(vec![failed.clone(), standing("rsync", 3.0)]);
        one.sum_up();
        assert!(one.standings[1].ratio.is_none() && one.standings[1].middle.is_some());
        let mut two = case(vec![standing("ferry", 1.0), failed]);
        two.sum_up();
        assert!(two.standings[1].ratio.is_none() && two.standings[1].middle.is_none());
    }
}
