//! What is owed, and whether it is met: ratios of time, and bytes on the wire. A bar that cannot be judged, since who it is
//! measured by took no part, has no verdict.

use serde::Serialize;

use crate::cases::{Bar, Case, Scale};
use crate::contender::Targets;
use crate::relay::Wire;

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What is owed was not reached.
    Missed,
    /// What is owed was reached, what is aimed at not.
    MustMet,
    /// All was reached.
    AimMet,
}

impl Verdict {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::MustMet => "must met",
            Self::AimMet => "aim met",
        }
    }
}

/// Whether a ratio is what is owed.
#[must_use]
pub fn time(ratio: f64, targets: Targets) -> Verdict {
    match ratio {
        ratio if ratio < targets.must => Verdict::Missed,
        ratio if ratio < targets.aim.unwrap_or(targets.must) => Verdict::MustMet,
        _ => Verdict::AimMet,
    }
}

/// What ferry may put on the wire in a case of this scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Shares of the bytes that rsync's default options send.
    OfRsync {
        /// The share that is owed.
        must: f64,
        /// The share that is aimed at.
        aim: f64,
    },
    /// Bytes.
    Bytes(u64),
}

/// Bytes on the wire against the limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WireVerdict {
    /// At most these are owed.
    pub must_bytes: u64,
    /// At most these are aimed at.
    pub aim_bytes: u64,
    /// Which of them was kept to.
    pub verdict: Verdict,
}

impl Limit {
    /// That of a case, when there is one.
    #[must_use]
    pub fn of(case: &Case, scale: Scale) -> Option<Self> {
        match case.wire {
            Bar::None => None,
            Bar::OfRsync { must, aim } => Some(Self::OfRsync { must, aim }),
            Bar::Bytes(bytes) => Some(Self::Bytes(bytes(scale))),
        }
    }

    /// Judges what was sent; `reference` is what rsync sent with its default options.
    #[must_use]
    pub fn judge(self, sent: Wire, reference: Option<Wire>) -> Option<WireVerdict> {
        let (must_bytes, aim_bytes) = match self {
            Self::Bytes(bytes) => (bytes, bytes),
            Self::OfRsync { must, aim } => {
                let theirs = reference?.total() as f64;
                ((theirs * must) as u64, (theirs * aim) as u64)
            }
        };
        let verdict = match sent.total() {
            sent if sent <= aim_bytes => Verdict::AimMet,
            sent if sent <= must_bytes => Verdict::MustMet,
            _ => Verdict::Missed,
        };
        Some(WireVerdict { must_bytes, aim_bytes, verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(up: u64) -> Wire {
        Wire { up, down: 0, connections: 1 }
    }

    #[test]
    fn a_ratio_meets_its_targets_from_the_very_number_on() {
        let targets = Targets { must: 2.0, aim: Some(3.0) };
        let found = [1.99, 2.0, 2.99, 3.0].map(|ratio| time(ratio, targets));
        assert_eq!(found, [Verdict::Missed, Verdict::MustMet, Verdict::MustMet, Verdict::AimMet]);
        assert_eq!(time(4.0, Targets { must: 4.0, aim: None }), Verdict::AimMet);
    }

    #[test]
    fn a_share_is_judged_by_what_rsync_sent_and_not_at_all_without_it() {
        let quarter = Limit::OfRsync { must: 0.25, aim: 0.125 };
        let found = |sent| quarter.judge(wire(sent), Some(wire(800))).map(|found| found.verdict);
        assert_eq!(found(100), Some(Verdict::AimMet));
        assert_eq!(found(200), Some(Verdict::MustMet));
        assert_eq!(found(201), Some(Verdict::Missed));
        assert_eq!(quarter.judge(wire(1), None), None);
    }

    #[test]
    fn bytes_shrink_with_the_scale() {
        let limit = |name, factor| Limit::of(Case::named(name).unwrap(), Scale::new(factor).unwrap());
        assert_eq!(limit("append", 1.0), Some(Limit::Bytes((64 << 20) / 100 * 102)));
        assert_eq!(limit("rename", 0.5), Some(Limit::Bytes((1 << 30) / 100)));
        assert_eq!(limit("sparse", 1.0), Some(Limit::Bytes((200 << 20) / 100 * 101)));
        assert_eq!(limit("pages", 1.0), Some(Limit::OfRsync { must: 0.25, aim: 1.0 / 6.0 }));
        assert_eq!(limit("big", 1.0), None);
        let data = Wire { up: 100, down: 0, connections: 1 };
        assert_eq!(Limit::Bytes(99).judge(data, None).unwrap().verdict, Verdict::Missed);
    }
}
