//! What ferry's `stunnel` says when there is no way, and that it says so soon, in one line with the right word: stock
//! stunnels and unequal certificates on either side, nobody there, no route, no name, proxies that say no. And that
//! strangers who hold its port do not keep others out.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ferry_tests::command::{Running, high_water_mark, run, until};
use ferry_tests::fakes::{self, Fake, Habit};
use ferry_tests::proxy::{self, Proxy};
use ferry_tests::router::Router;
use ferry_tests::scene::{Scene, within};
use ferry_tests::stunnel::{
    Plain, Which, Whose, apart, ask, ask_inside, by_proxy, certificates, client_conf, client_conf_1_4, command, dial,
    echo, must_echo, server_conf, start, start_command,
};
use ferry_tests::{Context, Result, ensure, ports};

/// What is final is said within this.
const FAST: Duration = Duration::from_secs(5);

/// What a client gets that greets as rsync does: one line, soon, with this word, holding all of these.
fn told(port: u16, kind: &str, words: &[&str]) -> Result<()> {
    let begun = Instant::now();
    let answer = ask(port, b"@RSYNCD: 31.0 ferry1 sha512 md5\n")?;
    ensure!(begun.elapsed() < FAST, "it took {:?}", begun.elapsed());
    let line = answer.strip_suffix('\n').with_context(|| format!("no line: {answer:?}"))?;
    let start = format!("@ERROR: ferry-stunnel {kind}: ");
    ensure!(line.starts_with(&start) && !line.contains('\n'), "not {kind}: {answer:?}");
    for word in words {
        ensure!(line.contains(word), "{word:?} is not in {line:?}");
    }
    Ok(())
}

/// Our client, leading to `to`.
fn client<'s>(scene: &'s Scene, certificates: &Path, to: &str) -> Result<(Running<'s>, u16)> {
    let port = ports::free()?;
    Ok((start(scene, Whose::Ours, &client_conf(certificates, port, to), port)?, port))
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// How often a running stunnel has said a line with this word.
fn times_said(running: &Running<'_>, word: &str) -> usize {
    running.so_far().0.lines().filter(|line| line.contains(word)).count()
}

#[test]
fn a_stock_server_is_named() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (plain, port) = (Plain::start(echo)?, ports::free()?);
        let _stock = start(scene, Whose::Stock, &server_conf(&certificates, port, plain.port), port)?;
        // Its oracle: two of its kind understand each other.
        let other_port = ports::free()?;
        let conf = client_conf(&certificates, other_port, &at(port));
        let _other = start(scene, Whose::Stock, &conf, other_port)?;
        must_echo(other_port)?;
        let (ours, our_port) = client(scene, &certificates, &at(port))?;
        for _ in 0..3 {
            told(our_port, "stock", &["the stunnel of 127.0.0.1", "is stock", "rsync_transfer_image_fqin"])?;
        }
        ensure!(times_said(&ours, "stock") == 1, "not said once: {:?}", ours.so_far());
        ensure!(plain.met() == 1, "bytes went through");
        Ok(())
    })
}

#[test]
fn a_stock_client_is_named_and_soon_refused() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (plain, port) = (Plain::start(echo)?, ports::free()?);
        let server = start(scene, Whose::Ours, &server_conf(&certificates, port, plain.port), port)?;
        let stock_port = ports::free()?;
        let _stock = start(scene, Whose::Stock, &client_conf_1_4(&certificates, stock_port, &at(port)), stock_port)?;
        for _ in 0..3 {
            let begun = Instant::now();
            let mut stream = dial(stock_port)?;
            let _ = stream.write_all(b"@RSYNCD: 31.0\n");
            ensure!(!matches!(stream.read(&mut [0]), Ok(1)), "it was answered");
            ensure!(begun.elapsed() < FAST, "it took {:?}", begun.elapsed());
        }
        until(FAST, "the server says so", || Ok(times_said(&server, "the stunnel of 127.0.0.1 is stock") == 1))?;
        ensure!(plain.met() == 0, "bytes went through");
        Ok(())
    })
}

#[test]
fn unequal_certificates_are_refused_and_both_sides_say_what_to_delete() -> Result<()> {
    within(60, |scene| {
        let shared = certificates(scene, "certs", Which::Shared)?;
        let stale = certificates(scene, "stale", Which::Stale)?;
        let (plain, port) = (Plain::start(echo)?, ports::free()?);
        let server = start(scene, Whose::Ours, &server_conf(&stale, port, plain.port), port)?;
        let (ours, our_port) = client(scene, &shared, &at(port))?;
        let secrets =
            ["directvolumemigration-stunnel-certs", "crane2-stunnel-client-secret", "crane2-stunnel-server-secret"];
        for _ in 0..3 {
            told(our_port, "certificate", &secrets)?;
        }
        ensure!(times_said(&ours, "crane2-stunnel-server-secret") == 1, "{:?}", ours.so_far());
        until(FAST, "the server says so", || Ok(times_said(&server, "crane2-stunnel-server-secret") == 1))?;
        ensure!(plain.met() == 0, "bytes went through");
        Ok(())
    })
}

/// What openssl's client, in TLS 1.3 with these arguments, gets from a server of ours that would send back what it says.
fn s_client(scene: &Scene, port: u16, more: &[&str]) -> Result<String> {
    let mut openssl = Command::new("sh");
    openssl.args(["-c", "(printf 'there and back\\n'; sleep 2) | exec timeout 10 openssl s_client \"$@\" 2>&1", "sh"]);
    openssl.args(["-quiet", "-tls1_3", "-connect", &at(port)]).args(more);
    Ok(run(scene, &mut openssl, Duration::from_secs(20))?.text())
}

#[test]
fn a_client_must_show_the_certificate_and_hold_its_key() -> Result<()> {
    within(60, |scene| {
        let shared = certificates(scene, "certs", Which::Shared)?;
        let stale = certificates(scene, "stale", Which::Stale)?;
        let (plain, port) = (Plain::start(echo)?, ports::free()?);
        let server = start(scene, Whose::Ours, &server_conf(&shared, port, plain.port), port)?;
        let file = |dir: &Path, name: &str| dir.join(name).to_str().unwrap_or_default().to_owned();
        let said = s_client(scene, port, &[])?;
        ensure!(!said.contains("there and back") && plain.met() == 0, "no certificate: {said}");
        let said = s_client(scene, port, &["-cert", &file(&stale, "tls.crt"), "-key", &file(&stale, "tls.key")])?;
        ensure!(!said.contains("there and back") && plain.met() == 0, "another certificate: {said}");
        // The other opinion that the right one does get in, in the same way.
        let said = s_client(scene, port, &["-cert", &file(&shared, "tls.crt"), "-key", &file(&shared, "tls.key")])?;
        ensure!(said.contains("there and back") && plain.met() == 1, "the right one: {said}");
        until(FAST, "both are said", || {
            Ok(times_said(&server, "showed no certificate") == 1 && times_said(&server, "another certificate") == 1)
        })
    })
}

#[test]
fn a_server_with_the_shared_pair_is_believed_and_one_with_another_is_not() -> Result<()> {
    within(60, |scene| {
        // The other opinion on TLS 1.3: openssl's server, which asks for no certificate.
        let shared = certificates(scene, "certs", Which::Shared)?;
        let stale = certificates(scene, "stale", Which::Stale)?;
        for (dir, believed) in [(&shared, true), (&stale, false)] {
            let port = ports::free()?;
            let mut openssl = Command::new("openssl");
            openssl.args(["s_server", "-quiet", "-rev", "-tls1_3", "-accept", &port.to_string()]);
            openssl.arg("-cert").arg(dir.join("tls.crt")).arg("-key").arg(dir.join("tls.key"));
            let _server = start_command(scene, &mut openssl, port)?;
            let (_client, our_port) = client(scene, &shared, &at(port))?;
            if believed {
                let mut stream = dial(our_port)?;
                stream.write_all(b"abc\n")?;
                let mut answer = [0; 4];
                stream.read_exact(&mut answer)?;
                ensure!(&answer == b"cba\n", "{}", answer.escape_ascii());
            } else {
                told(our_port, "certificate", &["showed another certificate"])?;
            }
        }
        Ok(())
    })
}

#[test]
fn nobody_there_is_refused_for_now() -> Result<()> {
    within(120, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (_client, port) = client(scene, &certificates, &at(ports::free()?))?;
        told(port, "refused", &["Connection refused"])?;
        let closing = Fake::start(Habit::Close)?;
        let (_client, port) = client(scene, &certificates, &at(closing.port))?;
        told(port, "refused", &[])?;
        let (_client, port) = client(scene, &certificates, "no-such-host.invalid:443")?;
        told(port, "refused", &["no-such-host.invalid", "cannot be resolved"])?;
        // A server of ours stands, and behind it nobody.
        let server_port = ports::free()?;
        let _server = start(scene, Whose::Ours, &server_conf(&certificates, server_port, ports::free()?), server_port)?;
        let (_client, port) = client(scene, &certificates, &at(server_port))?;
        told(port, "refused", &["Connection refused", "container beside the stunnel"])?;
        // Something that is no TLS will be none in ten minutes either.
        let web = Fake::start(fakes::HTTP)?;
        let (_client, port) = client(scene, &certificates, &at(web.port))?;
        told(port, "stock", &["does not speak TLS"])
    })
}

#[test]
fn a_route_that_does_not_know_the_name_is_refused_for_now() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let router = Router::start(scene, ports::free()?)?;
        let (_client, port) = client(scene, &certificates, &format!("localhost:{}", router.port))?;
        told(port, "refused", &["route"])?;
        // As a cluster's router answers in place of a route it does not have: with a certificate of its own authority.
        let (authority, own) = (scene.dir("authority")?, ports::free()?);
        let made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout a.key -out a.crt -subj /CN=ingress-operator && \
            openssl req -newkey rsa:2048 -nodes -keyout r.key -out r.csr -subj '/CN=*.apps.example.test' && \
            openssl x509 -req -in r.csr -CA a.crt -CAkey a.key -CAcreateserial -out r.crt";
        let done = run(scene, Command::new("sh").args(["-c", made]).current_dir(&authority), Duration::from_secs(30))?;
        ensure!(done.exit == 0, "{}", done.stderr);
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-quiet", "-accept", &own.to_string(), "-cert", "r.crt", "-key", "r.key"]);
        let _router = start_command(scene, openssl.current_dir(&authority), own)?;
        let (_client, port) = client(scene, &certificates, &at(own))?;
        told(port, "refused", &["a router answers in its place"])
    })
}

#[test]
fn no_route_is_unreachable_with_the_kernels_words() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let unreachable = "ip link set lo up; ip route add unreachable 10.9.8.0/24";
        for (before, words) in [("ip link set lo up", "Network is unreachable"), (unreachable, "No route to host")] {
            let port = ports::free()?;
            let (client, _) = command(scene, Whose::Ours, &client_conf(&certificates, port, "10.9.8.7:443"))?;
            let client = start_command(scene, &mut apart(&["--net"], before, &client), port)?;
            let begun = Instant::now();
            let answer = ask_inside(scene, client.pid(), "127.0.0.1", port, "@RSYNCD: 31.0")?;
            ensure!(begun.elapsed() < FAST, "it took {:?}", begun.elapsed());
            ensure!(answer.starts_with("@ERROR: ferry-stunnel unreachable: "), "{answer:?}");
            ensure!(answer.contains(words), "{answer:?}");
        }
        Ok(())
    })
}

#[test]
fn a_proxy_that_says_no_is_told_from_one_that_may_yet() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (plain, server_port) = (Plain::start(echo)?, ports::free()?);
        let _server = start(scene, Whose::Ours, &server_conf(&certificates, server_port, plain.port), server_port)?;
        let proxy = Proxy::start(scene)?;
        let absent = ports::free()?;
        let ours = |to: u16, proxy: u16, credentials| -> Result<(Running<'_>, u16)> {
            let port = ports::free()?;
            let conf = by_proxy(&client_conf(&certificates, port, &at(to)), proxy, credentials);
            Ok((start(scene, Whose::Ours, &conf, port)?, port))
        };
        let right = Some((proxy::USER, proxy::PASSWORD));
        let (_client, port) = ours(server_port, proxy.port, right)?;
        must_echo(port)?;
        for credentials in [None, Some((proxy::USER, "guess"))] {
            let (client, port) = ours(server_port, proxy.port, credentials)?;
            told(port, "proxy", &["user name and a password", "stunnel_tcp_proxy"])?;
            ensure!(!client.so_far().0.contains("guess"), "a password was logged");
        }
        let (_client, port) = ours(absent, proxy.port, right)?;
        told(port, "refused", &["proxy"])?;
        let (_client, port) = ours(server_port, absent, right)?;
        told(port, "refused", &["the proxy", "Connection refused"])?;
        let garbage = Fake::start(fakes::GARBAGE)?;
        let (_client, port) = ours(server_port, garbage.port, right)?;
        told(port, "proxy", &["not HTTP"])
    })
}

#[test]
fn strangers_at_the_port_do_not_keep_others_out() -> Result<()> {
    within(120, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (plain, port) = (Plain::start(echo)?, ports::free()?);
        let server = start(scene, Whose::Ours, &server_conf(&certificates, port, plain.port), port)?;
        let (client, client_port) = client(scene, &certificates, &at(port))?;
        // Half-open ones at both ports, more than are let in; some say the beginning of a hello, byte by byte.
        let mut silent = Vec::new();
        for number in 0..300 {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            if number % 3 == 0 {
                stream.write_all(&[0x16, 3])?;
            }
            silent.push(stream);
            silent.push(TcpStream::connect(("127.0.0.1", client_port))?);
        }
        let begun = Instant::now();
        for _ in 0..5 {
            must_echo(client_port)?;
        }
        ensure!(begun.elapsed() < FAST, "it took {:?}", begun.elapsed());
        // What was let in is bounded, and what is slow is cut.
        let descriptors = |running: &Running<'_>| -> Result<usize> {
            Ok(std::fs::read_dir(format!("/proc/{}/fd", running.pid()))?.count())
        };
        ensure!(descriptors(&server)? < 300 && descriptors(&client)? < 300, "all were let in");
        until(Duration::from_secs(20), "slow handshakes are cut", || Ok(descriptors(&server)? < 40))?;
        must_echo(client_port)
    })
}

#[test]
fn tunnels_and_their_memory_are_bounded() -> Result<()> {
    const TUNNELS: usize = 512;
    const PIECE: usize = 150_000;
    within(240, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (plain, port) = (Plain::start(echo)?, ports::free()?);
        let server = start(scene, Whose::Ours, &server_conf(&certificates, port, plain.port), port)?;
        let (client, client_port) = client(scene, &certificates, &at(port))?;
        let mut tunnels = Vec::new();
        let piece = vec![7; PIECE];
        // Some at a time: who has not finished the handshake is a stranger, and strangers are fewer.
        for _ in 0..TUNNELS / 64 {
            let mut some = (0..64).map(|_| dial(client_port)).collect::<Result<Vec<_>>>()?;
            for stream in &mut some {
                stream.write_all(&piece)?;
            }
            for stream in &mut some {
                let mut back = vec![0; PIECE];
                stream
                    .read_exact(&mut back)
                    .with_context(|| back.escape_ascii().take(300).map(char::from).collect::<String>())?;
            }
            tunnels.append(&mut some);
        }
        // All stand and wait: one more is told so, soon.
        told(client_port, "refused", &["too many connections"])?;
        for running in [&client, &server] {
            let peak = high_water_mark(running.pid()).context("no figures")?;
            ensure!(peak < 512 << 20, "{peak} bytes for {TUNNELS} tunnels");
        }
        // And when one has ended there is room for another.
        tunnels.pop();
        until(FAST, "a place is free again", || Ok(must_echo(client_port).is_ok()))
    })
}

#[test]
fn noise_at_the_port_is_no_news() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let port = ports::free()?;
        let server = start(scene, Whose::Ours, &server_conf(&certificates, port, ports::free()?), port)?;
        until(FAST, "it said where it listens", || Ok(server.so_far().0.contains("TLS connections")))?;
        let before = server.so_far().0.lines().count();
        for noise in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0", b"\x16\x03\x01\xff\xff", &[0xff; 70_000], b"@RSYNCD: 31.0\n"]
        {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            let _ = stream.write_all(noise);
        }
        std::thread::sleep(Duration::from_millis(500));
        ensure!(server.so_far().0.lines().count() == before, "{:?}", server.so_far());
        Ok(())
    })
}

#[test]
fn a_listener_that_never_answers_is_given_up() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let (_client, port) = client(scene, &certificates, &at(silent.local_addr()?.port()))?;
        let begun = Instant::now();
        let answer = ask(port, b"x")?;
        ensure!(answer.contains("ferry-stunnel refused: no answer"), "{answer:?}");
        ensure!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
        Ok(())
    })
}
