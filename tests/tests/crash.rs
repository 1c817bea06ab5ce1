//! Kills and power cuts: after any of them a rerun converges, and in between no file that looks finished (size and time as
//! at the source) holds anything else than the source's content.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use ferry_tests::compare::{self, Aspect, no_false_finish};
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::mounts::{Image, Kind};
use ferry_tests::place::Place;
use ferry_tests::router::Router;
use ferry_tests::scene::within;
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Context, Result, ensure};
use rustix::process::Signal;

/// Files larger than a pack, to be written in pieces.
const LARGE: [u64; 6] = [70_000, 300_000, 2 << 20, 3 << 20, 6 << 20, 12 << 20];

fn build(source: &Path, seed: &mut Seed) -> Result<()> {
    trees::small_files(source, 2000, 20)?;
    let place = Place::open(source)?;
    for (number, len) in LARGE.into_iter().enumerate() {
        place.file(format!("large-{number}").as_bytes(), &seed.bytes(usize::try_from(len)?))?;
    }
    place.sparse(b"sparse", 8 << 20, &[(1 << 20, &seed.bytes(500_000)), (6 << 20, &seed.bytes(70_000))])
}

/// Changes contents so that sizes mostly stay: in place, at the end, replaced; and some small files.
fn change(source: &Path, seed: &mut Seed) -> Result<()> {
    let place = Place::open(source)?;
    for number in 0..LARGE.len() {
        let file = place.edit(format!("large-{number}").as_bytes())?;
        let len = file.metadata()?.len();
        for _ in 0..1 + seed.below(20) {
            file.write_all_at(&seed.bytes(4096), seed.below(len - 4096))?;
        }
        // Enough that a run takes its time: pages alone cross in no time.
        file.write_all_at(&seed.bytes(usize::try_from(len / 3)?), seed.below(len / 2))?;
        if seed.once_in(3) {
            file.write_all_at(&seed.bytes(100_000), len)?;
        }
    }
    place.edit(b"sparse")?.write_all_at(&seed.bytes(90_000), seed.below(7 << 20))?;
    let dir = Place::open(&source.join(format!("dir-{:05}", seed.below(20))))?;
    for name in dir.names()? {
        dir.edit(&name)?.write_all_at(&seed.bytes(30), 0)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Victim {
    Sender,
    Receiver,
}

fn killed(victim: Victim, number: u64) -> Result<()> {
    within(280, move |scene| {
        let (source, destination) = (scene.path("source"), scene.dir("destination")?);
        let mut seed = Seed::new(number);
        build(&source, &mut seed)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let mut met = 0;
        for round in 0..10 {
            let receiver = ferry.receive(&keys, &[("data", &destination)], &[])?;
            let more = ["--bwlimit", "4M", "--delete", "--retry-for", "2s"];
            let mut sender = ferry.send(&keys, receiver.port, &[("data", &source)], &more)?;
            std::thread::sleep(Duration::from_millis(50 + seed.below(1200)));
            met += u32::from(sender.process.is_running()?);
            match victim {
                Victim::Sender => drop(sender.process.kill()?),
                Victim::Receiver => drop(receiver.run.process.kill()?),
            }
            no_false_finish(&source, &destination).with_context(|| format!("round {round}"))?;
            if round % 3 == 2 {
                ferry.transfer(&keys, &source, &destination, &["--delete"])?.0.exits(0)?;
                compare::equal(&source, &destination).with_context(|| format!("round {round}"))?;
                change(&source, &mut seed)?;
            }
        }
        ensure!(met >= 4, "only {met} of 10 runs were met under way");
        ferry.transfer(&keys, &source, &destination, &["--delete"])?.0.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_killed_sender_leaves_nothing_false_and_a_rerun_converges() -> Result<()> {
    killed(Victim::Sender, 21)
}

#[test]
fn a_killed_receiver_leaves_nothing_false_and_a_rerun_converges() -> Result<()> {
    killed(Victim::Receiver, 22)
}

fn power_cut(kind: Kind, number: u64) -> Result<()> {
    within(280, move |scene| {
        // Copies of an image are of one moment only where the file system beneath can share blocks.
        let host = Image::new(scene, "host", Kind::Xfs, 4 << 30)?;
        let disk = Image::within(scene, host.path(), "disk", kind, 640 << 20)?;
        let (source, destination) = (scene.path("source"), disk.path().join("volume"));
        let mut seed = Seed::new(number);
        build(&source, &mut seed)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        // What is now in place is old and on disk; the next run patches it.
        change(&source, &mut seed)?;
        Place::open(&source)?.file(b"new", &seed.bytes(20 << 20))?;
        trees::small_files(&source.join("new small"), 1000, 5)?;

        let mut command = ferry.command("sync");
        command.arg(&source).arg(&destination).args(["--delete", "--bwlimit", "4M"]);
        let mut run = ferry.start(command)?;
        let mut cuts = Vec::new();
        while run.process.is_running()? && cuts.len() < 12 {
            std::thread::sleep(Duration::from_millis(700));
            cuts.push(disk.cut_power(&format!("cut-{}", cuts.len()))?);
        }
        ensure!(cuts.len() >= 4, "the run was over after {} cuts", cuts.len());
        run.finish(SOON)?.exits(0)?;
        let last = disk.cut_power("after")?;

        for file in cuts {
            let name = file.display().to_string();
            let after = disk.after_power_cut(scene, file)?;
            let found = after.path().join("volume");
            no_false_finish(&source, &found).with_context(|| name.clone())?;
            ferry.sync(&source, &found, &["--delete"])?.exits(0).with_context(|| name.clone())?;
            compare::equal(&source, &found).with_context(|| name)?;
        }
        let after = disk.after_power_cut(scene, last)?;
        compare::equal(&source, &after.path().join("volume")).context("success was reported before it was on disk")
    })
}

#[test]
fn a_power_cut_on_ext4_leaves_nothing_false_and_success_is_on_disk() -> Result<()> {
    power_cut(Kind::Ext4, 31)
}

#[test]
fn a_power_cut_on_xfs_leaves_nothing_false_and_success_is_on_disk() -> Result<()> {
    power_cut(Kind::Xfs, 32)
}

#[test]
fn a_restarted_sender_takes_over_from_its_stopped_self_at_once() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        build(&source, &mut Seed::new(41))?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let router = Router::start(scene, receiver.port)?;
        let mut ghost = ferry.send(&keys, router.port, &[("data", &source)], &["--bwlimit", "2M"])?;
        std::thread::sleep(Duration::from_secs(2));
        ensure!(ghost.process.is_running()?, "it was over before it could be stopped");
        // Stopped, not killed: its connections stand, nobody tells the receiver.
        ghost.process.signal(Signal::STOP)?;
        let heir = ferry.send(&keys, router.port, &[("data", &source)], &["--retry-for", "10s"])?;
        heir.finish(Duration::from_secs(20)).context("it did not take over at once")?.exits(0)?;
        ghost.process.kill()?;
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn leftovers_of_a_dead_run_are_cleared_away_without_delete() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        let mut seed = Seed::new(51);
        build(&source, &mut seed)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        std::fs::write(destination.join("kept"), "the destination's own")?;
        for _ in 0..4 {
            change(&source, &mut seed)?;
            let mut command = ferry.command("sync");
            command.arg(&source).arg(&destination).args(["--bwlimit", "8M"]);
            let run = ferry.start(command)?;
            std::thread::sleep(Duration::from_millis(200 + seed.below(600)));
            run.process.kill()?;
        }
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        ensure!(destination.join("kept").exists(), "deleted without --delete");
        compare::equal_but(&source, &destination, &[Aspect::Top("kept")])
    })
}
