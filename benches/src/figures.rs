//! The arithmetic of the table: medians, and ratios of runs that stood side by side. Absolute times on a busy machine vary by
//! two or three; the ratio of a pair much less, so ratios are taken pair by pair, never of two medians.

use serde::Serialize;

use crate::process::{Run, Sides};

/// A ratio over pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median of the pairs.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// The middle of several runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Middle {
    /// Seconds, median.
    pub wall_s: f64,
    /// CPU seconds, median.
    pub cpu_s: f64,
    /// Bytes, the largest.
    pub memory_bytes: u64,
    /// The largest of each side, anonymous.
    pub anonymous: Sides,
    /// The largest of each side, programs included.
    pub resident: Sides,
}

/// The median: of an even number, the mean of the two in the middle. Nothing of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((sorted.get(half.checked_sub(1)?)? + upper) / 2.0)
}

/// The middle of these runs.
#[must_use]
pub fn middle(runs: &[Run]) -> Option<Middle> {
    let of = |value: fn(&Run) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
    let memory_bytes = runs.iter().map(|run| run.memory_bytes).max()?;
    let largest = |sides: fn(&Run) -> Sides| runs.iter().map(sides).fold(Sides::default(), Sides::max);
    let (anonymous, resident) = (largest(|run| run.anonymous), largest(|run| run.resident));
    Some(Middle { wall_s: of(|run| run.wall_s)?, cpu_s: of(|run| run.cpu_s)?, memory_bytes, anonymous, resident })
}

/// Round trips a copy waits for one after the other: how much longer it takes over a line that is longer by `more_s` there and
/// back, in lengths of that. What it does meanwhile, and how many connections share the wait, plays no part. Nothing when the
/// lines are equal; noise may make it less than nothing, which is none.
#[must_use]
pub fn round_trips(near_s: f64, far_s: f64, more_s: f64) -> Option<f64> {
    (more_s > 0.0).then(|| ((far_s - near_s) / more_s).max(0.0))
}

/// Their time divided by ours, pair by pair; runs without a partner are left out.
#[must_use]
pub fn ratio(theirs: &[Run], ours: &[Run]) -> Option<Spread> {
    let pairs: Vec<f64> = theirs.iter().zip(ours).map(|(theirs, ours)| theirs.wall_s / ours.wall_s).collect();
    spread(&pairs)
}

/// Our CPU seconds divided by theirs, pair by pair; nothing when theirs were too few to count.
#[must_use]
pub fn cpu_ratio(theirs: &[Run], ours: &[Run]) -> Option<Spread> {
    let pairs = theirs.iter().zip(ours).filter(|(theirs, _)| theirs.cpu_s > 0.0);
    spread(&pairs.map(|(theirs, ours)| ours.cpu_s / theirs.cpu_s).collect::<Vec<_>>())
}

fn spread(values: &[f64]) -> Option<Spread> {
    let min = values.iter().copied().min_by(f64::total_cmp)?;
    let max = values.iter().copied().max_by(f64::total_cmp)?;
    Some(Spread { median: median(values)?, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(walls: &[f64]) -> Vec<Run> {
        let run = |wall_s: &f64| {
            let (memory_bytes, source) = (*wall_s as u64, *wall_s as u64);
            let anonymous = Sides { source, destination: 10_u64.saturating_sub(source) };
            Run { wall_s: *wall_s, cpu_s: wall_s * 2.0, memory_bytes, anonymous, ..Run::default() }
        };
        walls.iter().map(run).collect()
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        // The machine was three times slower in the second round; the ratio of medians would be 4 / 3.
        let (theirs, ours) = (runs(&[4.0, 12.0, 2.0]), runs(&[2.0, 6.0, 1.0]));
        assert_eq!(ratio(&theirs, &ours), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(
            ratio(&runs(&[4.0, 9.0, 5.0]), &runs(&[2.0, 3.0])),
            Some(Spread { median: 2.5, min: 2.0, max: 3.0 })
        );
        assert_eq!(cpu_ratio(&theirs, &ours).map(|spread| spread.median), Some(0.5));
        assert_eq!(cpu_ratio(&runs(&[0.0]), &runs(&[1.0])), None);
        assert_eq!(ratio(&[], &ours), None);
    }

    #[test]
    fn round_trips_are_the_slope_of_time_over_delay() {
        // 0.3 s of work; 29 trips of 50 and of 250 ms.
        let trips = round_trips(0.3 + 29.0 * 0.05, 0.3 + 29.0 * 0.25, 0.2).unwrap();
        assert!((trips - 29.0).abs() < 1e-9, "{trips}");
        assert_eq!((round_trips(1.0, 0.9, 0.2), round_trips(1.0, 2.0, 0.0)), (Some(0.0), None));
    }

    #[test]
    fn memory_is_the_largest_of_all_runs() {
        let middle = middle(&runs(&[1.0, 9.0, 2.0])).unwrap();
        assert_eq!((middle.wall_s, middle.cpu_s, middle.memory_bytes), (2.0, 4.0, 9));
        assert_eq!(middle.anonymous, Sides { source: 9, destination: 9 }, "the sides are largest each by itself");
        assert_eq!(super::middle(&[]), None);
    }
}
