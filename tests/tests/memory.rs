//! Bounded memory: a million small files, a million names in one directory, long names; neither side is ever above 64 MiB
//! resident. These need about 12 GiB of memory for the trees; too little of it is a failure that says so.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Context, Result, ensure, trees};

/// What each side may hold at its peak.
const PEAK_MAX: u64 = 64 << 20;
/// One of these trees at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Copies over the network, then again without change, and looks at both sides' peaks.
fn bounded(scene: &Scene, source: &Path, destination: &Path) -> Result<()> {
    let ferry = Ferry::new(scene)?;
    let keys = ferry.keys()?;
    for round in ["first copy", "no change"] {
        let mut receiver = ferry.receive(&keys, &[("data", destination)], &["--once"])?;
        receiver.run.process.watch_memory();
        let mut sender = ferry.send(&keys, receiver.port, &[("data", source)], &["--delete"])?;
        sender.process.watch_memory();
        let sent = sender.finish(Duration::from_secs(240))?.exits(0)?;
        let received = receiver.run.finish(Duration::from_secs(60))?.exits(0)?;
        for (side, done) in [("sender", &sent), ("receiver", &received)] {
            let peak = done.process.peak.context("no peak was sampled")?;
            ensure!(peak > 1 << 20, "{round}: the {side}'s peak of {peak} bytes cannot be");
            ensure!(peak <= PEAK_MAX, "{round}: the {side} was at {} MiB", peak >> 20);
        }
        let literal = sent.report()?.bytes.literal;
        ensure!(round == "first copy" || literal == 0, "{literal} bytes were sent without a change");
    }
    Ok(())
}

fn enough_memory(bytes: u64) -> Result<()> {
    let table = std::fs::read_to_string("/proc/meminfo")?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable")?;
    let available = line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024;
    ensure!(available >= bytes, "{} MiB of memory are needed, {} are available", bytes >> 20, available >> 20);
    Ok(())
}

#[test]
fn a_million_small_files_need_no_more_than_64_mib_on_either_side() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    within(600, |scene| {
        enough_memory(12 << 30)?;
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 1_000_000, 2000)?;
        bounded(scene, &source, &destination)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_million_names_in_one_directory_need_no_more_than_64_mib_on_either_side() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    within(600, |scene| {
        enough_memory(6 << 30)?;
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::flat(&source, 1_000_000, 20)?;
        bounded(scene, &source, &destination)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn names_of_255_bytes_in_one_directory_need_no_more_than_64_mib_on_either_side() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    within(300, |scene| {
        enough_memory(2 << 30)?;
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::flat(&source, 100_000, 255)?;
        bounded(scene, &source, &destination)?;
        compare::equal(&source, &destination)
    })
}
