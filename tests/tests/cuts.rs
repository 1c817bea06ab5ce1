//! Broken connections are routine: twenty cuts during two gibibytes, a receiver that is restarted under the sender, a
//! network that swallows everything for a while. The run goes on and little is sent twice.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ferry_tests::chaos::Chaos;
use ferry_tests::compare;
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::scene::within;
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Result, ensure};

const MIB: u64 = 1 << 20;

/// A file of `len` random bytes.
fn random_file(path: &Path, len: u64, seed: u64) -> Result<()> {
    let (mut seed, mut file) = (Seed::new(seed), std::fs::File::create(path)?);
    for _ in 0..len / MIB {
        file.write_all(&seed.bytes(MIB as usize))?;
    }
    Ok(())
}

#[test]
fn twenty_cuts_in_two_gibibytes_cost_little() -> Result<()> {
    within(300, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        for number in 0..8 {
            random_file(&source.join(format!("big-{number}")), 192 * MIB, number)?;
        }
        for number in 0..32 {
            random_file(&source.join(format!("medium-{number}")), 16 * MIB, 100 + number)?;
        }
        trees::small_files(&source.join("small"), 2000, 10)?;
        let total = 2048 * MIB;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let chaos = Chaos::start(receiver.port)?;
        chaos.cut_every(95 * MIB, 20);
        let sender = ferry.send(&keys, chaos.port, &[("data", &source)], &["--connections", "2"])?;
        let sent = sender.finish(Duration::from_secs(240))?.exits(0)?;
        ensure!(chaos.cuts() == 20, "only {} cuts were made", chaos.cuts());
        let report = sent.report()?;
        ensure!(report.wire.reconnects > 0 && report.wire.reconnects <= 20, "{:?}", report.wire);
        // Unacknowledged at a cut: at most 8 MiB a connection; 2 % are frames, compares and listings.
        let bound = total + 20 * 2 * 8 * MIB + total / 50;
        ensure!(report.wire.sent <= bound, "{} bytes sent, {bound} allowed", report.wire.sent);
        ensure!(chaos.sent() <= bound + total / 100, "{} bytes passed the network, {bound} allowed", chaos.sent());
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_receiver_killed_and_started_again_is_found_again() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        random_file(&source.join("big"), 32 * MIB, 1)?;
        trees::small_files(&source.join("small"), 2000, 10)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &[])?;
        let port = receiver.port;
        let sender = ferry.send(&keys, port, &[("data", &source)], &["--bwlimit", "8M"])?;
        std::thread::sleep(Duration::from_millis(1500));
        receiver.run.process.kill()?;
        std::thread::sleep(Duration::from_millis(500));
        let receiver = ferry.receive_on(port, &keys, &[("data", &destination)], &["--once"])?;
        let sent = sender.finish(SOON)?.exits(0)?;
        ensure!(sent.report()?.wire.reconnects >= 1, "{:?}", sent.report()?.wire);
        ensure!(sent.report()?.bytes.literal < 50 * MIB, "too much was sent again: {:?}", sent.report()?.bytes);
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_network_that_swallows_for_a_minute_is_noticed_and_survived() -> Result<()> {
    within(180, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        random_file(&source.join("big"), 32 * MIB, 2)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let chaos = Chaos::start(receiver.port)?;
        let more = ["--bwlimit", "8M", "--retry-for", "120s"];
        let sender = ferry.send(&keys, chaos.port, &[("data", &source)], &more)?;
        std::thread::sleep(Duration::from_millis(1500));
        let before = chaos.connections();
        chaos.swallow(true);
        ferry_tests::command::until(
            Duration::from_secs(75),
            "silence is noticed",
            || Ok(chaos.connections() > before),
        )?;
        chaos.swallow(false);
        sender.finish(Duration::from_secs(90))?.exits(0)?;
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn an_idle_moment_does_not_look_like_a_cut() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        random_file(&source.join("big"), 3 * MIB, 3)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let chaos = Chaos::start(receiver.port)?;
        let sender = ferry.send(&keys, chaos.port, &[("data", &source)], &["--bwlimit", "500K"])?;
        std::thread::sleep(Duration::from_secs(2));
        chaos.swallow(true);
        std::thread::sleep(Duration::from_secs(12));
        chaos.swallow(false);
        let sent = sender.finish(SOON)?.exits(0)?;
        ensure!(sent.report()?.wire.reconnects == 0, "twelve silent seconds cut it: {:?}", sent.report()?.wire);
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}
