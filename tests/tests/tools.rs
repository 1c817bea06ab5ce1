//! `nc`, `touch` and `sleep`, as the scripts around rsync and stunnel call them, with the real shell.

use std::process::Command;
use std::time::{Duration, Instant};

use ferry_tests::called::Called;
use ferry_tests::command::{must, run};
use ferry_tests::ports;
use ferry_tests::scene::within;
use ferry_tests::{Result, ensure};
use rustix::process::Signal;

#[test]
fn nc_finds_a_listener_on_either_family_and_waits_a_second_for_none() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        for (host, address) in [("localhost", "127.0.0.1:0"), ("::1", "[::1]:0")] {
            let listener = std::net::TcpListener::bind(address)?;
            let port = listener.local_addr()?.port().to_string();
            ensure!(called.run("nc", &["-z", host, &port])?.exit == 0, "nobody was found on {address}");
        }
        let free = ports::free()?.to_string();
        let begun = Instant::now();
        ensure!(called.run("nc", &["-z", "localhost", &free])?.exit == 1, "somebody was found on a free port");
        let took = begun.elapsed();
        ensure!(took > Duration::from_millis(700) && took < Duration::from_secs(5), "a refusal took {took:?}");
        for other in [&["localhost", "80"][..], &["-l", "80"], &["-z", "localhost"], &["-z", "localhost", "x"]] {
            let done = called.run("nc", other)?;
            ensure!(done.exit == 2 && done.stderr.contains("nc -z"), "{other:?}: {} {}", done.exit, done.stderr);
        }
        Ok(())
    })
}

#[test]
fn the_loop_of_the_scripts_finds_a_listener_that_comes_late() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let port = ports::free()?;
        let script = format!(
            "timeout=120; SECONDS=0; while [ $SECONDS -lt $timeout ]; do nc -z localhost {port}; rc=$?; \
             if [ $rc -eq 0 ]; then echo found; break; fi; done; exit $rc;"
        );
        let mut bash = Command::new("/bin/bash");
        let path = called.path("");
        bash.args(["-c", &script]).env("PATH", &path);
        let running = called.start(&mut bash)?;
        std::thread::sleep(Duration::from_millis(1_500));
        let _listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let done = running.finish(Duration::from_secs(20))?;
        ensure!(done.exit == 0 && done.text() == "found\n", "{} {} {}", done.exit, done.text(), done.stderr);
        Ok(())
    })
}

#[test]
fn touch_makes_files_and_renews_their_times() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let (new, old) = (scene.path("new"), scene.path("old"));
        std::fs::write(&old, "kept")?;
        must(scene, Command::new("/usr/bin/touch").args(["-d", "2001-01-01"]).arg(&old))?;
        let (new_text, old_text) = (new.display().to_string(), old.display().to_string());
        ensure!(called.run("touch", &[&new_text, &old_text])?.exit == 0, "touch failed");
        ensure!(std::fs::read(&new)?.is_empty() && std::fs::read(&old)? == b"kept", "contents are wrong");
        ensure!(std::fs::metadata(&old)?.modified()?.elapsed()? < Duration::from_secs(60), "its time is old");
        let missing = scene.path("none/file").display().to_string();
        let done = called.run("touch", &[&missing, &new_text])?;
        ensure!(done.exit == 1 && done.stderr.contains("none/file"), "{} {}", done.exit, done.stderr);
        ensure!(
            called.run("touch", &[])?.exit == 1 && called.run("touch", &["-t", "1"])?.exit == 1,
            "wrong use passed"
        );
        Ok(())
    })
}

#[test]
fn sleep_ends_by_time_and_by_signal_also_as_the_first_process() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let begun = Instant::now();
        ensure!(called.run("sleep", &["0.2", "0.1s"])?.exit == 0, "it failed");
        ensure!(begun.elapsed() >= Duration::from_millis(300), "it slept {:?}", begun.elapsed());
        ensure!(called.run("sleep", &["soon"])?.exit == 1, "nonsense was slept");

        let mut endless = called.start(called.command("sleep").arg("infinity"))?;
        std::thread::sleep(Duration::from_millis(300));
        ensure!(endless.is_running()?, "it ended by itself");
        endless.signal(Signal::TERM)?;
        let done = endless.finish(Duration::from_secs(5))?;
        ensure!(done.exit == 143, "SIGTERM ended it with {}", done.exit);

        // The first process of a namespace gets no signal it does not handle. What it is there, only another can tell it.
        let sleep = called.path("sleep").display().to_string();
        let script = format!(
            "unshare --pid --fork --kill-child {sleep} infinity & for n in $(seq 100); do \
             first=$(cat /proc/$!/task/$!/children 2>/dev/null); [ -n \"$first\" ] && break; sleep 0.05; done; \
             sleep 0.5; kill -TERM $first; wait $!; echo ended $?"
        );
        let done = run(scene, Command::new("/bin/bash").args(["-c", &script]), Duration::from_secs(20))?;
        ensure!(done.text() == "ended 143\n", "{} {}", done.text(), done.stderr);
        Ok(())
    })
}

#[test]
fn any_other_name_is_ferry_itself() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let other = scene.path("other");
        std::os::unix::fs::symlink(std::fs::canonicalize(called.path("rsync"))?, &other)?;
        let ferry = run(scene, Command::new(&other).arg("--version"), Duration::from_secs(10))?;
        ensure!(ferry.exit == 0 && ferry.text().starts_with("ferry "), "{}", ferry.text());
        let rsync = called.run("rsync", &["--version"])?;
        ensure!(rsync.exit == 0 && rsync.text().starts_with("rsync  "), "{}", rsync.text());
        Ok(())
    })
}
