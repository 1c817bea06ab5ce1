//! What a destination remembers of its large files between runs: what is remembered is not read, what may have changed is,
//! and nothing that happens to the memory makes a wrong copy.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::{Done, Ferry, SOON};
use ferry_tests::mounts::{Image, Kind};
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Context, Result, ensure};

const MIB: u64 = 1 << 20;
const LEN: u64 = 20 * MIB + 777;

/// A source with one large file, a sparse one and some small ones, copied once with `state`.
struct Copied<'s> {
    ferry: Ferry<'s>,
    source: PathBuf,
    destination: PathBuf,
    state: String,
}

impl<'s> Copied<'s> {
    fn new(scene: &'s Scene, volume: bool) -> Result<Self> {
        let (ferry, source) = (Ferry::new(scene)?, scene.dir("source")?);
        std::fs::write(source.join("large"), Seed::new(1).bytes(usize::try_from(LEN)?))?;
        let sparse = std::fs::File::create(source.join("sparse"))?;
        sparse.set_len(64 * MIB)?;
        sparse.write_all_at(&Seed::new(2).bytes(70_000), 9 * MIB + 5)?;
        trees::small_files(&source.join("small"), 20, 2)?;
        let state = if volume { "volume".to_owned() } else { scene.path("state").display().to_string() };
        let copied = Self { ferry, source, destination: scene.path("destination"), state };
        copied.sync(&[])?;
        Ok(copied)
    }

    fn run(&self, more: &[&str]) -> Result<Done> {
        let more = [&["--state", &self.state, "--delete"], more].concat();
        self.ferry.sync(&self.source, &self.destination, &more)
    }

    /// A clean run after which both sides are equal.
    fn sync(&self, more: &[&str]) -> Result<Report> {
        let done = self.run(more)?.exits(0)?;
        self.equal()?;
        Ok(done.report()?.clone())
    }

    fn equal(&self) -> Result<()> {
        compare::equal_but(&self.source, &self.destination, &[Aspect::Top(".ferry")])
    }

    /// Makes the source's large files look changed.
    fn touch(&self) -> Result<()> {
        for name in ["large", "sparse"] {
            let file = std::fs::File::options().write(true).open(self.source.join(name))?;
            file.set_modified(SystemTime::now() - Duration::from_secs(1000))?;
        }
        Ok(())
    }

    /// The file that is remembered in.
    fn file(&self) -> Result<PathBuf> {
        if self.state == "volume" {
            return Ok(self.destination.join(".ferry/leaves"));
        }
        remembered(Path::new(&self.state))
    }
}

/// The one file of leaves in a directory of states; a ctime baseline is another matter.
fn remembered(state: &Path) -> Result<PathBuf> {
    let names: std::io::Result<Vec<PathBuf>> = std::fs::read_dir(state)?.map(|entry| Ok(entry?.path())).collect();
    let mut found = names?.into_iter().filter(|path| path.extension().is_none_or(|end| end != "baseline"));
    let file = found.next().context("nothing was remembered")?;
    ensure!(found.next().is_none(), "more than one file is remembered in");
    Ok(file)
}

const READING: &str = "read,pread64,preadv,preadv2,mmap,copy_file_range";
const WRITING: &str = "pwrite64,fsync,utimensat";

/// Runs `ferry sync` under strace; the calls, among these, that concern files below the destination.
fn calls(copied: &Copied<'_>, scene: &Scene, which: &str) -> Result<Vec<String>> {
    let log = scene.fresh("trace", ".log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-e", "signal=none", "-e"]).arg(format!("trace={which}"));
    command.arg("-o").arg(&log).arg("--").arg(copied.ferry.binary()).arg("sync");
    command.arg(&copied.source).arg(&copied.destination).args(["--state", &copied.state]);
    copied.ferry.start(command)?.finish(SOON)?.exits(0)?;
    let (text, below) = (std::fs::read_to_string(log)?, format!("<{}/", copied.destination.display()));
    ensure!(!text.is_empty(), "the trace holds nothing");
    let concerns = |line: &&str| line.contains(&below) && !line.contains("(deleted)");
    Ok(text.lines().filter(concerns).map(str::to_owned).collect())
}

#[test]
fn a_large_file_that_is_remembered_is_not_read() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        let mode = std::fs::metadata(copied.file()?)?.permissions().mode();
        ensure!(mode & 0o7777 == 0o600, "the state has mode {mode:o}");
        copied.touch()?;
        let read = calls(&copied, scene, READING)?;
        ensure!(read.is_empty(), "the destination was read: {read:?}");
        copied.equal()?;
        copied.touch()?;
        let bytes = copied.sync(&[])?.bytes;
        ensure!(bytes.copied == 0 && bytes.literal == 0, "not trusted: {bytes:?}");
        ensure!(bytes.trusted == bytes.total, "{bytes:?}");
        Ok(())
    })
}

#[test]
fn what_changed_crosses_and_is_remembered_too() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        let mut seed = Seed::new(3);
        for round in 0..4 {
            let file = std::fs::File::options().write(true).open(copied.source.join("large"))?;
            for _ in 0..10 {
                file.write_all_at(&seed.bytes(4096), seed.below(LEN / 4096) * 4096)?;
            }
            match round {
                1 => file.write_all_at(&seed.bytes(300_000), LEN)?,
                2 => file.set_len(LEN - 5000)?,
                _ => file.write_all_at(&vec![0; 200_000], seed.below(LEN - 300_000))?,
            }
            let bytes = copied.sync(&[])?.bytes;
            ensure!(bytes.trusted > 15 * MIB && bytes.literal < MIB, "round {round}: {bytes:?}");
        }
        copied.touch()?;
        let read = calls(&copied, scene, READING)?;
        ensure!(read.is_empty(), "the destination was read: {read:?}");
        copied.equal()
    })
}

#[test]
fn a_file_is_marked_on_disk_before_it_is_patched() -> Result<()> {
    // After a power cut a file with some new content must not have the times that it is remembered by.
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        let file = std::fs::File::options().write(true).open(copied.source.join("large"))?;
        file.write_all_at(b"changed", 5 * MIB)?;
        let calls = calls(&copied, scene, WRITING)?;
        let names: Vec<&str> =
            calls.iter().filter_map(|line| line.split_once(' ')?.1.trim_start().split('(').next()).collect();
        ensure!(names.starts_with(&["utimensat", "fsync", "pwrite64"]), "{calls:?}");
        copied.equal()
    })
}

#[test]
fn a_file_changed_behind_our_back_is_read_although_its_times_were_put_back() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        let theirs = std::fs::File::options().write(true).open(copied.destination.join("large"))?;
        let before = theirs.metadata()?.modified()?;
        theirs.write_all_at(b"changed", 5 * MIB)?;
        theirs.set_modified(before)?;
        copied.touch()?;
        let bytes = copied.sync(&[])?.bytes;
        ensure!(bytes.literal > 0 && bytes.copied > 15 * MIB, "{bytes:?}");
        Ok(())
    })
}

#[test]
fn a_damaged_or_foreign_memory_is_said_and_not_used() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        let good = std::fs::read(copied.file()?)?;
        let mut flipped = good.clone();
        if let Some(byte) = flipped.get_mut(good.len() / 2) {
            *byte ^= 1;
        }
        for bad in [flipped, good.iter().take(good.len() / 2).copied().collect(), b"mine".to_vec()] {
            std::fs::write(copied.file()?, bad)?;
            copied.touch()?;
            let done = copied.run(&[])?.exits(0)?;
            done.says(&["what was remembered"])?;
            copied.equal()?;
            let bytes = done.report()?.bytes;
            ensure!(bytes.copied >= LEN, "a bad memory was used: {bytes:?}");
        }
        copied.touch()?;
        let bytes = copied.sync(&[])?.bytes;
        ensure!(bytes.trusted == bytes.total, "it was not made anew: {bytes:?}");
        Ok(())
    })
}

#[test]
fn checksum_and_verify_trust_no_memory() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        for option in ["--checksum", "--verify"] {
            copied.touch()?;
            let bytes = copied.sync(&[option])?.bytes;
            ensure!(bytes.copied >= LEN, "{option}: {bytes:?}");
        }
        Ok(())
    })
}

#[test]
fn state_in_the_volume_is_nobodys_entry() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, true)?;
        let kept = copied.destination.join(".ferry");
        ensure!(std::fs::metadata(&kept)?.permissions().mode() & 0o7777 == 0o700, "others may enter it");
        copied.ferry.verify(&copied.source, &copied.destination, &[])?.exits(0)?;
        copied.ferry.verify(&copied.destination, &copied.source, &[])?.exits(0)?;
        copied.touch()?;
        let bytes = copied.sync(&["--max-delete", "0"])?.bytes;
        ensure!(bytes.trusted == bytes.total, "{bytes:?}");
        let third = scene.path("third");
        copied.ferry.sync(&copied.destination, &third, &[])?.exits(0)?;
        ensure!(!third.join(".ferry").exists(), "it was sent");
        copied.ferry.sync(&copied.source, &copied.destination, &["--delete", "--verify"])?.exits(0)?;
        ensure!(kept.join("leaves").exists(), "it was deleted");
        Ok(())
    })
}

#[test]
fn a_source_entry_of_the_reserved_name_is_a_problem_and_one_of_the_destination_stays() -> Result<()> {
    within(120, |scene| {
        let (ferry, source, destination) = (Ferry::new(scene)?, scene.dir("source")?, scene.dir("destination")?);
        std::fs::create_dir(source.join(".ferry"))?;
        std::fs::write(source.join("file"), "x")?;
        std::fs::create_dir(destination.join(".ferry"))?;
        std::fs::write(destination.join(".ferry/mine"), "y")?;
        let done = ferry.sync(&source, &destination, &["--delete", "--state", "volume"])?.exits(3)?;
        ensure!(done.report()?.names(".ferry"), "{:?}", done.report()?.problems);
        done.says(&["not ours"])?;
        ensure!(destination.join(".ferry/mine").exists() && destination.join("file").exists(), "not as it should be");
        Ok(())
    })
}

#[test]
fn runs_that_change_nothing_large_and_dry_runs_write_no_memory() -> Result<()> {
    within(120, |scene| {
        let copied = Copied::new(scene, false)?;
        let before = std::fs::metadata(copied.file()?)?;
        std::fs::write(copied.source.join("tiny"), "x")?;
        copied.sync(&[])?;
        copied.touch()?;
        copied.run(&["--dry-run"])?.exits(0)?;
        let after = std::fs::metadata(copied.file()?)?;
        ensure!(before.ino() == after.ino() && before.mtime_nsec() == after.mtime_nsec(), "it was written");
        let (ferry, fresh) = (&copied.ferry, scene.path("fresh state"));
        let more = ["--dry-run", "--state", fresh.to_str().context("a path")?];
        ferry.sync(&copied.source, &copied.destination, &more)?.exits(0)?;
        ferry.sync(&copied.source, &scene.path("new"), &more)?.exits(0)?;
        ensure!(!fresh.exists(), "a dry run made it");
        Ok(())
    })
}

#[test]
fn a_killed_run_leaves_no_memory_that_lies() -> Result<()> {
    within(240, |scene| {
        let copied = Copied::new(scene, false)?;
        let (mut seed, mut met) = (Seed::new(5), 0);
        for _ in 0..6 {
            let file = std::fs::File::options().write(true).open(copied.source.join("large"))?;
            for _ in 0..4 {
                file.write_all_at(&seed.bytes(700_000), seed.below(LEN - 700_000))?;
            }
            let mut command = copied.ferry.command("sync");
            command.arg(&copied.source).arg(&copied.destination).args(["--state", &copied.state, "--bwlimit", "2M"]);
            let mut run = copied.ferry.start(command)?;
            std::thread::sleep(Duration::from_millis(100 + seed.below(900)));
            met += u32::from(run.process.is_running()?);
            run.process.kill()?;
            copied.sync(&[])?;
        }
        ensure!(met >= 3, "only {met} of 6 runs were met under way");
        Ok(())
    })
}

#[test]
fn a_power_cut_leaves_no_memory_that_lies() -> Result<()> {
    // A run patches a file and the power goes; then the source is what it was before. Whoever believes what was remembered
    // before that run finds everything equal.
    within(240, |scene| {
        let host = Image::new(scene, "host", Kind::Xfs, 2 << 30)?;
        let disk = Image::within(scene, host.path(), "disk", Kind::Ext4, 300 << 20)?;
        let (ferry, source, state) = (Ferry::new(scene)?, scene.dir("source")?, scene.dir("state")?);
        let (destination, more) = (disk.path().join("volume"), ["--state", state.to_str().context("a path")?]);
        let before = Seed::new(8).bytes(usize::try_from(LEN)?);
        std::fs::write(source.join("large"), &before)?;
        ferry.sync(&source, &destination, &more)?.exits(0)?;
        let kept = remembered(&state)?;
        let remembered = std::fs::read(&kept)?;
        let file = std::fs::File::options().write(true).open(source.join("large"))?;
        file.write_all_at(&Seed::new(9).bytes(8 << 20), 4 * MIB)?;
        let mut command = ferry.command("sync");
        command.arg(&source).arg(&destination).args(more).args(["--bwlimit", "4M"]);
        let mut run = ferry.start(command)?;
        let mut cuts = Vec::new();
        while run.process.is_running()? && cuts.len() < 8 {
            std::thread::sleep(Duration::from_millis(250));
            cuts.push(disk.cut_power(&format!("cut-{}", cuts.len()))?);
        }
        ensure!(cuts.len() >= 4, "the run was over after {} cuts", cuts.len());
        run.finish(SOON)?.exits(0)?;
        file.write_all_at(&before, 0)?;
        for cut in cuts {
            let name = cut.display().to_string();
            let after = disk.after_power_cut(scene, cut)?;
            std::fs::write(&kept, &remembered)?;
            let done = ferry.sync(&source, &after.path().join("volume"), &more)?.exits(0)?;
            ensure!(!done.process.stderr.contains("is not used"), "{name}: {}", done.process.stderr);
            compare::equal(&source, &after.path().join("volume")).with_context(|| name)?;
        }
        Ok(())
    })
}

#[test]
fn state_inside_what_it_is_about_is_refused() -> Result<()> {
    within(60, |scene| {
        let copied = Copied::new(scene, false)?;
        for inside in [copied.destination.join("state"), copied.source.join("small"), copied.destination.clone()] {
            let more = ["--state", inside.to_str().context("a path")?];
            let done = copied.ferry.sync(&copied.source, &copied.destination, &more)?.exits(2)?;
            done.says(&["lies inside"])?;
        }
        Ok(())
    })
}

#[test]
fn a_receiver_remembers_over_the_network_and_a_single_file_in_a_directory() -> Result<()> {
    within(120, |scene| {
        let (ferry, source, state) = (Ferry::new(scene)?, scene.path("image"), scene.path("state"));
        std::fs::write(&source, Seed::new(6).bytes(usize::try_from(LEN)?))?;
        let (keys, destination) = (ferry.keys()?, scene.path("copy"));
        let mut trusted = Vec::new();
        for round in 1..3_u64 {
            let more = ["--once", "--state", state.to_str().context("a path")?];
            let receiver = ferry.receive(&keys, &[("data", &destination)], &more)?;
            let sent = ferry.send(&keys, receiver.port, &[("data", &source)], &[])?.finish(SOON)?.exits(0)?;
            receiver.run.finish(SOON)?.exits(0)?;
            trusted.push(sent.report()?.bytes.trusted);
            same(&source, &destination)?;
            let file = std::fs::File::options().write(true).open(&source)?;
            file.set_modified(SystemTime::now() - Duration::from_secs(1000 * round))?;
        }
        ensure!(trusted == [0, LEN], "trusted: {trusted:?}");
        ferry.sync(&source, &destination, &["--state", "volume"])?.exits(0)?.says(&["--state dir"])
    })
}

#[test]
fn a_huge_sparse_file_is_remembered_in_little_memory() -> Result<()> {
    within(240, |scene| {
        let (ferry, source, destination) = (Ferry::new(scene)?, scene.dir("source")?, scene.path("destination"));
        let file = std::fs::File::create(source.join("huge"))?;
        file.set_len(100 << 30)?;
        let mut seed = Seed::new(7);
        for _ in 0..100 {
            file.write_all_at(&seed.bytes(5000), seed.below((100 << 30) - 5000))?;
        }
        let (keys, state) = (ferry.keys()?, scene.path("state"));
        for round in 0..2_u64 {
            let more = ["--once", "--state", state.to_str().context("a path")?];
            let mut receiver = ferry.receive(&keys, &[("data", &destination)], &more)?;
            receiver.run.process.watch_memory();
            ferry.send(&keys, receiver.port, &[("data", &source)], &[])?.finish(SOON)?.exits(0)?;
            let peak = receiver.run.finish(SOON)?.exits(0)?.process.peak.context("no peak")?;
            ensure!(peak < 128 * MIB, "round {round}: {} MiB", peak / MIB);
            file.write_all_at(&seed.bytes(5000), seed.below((100 << 30) - 5000))?;
        }
        let kept = remembered(&state)?.metadata()?.len();
        ensure!(kept < 2 * MIB, "{kept} bytes for holes");
        Ok(())
    })
}

fn same(one: &Path, other: &Path) -> Result<()> {
    ensure!(std::fs::read(one)? == std::fs::read(other)?, "{} is not what was copied", other.display());
    Ok(())
}
