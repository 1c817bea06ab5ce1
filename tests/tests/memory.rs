//! Bounded memory: a million small files, a million names in one directory, long names; neither side is ever above 64 MiB
//! resident, nor above 128 MiB over a sparse file of 100 GiB. These need about 12 GiB of memory for the trees; too little of it is a failure that says so.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Context, Result, ensure};
use rustix::fs::SeekFrom;

/// What each side may hold at its peak.
const PEAK_MAX: u64 = 64 << 20;
/// One of these trees at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Copies over the network, then again without change, and looks at both sides' peaks.
fn bounded(scene: &Scene, source: &Path, destination: &Path) -> Result<()> {
    copied(scene, source, destination, "first copy", PEAK_MAX)?;
    let literal = copied(scene, source, destination, "no change", PEAK_MAX)?.bytes.literal;
    ensure!(literal == 0, "{literal} bytes were sent without a change");
    Ok(())
}

/// Copies once and looks at both sides' peaks; the sender's report.
fn copied(scene: &Scene, source: &Path, destination: &Path, round: &str, peak_max: u64) -> Result<Report> {
    let ferry = Ferry::new(scene)?;
    let keys = ferry.keys()?;
    let mut receiver = ferry.receive(&keys, &[("data", destination)], &["--once"])?;
    receiver.run.process.watch_memory();
    let mut sender = ferry.send(&keys, receiver.port, &[("data", source)], &["--delete"])?;
    sender.process.watch_memory();
    let sent = sender.finish(Duration::from_secs(240))?.exits(0)?;
    let received = receiver.run.finish(Duration::from_secs(60))?.exits(0)?;
    for (side, done) in [("sender", &sent), ("receiver", &received)] {
        let peak = done.process.peak.context("no peak was sampled")?;
        ensure!(peak > 1 << 20, "{round}: the {side}'s peak of {peak} bytes cannot be");
        ensure!(peak <= peak_max, "{round}: the {side} was at {} MiB", peak >> 20);
    }
    Ok(sent.report()?.clone())
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

/// A file of `len` bytes with `pieces` mebibytes stored here and there; the same seed stores them in the same places.
fn scattered(path: &Path, len: u64, pieces: u64) -> Result<()> {
    let mut seed = Seed::new(51);
    let file = std::fs::File::create(path)?;
    file.set_len(len)?;
    for _ in 0..pieces {
        file.write_all_at(&seed.bytes(1 << 20), seed.below((len >> 12) - 256) << 12)?;
    }
    Ok(())
}

/// Overwrites pages that are stored and pages that are not.
fn scattered_edits(path: &Path) -> Result<()> {
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let (mut seed, len) = (Seed::new(52), file.metadata()?.len());
    for _ in 0..100 {
        let at = seed.below((len >> 12) - 1) << 12;
        file.write_all_at(&seed.bytes(4096), at)?;
        let stored = rustix::fs::seek(&file, SeekFrom::Data(seed.below(len - 1)));
        file.write_all_at(&seed.bytes(4096), stored.unwrap_or(0) >> 12 << 12)?;
    }
    Ok(())
}

/// Fails unless what is stored in one is read from the other, both ways: nobody reads 100 GiB of zeros.
fn stored_alike(one: &Path, other: &Path) -> Result<()> {
    for (one, other) in [(one, other), (other, one)] {
        let (one, other) = (std::fs::File::open(one)?, std::fs::File::open(other)?);
        let len = one.metadata()?.len();
        ensure!(len == other.metadata()?.len(), "{len} bytes became {}", other.metadata()?.len());
        let mut at = 0;
        while let Ok(start) = rustix::fs::seek(&one, SeekFrom::Data(at)) {
            at = rustix::fs::seek(&one, SeekFrom::Hole(start))?;
            for from in (start..at).step_by(1 << 20) {
                let mut ours = vec![0; usize::try_from((at - from).min(1 << 20))?];
                let mut theirs = ours.clone();
                one.read_exact_at(&mut ours, from)?;
                other.read_exact_at(&mut theirs, from)?;
                ensure!(ours == theirs, "the contents differ in the MiB at {from}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_sparse_file_of_100_gib_needs_no_more_than_128_mib_on_either_side() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    within(120, |scene| {
        enough_memory(2 << 30)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let (ours, theirs) = (source.join("file"), destination.join("file"));
        scattered(&ours, 100 << 30, 300)?;
        let first = copied(scene, &source, &destination, "first copy", 128 << 20)?;
        ensure!(first.bytes.literal <= 300 << 20, "{} bytes were sent for 300 MiB", first.bytes.literal);
        stored_alike(&ours, &theirs)?;
        scattered_edits(&ours)?;
        let second = copied(scene, &source, &destination, "pages were changed", 128 << 20)?;
        ensure!(second.bytes.literal <= 200 * 65_536, "{} bytes were sent for 200 pages", second.bytes.literal);
        stored_alike(&ours, &theirs)
    })
}
