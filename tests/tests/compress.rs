//! Compression on the wire: what shrinks crosses in fewer bytes where that helps, what does not costs next to nothing, and the
//! destination is the same whatever was asked.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use ferry_tests::chaos::Chaos;
use ferry_tests::compare;
use ferry_tests::ferry::{Done, Ferry, SOON};
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Result, ensure};

const MIB: u64 = 1 << 20;

/// Lines like those of a log: they shrink about five times.
fn log(len: usize, seed: u64) -> Vec<u8> {
    let mut seed = Seed::new(seed);
    let phrases: Vec<String> = (0..64).map(|n| format!("phrase {n} of worker {:x} says", seed.number())).collect();
    let mut text = Vec::with_capacity(len + 100);
    while text.len() < len {
        let phrase = seed.pick(&phrases).cloned().unwrap_or_default();
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{phrase} {:08x}", seed.below(1 << 32));
    }
    text.truncate(len);
    text
}

/// A file of lines.
fn log_file(dir: &Path, name: &str, len: u64, seed: u64) -> Result<()> {
    Place::open(dir)?.file(name.as_bytes(), &log(usize::try_from(len)?, seed)).map(drop)
}

/// 2000 small files of lines, 4 MiB together.
fn small_logs(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)?;
    let place = Place::open(dir)?;
    for n in 0..2_000 {
        place.file(format!("part-{n:04}").as_bytes(), &log(2_100, n))?;
    }
    Ok(())
}

/// Fails unless the figures of compression fit together; gives what crossed compressed and what it took.
fn compressed(done: &Done) -> Result<(u64, u64)> {
    let bytes = done.report()?.bytes;
    ensure!(bytes.compressed <= bytes.literal, "more was compressed than sent: {bytes:?}");
    ensure!((bytes.compressed_to == 0) == (bytes.compressed == 0), "{bytes:?}");
    ensure!(bytes.compressed_to <= bytes.compressed - bytes.compressed / 20, "it did not shrink: {bytes:?}");
    Ok((bytes.compressed, bytes.compressed_to))
}

#[test]
fn what_shrinks_crosses_a_slow_line_in_far_fewer_bytes_unasked() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        log_file(&source, "log", 96 * MIB, 1)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let start = Instant::now();
        let (sent, received) = ferry.transfer(&keys, &source, &destination, &["--bwlimit", "8M"])?;
        let took = start.elapsed();
        let (sent, received) = (sent.exits(0)?, received.exits(0)?);
        let (from, to) = compressed(&sent)?;
        let report = sent.report()?;
        // As they are they would take 12 s. What is sent before the line is known to be slow is sent as it is.
        ensure!(report.wire.sent < 48 * MIB, "{} bytes were sent, {from} as {to}", report.wire.sent);
        ensure!(took < Duration::from_secs(9), "it took {took:?}");
        ensure!(report.bytes.literal == 96 * MIB, "{:?}", report.bytes);
        ensure!(compressed(&received)? == (from, to), "both sides count differently");
        sent.says(&["compressed to"])?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn large_and_small_files_shrink_at_the_level_that_is_asked() -> Result<()> {
    within(120, |scene| {
        let source = scene.dir("source")?;
        log_file(&source, "log", 8 * MIB + 12_345, 1)?;
        small_logs(&source.join("small"))?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let mut took = Vec::new();
        for how in ["zstd:1", "zstd", "zstd:19"] {
            let destination = scene.path(how);
            let (sent, received) = ferry.transfer(&keys, &source, &destination, &["--compress", how])?;
            let sent = sent.exits(0)?;
            let (from, to) = compressed(&sent)?;
            let report = sent.report()?;
            ensure!(from == report.bytes.literal && from > 12 * MIB, "{how}: {from} of {:?}", report.bytes);
            // 2000 entries take some 40 bytes each.
            ensure!(report.wire.sent < from / 3 && report.wire.sent > to, "{how}: {:?}", report.wire);
            ensure!(compressed(&received.exits(0)?)? == (from, to), "{how}: both sides count differently");
            compare::equal(&source, &destination)?;
            took.push(to);
        }
        ensure!(took[2] < took[0], "level 19 is no smaller than level 1: {took:?}");
        Ok(())
    })
}

#[test]
fn noise_costs_nothing_whatever_is_asked() -> Result<()> {
    within(120, |scene| {
        let source = scene.dir("source")?;
        Place::open(&source)?.file(b"noise", &Seed::new(1).bytes(24 << 20))?;
        trees::small_files(&source.join("small"), 500, 5)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let mut wire = Vec::new();
        for (n, how) in ["off", "auto", "zstd:1", "zstd:19"].into_iter().enumerate() {
            let destination = scene.path(&format!("destination-{n}"));
            let more = ["--compress", how, "--bwlimit", "24M"];
            let sent = ferry.transfer(&keys, &source, &destination, &more)?.0.exits(0)?;
            ensure!(compressed(&sent)?.0 < MIB, "{how}: noise was compressed: {:?}", sent.report()?.bytes);
            wire.push(sent.report()?.wire.sent);
            compare::equal(&source, &destination)?;
        }
        let most = wire[0] + wire[0] / 100;
        ensure!(wire.iter().all(|bytes| *bytes <= most), "{wire:?} bytes, the first without compression");
        Ok(())
    })
}

#[test]
fn off_sends_everything_as_it_is() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        log_file(&source, "log", 16 * MIB, 1)?;
        small_logs(&source.join("small"))?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let more = ["--compress", "off", "--bwlimit", "16M"];
        let (sent, received) = ferry.transfer(&keys, &source, &destination, &more)?;
        let (sent, received) = (sent.exits(0)?, received.exits(0)?);
        for done in [&sent, &received] {
            ensure!(compressed(done)? == (0, 0), "{:?}", done.report()?.bytes);
        }
        ensure!(sent.report()?.wire.sent > sent.report()?.bytes.literal, "{:?}", sent.report()?.wire);
        compare::equal(&source, &destination)
    })
}

#[test]
fn changes_of_all_kinds_arrive_compressed_too() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let mut seed = Seed::new(7);
        trees::random(&source.join("tree"), &mut seed, 100)?;
        log_file(&source, "patched", 24 * MIB, 2)?;
        log_file(&source, "shifted", 24 * MIB, 3)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let more = ["--compress", "zstd:1", "--delete", "--verify"];
        ferry.transfer(&keys, &source, &destination, &more)?.0.exits(0)?;
        trees::edit(&source.join("tree"), &mut seed, 40)?;
        let mut patched = log(24 << 20, 2);
        for at in (0..20).map(|n| n * 1_000_003) {
            patched[at..at + 9_000].copy_from_slice(&log(9_000, at as u64 + 1));
        }
        std::fs::write(source.join("patched"), patched)?;
        let shifted = [&log(5_001, 4), &log(24 << 20, 3)[..]].concat();
        std::fs::write(source.join("shifted"), shifted)?;
        let sent = ferry.transfer(&keys, &source, &destination, &more)?.0.exits(0)?;
        let bytes = sent.report()?.bytes;
        ensure!(bytes.literal < 8 * MIB && compressed(&sent)?.0 > 64 * 1024, "{bytes:?}");
        compare::equal(&source, &destination)?;
        // Without a network: only when it is asked for.
        let here = scene.path("here");
        ensure!(compressed(&ferry.sync(&source, &here, &["--bwlimit", "40M"])?.exits(0)?)?.0 == 0, "sync compressed");
        compare::equal(&source, &here)?;
        let there = scene.path("there");
        ensure!(compressed(&ferry.sync(&source, &there, &["--compress", "zstd"])?.exits(0)?)?.0 > MIB, "it did not");
        compare::equal(&source, &there)
    })
}

#[test]
fn a_cut_in_the_middle_is_taken_up_again_and_converges() -> Result<()> {
    within(180, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        log_file(&source, "log", 96 * MIB, 1)?;
        small_logs(&source.join("small"))?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let chaos = Chaos::start(receiver.port)?;
        chaos.cut_every(4 * MIB, 3);
        let sent = ferry.send(&keys, chaos.port, &[("data", &source)], &["--compress", "zstd:1"])?;
        let sent = sent.finish(SOON)?.exits(0)?;
        ensure!(chaos.cuts() == 3, "only {} cuts were made", chaos.cuts());
        ensure!(sent.report()?.wire.reconnects >= 1, "{:?}", sent.report()?.wire);
        ensure!(chaos.sent() < 60 * MIB, "{} bytes passed the network", chaos.sent());
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)?;
        let again = ferry.transfer(&keys, &source, &destination, &["--compress", "zstd:1"])?.0.exits(0)?;
        ensure!(again.report()?.bytes.literal == 0, "a second run sends something: {:?}", again.report()?.bytes);
        Ok(())
    })
}

#[test]
fn a_level_that_is_none_is_a_usage_error_with_the_right_ones() -> Result<()> {
    within(30, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        for how in ["zstd:0", "zstd:20", "zstd:", "gzip", "zstd:-3", ""] {
            let mut words = ["sync", "--compress", how].map(OsStr::new).to_vec();
            words.extend([source.as_os_str(), destination.as_os_str()]);
            ferry.plain(&words)?.exits(2)?.says(&["zstd:level with a level from 1 to 19"])?;
        }
        ensure!(!destination.exists(), "something was made");
        Ok(())
    })
}
