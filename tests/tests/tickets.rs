//! Tickets, for copies made by hand: the receiver prints one line, the source pastes it. A ticket is good for one copy, for
//! a while, and for nobody who guesses.

use std::process::Command;
use std::time::Duration;

use ferry_tests::command::{Running, run};
use ferry_tests::compare;
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Result, ensure, ports, trees};

/// A receiver that offers `destination`, and the ticket of the line it printed.
fn offer<'s>(scene: &'s Scene, ferry: &Ferry<'_>, more: &[&str]) -> Result<(Running<'s>, String)> {
    let mut command = ferry.command("receive");
    command.args(["--listen", &format!("127.0.0.1:{}", ports::free()?), "--offer"]);
    command.arg(format!("data={}", scene.path("destination").display())).args(more);
    let mut receiver = Running::start(scene, &mut command)?;
    let ticket = receiver.wait_for(Duration::from_secs(10), |out, _| {
        let line = out.lines().find(|line| line.starts_with("FERRY_TICKET="))?;
        let (ticket, rest) = line.strip_prefix("FERRY_TICKET=")?.split_once(' ')?;
        (rest == "ferry send SRC").then(|| ticket.to_owned())
    })?;
    Ok((receiver, ticket))
}

fn send(scene: &Scene, ferry: &Ferry<'_>, ticket: &str) -> Command {
    let mut command = ferry.command("send");
    command.arg(scene.path("source")).args(["--retry-for", "3s"]).env("FERRY_TICKET", ticket);
    command
}

#[test]
fn the_printed_line_can_be_pasted() -> Result<()> {
    within(60, |scene| {
        trees::small_files(&scene.path("source"), 200, 5)?;
        let ferry = Ferry::new(scene)?;
        let (receiver, ticket) = offer(scene, &ferry, &[])?;
        ensure!(
            ticket.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"$`\\!&;|<>(){}*?#~".contains(&byte)),
            "{ticket}"
        );
        let sent = run(scene, &mut send(scene, &ferry, &ticket), SOON)?;
        ensure!(sent.exit == 0, "exit {}: {}", sent.exit, sent.stderr);
        let received = receiver.finish(SOON)?;
        ensure!(received.exit == 0, "the receiver ended with {}: {}", received.exit, received.stderr);
        compare::equal(&scene.path("source"), &scene.path("destination"))
    })
}

#[test]
fn a_ticket_can_come_from_a_file() -> Result<()> {
    within(60, |scene| {
        trees::small_files(&scene.path("source"), 20, 5)?;
        let ferry = Ferry::new(scene)?;
        let (receiver, ticket) = offer(scene, &ferry, &["--expires", "5m"])?;
        let file = scene.path("ticket");
        std::fs::write(&file, format!("{ticket}\n"))?;
        let mut command = ferry.command("send");
        command.arg(scene.path("source")).arg("--ticket-file").arg(&file);
        let sent = run(scene, &mut command, SOON)?;
        ensure!(sent.exit == 0, "exit {}: {}", sent.exit, sent.stderr);
        receiver.finish(SOON)?;
        compare::equal(&scene.path("source"), &scene.path("destination"))
    })
}

#[test]
fn an_expired_ticket_is_refused() -> Result<()> {
    within(60, |scene| {
        trees::small_files(&scene.path("source"), 20, 5)?;
        let ferry = Ferry::new(scene)?;
        let (_receiver, ticket) = offer(scene, &ferry, &["--expires", "1s"])?;
        std::thread::sleep(Duration::from_millis(2500));
        let sent = run(scene, &mut send(scene, &ferry, &ticket), SOON)?;
        ensure!(sent.exit != 0, "an expired ticket was taken");
        ensure!(sent.stderr.contains("expired"), "{}", sent.stderr);
        ensure!(!scene.path("destination/dir-00000").exists(), "something was copied");
        Ok(())
    })
}

#[test]
fn a_ticket_of_another_receiver_is_refused() -> Result<()> {
    within(60, |scene| {
        trees::small_files(&scene.path("source"), 20, 5)?;
        let ferry = Ferry::new(scene)?;
        let port = ports::free()?;
        let advertise = ["--advertise", &format!("127.0.0.1:{port}")];
        // The first receiver's ticket leads to the second one's port.
        let (first, ticket) = offer(scene, &ferry, &advertise)?;
        drop(first);
        let mut command = ferry.command("receive");
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--offer"]);
        command.arg(format!("data={}", scene.path("destination").display()));
        let _second = Running::start(scene, &mut command)?;
        ports::await_listener(port, Duration::from_secs(10))?;
        let sent = run(scene, &mut send(scene, &ferry, &ticket), SOON)?;
        ensure!(sent.exit == 6, "exit {}: {}", sent.exit, sent.stderr);
        ensure!(!scene.path("destination/dir-00000").exists(), "something was copied");
        Ok(())
    })
}

#[test]
fn a_mistyped_ticket_is_a_usage_error_and_does_not_show_the_secret() -> Result<()> {
    within(60, |scene| {
        trees::small_files(&scene.path("source"), 20, 5)?;
        let ferry = Ferry::new(scene)?;
        let (_receiver, ticket) = offer(scene, &ferry, &[])?;
        let mut wrong = ticket.clone();
        let last = if wrong.ends_with('a') { 'b' } else { 'a' };
        wrong.pop();
        wrong.push(last);
        let sent = run(scene, &mut send(scene, &ferry, &wrong), SOON)?;
        ensure!(sent.exit == 2, "exit {}: {}", sent.exit, sent.stderr);
        ensure!(!sent.stderr.contains(&wrong), "the ticket is printed: {}", sent.stderr);
        Ok(())
    })
}
