//! ferry as `stunnel`: every configuration the operator renders carries bytes whole, both ways, through a route and through
//! a proxy; it costs nothing where nobody speaks, leaves a daemon behind, and ends when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ferry_tests::command::{Running, run, until};
use ferry_tests::ferry::HOST;
use ferry_tests::proxy::{self, Proxy};
use ferry_tests::router::Router;
use ferry_tests::scene::{Scene, within};
use ferry_tests::stunnel::{
    Plain, Which, Whose, apart, ask_inside, await_end, by_proxy, called, certificates, client_conf, client_conf_1_4,
    client_conf_1_5, client_conf_1_6, command, cpu_ticks, daemons_of, dial, echo, must_echo, server_conf, signal,
    start, start_command,
};
use ferry_tests::{Context, Result, bail, ensure, ports, unprivileged};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(20);

/// A server before a plain server, both ours.
struct Ends<'s> {
    plain: Plain,
    server: Running<'s>,
    port: u16,
    certificates: std::path::PathBuf,
}

impl<'s> Ends<'s> {
    fn start(scene: &'s Scene, serve: fn(TcpStream) -> std::io::Result<()>) -> Result<Self> {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let (plain, port) = (Plain::start(serve)?, ports::free()?);
        let server = start(scene, Whose::Ours, &server_conf(&certificates, port, plain.port), port)?;
        Ok(Self { plain, server, port, certificates })
    }

    fn client(&self, scene: &'s Scene) -> Result<(Running<'s>, u16)> {
        let port = ports::free()?;
        let conf = client_conf(&self.certificates, port, &format!("127.0.0.1:{}", self.port));
        Ok((start(scene, Whose::Ours, &conf, port)?, port))
    }
}

/// Runs `stunnel FILE`, which leaves a daemon behind; the daemon's pid.
fn detached(scene: &Scene, conf: &str) -> Result<u32> {
    let (mut command, file) = command(scene, Whose::Ours, conf)?;
    // The daemon keeps standard output, so a pipe to us would never end.
    command.stdout(std::fs::File::create(log_of(&file))?);
    let begun = Instant::now();
    let status = command.stdin(std::process::Stdio::null()).status()?;
    ensure!(status.success() && begun.elapsed() < SOON, "{status} after {:?}", begun.elapsed());
    let daemons = daemons_of(&file);
    let [daemon] = daemons[..] else { bail!("daemons: {daemons:?}") };
    scene.watch(daemon);
    Ok(daemon)
}

fn log_of(file: &Path) -> std::path::PathBuf {
    file.with_extension("log")
}

#[test]
fn every_form_of_the_operator_carries_bytes() -> Result<()> {
    within(120, |scene| {
        let ends = Ends::start(scene, echo)?;
        let proxy = Proxy::start(scene)?;
        let to = format!("localhost:{}", ends.port);
        for (version, form) in [
            ("1.4", client_conf_1_4 as fn(&Path, u16, &str) -> String),
            ("1.5", client_conf_1_5),
            ("1.6", client_conf_1_6),
        ] {
            for proxied in [false, true] {
                let port = ports::free()?;
                let mut conf = form(&ends.certificates, port, &to);
                if proxied {
                    conf = by_proxy(&conf, proxy.port, Some((proxy::USER, proxy::PASSWORD)));
                }
                let context = || format!("{version}, proxied: {proxied}");
                if conf.contains("foreground") {
                    let _client = start(scene, Whose::Ours, &conf, port).with_context(context)?;
                    must_echo(port).with_context(context)?;
                } else {
                    let daemon = detached(scene, &conf).with_context(context)?;
                    // It returned, so it listens: no waiting here.
                    must_echo(port).with_context(context)?;
                    signal(daemon, Signal::TERM)?;
                    await_end(daemon, SOON)?;
                    scene.forget(daemon);
                }
            }
        }
        ensure!(proxy.log().contains("CONNECT"), "the proxy was not asked: {}", proxy.log());
        Ok(())
    })
}

#[test]
fn localhost_is_both_families_and_nothing_else() -> Result<()> {
    within(60, |scene| {
        let ends = Ends::start(scene, echo)?;
        let port = ports::free()?;
        let conf = client_conf_1_5(&ends.certificates, port, &format!("127.0.0.1:{}", ends.port));
        let _client = start(scene, Whose::Ours, &format!("foreground = yes\n{conf}"), port)?;
        for near in ["127.0.0.1", "127.7.7.7", "[::1]"] {
            let mut stream = TcpStream::connect(format!("{near}:{port}"))?;
            stream.set_read_timeout(Some(SOON))?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0]).with_context(|| format!("by {near}"))?;
        }
        // An address of this machine that is not the loopback's gets no word, not even what is wrong upstream.
        let port = ports::free()?;
        let conf = client_conf_1_5(&ends.certificates, port, &format!("127.0.0.1:{}", ports::free()?));
        let (client, _) = command(scene, Whose::Ours, &format!("foreground = yes\n{conf}"))?;
        let mut client = apart(&["--net"], "ip link set lo up; ip addr add 10.9.8.7/32 dev lo", &client);
        let client = start_command(scene, &mut client, port)?;
        let answer = |address| ask_inside(scene, client.pid(), address, port, "x");
        ensure!(answer("127.0.0.1")?.contains("Connection refused"), "{}", answer("127.0.0.1")?);
        ensure!(answer("10.9.8.7")?.is_empty(), "{}", answer("10.9.8.7")?);
        Ok(())
    })
}

/// Bytes that differ wherever one looks.
fn pattern(len: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new().finalize_xof();
    let mut bytes = vec![0; len];
    hasher.fill(&mut bytes);
    bytes
}

#[test]
fn large_streams_cross_both_ways_whole() -> Result<()> {
    within(120, |scene| {
        let ends = Ends::start(scene, echo)?;
        let (_client, port) = ends.client(scene)?;
        let mut stream = dial(port)?;
        let mut sending = stream.try_clone()?;
        let bytes = pattern(200_000_003);
        let expected = blake3::hash(&bytes);
        let sender = std::thread::spawn(move || {
            sending.write_all(&bytes)?;
            sending.shutdown(Shutdown::Write)
        });
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            };
        }
        sender.join().map_err(|_| ferry_tests::anyhow!("the sender panicked"))??;
        ensure!(hasher.finalize() == expected, "other bytes came back");
        Ok(())
    })
}

#[test]
fn many_connections_at_once_do_not_mix() -> Result<()> {
    within(120, |scene| {
        let ends = Ends::start(scene, echo)?;
        let (_client, port) = ends.client(scene)?;
        let threads: Vec<_> = (0..100_u32)
            .map(|number| {
                std::thread::spawn(move || {
                    let bytes = blake3::hash(&number.to_le_bytes()).as_bytes().repeat(4_000);
                    let mut stream = dial(port)?;
                    let mut sending = stream.try_clone()?;
                    let sent = bytes.clone();
                    let sender = std::thread::spawn(move || {
                        sending.write_all(&sent)?;
                        sending.shutdown(Shutdown::Write)
                    });
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back)?;
                    ensure!(sender.join().is_ok_and(|sent| sent.is_ok()) && back == bytes, "connection {number}");
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| ferry_tests::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

/// Reads to the end, waits longer than a router leaves half a connection, and then answers.
fn answer_late(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = Vec::new();
    stream.read_to_end(&mut asked)?;
    std::thread::sleep(Duration::from_millis(2500));
    stream.write_all(format!("{} bytes", asked.len()).as_bytes())
}

#[test]
fn half_a_connection_may_end_behind_a_route() -> Result<()> {
    within(60, |scene| {
        let ends = Ends::start(scene, answer_late)?;
        let router = Router::start(scene, ends.port)?;
        let hosts = scene.path("hosts");
        std::fs::write(&hosts, format!("127.0.0.1 localhost {HOST}\n"))?;
        let port = ports::free()?;
        // The name in capitals: a router is asked in lower case.
        let conf = client_conf(&ends.certificates, port, &format!("{}:{}", HOST.to_uppercase(), router.port));
        let (client, _) = command(scene, Whose::Ours, &conf)?;
        let mut client = apart(&["--mount"], &format!("mount --bind {} /etc/hosts", hosts.display()), &client);
        let _client = start_command(scene, &mut client, port)?;
        let mut stream = dial(port)?;
        stream.write_all(&[7; 1000])?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer == "1000 bytes", "{answer}\n{}", router.log());
        Ok(())
    })
}

/// Says something and closes at once, with bytes unread.
fn rebuff(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(b"@ERROR: auth failed on module m\n")
}

#[test]
fn what_a_server_said_last_arrives_although_it_did_not_listen() -> Result<()> {
    within(60, |scene| {
        let ends = Ends::start(scene, rebuff)?;
        let (_client, port) = ends.client(scene)?;
        for _ in 0..20 {
            let mut stream = dial(port)?;
            // More than it reads: its end is a reset. Our own last writes may meet that.
            let _ = stream.write_all(&[1; 300_000]);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            ensure!(answer.starts_with(b"@ERROR: auth failed"), "{}", answer.escape_ascii());
        }
        Ok(())
    })
}

/// Answers a byte and then waits for the other side to end or break.
fn linger(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(b"y")?;
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

#[test]
fn a_tunnel_that_breaks_does_not_look_like_one_that_ended() -> Result<()> {
    within(60, |scene| {
        let ends = Ends::start(scene, linger)?;
        let (_client, port) = ends.client(scene)?;
        let mut stream = dial(port)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        let begun = Instant::now();
        ends.server.kill()?;
        let end = stream.read(&mut [0]);
        ensure!(end.is_err() && begun.elapsed() < Duration::from_secs(5), "{end:?} after {:?}", begun.elapsed());
        Ok(())
    })
}

#[test]
fn who_says_nothing_costs_nothing() -> Result<()> {
    within(60, |scene| {
        // Where the client leads, a plain server counts instead of a tunnel.
        let counting = Plain::start(echo)?;
        let ends = Ends::start(scene, echo)?;
        let port = ports::free()?;
        let conf = client_conf(&ends.certificates, port, &format!("127.0.0.1:{}", counting.port));
        let client = start(scene, Whose::Ours, &conf, port)?;
        let lines = |running: &Running<'_>| running.so_far().0.lines().count();
        // The last line that is said at the start may still be on its way.
        until(SOON, "both said where they listen", || {
            Ok(client.so_far().0.contains("plain connections") && ends.server.so_far().0.contains("TLS connections"))
        })?;
        let before = (lines(&client), lines(&ends.server));
        for _ in 0..50 {
            drop(dial(port)?);
            drop(dial(ends.port)?);
        }
        // One that waits, and is served when it speaks.
        let waiting = dial(port)?;
        std::thread::sleep(Duration::from_millis(500));
        ensure!((lines(&client), lines(&ends.server)) == before, "probes were logged: {:?}", client.so_far());
        ensure!(counting.met() == 0 && ends.plain.met() == 0, "probes went through");
        drop(waiting);
        // And the real one is seen.
        let mut real = dial(port)?;
        real.write_all(b"x")?;
        until(SOON, "the first byte connects", || Ok(counting.met() == 1))
    })
}

#[test]
fn it_sleeps_while_tunnels_idle() -> Result<()> {
    within(60, |scene| {
        let ends = Ends::start(scene, echo)?;
        let (client, port) = ends.client(scene)?;
        let mut idle = Vec::new();
        for _ in 0..10 {
            let mut stream = dial(port)?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
            idle.push(stream);
        }
        // Half ended, too: one that polls an end again and again would burn a core.
        idle[0].shutdown(Shutdown::Write)?;
        std::thread::sleep(Duration::from_millis(300));
        let before = (cpu_ticks(client.pid())?, cpu_ticks(ends.server.pid())?);
        std::thread::sleep(Duration::from_secs(3));
        let used = (cpu_ticks(client.pid())? - before.0, cpu_ticks(ends.server.pid())? - before.1);
        ensure!(used.0 <= 2 && used.1 <= 2, "hundredths of a second in three: {used:?}");
        Ok(())
    })
}

#[test]
fn a_daemon_heeds_its_signals_and_keeps_the_output() -> Result<()> {
    within(60, |scene| {
        let ends = Ends::start(scene, echo)?;
        let port = ports::free()?;
        let conf = client_conf_1_6(&ends.certificates, port, &format!("127.0.0.1:{}", ends.port));
        let (mut command, file) = command(scene, Whose::Ours, &conf)?;
        let log = log_of(&file);
        command.stdout(std::fs::File::create(&log)?).stdin(std::process::Stdio::null());
        ensure!(command.status()?.success(), "it did not start");
        let daemon = daemons_of(&file)[0];
        scene.watch(daemon);
        signal(daemon, Signal::HUP)?;
        must_echo(port)?;
        signal(daemon, Signal::TERM)?;
        await_end(daemon, Duration::from_secs(3))?;
        scene.forget(daemon);
        let said = std::fs::read_to_string(&log)?;
        ensure!(said.contains("plain connections at port") && said.contains("ended by SIGTERM"), "{said}");
        ensure!(said.lines().count() < 8, "too many lines: {said}");
        // And nobody is left at the port.
        ensure!(!ports::is_listening(port), "the port is still taken");
        Ok(())
    })
}

#[test]
fn it_needs_no_privilege_and_no_passwd_entry() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        unprivileged::own_all(&certificates)?;
        let binary = unprivileged::runnable(scene, &called(scene, "stunnel")?)?;
        let plain = Plain::start(echo)?;
        let (port, server_port) = (ports::free()?, ports::free()?);
        let start = |conf: &str, port: u16| -> Result<Running<'_>> {
            let (_, file) = command(scene, Whose::Ours, conf)?;
            let mut command = Command::new("bash");
            // As its name is what makes it stunnel.
            command.args(["-c", &format!("exec -a stunnel {} {}", binary.display(), file.display())]);
            start_command(scene, &mut unprivileged::command(&command), port)
        };
        let _server = start(&server_conf(&certificates, server_port, plain.port), server_port)?;
        let client = start(&client_conf(&certificates, port, &format!("127.0.0.1:{server_port}")), port)?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", client.pid()))?;
        ensure!(status.contains(&format!("Uid:\t{}", unprivileged::UID)), "{status}");
        must_echo(port)
    })
}

#[test]
fn as_the_first_process_it_ends_when_told() -> Result<()> {
    within(60, |scene| {
        for signal_sent in [Signal::TERM, Signal::INT] {
            let certificates = certificates(scene, "certs", Which::Shared)?;
            let port = ports::free()?;
            let (server, file) = command(scene, Whose::Ours, &server_conf(&certificates, port, ports::free()?))?;
            let mut server = apart(&["--pid", "--fork", "--kill-child"], ":", &server);
            let outer = start_command(scene, &mut server, port)?;
            let inner = daemons_of(&file).into_iter().find(|pid| {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
            });
            signal(inner.context("no first process")?, signal_sent)?;
            let done = outer.finish(Duration::from_secs(5))?;
            ensure!(done.exit == 0, "exit {}: {}", done.exit, done.stderr);
        }
        Ok(())
    })
}

#[test]
fn a_start_that_fails_exits_1_with_a_sentence() -> Result<()> {
    within(60, |scene| {
        let certificates = certificates(scene, "certs", Which::Shared)?;
        let stale = ferry_tests::stunnel::certificates(scene, "stale", Which::Stale)?;
        let taken = std::net::TcpListener::bind("0.0.0.0:0")?;
        let port = taken.local_addr()?.port();
        let free = ports::free()?;
        let good = client_conf_1_6(&certificates, free, "h:1");
        let key = format!("{}/tls.key", certificates.display());
        for (conf, word) in [
            (client_conf_1_6(&certificates, port, "h:1"), "Address already in use"),
            (format!("foreground = yes\n{}", client_conf_1_6(&certificates, port, "h:1")), "Address already in use"),
            (good.replace("accept =", "accept"), "line 9"),
            (good.replace("tls.key", "absent.key"), "absent.key"),
            (good.replace("tls.crt", "tls.key"), "no usable certificate"),
            (good.replace(&key, &format!("{}/tls.key", stale.display())), "same Secret"),
            // The second port is the daemon's to bind; whoever waits hears of it all the same.
            (
                format!(
                    "{good}[b]\naccept = {port}\ncert = {}/tls.crt\nkey = {key}\nconnect = h:1\n",
                    certificates.display()
                ),
                "[b]",
            ),
        ] {
            let (mut command, file) = command(scene, Whose::Ours, &conf)?;
            let done = run(scene, &mut command, SOON)?;
            ensure!(done.exit == 1 && done.stderr.contains(word), "{word}: exit {}, {}", done.exit, done.stderr);
            ensure!(done.stderr.lines().count() == 1 && done.stderr.starts_with("stunnel: "), "{}", done.stderr);
            ensure!(daemons_of(&file).is_empty(), "a daemon is left: {word}");
        }
        let mut absent = Command::new(called(scene, "stunnel")?);
        let done = run(scene, absent.arg(scene.path("absent.conf")), SOON)?;
        ensure!(done.exit == 1 && done.stderr.contains("absent.conf"), "exit {}, {}", done.exit, done.stderr);
        Ok(())
    })
}

#[test]
fn the_done_file_is_made_when_the_client_is_gone_and_not_before_one_came() -> Result<()> {
    const MADE: &str = "usr/share/rsync/rsync-client-container-done";
    within(120, |scene| {
        let ends = Ends::start(scene, echo)?;
        let start = |prepare: &str| -> Result<(Running<'_>, u16)> {
            let port = ports::free()?;
            let conf = client_conf(&ends.certificates, port, &format!("127.0.0.1:{}", ends.port));
            let (client, _) = command(scene, Whose::Ours, &conf)?;
            let before = format!("mount -t tmpfs none /usr/share && {prepare}");
            Ok((start_command(scene, &mut apart(&["--mount"], &before, &client), port)?, port))
        };
        let made =
            |client: &Running<'_>, file: &str| Path::new(&format!("/proc/{}/root/{file}", client.pid())).exists();
        let (served, port) = start("mkdir /usr/share/rsync")?;
        let (probed, probed_port) = start("mkdir /usr/share/rsync /usr/share/rsync-stunnel-mgmt")?;
        let (block, block_port) = start("mkdir /usr/share/stunnel-communication")?;
        drop(dial(probed_port)?);
        must_echo(block_port)?;
        let staying = dial(port)?;
        must_echo(port)?;
        let gone = Instant::now();
        // One that says nothing is no client, and does not keep the pod alive.
        std::thread::sleep(Duration::from_secs(25));
        ensure!(!made(&served, MADE), "made too early");
        until(Duration::from_secs(15), "the done-file is made", || Ok(made(&served, MADE)))?;
        ensure!(gone.elapsed() >= Duration::from_secs(29), "after {:?} already", gone.elapsed());
        drop(staying);
        ensure!(!made(&probed, MADE), "made before a first client");
        let others = std::fs::read_dir(format!("/proc/{}/root/usr/share", block.pid()))?.count();
        ensure!(others == 1 && !made(&block, MADE), "something was made for the block path");
        // And it goes on serving.
        must_echo(port)
    })
}
