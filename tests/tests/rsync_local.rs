//! `rsync SRC/ DST/` on one machine, with every set of options an operator passes: what arrives is what the real rsync
//! makes of the same tree, its log can always be read, and each way it ends has rsync's number.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ferry_tests::called::{Called, SOON, stock};
use ferry_tests::command::{Finished, must, run, tail};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::Mount;
use ferry_tests::operator;
use ferry_tests::place::Place;
use ferry_tests::pods::client::{INFO, NEW, NEW_TOLD, OLD, OLD_PLACES};
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Seed};
use ferry_tests::unprivileged;
use ferry_tests::{Result, ensure};
use rustix::process::Signal;

/// The options of MTC 1.4 and 1.5, of 1.6 to 1.8, and what users add to them.
fn option_sets() -> Vec<Vec<&'static str>> {
    let old = [&["--bwlimit=100000"][..], OLD, OLD_PLACES, &["--checksum"]].concat();
    let new = [NEW, NEW_TOLD].concat();
    let with = |set: &Vec<&'static str>, more: &[&'static str]| [set.as_slice(), more].concat();
    vec![
        with(&new, &["--sparse", "--exclude=lost+found"]),
        with(&new, &["--acls", "--xattrs"]),
        with(&new, &["--compress", "--exclude=lost+found"]),
        vec!["-aHAXS", "--delete", "-vvv", "--numeric-ids"],
        old,
        new,
    ]
}

/// Times of another second than this one: rsync leaves a fraction alone where the seconds are equal.
fn long_ago(scene: &Scene, root: &Path) -> Result<()> {
    let mut find = Command::new("find");
    find.arg(root).args(["-depth", "-exec", "/usr/bin/touch", "-h", "-d", "2001-02-03 04:05:06.123456789", "{}", "+"]);
    must(scene, &mut find).map(drop)
}

fn ended(done: &Finished, code: i32) -> Result<()> {
    ensure!(done.exit == code, "exit {} instead of {code}:\n{}\n{}", done.exit, tail(&done.text()), done.stderr);
    Ok(())
}

#[test]
fn what_arrives_is_what_rsync_makes_of_it() -> Result<()> {
    within(240, |scene| {
        let called = Called::new(scene)?;
        for (number, options) in (3_000..).zip(option_sets()) {
            let source = scene.fresh("source", "");
            let (ours, theirs) = (scene.fresh("ours", ""), scene.fresh("theirs", ""));
            let mut seed = Seed::new(number);
            trees::random(&source, &mut seed, 120)?;
            std::fs::create_dir_all(source.join("lost+found"))?;
            std::os::unix::fs::symlink("/absolute", source.join("absolute link"))?;
            std::fs::write(source.join("50%_off"), "half")?;
            long_ago(scene, &source)?;
            for round in 0..2 {
                let done = called.rsync(&options, &source, &ours)?;
                ended(&done, 0)?;
                operator::reads_always(&done.text())?;
                let real = stock(scene, &options, &source, &theirs)?;
                ensure!(real.exit == 0, "rsync ended with {}: {}", real.exit, real.stderr);
                // After an edit within one second rsync's quick check may miss what ferry sees: the source decides then.
                let attributes = options.iter().any(|option| *option == "--xattrs" || option.starts_with("-aHAX"));
                let mut ignored = if attributes { Vec::new() } else { vec![Aspect::Xattrs("")] };
                if options.contains(&"--exclude=lost+found") {
                    ignored.push(Aspect::Top("lost+found"));
                }
                compare::equal_but(&source, &ours, &ignored)?;
                if round == 0 {
                    compare::equal(&theirs, &ours)?;
                }
                trees::edit(&source, &mut seed, 30)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_source_without_a_slash_goes_below_the_destination() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let source = scene.dir("source")?;
        std::fs::create_dir(source.join("sub"))?;
        std::fs::write(source.join("sub/file"), "f")?;
        long_ago(scene, &source)?;
        let text = |path: &Path| path.display().to_string();
        for (operand, name) in
            [("source", "dir"), ("source/", "slash"), ("source/sub/file", "file"), ("source/.", "dot")]
        {
            let mut made = Vec::new();
            for program in [called.path("rsync"), "/usr/bin/rsync".into()] {
                let destination = scene.fresh(name, "");
                std::fs::create_dir(&destination)?;
                let mut command = Command::new(program);
                let done = run(scene, command.args(["-a", &text(&scene.path(operand)), &text(&destination)]), SOON)?;
                ended(&done, 0)?;
                made.push(destination);
            }
            compare::equal_but(&made[1], &made[0], &[Aspect::Root])?;
        }
        std::os::unix::fs::symlink("source", scene.path("link"))?;
        let done = called.run("rsync", &["-a", &text(&scene.path("link")), &text(&scene.path("new"))])?;
        ended(&done, 3)?;
        ensure!(done.text().contains("link/ for what it leads to"), "{}", done.text());
        Ok(())
    })
}

#[test]
fn a_dry_run_names_changes_and_makes_none() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        for n in 0..40 {
            std::fs::write(source.join(format!("{n}%_off")), vec![b'x'; n])?;
        }
        std::fs::write(destination.join("extra"), "e")?;
        let before = compare::snapshot(&destination)?;
        let done = called.rsync(&["-a", "--delete", "--dry-run"], &source, &destination)?;
        ended(&done, 0)?;
        compare::unmoved(&before, &compare::snapshot(&destination)?)?;
        let text = done.text();
        ensure!(text.contains("would delete extra") && text.contains("would create 7\\045_off"), "{text}");
        operator::reads_always(&text)
    })
}

/// Last lines of a run that failed: progress and the error, as the operator wants them.
fn last_words(done: &Finished, code: i32, word: &str) -> Result<()> {
    ended(done, code)?;
    let text = done.text();
    let last = text.lines().last().unwrap_or_default();
    ensure!(last.starts_with("rsync error: ") && last.ends_with(&format!("(code {code})")), "{text}");
    ensure!(last.contains(word), "{word} is not said: {last}");
    Ok(())
}

#[test]
fn each_way_to_fail_has_rsyncs_number_and_says_why() -> Result<()> {
    within(120, |scene| {
        let called = Called::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let (from, to) = (source.display().to_string(), destination.display().to_string());
        let from_slash = format!("{from}/");
        for (args, code, word) in [
            (&["--frobnicate", &from_slash, &to][..], 1, "--frobnicate"),
            (&["-a", "--files-from=x", &from_slash, &to], 1, "--files-from"),
            (&["-a", &from_slash], 1, "operands"),
            (&["-a", &from_slash, "host::module"], 1, "rsync://"),
            (&["-a", "--bwlimit=fast", &from_slash, &to], 1, "--bwlimit"),
            (&["-a", "--exclude-from=/nonexistent", &from_slash, &to], 3, "/nonexistent"),
            (&["-a", "/nonexistent/", &to], 3, "/nonexistent"),
            (&["-a", &from_slash, &format!("{from}/inside")], 3, "inside"),
        ] {
            last_words(&called.run("rsync", args)?, code, word)?;
        }
        // A source that is empty deletes nothing.
        std::fs::write(destination.join("kept"), "k")?;
        let halted = called.rsync(&["-a", "--delete"], &source, &destination)?;
        last_words(&halted, 25, "--allow-empty-source")?;
        ensure!(destination.join("kept").exists(), "it was deleted");
        std::fs::write(source.join("file"), "f")?;
        last_words(&called.rsync(&["-a", "--delete", "--max-delete=0"], &source, &destination)?, 25, "")?;
        ended(&called.rsync(&["-a", "--delete", "--max-delete=1"], &source, &destination)?, 0)?;
        ensure!(!destination.join("kept").exists(), "it was not deleted");
        std::fs::remove_file(source.join("file"))?;
        ended(&called.rsync(&["-a", "--delete", "--allow-empty-source"], &source, &destination)?, 0)?;
        ensure!(!destination.join("file").exists(), "it was not deleted");
        Ok(())
    })
}

#[test]
fn a_full_disk_is_eleven() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let source = scene.dir("source")?;
        Place::open(&source)?.file(b"big", &Seed::new(1).bytes(4 << 20))?;
        let small = Mount::tmpfs(&scene.dir("small")?, 1 << 20)?;
        let done = called.rsync(&["-a"], &source, small.path())?;
        last_words(&done, 11, "ENOSPC")?;
        operator::reads_always(&done.text())
    })
}

/// As some user of no name, without any capability.
fn as_nobody(scene: &Scene, source: &Path, destination: &Path) -> Result<Finished> {
    let name = scene.path("rsync");
    if !name.exists() {
        let binary = unprivileged::runnable(scene, Ferry::new(scene)?.binary())?;
        std::os::unix::fs::symlink(binary, &name)?;
    }
    let mut command = Command::new(name);
    command.args(["-a", "--hard-links", "--omit-dir-times", INFO]);
    command.arg(format!("{}/", source.display())).arg(destination);
    run(scene, &mut unprivileged::command(&command), SOON)
}

#[test]
fn what_another_user_cannot_keep_is_a_warning_and_what_it_cannot_read_is_a_failure() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, unprivileged::dir(scene, "destination")?);
        let from = Place::open(&source)?;
        from.file(b"foreign", b"f")?;
        from.own(b"foreign", 4321, 4321)?;
        let done = as_nobody(scene, &source, &destination)?;
        ended(&done, 0)?;
        let text = done.text();
        ensure!(text.matches("warning: not kept: ownership").count() == 1, "{text}");
        ensure!(std::fs::metadata(destination.join("foreign"))?.uid() == unprivileged::UID, "it was given away");

        from.file(b"closed 50%", b"c")?;
        from.mode(b"closed 50%", 0o600)?;
        let done = as_nobody(scene, &source, &destination)?;
        last_words(&done, 23, "uid 1000680000")?;
        ensure!(done.text().contains("runAsRoot") && done.text().contains("closed 50\\045"), "{}", done.text());
        operator::reads_always(&done.text())
    })
}

#[test]
fn owners_that_were_not_asked_for_are_no_failure() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let from = Place::open(&source)?;
        from.file(b"setuid", b"s")?;
        from.own(b"setuid", 4321, 4321)?;
        from.mode(b"setuid", 0o4755)?;
        let done = called.rsync(&["-a", "--no-owner", "--no-group"], &source, &destination)?;
        ended(&done, 0)?;
        let mode = std::fs::metadata(destination.join("setuid"))?.mode() & 0o7777;
        ensure!(mode == 0o755, "a setuid file of another owner: {mode:o}");
        ensure!(done.text().matches("warning: not kept: ownership").count() == 1, "{}", done.text());
        operator::reads_always(&done.text())
    })
}

#[test]
fn a_signal_ends_it_with_twenty_and_the_next_run_goes_on() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        Place::open(&source)?.file(b"big", &Seed::new(2).bytes(16 << 20))?;
        let mut command = called.command("rsync");
        command.args(["-a", "--bwlimit=2M"]).arg(format!("{}/", source.display())).arg(&destination);
        let mut running = called.start(&mut command)?;
        running.wait_for(Duration::from_secs(20), |out, _| (operator::read(out).percent? > 5).then_some(()))?;
        running.signal(Signal::TERM)?;
        let done = running.finish(Duration::from_secs(15))?;
        last_words(&done, 20, "signal")?;
        operator::reads_always(&done.text())?;
        ended(&called.rsync(&["-a"], &source, &destination)?, 0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn the_termination_log_is_written_where_there_is_one_and_made_nowhere() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let log = scene.path("log");
        std::fs::write(&log, "old ".repeat(100))?;
        // A mount namespace whose /dev has the log.
        let script = format!(
            "mount --bind {0} /dev/termination-log && exec {1} -a /nonexistent/ /tmp/x",
            log.display(),
            called.path("rsync").display()
        );
        let made = std::fs::metadata("/dev/termination-log").is_err();
        ensure!(made, "this machine has a termination log of its own; the test would write it");
        let script = format!("mount -t tmpfs dev /dev && touch /dev/termination-log && {script}");
        let done = run(scene, Command::new("unshare").args(["--mount", "/bin/bash", "-c", &script]), SOON)?;
        ended(&done, 3)?;
        let written = std::fs::read_to_string(&log)?;
        ensure!(written.starts_with("rsync error: ") && written.trim_end().ends_with("(code 3)"), "{written}");
        ensure!(std::fs::metadata("/dev/termination-log").is_err(), "it was made");
        Ok(())
    })
}
