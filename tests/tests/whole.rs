//! A volume arrives whole: every kind of entry, every attribute, through the router, on three file systems; and a second
//! run moves nothing and touches nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ferry_tests::command::{Running, must};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::{Image, Kind};
use ferry_tests::place::Place;
use ferry_tests::router::Router;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Limits};
use ferry_tests::{Context, Result, ensure, ports, strace};

/// The everything tree through the router, twice.
fn through_the_router(scene: &Scene, ground: &Path, limits: Limits) -> Result<()> {
    let (source, destination) = (ground.join("source"), ground.join("destination"));
    trees::everything(&source, 3, limits)?;
    let ferry = Ferry::new(scene)?;
    let keys = ferry.keys()?;
    let receiver = ferry.receive(&keys, &[("data", &destination)], &[])?;
    let router = Router::start(scene, receiver.port)?;
    let send = || ferry.send(&keys, router.port, &[("data", &source)], &["--delete"])?.finish(Duration::from_secs(90));

    let first = send()?.exits(0).with_context(|| receiver.run.process.so_far().1)?;
    compare::equal(&source, &destination)?;
    let report = first.report()?;
    ensure!(report.loss.values().sum::<u64>() == 0 && report.problems_total == 0, "{report:?}");
    ensure!(report.bytes.literal > 30 << 20 && report.bytes.holes > 1 << 30, "{:?}", report.bytes);

    let before = (compare::snapshot(&source)?, compare::snapshot(&destination)?);
    let second = send()?.exits(0)?;
    compare::unmoved(&before.0, &compare::snapshot(&source)?).context("at the source")?;
    compare::unmoved(&before.1, &compare::snapshot(&destination)?).context("at the destination")?;
    let report = second.report()?;
    ensure!(report.bytes.literal == 0, "the second run sent {} bytes", report.bytes.literal);
    ensure!(report.entries.created + report.entries.updated + report.entries.deleted == 0, "{:?}", report.entries);
    Ok(())
}

#[test]
fn every_kind_of_entry_arrives_through_the_router_on_tmpfs() -> Result<()> {
    within(240, |scene| through_the_router(scene, scene.root(), Limits::PATH))
}

#[test]
fn every_kind_of_entry_arrives_through_the_router_on_ext4() -> Result<()> {
    within(240, |scene| {
        let disk = Image::new(scene, "disk", Kind::Ext4, 512 << 20)?;
        through_the_router(scene, disk.path(), Limits::PATH)
    })
}

#[test]
fn every_kind_of_entry_arrives_through_the_router_on_xfs() -> Result<()> {
    within(240, |scene| {
        let disk = Image::new(scene, "disk", Kind::Xfs, 1 << 30)?;
        through_the_router(scene, disk.path(), Limits::XFS)
    })
}

#[test]
fn sync_carries_the_same_as_the_network() -> Result<()> {
    within(180, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 5, Limits::PATH)?;
        Ferry::new(scene)?.sync(&source, &destination, &[])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_second_run_over_a_hundred_thousand_entries_touches_nothing() -> Result<()> {
    within(240, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 100_000, 500)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        ferry.transfer(&keys, &source, &destination, &["--delete"])?.0.exits(0)?;
        compare::equal(&source, &destination)?;
        let before = (compare::snapshot(&source)?, compare::snapshot(&destination)?);
        let (sent, received) = ferry.transfer(&keys, &source, &destination, &["--delete"])?;
        received.exits(0)?;
        let sent = sent.exits(0)?;
        compare::unmoved(&before.0, &compare::snapshot(&source)?).context("at the source")?;
        compare::unmoved(&before.1, &compare::snapshot(&destination)?).context("at the destination")?;
        let report = sent.report()?;
        ensure!(report.bytes.literal == 0, "{} bytes were sent", report.bytes.literal);
        ensure!(report.bytes.trusted == report.bytes.total, "{:?}", report.bytes);
        ensure!(report.entries.scanned >= 100_500, "{:?}", report.entries);
        Ok(())
    })
}

#[test]
fn a_second_run_makes_no_changing_system_call_on_either_side() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 4, Limits::PATH)?;
        trees::small_files(&source.join("many"), 1000, 10)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let keys = ferry.keys()?;
        let logs: [PathBuf; 2] = [scene.path("receive.log"), scene.path("send.log")];
        let port = ports::free()?;
        let receive = ferry.receive_command(port, &keys, &[("data", &destination)], &["--once"]);
        let receiver = Running::start(scene, &mut strace::traced(&receive, &logs[0]))?;
        ports::await_listener(port, Duration::from_secs(20))?;
        let send = ferry.send_command(&keys, port, &[("data", &source)], &["--delete"]);
        let sent = Running::start(scene, &mut strace::traced(&send, &logs[1]))?.finish(Duration::from_secs(60))?;
        ensure!(sent.exit == 0, "{}", sent.stderr);
        let received = receiver.finish(Duration::from_secs(30))?;
        ensure!(received.exit == 0, "{}", received.stderr);
        for log in &logs {
            let changed = strace::mutations(log, &[])?;
            let shown = changed.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
            ensure!(changed.is_empty(), "{} changing calls in {}:\n{shown}", changed.len(), log.display());
        }
        Ok(())
    })
}

#[test]
fn a_flat_directory_larger_than_one_listing_arrives_and_shrinks() -> Result<()> {
    within(180, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::flat(&source, 70_000, 120)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
        compare::equal(&source, &destination)?;
        let place = Place::open(&source)?;
        for name in place.names()?.iter().step_by(7) {
            place.unlink(name)?;
        }
        let done = ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
        ensure!(done.report()?.entries.deleted == 10_000, "{:?}", done.report()?.entries);
        compare::equal(&source, &destination)
    })
}

#[test]
fn lost_and_found_directly_under_a_mount_point_is_left_alone_and_copied_elsewhere() -> Result<()> {
    within(120, |scene| {
        let source = Image::new(scene, "source", Kind::Ext4, 64 << 20)?;
        let destination = Image::new(scene, "destination", Kind::Ext4, 64 << 20)?;
        std::fs::write(source.path().join("lost+found/#12"), "found at the source")?;
        std::fs::write(destination.path().join("lost+found/#34"), "found at the destination")?;
        std::fs::write(destination.path().join("extra"), "goes")?;
        std::fs::create_dir_all(source.path().join("user/lost+found"))?;
        std::fs::write(source.path().join("user/lost+found/file"), "a user's own")?;
        Ferry::new(scene)?.sync(source.path(), destination.path(), &["--delete"])?.exits(0)?;
        compare::equal_but(source.path(), destination.path(), &[Aspect::Top("lost+found")])?;
        ensure!(destination.path().join("lost+found/#34").exists(), "lost+found was emptied");
        ensure!(!destination.path().join("lost+found/#12").exists(), "lost+found was copied");
        // The same directory below a root that is no mount point is a user's.
        std::fs::create_dir_all(scene.path("plain/lost+found"))?;
        Ferry::new(scene)?.sync(&scene.path("plain"), &scene.path("copy"), &[])?.exits(0)?;
        ensure!(scene.path("copy/lost+found").is_dir(), "a user's lost+found was skipped");
        Ok(())
    })
}

#[test]
fn access_times_of_the_source_stay() -> Result<()> {
    within(60, |scene| {
        let source = scene.dir("source")?;
        std::fs::write(source.join("file"), vec![1; 100_000])?;
        std::fs::create_dir(source.join("dir"))?;
        std::fs::write(source.join("dir/small"), "s")?;
        for name in ["file", "dir/small", "dir", "."] {
            must(scene, Command::new("touch").args(["-a", "-d", "2001-01-01"]).arg(source.join(name)))?;
        }
        Ferry::new(scene)?.sync(&source, &scene.path("destination"), &["--verify"])?.exits(0)?;
        for name in ["file", "dir/small", "dir"] {
            let accessed = Place::open(&source)?.stat(name.as_bytes())?.st_atime;
            ensure!(accessed < 1_000_000_000, "{name} was accessed at {accessed}");
        }
        Ok(())
    })
}
