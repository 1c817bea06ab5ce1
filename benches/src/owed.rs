//! What is owed besides time and bytes on the wire, and whether it is met: round trips, CPU, memory of each side, the share of a
//! line that is filled, and a pace that is kept. It judges ferry alone; what others reach stands beside it.

use serde::Serialize;

use crate::bars::Verdict;
use crate::report::Standing;
use crate::rsync::Rsync;

const GIB: f64 = (1 << 30) as f64;
const MIB: f64 = (1 << 20) as f64;

/// Something a case owes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// Round trips a copy waits for, at most.
    Trips {
        /// What is owed.
        must: f64,
    },
    /// CPU seconds as a share of rsync+stunnel's, at most.
    Cpu {
        /// What is owed.
        must: f64,
        /// What is aimed at.
        aim: f64,
    },
    /// Resident memory of either side, at most.
    Resident {
        /// What is owed, in MiB.
        must_mib: f64,
    },
    /// The share of the line that all connections fill together, at least.
    Share {
        /// What is owed.
        must: f64,
    },
    /// A bound on bytes a second that was asked for: how far the mean may be off, and how far a second above it.
    Pace {
        /// The bound.
        bytes_a_second: f64,
        /// Percent of it, for the mean, either way.
        mean_percent: f64,
        /// Percent of it, for any second.
        second_percent: f64,
    },
}

/// Which side of a bar is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    /// Less is better.
    AtMost,
    /// More is better.
    AtLeast,
}

/// A figure, and the bar it is held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Whose figure.
    pub contender: &'static str,
    /// What it is a figure of, with its unit.
    pub what: &'static str,
    /// The figure.
    pub measured: f64,
    /// The bar; nothing where the figure only stands beside another's.
    pub bar: Option<Mark>,
}

/// A bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// The good side.
    pub sense: Sense,
    /// What is owed.
    pub must: f64,
    /// What is aimed at, where that is more.
    pub aim: Option<f64>,
    /// What was met.
    pub verdict: Verdict,
}

/// What the figures are made from.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Who took part, ferry first.
    pub standings: &'a [Standing],
    /// Bytes of the files that are copied.
    pub content_bytes: u64,
    /// Megabits a second of the line, when they are bounded.
    pub mbit: Option<u32>,
}

impl Owed {
    /// The figures of everybody who has them, those of the first, ferry, with bars.
    #[must_use]
    pub fn judge(self, given: Given<'_>) -> Vec<Judged> {
        let sound = given.standings.iter().filter(|standing| standing.trouble.is_none());
        sound.flat_map(|standing| self.figures(standing, given)).collect()
    }

    fn figures(self, standing: &Standing, given: Given<'_>) -> Vec<Judged> {
        let ours = given.standings.first().is_some_and(|first| first.id == standing.id);
        let judged = |what, measured: f64, sense, must, aim| {
            let bar = ours.then(|| Mark { sense, must, aim, verdict: verdict(measured, sense, must, aim) });
            Judged { contender: standing.name, what, measured, bar }
        };
        let (middle, flow) = (standing.middle, standing.flow);
        match self {
            Self::Trips { must } => {
                // Whole trips are owed; a tenth of one is the machine's.
                let trips = standing.trips.map(f64::round);
                trips.map(|trips| judged("round trips", trips, Sense::AtMost, must, None)).into_iter().collect()
            }
            Self::Cpu { must, aim } => {
                let per_gib = middle.filter(|_| given.content_bytes > 0).map(|middle| {
                    let measured = middle.cpu_s * GIB / given.content_bytes as f64;
                    Judged { contender: standing.name, what: "CPU s per GiB", measured, bar: None }
                });
                let reference = given.standings.iter().find(|each| each.id == Rsync::REFERENCE);
                let share = reference
                    .and_then(|theirs| theirs.cpu_ratio)
                    .filter(|_| ours)
                    .map(|ratio| judged("CPU, share of rsync+stunnel's", ratio.median, Sense::AtMost, must, Some(aim)));
                per_gib.into_iter().chain(share).collect()
            }
            Self::Resident { must_mib } => {
                let sides = middle.map(|middle| middle.resident).filter(|sides| sides.destination > 0);
                let judged = |what, bytes: u64| judged(what, bytes as f64 / MIB, Sense::AtMost, must_mib, None);
                let both = |sides: crate::process::Sides| {
                    [
                        judged("resident MiB, source's side", sides.source),
                        judged("resident MiB, destination's side", sides.destination),
                    ]
                };
                sides.into_iter().flat_map(both).collect()
            }
            Self::Share { must } => {
                let share = standing.wire.zip(middle).zip(given.mbit).and_then(|((wire, middle), mbit)| {
                    let full = f64::from(mbit) * 1e6 / 8.0 * middle.wall_s;
                    (full > 0.0).then(|| wire.up as f64 / full)
                });
                share.map(|share| judged("share of the line", share, Sense::AtLeast, must, None)).into_iter().collect()
            }
            Self::Pace { bytes_a_second, mean_percent, second_percent } => {
                let percent = |value: f64| (value / bytes_a_second - 1.0) * 100.0;
                let figures = |(mean, flow): (f64, crate::flow::Flow)| {
                    let busiest = percent(flow.busiest_second as f64);
                    [
                        judged("mean off the bound, %", percent(mean).abs(), Sense::AtMost, mean_percent, None),
                        judged("busiest second above it, %", busiest, Sense::AtMost, second_percent, None),
                    ]
                };
                let found = flow.and_then(|flow| Some((flow.mean()?, flow)));
                found.into_iter().flat_map(figures).collect()
            }
        }
    }
}

fn verdict(measured: f64, sense: Sense, must: f64, aim: Option<f64>) -> Verdict {
    let reached = |bar: f64| match sense {
        Sense::AtMost => measured <= bar,
        Sense::AtLeast => measured >= bar,
    };
    match (reached(must), reached(aim.unwrap_or(must))) {
        (false, _) => Verdict::Missed,
        (true, false) => Verdict::MustMet,
        (true, true) => Verdict::AimMet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Middle, Spread};
    use crate::flow::Flow;
    use crate::process::Sides;
    use crate::relay::Wire;
    use crate::sample;

    /// ferry and rsync+stunnel of the sample, with figures of their own.
    fn standings(change: impl Fn(&mut Standing, &mut Standing)) -> Vec<Standing> {
        let mut both = sample::report().cases.remove(0).standings;
        both.truncate(2);
        let [ours, theirs] = both.as_mut_slice() else { panic!("two standings") };
        change(ours, theirs);
        both
    }

    fn judged(owed: Owed, mbit: Option<u32>, standings: &[Standing]) -> Vec<(&'static str, f64, Option<Verdict>)> {
        let given = Given { standings, content_bytes: 2 << 30, mbit };
        let found = owed.judge(given).into_iter();
        found.map(|each| (each.what, each.measured, each.bar.map(|bar| bar.verdict))).collect()
    }

    #[test]
    fn round_trips_are_whole_and_only_ferrys_are_judged() {
        let found = |ours| {
            let standings = standings(|ferry, rsync| (ferry.trips, rsync.trips) = (Some(ours), Some(29.2)));
            judged(Owed::Trips { must: 10.0 }, None, &standings)
        };
        let theirs = ("round trips", 29.0, None);
        assert_eq!(found(10.4), [("round trips", 10.0, Some(Verdict::AimMet)), theirs]);
        assert_eq!(found(10.6), [("round trips", 11.0, Some(Verdict::Missed)), theirs]);
    }

    #[test]
    fn cpu_is_given_a_gibibyte_and_judged_as_a_share() {
        let spread = |median| Some(Spread { median, min: median, max: median });
        let standings = standings(|ferry, rsync| {
            let middle = |cpu_s| Some(Middle { wall_s: 1.0, cpu_s, ..Middle::default() });
            (ferry.middle, rsync.middle, rsync.cpu_ratio) = (middle(4.0), middle(8.0), spread(0.5));
        });
        let found = judged(Owed::Cpu { must: 0.55, aim: 0.45 }, None, &standings);
        let share = ("CPU, share of rsync+stunnel's", 0.5, Some(Verdict::MustMet));
        assert_eq!(found, [("CPU s per GiB", 2.0, None), share, ("CPU s per GiB", 4.0, None)]);
    }

    #[test]
    fn each_side_is_held_to_its_memory() {
        let standings = standings(|ferry, _| {
            let resident = Sides { source: 64 << 20, destination: (64 << 20) + 4096 };
            ferry.middle = Some(Middle { resident, ..Middle::default() });
        });
        let verdicts: Vec<_> =
            judged(Owed::Resident { must_mib: 64.0 }, None, &standings).into_iter().map(|found| found.2).collect();
        assert_eq!(verdicts, [Some(Verdict::AimMet), Some(Verdict::Missed)]);
    }

    #[test]
    fn the_share_of_a_line_is_what_was_sent_of_what_could_have_been() {
        let standings = standings(|ferry, rsync| {
            ferry.wire = Some(Wire { up: 9_000_000, down: 1, connections: 4 });
            ferry.middle = Some(Middle { wall_s: 1.0, ..Middle::default() });
            rsync.wire = None;
        });
        let share = |mbit| judged(Owed::Share { must: 0.9 }, mbit, &standings);
        assert_eq!(share(Some(80)), [("share of the line", 0.9, Some(Verdict::AimMet))]);
        assert_eq!(share(Some(100)), [("share of the line", 0.72, Some(Verdict::Missed))]);
        assert_eq!(share(None), []);
    }

    #[test]
    fn a_pace_may_be_missed_either_way_but_a_second_only_above() {
        let owed = Owed::Pace { bytes_a_second: 1000.0, mean_percent: 3.0, second_percent: 10.0 };
        let found = |bytes, busiest_second| {
            let standings = standings(|ferry, _| {
                ferry.flow = Some(Flow { bytes, middle_bytes: bytes, middle_ms: 1000, busiest_second })
            });
            judged(owed, None, &standings).into_iter().filter_map(|found| found.2).collect::<Vec<_>>()
        };
        assert_eq!(found(980, 1090), [Verdict::AimMet, Verdict::AimMet]);
        assert_eq!(found(960, 500), [Verdict::Missed, Verdict::AimMet]);
        assert_eq!(found(1040, 1110), [Verdict::Missed, Verdict::Missed]);
    }

    #[test]
    fn who_failed_is_not_judged() {
        let standings = standings(|ferry, _| (ferry.trips, ferry.trouble) = (Some(3.0), Some("unequal".to_owned())));
        assert_eq!(judged(Owed::Trips { must: 10.0 }, None, &standings), []);
    }
}
