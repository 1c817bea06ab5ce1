//! The second run: what is sent is what changed, what moved is moved, what is a hole stays one, and a file is never seen
//! half-written under its name when that was asked for.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::{Image, Kind};
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Result, compare, ensure};

const MIB: u64 = 1 << 20;

/// A file of `mib` mebibytes that nothing compresses and no page of which repeats.
fn large(path: &Path, seed: u64, mib: usize) -> Result<()> {
    let mut seed = Seed::new(seed);
    let file = std::fs::File::create(path)?;
    for at in 0..mib {
        file.write_all_at(&seed.bytes(1 << 20), at as u64 * MIB)?;
    }
    Ok(())
}

/// Copies over the network, twice: the second time with what `change` did; the second sender's report.
fn second(
    scene: &Scene,
    build: impl FnOnce(&Path) -> Result<()>,
    change: impl FnOnce(&Path) -> Result<()>,
    more: &[&str],
) -> Result<Report> {
    let ferry = Ferry::new(scene)?;
    let (keys, source, destination) = (ferry.keys()?, scene.dir("source")?, scene.path("destination"));
    build(&source)?;
    ferry.transfer(&keys, &source, &destination, more)?.0.exits(0)?;
    compare::equal(&source, &destination)?;
    change(&source)?;
    let done = ferry.transfer(&keys, &source, &destination, more)?.0.exits(0)?;
    compare::equal(&source, &destination)?;
    Ok(done.report()?.clone())
}

#[test]
fn changed_pages_cross_and_nothing_else() -> Result<()> {
    within(120, |scene| {
        let change = |source: &Path| {
            let (mut seed, file) = (Seed::new(2), std::fs::File::options().write(true).open(source.join("file"))?);
            for _ in 0..50 {
                let at = seed.below(64 * 256) * 4096;
                file.write_all_at(&seed.bytes(4096), at)?;
            }
            Ok(())
        };
        let report = second(scene, |source| large(&source.join("file"), 1, 64), change, &[])?;
        ensure!(report.bytes.literal <= 50 * 4096, "{} bytes were sent for 50 pages", report.bytes.literal);
        let crossed = report.wire.sent + report.wire.received;
        ensure!(crossed <= 50 * 4096 + 64 * 1024, "{crossed} bytes crossed for 50 pages");
        Ok(())
    })
}

#[test]
fn an_appended_tail_crosses_and_nothing_else() -> Result<()> {
    within(120, |scene| {
        let change = |source: &Path| {
            let file = std::fs::File::options().write(true).open(source.join("file"))?;
            file.write_all_at(&Seed::new(4).bytes(3_000_000), 20 * MIB)?;
            Ok(())
        };
        let report = second(scene, |source| large(&source.join("file"), 3, 20), change, &[])?;
        ensure!(report.bytes.literal <= 3_000_000, "{} bytes were sent for the tail", report.bytes.literal);
        Ok(())
    })
}

#[test]
fn a_truncated_file_is_cut_and_nothing_is_sent() -> Result<()> {
    within(120, |scene| {
        let change = |source: &Path| {
            std::fs::File::options().write(true).open(source.join("file"))?.set_len(10 * MIB + 5)?;
            Ok(())
        };
        let report = second(scene, |source| large(&source.join("file"), 5, 20), change, &[])?;
        ensure!(report.bytes.literal <= 4096, "{} bytes were sent for a cut", report.bytes.literal);
        Ok(())
    })
}

#[test]
fn punched_holes_are_punched_and_a_sparse_file_is_compared_unread() -> Result<()> {
    within(120, |scene| {
        let build = |source: &Path| {
            large(&source.join("file"), 6, 24)?;
            let file = std::fs::File::options().write(true).open(source.join("file"))?;
            file.set_len(8 << 30)?;
            file.write_all_at(b"the end", (8 << 30) - 7)?;
            Ok(())
        };
        let change = |source: &Path| {
            use rustix::fs::{FallocateFlags, fallocate};
            let file = std::fs::File::options().write(true).open(source.join("file"))?;
            fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 3 * MIB + 8192, 9 * MIB)?;
            file.write_all_at(b"x", 5 << 30)?;
            Ok(())
        };
        let report = second(scene, build, change, &[])?;
        ensure!(report.bytes.literal <= 64 * 1024, "{} bytes were sent", report.bytes.literal);
        let crossed = report.wire.sent + report.wire.received;
        ensure!(crossed <= 512 * 1024, "{crossed} bytes crossed for a hole and a byte in 8 GiB");
        Ok(())
    })
}

#[test]
fn a_renamed_directory_is_moved_and_not_sent() -> Result<()> {
    within(120, |scene| {
        let build = |source: &Path| {
            std::fs::create_dir_all(source.join("old/below"))?;
            for n in 0..12 {
                large(&source.join(format!("old/below/file {n}")), 100 + n, 3)?;
            }
            trees::small_files(&source.join("old/small"), 50, 2)?;
            Ok(())
        };
        let change = |source: &Path| Ok(std::fs::rename(source.join("old"), source.join("new"))?);
        let report = second(scene, build, change, &["--delete"])?;
        ensure!(report.bytes.literal < MIB, "{} bytes were sent for a rename", report.bytes.literal);
        ensure!(report.bytes.copied >= 36 * MIB, "only {} bytes were compared", report.bytes.copied);
        Ok(())
    })
}

#[test]
fn a_file_of_the_same_size_and_time_but_other_content_is_not_taken_for_a_moved_one() -> Result<()> {
    within(120, |scene| {
        let build = |source: &Path| large(&source.join("old"), 7, 5);
        let change = |source: &Path| {
            let before = std::fs::metadata(source.join("old"))?.modified()?;
            std::fs::remove_file(source.join("old"))?;
            large(&source.join("new"), 8, 5)?;
            std::fs::File::options().write(true).open(source.join("new"))?.set_modified(before)?;
            Ok(())
        };
        second(scene, build, change, &["--delete"]).map(drop)
    })
}

#[test]
fn what_halts_deleting_halts_moving() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        large(&source.join("a"), 9, 2)?;
        large(&source.join("b"), 10, 2)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        std::fs::rename(source.join("a"), source.join("c"))?;
        std::fs::remove_file(source.join("b"))?;
        ferry.sync(&source, &destination, &["--delete", "--max-delete", "1"])?.exits(5)?;
        ensure!(destination.join("a").exists() && destination.join("b").exists(), "something was taken away");
        ensure!(destination.join("c").exists(), "the new name did not arrive");
        Ok(())
    })
}

#[test]
fn atomic_shows_the_old_file_or_the_new_one() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        large(&source.join("file"), 11, 12)?;
        ferry.sync(&source, &destination, &["--atomic"])?.exits(0)?;
        let old = std::fs::read(destination.join("file"))?;
        let file = std::fs::File::options().write(true).open(source.join("file"))?;
        file.write_all_at(&Seed::new(12).bytes(6 << 20), 2 * MIB)?;
        large(&source.join("another"), 13, 8)?;
        let new = std::fs::read(source.join("file"))?;
        let mut command = ferry.command("sync");
        command.arg(&source).arg(&destination).args(["--atomic", "--bwlimit", "6M"]);
        let mut run = ferry.start(command)?;
        let mut seen = 0;
        while run.process.is_running()? {
            let now = std::fs::read(destination.join("file"))?;
            ensure!(now == old || now == new, "a half-written file was seen");
            let whole = destination.join("another").metadata().map_or(8 * MIB, |m| m.size());
            ensure!(whole == 8 * MIB, "a new file was seen with {whole} bytes");
            seen += 1;
        }
        ensure!(seen > 3, "the run was over before it was looked at");
        run.finish(std::time::Duration::from_secs(10))?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_file_built_anew_shares_its_blocks_with_the_old_one() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, image) = (scene.dir("source")?, Image::new(scene, "small", Kind::Xfs, 400 << 20)?);
        large(&source.join("file"), 15, 240)?;
        ferry.sync(&source, image.path(), &["--atomic"])?.exits(0)?;
        std::fs::File::options().write(true).open(source.join("file"))?.write_all_at(&[1; 4096], 99 * MIB)?;
        // There is no room for a second copy: it fits because nearly all of it is the first one's.
        ferry.sync(&source, image.path(), &["--atomic"])?.exits(0)?;
        compare::equal(&source, image.path())
    })
}

#[test]
fn random_edits_of_large_files_converge() -> Result<()> {
    within(240, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let mut seed = Seed::new(14);
        for round in 0..12 {
            let name = source.join(format!("file {}", seed.below(4)));
            let mut content = std::fs::read(&name).unwrap_or_default();
            let at = usize::try_from(seed.below(content.len() as u64 + 1))?;
            let len = usize::try_from(seed.below(3 << 20))?;
            match seed.below(5) {
                0 => content.extend(seed.bytes(len)),
                1 => content.truncate(at),
                2 => drop(content.splice(at..at, seed.bytes(1 + len % 100))),
                3 => drop(content.drain(at..(at + len % 5000).min(content.len()))),
                _ => content.iter_mut().skip(at).take(len).for_each(|byte| *byte = 0),
            }
            content.resize(content.len().max(100_000), 7);
            std::fs::write(&name, &content)?;
            let more: &[&str] = if round % 3 == 0 { &["--delete", "--checksum"] } else { &["--delete"] };
            ferry.sync(&source, &destination, more)?.exits(0)?;
            compare::equal(&source, &destination)?;
        }
        Ok(())
    })
}
