//! Without privilege ferry does what it can and counts what it cannot: as an arbitrary user without capabilities, losses
//! by rule are losses, unreadable content is a problem, and the exit code says which.

use std::path::Path;
use std::process::Command;

use ferry_tests::command::{Running, run};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::{Ferry, HOST, Keys, SOON, add_volumes};
use ferry_tests::place::Place;
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::everything::acl;
use ferry_tests::{Context, Result, ensure, ports, trees, unprivileged};

/// What may differ: all of it counted as loss.
const LOST: [Aspect; 6] = [
    Aspect::Root,
    Aspect::Owner,
    Aspect::SetId,
    Aspect::Devices,
    Aspect::Xattrs("trusted."),
    Aspect::Xattrs("security."),
];
const ACCEPTED: &str = "ownership,devices,trusted-xattrs,file-capabilities,selinux";

/// `ferry sync` as that user: exit code and report.
fn sync(scene: &Scene, source: &Path, destination: &Path, more: &[&str]) -> Result<(i32, Report, String)> {
    let binary = unprivileged::runnable(scene, Ferry::new(scene)?.binary())?;
    let reports = unprivileged::dir(scene, "reports")?;
    let path = reports.join("report.json");
    let mut command = Command::new(binary);
    command.arg("sync").arg(source).arg(destination).args(more).arg("--report").arg(&path);
    let done = run(scene, &mut unprivileged::command(&command), SOON)?;
    let report = Report::read(&path)?.with_context(|| format!("no report: {}", done.stderr))?;
    Ok((done.exit, report, done.stderr))
}

/// `ferry receive --once` as that user, on this port.
fn receive<'s>(scene: &'s Scene, ferry: &Ferry<'_>, port: u16, keys: &Keys, destination: &Path) -> Result<Running<'s>> {
    unprivileged::own_all(keys.receiver.parent().context("no parent")?)?;
    let mut command = Command::new(unprivileged::runnable(scene, ferry.binary())?);
    command.args(["receive", "--once", "--listen", &format!("127.0.0.1:{port}"), "--identity"]).arg(&keys.receiver);
    add_volumes(&mut command, &[("data", destination)]);
    let receiver = Running::start(scene, &mut unprivileged::command(&command))?;
    ports::await_listener(port, SOON)?;
    Ok(receiver)
}

#[test]
fn the_only_differences_are_the_counted_losses() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), unprivileged::dir(scene, "destination")?);
        trees::unprivileged(&source, unprivileged::UID)?;
        let (ferry, port) = (Ferry::new(scene)?, ports::free()?);
        let keys = ferry.keys()?;
        let receiver = receive(scene, &ferry, port, &keys, &destination)?;
        // The sender is root, so that it sees everything there is to lose.
        let sent = ferry.send(&keys, port, &[("data", &source)], &[])?.finish(SOON)?.exits(3)?;
        let received = receiver.finish(SOON)?;
        ensure!(received.exit == 3, "the receiver ended with {}: {}", received.exit, received.stderr);
        let report = sent.report()?;
        ensure!(report.problems_total == 0, "{:?}", report.problems);
        // Labels are not asked for: where no policy is loaded the kernel lets any owner set them.
        for kind in ["ownership", "devices", "trusted-xattrs", "file-capabilities"] {
            ensure!(report.loss.get(kind).is_some_and(|count| *count > 0), "{kind} is not counted: {:?}", report.loss);
        }
        compare::equal_but(&source, &destination, &LOST)?;
        let differences = compare::differences(&source, &destination, &[Aspect::Devices])?;
        ensure!(!differences.is_empty(), "as an arbitrary user nothing was lost: that user is root");
        Ok(())
    })
}

#[test]
fn accepted_loss_is_clean_and_a_second_run_moves_nothing() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), unprivileged::dir(scene, "destination")?);
        trees::unprivileged(&source, unprivileged::UID)?;
        let (exit, _, said) = sync(scene, &source, &destination, &["--accept-loss", ACCEPTED])?;
        ensure!(exit == 0, "accepted loss ended with {exit}: {said}");
        let before = compare::snapshot(&destination)?;
        let (exit, report, said) = sync(scene, &source, &destination, &["--accept-loss", ACCEPTED, "--delete"])?;
        ensure!(exit == 0, "the second run ended with {exit}: {said}");
        ensure!(report.bytes.literal == 0, "the second run sent {} bytes", report.bytes.literal);
        compare::unmoved(&before, &compare::snapshot(&destination)?)
    })
}

#[test]
fn unreadable_content_is_a_problem_by_name_and_the_rest_arrives() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), unprivileged::dir(scene, "destination")?);
        trees::unprivileged(&source, unprivileged::UID)?;
        trees::everything::unreadable(&source)?;
        let (exit, report, said) = sync(scene, &source, &destination, &["--accept-loss", ACCEPTED])?;
        ensure!(exit == 3, "unreadable content ended with {exit}: {said}");
        for path in ["unreadable/file", "unreadable/directory"] {
            ensure!(report.names(path), "{path} is not named: {:?}", report.problems);
        }
        let ignored = [&LOST[..], &[Aspect::Below(b"unreadable".to_vec())]].concat();
        compare::equal_but(&source, &destination, &ignored)
    })
}

#[test]
fn both_sides_run_as_an_arbitrary_user_over_the_network() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), unprivileged::dir(scene, "destination")?);
        trees::unprivileged(&source, unprivileged::UID)?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let port = ports::free()?;
        let receiver = receive(scene, &ferry, port, &keys, &destination)?;
        let mut send = Command::new(unprivileged::runnable(scene, ferry.binary())?);
        send.args(["send", "--server-name", HOST, "--to", &format!("127.0.0.1:{port}"), "--identity"])
            .arg(&keys.sender);
        add_volumes(&mut send, &[("data", &source)]);
        let sent = run(scene, &mut unprivileged::command(send.args(["--accept-loss", ACCEPTED])), SOON)?;
        ensure!(sent.exit == 0, "exit {}: {}", sent.exit, sent.stderr);
        let received = receiver.finish(SOON)?;
        ensure!(received.exit == 0, "the receiver ended with {}: {}", received.exit, received.stderr);
        compare::equal_but(&source, &destination, &LOST)
    })
}

#[test]
fn the_demo_ends_well_without_privilege() -> Result<()> {
    within(90, |scene| {
        let binary = unprivileged::runnable(scene, Ferry::new(scene)?.binary())?;
        let place = unprivileged::dir(scene, "place")?;
        let mut command = Command::new(binary);
        command.arg("demo").arg("--dir").arg(&place);
        let done = run(scene, &mut unprivileged::command(&command), SOON)?;
        ensure!(done.exit == 0 && done.stderr.contains("all is well"), "exit {}: {}", done.exit, done.stderr);
        Ok(())
    })
}

#[test]
fn what_no_ctime_says_was_changed_is_trusted_without_privilege_too() -> Result<()> {
    within(120, |scene| {
        let [source, destination, state] =
            ["source", "destination", "state"].map(|name| unprivileged::dir(scene, name));
        let (source, destination, state) = (source?, destination?, state?);
        let closed = source.join("read-only");
        std::fs::create_dir(&closed)?;
        for number in 0..20 {
            std::fs::write(closed.join(format!("file {number}")), "x")?;
        }
        let place = Place::open(&source)?;
        place.child(b"read-only")?.xattr(b"file 1", "user.mark", b"old")?;
        place.xattr(b"read-only", "system.posix_acl_default", &acl(7, &[(1000, 5)], 5, 7, 0))?;
        unprivileged::own_all(&source)?;
        place.mode(b"read-only", 0o555)?;
        let more = ["--root-attrs", "keep", "--state", state.to_str().context("a path")?];
        // Twice the directory is opened up for a file that changed, and closed again with its list as it was.
        for (round, changed) in [(0, 21), (1, 0), (2, 1), (3, 0), (4, 1), (5, 0)] {
            std::thread::sleep(std::time::Duration::from_millis(60));
            let (exit, report, said) = sync(scene, &source, &destination, &more)?;
            ensure!(exit == 0, "round {round}: {exit}: {said}");
            compare::equal_but(&source, &destination, &[Aspect::Root])?;
            let entries = report.entries;
            ensure!(entries.trusted_attributes == entries.scanned - changed, "round {round}: {entries:?}");
            match round {
                1 => std::fs::write(closed.join("file 3"), "longer")?,
                3 => place.child(b"read-only")?.xattr(b"file 1", "user.mark", b"new")?,
                _ => {}
            }
        }
        Ok(())
    })
}
