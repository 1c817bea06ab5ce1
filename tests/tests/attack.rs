//! What nearly went wrong once: each test is an attack on a promise that a review found open. Hangs, false successes,
//! deletions outside the volume, counts that were wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ferry_tests::command::run;
use ferry_tests::compare;
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::mounts::Mount;
use ferry_tests::place::Place;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Context, Result, ensure, trees, unprivileged};
use rustix::process::Signal;

#[test]
fn a_checksum_run_over_larger_files_at_the_destination_ends() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let (small, large) = (Place::open(&source)?, Place::open(&destination)?);
        for number in 0..80 {
            let name = format!("file-{number:02}").into_bytes();
            small.file(&name, b"small")?;
            large.sparse(&name, 8 << 20, &[(0, b"large")])?;
        }
        Ferry::new(scene)?.sync(&source, &destination, &["--checksum"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn links_to_a_file_whose_directory_cannot_be_made_are_problems_and_the_run_ends() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        std::fs::create_dir(source.join("a"))?;
        std::fs::create_dir(source.join("b"))?;
        std::fs::write(source.join("a/leader"), "content")?;
        std::fs::hard_link(source.join("a/leader"), source.join("b/follower"))?;
        std::fs::write(source.join("b/other"), "content")?;
        // A file that cannot be removed stands in the directory's way.
        std::fs::write(destination.join("a"), "")?;
        let mount = Mount::bind(&destination.join("a"), &destination.join("a"))?;
        let ferry = Ferry::new(scene)?;
        let done = ferry.sync(&source, &destination, &[])?.exits(3)?;
        let report = done.report()?;
        ensure!(report.names("a") && report.names("b/follower"), "{:?}", report.problems);
        ensure!(std::fs::read(destination.join("b/other"))? == b"content", "the run did not go on");
        ferry.sync(&source, &destination, &["--dry-run", "--checksum"])?.exits(0)?;
        ferry.sync(&source, &destination, &["--verify"])?.exits(4)?;
        drop(mount);
        ferry.sync(&source, &destination, &["--verify"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_first_copy_goes_on_past_a_directory_that_cannot_be_made() -> Result<()> {
    within(90, |scene| {
        let source = scene.dir("source")?;
        let volume = Mount::tmpfs(&scene.path("destination"), 64 << 20)?;
        let destination = volume.path();
        std::fs::create_dir_all(source.join("lost+found/sub"))?;
        std::fs::write(source.join("lost+found/small"), "content")?;
        std::fs::write(source.join("lost+found/large"), vec![7; 300_000])?;
        std::fs::write(source.join("lost+found/sub/leader"), "content")?;
        std::fs::create_dir(source.join("z"))?;
        std::fs::hard_link(source.join("lost+found/sub/leader"), source.join("z/follower"))?;
        std::fs::write(source.join("z/other"), "content")?;
        // The volume counts as empty, so contents come unasked; what stands there cannot be removed.
        std::fs::write(destination.join("lost+found"), "")?;
        let _mount = Mount::bind(&destination.join("lost+found"), &destination.join("lost+found"))?;
        let done = Ferry::new(scene)?.sync(&source, destination, &[])?.exits(3)?;
        ensure!(done.report()?.names("lost+found"), "{:?}", done.report()?.problems);
        ensure!(std::fs::read(destination.join("z/other"))? == b"content", "the run did not go on");
        Ok(())
    })
}

#[test]
fn a_bind_mount_of_the_same_file_system_is_never_emptied() -> Result<()> {
    within(60, |scene| {
        let (source, destination, outside) = (scene.dir("source")?, scene.dir("destination")?, scene.dir("outside")?);
        std::fs::write(source.join("file"), "f")?;
        std::fs::write(outside.join("precious"), "p")?;
        std::fs::create_dir_all(destination.join("extra"))?;
        let _mount = Mount::bind(&outside, &destination.join("extra/bound"))?;
        std::fs::write(destination.join("gone"), "g")?;
        let done = Ferry::new(scene)?.sync(&source, &destination, &["--delete"])?.exits(3)?;
        ensure!(outside.join("precious").exists(), "a file outside the volume was deleted");
        ensure!(!destination.join("gone").exists(), "the rest was not mirrored");
        let problems = &done.report()?.problems;
        ensure!(problems.iter().any(|problem| problem.path.starts_with("extra")), "{problems:?}");
        Ok(())
    })
}

#[test]
fn a_failed_sync_is_not_tried_again_into_success() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        std::fs::write(source.join("file"), "f")?;
        std::fs::write(destination.join("extra"), "e")?;
        let log = scene.path("trace");
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO:when=1", "-o"]).arg(&log);
        traced.arg("--").arg(Ferry::new(scene)?.binary()).arg("sync").arg(&source).arg(&destination).arg("--delete");
        let done = run(scene, &mut traced, SOON)?;
        let calls = std::fs::read_to_string(&log)?.lines().filter(|line| line.contains("syncfs(")).count();
        ensure!(done.exit == 1, "exit {}: {}", done.exit, done.stderr);
        ensure!(done.stderr.contains("write everything to disk"), "{}", done.stderr);
        ensure!(calls == 1, "it synced {calls} times; the kernel tells an error once");
        Ok(())
    })
}

/// `ferry sync --delete` as the arbitrary user; its exit code and what it complained about.
fn mirror_unprivileged(scene: &Scene, source: &Path, destination: &Path) -> Result<(i32, String)> {
    let mut command = Command::new(unprivileged::runnable(scene, Ferry::new(scene)?.binary())?);
    command.arg("sync").arg(source).arg(destination).args(["--delete", "--accept-loss", "ownership"]);
    let done = run(scene, &mut unprivileged::command(&command), SOON)?;
    Ok((done.exit, done.stderr))
}

#[test]
fn deleting_in_read_only_directories_leaves_their_modes_as_they_should_be() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (unprivileged::dir(scene, "source")?, unprivileged::dir(scene, "destination")?);
        for (dir, mode) in [("before", 0o555), ("now", 0o755), ("sealed", 0o100)] {
            for tree in [&source, &destination] {
                std::fs::create_dir(tree.join(dir))?;
            }
            std::fs::write(destination.join(dir).join("extra"), "goes")?;
            std::fs::set_permissions(destination.join(dir), PermissionsExt::from_mode(mode))?;
            std::fs::set_permissions(source.join(dir), PermissionsExt::from_mode(0o555))?;
        }
        for tree in [&source, &destination] {
            unprivileged::own_all(tree)?;
        }
        let (exit, said) = mirror_unprivileged(scene, &source, &destination)?;
        ensure!(exit == 0, "exit {exit}: {said}");
        compare::equal_but(&source, &destination, &[compare::Aspect::Root])
    })
}

#[test]
fn a_name_that_went_while_its_directory_was_sent_is_not_deleted_on_that_evidence() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.dir("destination")?);
        trees::small_files(&source, 100_000, 1)?;
        let (from, to) = (Place::open(&source.join("dir-00000"))?, destination.join("dir-00000"));
        std::fs::create_dir(&to)?;
        from.file(b"zzz", b"precious")?;
        std::fs::write(to.join("zzz"), "precious")?;
        let ferry = Ferry::new(scene)?;
        let mut command = ferry.command("sync");
        command.arg(&source).arg(&destination).args(["--dry-run", "--delete", "--bwlimit", "100K"]);
        let run = ferry.start(command)?;
        // The names are listed at once; the last ones are looked at when those before them were sent.
        std::thread::sleep(Duration::from_millis(1500));
        from.rename(b"zzz", &from, b"aaa")?;
        let done = run.finish(SOON)?.exits(0)?;
        let deleted: Vec<String> = done
            .process
            .text()
            .lines()
            .filter(|line| line.starts_with("delete") && line.contains("zzz"))
            .map(str::to_owned)
            .collect();
        ensure!(deleted.is_empty(), "it stands at the source under another name: {deleted:?}");
        Ok(())
    })
}

#[test]
fn of_two_senders_of_one_source_the_newer_one_stays() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        std::fs::write(source.join("file"), vec![7; 6 << 20])?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let slow = ["--bwlimit", "1M", "--compress", "off"];
        let first = ferry.send(&keys, receiver.port, &[("data", &source)], &slow)?;
        std::thread::sleep(Duration::from_secs(1));
        let second = ferry.send(&keys, receiver.port, &[("data", &source)], &slow)?;
        let first = first.finish(Duration::from_secs(30))?.exits(6)?;
        first.says(&["took over"])?;
        let second = second.finish(Duration::from_secs(40))?.exits(0)?;
        ensure!(second.report()?.wire.reconnects == 0, "the newer one was disturbed: {:?}", second.report()?.wire);
        receiver.run.finish(Duration::from_secs(30))?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_receiver_that_is_stopped_and_started_again_is_found_again() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        std::fs::write(source.join("file"), vec![7; 6 << 20])?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let port = receiver.port;
        let more = ["--bwlimit", "2M", "--compress", "off"];
        let sender = ferry.send(&keys, port, &[("data", &source)], &more)?;
        std::thread::sleep(Duration::from_secs(1));
        receiver.run.process.signal(Signal::TERM)?;
        receiver.run.finish(Duration::from_secs(20))?.exits(143)?;
        let receiver = ferry.receive_on(port, &keys, &[("data", &destination)], &["--once"])?;
        sender.finish(Duration::from_secs(40))?.exits(0)?;
        receiver.run.finish(Duration::from_secs(30))?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_file_that_is_one_great_hole_arrives() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let place = Place::open(&source)?;
        place.sparse(b"hole", 1 << 44, &[(1 << 40, b"data")])?;
        Ferry::new(scene)?.sync(&source, &destination, &[])?.exits(0)?;
        let made = Place::open(&destination)?.stat(b"hole")?;
        ensure!(made.st_size == 1 << 44 && made.st_blocks < 1024, "{} bytes, {} blocks", made.st_size, made.st_blocks);
        Ok(())
    })
}

#[test]
fn a_problem_that_verification_meets_again_counts_once() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (unprivileged::dir(scene, "source")?, unprivileged::dir(scene, "destination")?);
        std::fs::create_dir(source.join("secret"))?;
        std::fs::set_permissions(source.join("secret"), PermissionsExt::from_mode(0o700))?;
        std::fs::write(source.join("file"), "f")?;
        std::os::unix::fs::chown(source.join("file"), Some(unprivileged::UID), Some(0))?;
        let report = unprivileged::dir(scene, "reports")?.join("report.json");
        let mut command = Command::new(unprivileged::runnable(scene, Ferry::new(scene)?.binary())?);
        command.arg("sync").arg(&source).arg(&destination).args(["--verify", "--accept-loss", "ownership"]);
        command.arg("--report").arg(&report);
        let done = run(scene, &mut unprivileged::command(&command), SOON)?;
        let report = ferry_tests::report::Report::read(&report)?.context("no report")?;
        let secret = report.problems.iter().filter(|problem| problem.path == "secret").count();
        ensure!(secret == 1, "exit {}: {:?}", done.exit, report.problems);
        Ok(())
    })
}

#[test]
fn a_checksum_run_over_equal_trees_updates_nothing() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 20, 2)?;
        Place::open(&source)?.file(b"large", &vec![7; 300_000])?;
        Place::open(&source)?.file(b"larger", &vec![7; 5 << 20])?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let done = ferry.sync(&source, &destination, &["--checksum"])?.exits(0)?;
        ensure!(done.report()?.entries.updated == 0, "{:?}", done.report()?.entries);
        Ok(())
    })
}

#[test]
fn a_full_volume_is_cleared_of_what_is_to_go_first() -> Result<()> {
    within(60, |scene| {
        let source = scene.dir("source")?;
        let volume = Mount::tmpfs(&scene.path("destination"), 48 << 20)?;
        std::fs::write(source.join("new"), vec![7; 30 << 20])?;
        std::fs::write(volume.path().join("old"), vec![7; 30 << 20])?;
        let done = Ferry::new(scene)?.sync(&source, volume.path(), &["--delete"])?.exits(0)?;
        ensure!(done.report()?.entries.deleted == 1, "{:?}", done.report()?.entries);
        compare::equal(&source, volume.path())
    })
}

#[test]
fn a_file_that_may_not_be_read_at_the_destination_is_replaced() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (unprivileged::dir(scene, "source")?, unprivileged::dir(scene, "destination")?);
        for (name, len) in [("large", 300_000), ("larger", 5 << 20)] {
            std::fs::write(source.join(name), vec![7; len])?;
            std::fs::write(destination.join(name), vec![8; len])?;
            Place::open(&destination)?.time(name.as_bytes(), (1_000_000_000, 0))?;
            std::fs::set_permissions(destination.join(name), PermissionsExt::from_mode(0o200))?;
        }
        for tree in [&source, &destination] {
            unprivileged::own_all(tree)?;
        }
        let (exit, said) = mirror_unprivileged(scene, &source, &destination)?;
        ensure!(exit == 0, "exit {exit}: {said}");
        compare::equal_but(&source, &destination, &[compare::Aspect::Root])
    })
}

#[test]
fn a_directory_that_went_before_it_was_entered_is_no_problem() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.dir("destination")?);
        trees::small_files(&source, 100_000, 1)?;
        std::fs::create_dir(source.join("zzz"))?;
        let ferry = Ferry::new(scene)?;
        let mut command = ferry.command("sync");
        command.arg(&source).arg(&destination).args(["--dry-run", "--bwlimit", "100K"]);
        let run = ferry.start(command)?;
        // It is announced with the root's other names, and entered after all that is in the one before it.
        std::thread::sleep(Duration::from_millis(1500));
        std::fs::remove_dir(source.join("zzz"))?;
        run.finish(SOON)?.exits(0).map(drop)
    })
}
