//! A peer of another version, or of no version at all, is told which versions there are and refused; openssl plays the peer,
//! with the right certificates.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::scene::within;
use ferry_tests::{Context, Result, ensure, ports, trees};

/// The preamble of PROTOCOL.md 1.3 with versions that will never be.
const FAR_FUTURE: [u8; 12] = *b"ferry\0\r\n\xff\xf0\xff\xff";
const NOT_FERRY: [u8; 12] = *b"yrref\0\r\n\0\x01\0\x01";

#[test]
fn a_receiver_refuses_a_sender_of_another_version_and_lives_on() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source, destination) = (ferry.keys()?, scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 20, 2)?;
        let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once"])?;
        for preamble in [FAR_FUTURE, NOT_FERRY, [0; 12]] {
            let mut client = Command::new("openssl");
            client.args(["s_client", "-quiet", "-tls1_3", "-connect", &format!("127.0.0.1:{}", receiver.port)]);
            client.arg("-cert").arg(keys.sender.join("tls.crt")).arg("-key").arg(keys.sender.join("tls.key"));
            client.arg("-CAfile").arg(keys.sender.join("ca.crt"));
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut client = client.spawn().context("is openssl installed?")?;
            scene.watch(client.id());
            let mut input = client.stdin.take().context("no standard input")?;
            input.write_all(&preamble)?;
            input.flush()?;
            // The receiver must close; standard input stays open meanwhile, so that the client does not.
            let (id, output) = (client.id(), client.wait_with_output()?);
            scene.forget(id);
            drop(input);
            ensure!(output.stdout.starts_with(b"ferry\0\r\n"), "no preamble came back: {:?}", output.stdout);
            ensure!(output.stdout.len() < 4096, "{} bytes came back", output.stdout.len());
        }
        ferry.send(&keys, receiver.port, &[("data", &source)], &[])?.finish(SOON)?.exits(0)?;
        receiver.run.finish(SOON)?.exits(0).map(drop)
    })
}

#[test]
fn a_sender_refuses_a_receiver_of_another_version() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source, port) = (ferry.keys()?, scene.path("source"), ports::free()?);
        trees::small_files(&source, 20, 2)?;
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-tls1_3", "-Verify", "1", "-accept", &port.to_string()]);
        server.arg("-cert").arg(keys.receiver.join("tls.crt")).arg("-key").arg(keys.receiver.join("tls.key"));
        server.arg("-CAfile").arg(keys.receiver.join("ca.crt"));
        server.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = server.spawn().context("is openssl installed?")?;
        scene.watch(server.id());
        ports::await_listener(port, Duration::from_secs(10))?;
        let sender = ferry.send(&keys, port, &[("data", &source)], &["--retry-for", "5s"])?;
        // What is written before the handshake is over would be lost.
        std::thread::sleep(Duration::from_secs(1));
        let mut input = server.stdin.take().context("no standard input")?;
        input.write_all(&FAR_FUTURE)?;
        input.flush()?;
        let done = sender.finish(SOON);
        server.kill()?;
        server.wait()?;
        scene.forget(server.id());
        done?.exits(6)?.says(&["version"])
    })
}
