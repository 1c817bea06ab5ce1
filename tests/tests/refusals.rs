//! Bad input gets a sentence and the right exit code, and nothing half-done: wrong certificates and names, ports that speak
//! something else, a full or read-only destination, a busy volume, wrong words on the command line.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ferry_tests::certs::{self, Years};
use ferry_tests::command::{Running, run};
use ferry_tests::compare;
use ferry_tests::fakes::{self, Fake, Habit};
use ferry_tests::ferry::{Done, Ferry, Keys, SOON};
use ferry_tests::mounts::Mount;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Result, ensure, ports, trees};

const BRIEFLY: [&str; 2] = ["--retry-for", "1s"];

fn small_source(scene: &Scene) -> Result<PathBuf> {
    let source = scene.path("source");
    if !source.exists() {
        trees::small_files(&source, 50, 3)?;
    }
    Ok(source)
}

/// Sends with `sender` to a receiver with `receiver`'s identity; nothing may arrive, and the receiver lives on.
fn refused(scene: &Scene, receiver: &Keys, sender: &Keys, more: &[&str], exits: &[i32]) -> Result<Done> {
    let ferry = Ferry::new(scene)?;
    let destination = scene.dir("destination")?;
    let mut listening = ferry.receive(receiver, &[("data", &destination)], &[])?;
    let options = [&BRIEFLY[..], more].concat();
    let sent = ferry.send(sender, listening.port, &[("data", &small_source(scene)?)], &options)?;
    let done = sent.finish(SOON)?.exits_one_of(exits)?;
    ensure!(std::fs::read_dir(&destination)?.next().is_none(), "something arrived");
    ensure!(listening.run.process.is_running()?, "the receiver ended");
    Ok(done)
}

#[test]
fn a_receiver_of_another_authority_is_refused() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let (ours, theirs) = (ferry.keys()?, ferry.keys()?);
        refused(scene, &theirs, &ours, &[], &[6])?.says(&["certificate", "authority"])
    })
}

#[test]
fn a_sender_of_another_authority_is_refused() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let (ours, theirs) = (ferry.keys()?, ferry.keys()?);
        // It trusts the receiver; the receiver must not trust it.
        std::fs::copy(ours.sender.join("ca.crt"), theirs.sender.join("ca.crt"))?;
        refused(scene, &ours, &theirs, &[], &[6])?.says(&["certificate", "refused"])
    })
}

#[test]
fn a_wrong_name_is_refused() -> Result<()> {
    within(60, |scene| {
        let keys = Ferry::new(scene)?.keys()?;
        refused(scene, &keys, &keys, &["--server-name", "other.example.test"], &[6])?.says(&["other.example.test"])
    })
}

#[test]
fn a_peers_expired_certificate_is_refused_and_the_clock_is_named() -> Result<()> {
    within(60, |scene| {
        // ferry would not start with such a certificate; others do.
        for (name, years, word) in [("past", Years::PAST, "2002"), ("future", Years::FUTURE, "2090")] {
            let (keys, port) = (certs::keys(scene, name, years, Years::NOW)?, ports::free()?);
            let mut server = Command::new("openssl");
            server.args(["s_server", "-quiet", "-tls1_3", "-accept", &port.to_string()]);
            server.arg("-cert").arg(keys.receiver.join("tls.crt")).arg("-key").arg(keys.receiver.join("tls.key"));
            let _server = Running::start(scene, &mut server)?;
            ports::await_listener(port, Duration::from_secs(5))?;
            let ferry = Ferry::new(scene)?;
            let sent = ferry.send(&keys, port, &[("data", &small_source(scene)?)], &BRIEFLY)?.finish(SOON)?.exits(6)?;
            sent.says(&[word])?;
            sent.says(&["clock"])?;
        }
        Ok(())
    })
}

#[test]
fn an_expired_sender_is_refused_by_the_receiver() -> Result<()> {
    within(60, |scene| {
        let keys = certs::keys(scene, "keys", Years::NOW, Years::PAST)?;
        let ferry = Ferry::new(scene)?;
        let mut receiver = ferry.receive(&keys, &[("data", &scene.path("destination"))], &[])?;
        let mut client = Command::new("openssl");
        client.args(["s_client", "-quiet", "-tls1_3", "-connect", &format!("127.0.0.1:{}", receiver.port)]);
        client.arg("-cert").arg(keys.sender.join("tls.crt")).arg("-key").arg(keys.sender.join("tls.key"));
        let done = run(scene, &mut client, Duration::from_secs(20))?;
        ensure!(!done.text().contains("ferry"), "the receiver spoke to an expired certificate");
        ensure!(done.stderr.contains("alert"), "{}", done.stderr);
        ensure!(receiver.run.process.is_running()?, "the receiver ended");
        Ok(())
    })
}

#[test]
fn ones_own_expired_certificate_is_named_before_anything_else() -> Result<()> {
    within(60, |scene| {
        let keys = certs::keys(scene, "keys", Years::PAST, Years::PAST)?;
        let (ferry, fake) = (Ferry::new(scene)?, Fake::start(Habit::Close)?);
        let sent = ferry.send(&keys, fake.port, &[("data", &small_source(scene)?)], &BRIEFLY)?.finish(SOON)?;
        sent.exits_one_of(&[2, 6])?.says(&["expired"])?;
        ensure!(fake.met() == 0, "it connected all the same");
        let receive = ferry.receive_command(ports::free()?, &keys, &[("data", &scene.path("destination"))], &[]);
        ferry.start(receive)?.finish(SOON)?.exits_one_of(&[2, 6])?.says(&["expired"])
    })
}

#[test]
fn good_certificates_of_another_maker_are_accepted() -> Result<()> {
    within(60, |scene| {
        let keys = certs::keys(scene, "keys", Years::NOW, Years::NOW)?;
        let (source, destination) = (small_source(scene)?, scene.path("destination"));
        Ferry::new(scene)?.transfer(&keys, &source, &destination, &[])?.0.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_receivers_identity_cannot_send() -> Result<()> {
    within(60, |scene| {
        let keys = Ferry::new(scene)?.keys()?;
        let swapped = Keys { receiver: keys.receiver.clone(), sender: keys.receiver.clone() };
        refused(scene, &keys, &swapped, &[], &[2, 6]).map(drop)
    })
}

/// Sends to whatever listens on `port`; gives up within `limit`.
fn gives_up(scene: &Scene, port: u16, more: &[&str], limit: Duration) -> Result<Done> {
    let ferry = Ferry::new(scene)?;
    let (keys, source) = (ferry.keys()?, small_source(scene)?);
    let start = Instant::now();
    let options = [&BRIEFLY[..], more].concat();
    let done = ferry.send(&keys, port, &[("data", &source)], &options)?.finish(SOON)?.exits(7)?;
    ensure!(start.elapsed() < limit, "it took {:?}", start.elapsed());
    ensure!(done.report()?.outcome == "network" && done.report()?.exit == 7, "{:?}", done.report()?);
    Ok(done)
}

#[test]
fn ports_that_speak_something_else_are_given_up() -> Result<()> {
    within(120, |scene| {
        for (habit, words) in
            [(fakes::HTTP, "tls"), (fakes::GARBAGE, "tls"), (fakes::SMTP, "tls"), (Habit::Close, "clos")]
        {
            let fake = Fake::start(habit)?;
            gives_up(scene, fake.port, &[], Duration::from_secs(15))?.says(&[words, "connection"])?;
            ensure!(fake.met() > 0, "it was never asked");
        }
        Ok(())
    })
}

#[test]
fn a_port_that_never_answers_is_given_up() -> Result<()> {
    within(60, |scene| {
        let fake = Fake::start(Habit::Silence)?;
        gives_up(scene, fake.port, &[], Duration::from_secs(25)).map(drop)
    })
}

#[test]
fn a_port_nobody_listens_on_is_given_up() -> Result<()> {
    within(60, |scene| gives_up(scene, ports::free()?, &[], Duration::from_secs(10))?.says(&["refused"]))
}

#[test]
fn a_name_nobody_knows_is_given_up() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source) = (ferry.keys()?, small_source(scene)?);
        let mut command = ferry.command("send");
        command.args(["--to", "nowhere.invalid:443", "--retry-for", "1s"]).arg("--identity").arg(&keys.sender);
        ferry_tests::ferry::add_volumes(&mut command, &[("data", &source)]);
        ferry.start(command)?.finish(SOON)?.exits(7)?.says(&["nowhere.invalid"])
    })
}

#[test]
fn a_proxy_is_passed_with_the_right_password_and_said_so_with_a_wrong_one() -> Result<()> {
    within(120, |scene| {
        let proxy = ferry_tests::proxy::Proxy::start(scene)?;
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (small_source(scene)?, scene.path("destination"));
        ferry.transfer(&ferry.keys()?, &source, &destination, &["--proxy", &proxy.url()])?.0.exits(0)?;
        compare::equal(&source, &destination)?;
        ensure!(proxy.log().contains("CONNECT"), "the proxy was not used:\n{}", proxy.log());
        let done = gives_up(scene, ports::free()?, &["--proxy", &proxy.wrong_url()], Duration::from_secs(15))?;
        done.says(&["407", "401"])?;
        ensure!(!done.process.stderr.contains("guess"), "the password is printed: {}", done.process.stderr);
        Ok(())
    })
}

#[test]
fn proxies_that_misbehave_are_given_up() -> Result<()> {
    within(120, |scene| {
        for habit in [fakes::PROXY_407, fakes::GARBAGE, fakes::HTTP, Habit::Close, Habit::Silence] {
            let fake = Fake::start(habit)?;
            let url = format!("http://127.0.0.1:{}", fake.port);
            gives_up(scene, ports::free()?, &["--proxy", &url], Duration::from_secs(25))?.says(&["proxy"])?;
        }
        Ok(())
    })
}

#[test]
fn an_unknown_volume_is_refused_by_name() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &scene.path("destination"))], &[])?;
        let start = Instant::now();
        let sent = ferry.send(&keys, receiver.port, &[("dada", &small_source(scene)?)], &[])?.finish(SOON)?;
        sent.exits(6)?.says(&["dada"])?;
        ensure!(start.elapsed() < Duration::from_secs(10), "an unknown name was retried");
        Ok(())
    })
}

#[test]
fn a_busy_volume_is_said_to_be_busy_and_the_first_sender_ends_well() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let [first, second, destination] = ["first", "second", "destination"].map(|name| scene.path(name));
        trees::small_files(&first, 10, 1)?;
        std::fs::write(first.join("big"), vec![5; 16 << 20])?;
        trees::small_files(&second, 10, 1)?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &[])?;
        let more = ["--bwlimit", "2M", "--compress", "off"];
        let slow = ferry.send(&keys, receiver.port, &[("data", &first)], &more)?;
        std::thread::sleep(Duration::from_secs(2));
        let other = ferry.send(&keys, receiver.port, &[("data", &second)], &["--retry-for", "2s"])?.finish(SOON)?;
        other.exits(6)?.says(&["busy", "another source"])?;
        slow.finish(SOON)?.exits(0)?;
        compare::equal(&first, &destination)
    })
}

#[test]
fn a_full_destination_fails_with_a_sentence_and_converges_once_there_is_room() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, keys) = (scene.dir("source")?, ferry.keys()?);
        std::fs::write(source.join("big"), vec![9; 24 << 20])?;
        let small = Mount::tmpfs(&scene.path("small"), 8 << 20)?;
        let destination = small.path().join("volume");
        ferry.sync(&source, &destination, &[])?.exits(1)?.says(&["space"])?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &[])?;
        let sent = ferry.send(&keys, receiver.port, &[("data", &source)], &["--retry-for", "5s"])?.finish(SOON)?;
        sent.exits(1)?.says(&["space"])?;
        trees::small_files(&source.join("many"), 4000, 4)?;
        std::fs::remove_file(source.join("big"))?;
        ferry.sync(&source, &destination, &["--delete"])?.exits(1)?.says(&["space"])?;
        std::fs::remove_dir_all(source.join("many"))?;
        std::fs::write(source.join("fits"), "f")?;
        drop(receiver);
        ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_read_only_destination_fails_with_a_sentence() -> Result<()> {
    within(60, |scene| {
        let (source, real) = (small_source(scene)?, scene.dir("real")?);
        let view = Mount::read_only(&real, &scene.path("view"))?;
        Ferry::new(scene)?.sync(&source, view.path(), &[])?.exits(1)?.says(&["read-only"])?;
        ensure!(std::fs::read_dir(&real)?.next().is_none(), "something was written");
        Ok(())
    })
}

#[test]
fn places_that_cannot_be_copied_are_usage_errors() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let source = small_source(scene)?;
        let inside = source.join("dir-00000");
        let usage = |from: &Path, to: &Path, words: &[&str]| ferry.sync(from, to, &[])?.exits(2)?.says(words);
        usage(&scene.path("missing"), &scene.path("destination"), &["missing"])?;
        usage(&inside, &source, &["inside", "within", "below"])?;
        usage(&source, &inside, &["inside", "within", "below"])?;
        usage(&source, &source, &["same", "inside", "itself"])?;
        ensure!(!scene.path("destination").exists(), "a destination was made for nothing");
        Ok(())
    })
}

#[test]
fn a_missing_source_is_said_before_anything_is_sent() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, fake) = (ferry.keys()?, Fake::start(Habit::Close)?);
        let sent = ferry.send(&keys, fake.port, &[("data", &scene.path("missing"))], &[])?.finish(SOON)?;
        sent.exits(2)?.says(&["missing"])?;
        ensure!(fake.met() == 0, "it connected all the same");
        Ok(())
    })
}

#[test]
fn an_identity_that_cannot_be_read_is_named() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source) = (ferry.keys()?, small_source(scene)?);
        let send = |keys: &Keys| ferry.send(keys, 1, &[("data", &source)], &BRIEFLY)?.finish(SOON)?.exits(2);
        let nowhere = Keys { receiver: scene.path("nowhere"), sender: scene.path("nowhere") };
        send(&nowhere)?.says(&["nowhere"])?;
        std::fs::write(keys.sender.join("tls.key"), "not a key")?;
        send(&keys)?.says(&["tls.key"])?;
        std::fs::remove_file(keys.sender.join("tls.crt"))?;
        send(&keys)?.says(&["tls.crt"])?;
        let receive = ferry.receive_command(ports::free()?, &nowhere, &[("data", &scene.path("destination"))], &[]);
        ferry.start(receive)?.finish(SOON)?.exits(2)?.says(&["nowhere"])
    })
}

#[test]
fn keygen_overwrites_nothing() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let before = std::fs::read(keys.sender.join("tls.key"))?;
        let dir = keys.sender.parent().map(Path::to_owned).unwrap_or_default();
        let again = ferry.plain(&["keygen".as_ref(), dir.as_os_str()])?;
        ensure!(again.process.exit != 0, "it overwrote keys");
        ensure!(std::fs::read(keys.sender.join("tls.key"))? == before, "the key changed");
        Ok(())
    })
}

#[test]
fn strange_visitors_disturb_nobody() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source, destination) = (ferry.keys()?, small_source(scene)?, scene.path("destination"));
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        let mut kept = Vec::new();
        for number in 0..100 {
            let mut stream = TcpStream::connect(("127.0.0.1", receiver.port))?;
            match number % 4 {
                0 => drop(stream),
                1 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?,
                2 => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00")?,
                _ => kept.push(stream),
            }
        }
        ferry.send(&keys, receiver.port, &[("data", &source)], &[])?.finish(SOON)?.exits(0)?;
        let received = receiver.run.finish(SOON)?.exits(0)?;
        ensure!(!received.process.stderr.contains("panicked"), "{}", received.process.stderr);
        compare::equal(&source, &destination)
    })
}
