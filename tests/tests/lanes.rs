//! A way that bounds each connection by itself gets more of them, as many as were asked for and no more.

use std::time::Duration;

use ferry_tests::chaos::Chaos;
use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::trees::Seed;
use ferry_tests::{Result, ensure};

/// What a connection may carry in a second.
const EACH: u64 = 8_000_000;
/// Bytes for several looks, at a second each.
const SIZE: usize = 120_000_000;

#[test]
fn more_lanes_are_opened_while_they_carry_more_and_a_number_is_kept() -> Result<()> {
    within(180, |scene| {
        let (ferry, source) = (Ferry::new(scene)?, scene.dir("source")?);
        Place::open(&source)?.file(b"big", &Seed::new(1).bytes(SIZE))?;
        let connections = |more: &[&str], name: &str| -> Result<u64> {
            let (keys, destination) = (ferry.keys()?, scene.path(name));
            let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
            let chaos = Chaos::start(receiver.port)?;
            chaos.throttle(EACH);
            let sender = ferry.send(&keys, chaos.port, &[("data", &source)], more)?;
            let connections = sender.finish(Duration::from_secs(80))?.exits(0)?.report()?.wire.connections;
            receiver.run.finish(Duration::from_secs(30))?.exits(0)?;
            compare::equal(&source, &destination)?;
            Ok(connections)
        };
        // The control connection, one lane a core to begin with, and more.
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4) as u64;
        let opened = connections(&[], "auto")?;
        ensure!(opened >= 1 + cores + 2, "only {opened} connections were opened");
        ensure!(opened <= 9, "{opened} connections were opened");
        let kept = connections(&["--connections", "3"], "three")?;
        ensure!(kept == 4, "{kept} connections where a control connection and three lanes were asked for");
        let bounded = connections(&["--bwlimit", "40MB"], "bounded")?;
        ensure!(bounded == 1 + cores, "{bounded} connections under a bound on all of them together");
        Ok(())
    })
}
