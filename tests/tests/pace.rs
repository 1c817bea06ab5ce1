//! A bound on the rate is kept as it is promised (README, `--bwlimit`): the mean within 3 %, no second above it by more than 10 %.
//! Counted where it passes, outside of ferry; `ferry-bench --case pace10,pace100` measures the same for longer and at more.

use std::time::{Duration, Instant};

use ferry_tests::chaos::Chaos;
use ferry_tests::command::until;
use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::place::Place;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::Seed;
use ferry_tests::{Context, Result, bail, ensure};

const RATE: f64 = 10e6;
const SIZE: usize = 50_000_000;
/// A busy machine that lets ferry or the forwarder wait for a moment shows a gap or a burst; a wrong pace is wrong every time.
const ATTEMPTS: u32 = 4;

/// When how much had passed.
type Passed = Vec<(Duration, u64)>;

#[test]
fn a_bound_on_the_rate_is_met_in_the_mean_and_in_every_second() -> Result<()> {
    within(120, |scene| {
        let source = scene.dir("source")?;
        Place::open(&source)?.file(b"big", &Seed::new(1).bytes(SIZE))?;
        let mut said = Vec::new();
        for attempt in 0..ATTEMPTS {
            let destination = scene.path(&format!("destination-{attempt}"));
            let passed = bounded(scene, &source, &destination)?;
            compare::equal(&source, &destination)?;
            let (mean, second) = (mean(&passed)? / RATE, busiest_second(&passed) / RATE);
            if (0.97..=1.03).contains(&mean) && second <= 1.10 {
                return Ok(());
            }
            said.push(format!("the mean {mean:.3} of the bound and a second {second:.3}"));
        }
        bail!("every time it was missed: {}", said.join("; "))
    })
}

/// Copies through a forwarder and looks at it meanwhile.
fn bounded(scene: &Scene, source: &std::path::Path, destination: &std::path::Path) -> Result<Passed> {
    let ferry = Ferry::new(scene)?;
    let keys = ferry.keys()?;
    let receiver = ferry.receive(&keys, &[("data", destination)], &["--once"])?;
    let chaos = Chaos::start(receiver.port)?;
    let mut sender = ferry.send(&keys, chaos.port, &[("data", source)], &["--bwlimit", "10MB"])?;
    let (start, mut passed) = (Instant::now(), Passed::new());
    until(Duration::from_secs(30), "everything passes", || {
        let sent = chaos.sent();
        passed.push((start.elapsed(), sent));
        ensure!(sent > SIZE as u64 || sender.process.is_running()?, "the sender ended after {sent} bytes");
        Ok(sent > SIZE as u64)
    })?;
    sender.finish(Duration::from_secs(30))?.exits(0)?;
    receiver.run.finish(Duration::from_secs(30))?.exits(0)?;
    Ok(passed)
}

/// Bytes a second between the first hundredth and the last: what comes before and after is no content.
fn mean(passed: &Passed) -> Result<f64> {
    let at = |share: f64| passed.iter().find(|(_, bytes)| *bytes as f64 >= SIZE as f64 * share).copied();
    let ((begin, before), (end, after)) = at(0.01).zip(at(0.99)).context("not everything was seen")?;
    Ok((after - before) as f64 / (end - begin).as_secs_f64())
}

/// The most bytes between two looks that are at most a second apart.
fn busiest_second(passed: &Passed) -> f64 {
    let second = |(end, after): &(Duration, u64)| {
        let begun = passed.iter().find(|(begin, _)| *begin + Duration::from_secs(1) >= *end);
        begun.map_or(0, |(_, before)| after - before)
    };
    passed.iter().map(second).max().unwrap_or(0) as f64
}

#[test]
fn the_judge_of_rates_sees_a_burst_and_a_wrong_mean() -> Result<()> {
    let looks = |rate: fn(u64) -> u64| -> Passed {
        (0..=500).map(|look| (Duration::from_millis(look * 10), rate(look))).collect()
    };
    // 10 MB/s are 100 kB a look; a burst of 1.5 MB at two seconds is one of 115 % of a second.
    let steady = looks(|look| look * 100_000);
    let burst = looks(|look| look * 100_000 + if look >= 200 { 1_500_000 } else { 0 });
    ensure!((mean(&steady)? / RATE - 1.0).abs() < 0.001 && busiest_second(&steady) / RATE < 1.001);
    ensure!(busiest_second(&burst) / RATE > 1.14, "{}", busiest_second(&burst));
    ensure!(mean(&looks(|look| look * 110_000))? / RATE > 1.09);
    ensure!(mean(&looks(|look| look * 10_000)).is_err(), "a fifth of it has no mean");
    Ok(())
}
