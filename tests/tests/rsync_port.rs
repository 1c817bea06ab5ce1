//! `rsync --daemon` and its client over rsync's port: the files and command lines of every operator version, each refusal
//! with rsync's number, stock rsync on either side, and what happens to a network meanwhile.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ferry_tests::called::{Called, SOON};
use ferry_tests::command::{Finished, Running, run, tail};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::fakes::{Fake, Habit};
use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::Mount;
use ferry_tests::place::Place;
use ferry_tests::pods::client::{NEW, NEW_TOLD, OLD};
use ferry_tests::pods::conf::{self, Module};
use ferry_tests::pods::version::Version;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Result, ensure, operator, ports, unprivileged};
use rustix::process::Signal;

const MODULE: &str = "0cc175b9c0f1b6a831c399e269772661";
const PASSWORD: &str = "aBcDeF";
/// What will not pass is told by then.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The options of MTC 1.6 to 1.8.
fn new() -> Vec<&'static str> {
    [NEW, NEW_TOLD, &["--exclude=lost+found"]].concat()
}

/// The files and directories of a daemon.
struct Pod<'s> {
    scene: &'s Scene,
    called: Called<'s>,
    port: u16,
    source: PathBuf,
    destination: PathBuf,
    secrets: PathBuf,
}

impl<'s> Pod<'s> {
    fn new(scene: &'s Scene) -> Result<Self> {
        let secrets = scene.path("rsyncd.secrets");
        std::fs::write(&secrets, format!("root:{PASSWORD}\n"))?;
        std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o640))?;
        Ok(Self {
            scene,
            called: Called::new(scene)?,
            port: ports::free()?,
            source: scene.dir("source")?,
            destination: scene.dir("destination")?,
            secrets,
        })
    }

    /// rsyncd.conf of a version, with this pod's files.
    fn conf(&self, version: Version) -> String {
        let path = self.destination.display().to_string();
        let module = Module { name: MODULE.to_owned(), claim: "ns/vol".to_owned(), path };
        conf::rsyncd(version, &[module]).replace(conf::secrets_path(version), &self.secrets.display().to_string())
    }

    /// Of 1.4 and 1.5.
    fn old_conf(&self) -> String {
        self.conf(Version::V15)
    }

    /// Of 1.8, not privileged.
    fn new_conf(&self) -> String {
        self.conf(Version::V18Restricted)
    }

    fn daemon_command(&self, conf: &str) -> Result<Command> {
        let path = self.scene.fresh("rsyncd", ".conf");
        std::fs::write(&path, conf)?;
        let mut command = self.called.command("rsync");
        command.args(["--daemon", "--no-detach", &format!("--port={}", self.port), "-vvv"]);
        command.arg(format!("--config={}", path.display()));
        Ok(command)
    }

    fn daemon(&self, conf: &str) -> Result<Running<'s>> {
        let mut running = self.called.start(&mut self.daemon_command(conf)?)?;
        let port = self.port;
        running.wait_for(SOON, |_, _| ports::is_listening(port).then_some(()))?;
        Ok(running)
    }

    /// A client as 1.6 and later start it: options after operands.
    fn client(&self, options: &[&str], module: &str) -> Command {
        self.client_of(&self.called.path("rsync"), options, module)
    }

    fn client_of(&self, program: &Path, options: &[&str], module: &str) -> Command {
        let mut command = Command::new(program);
        command.env("RSYNC_PASSWORD", PASSWORD).args(options).arg(format!("{}/", self.source.display()));
        command.args([&format!("rsync://root@localhost/{module}"), "--port", &self.port.to_string()]);
        command
    }

    fn copy(&self, options: &[&str]) -> Result<Finished> {
        run(self.scene, &mut self.client(options, MODULE), SOON)
    }

    /// Runs a client that must fail at once with this code and word in its last line.
    fn refused(&self, command: &mut Command, code: i32, word: &str) -> Result<()> {
        let begun = Instant::now();
        let done = run(self.scene, command, SOON)?;
        let took = begun.elapsed();
        ended(&done, code)?;
        let text = done.text();
        let last = text.lines().last().unwrap_or_default();
        ensure!(last.starts_with("rsync error: ") && last.ends_with(&format!("(code {code})")), "{text}");
        ensure!(last.contains(word), "{word:?} is not said: {text}");
        ensure!(took < AT_ONCE, "it took {took:?}: {text}");
        Ok(())
    }
}

fn ended(done: &Finished, code: i32) -> Result<()> {
    ensure!(done.exit == code, "exit {} instead of {code}:\n{}\n{}", done.exit, tail(&done.text()), done.stderr);
    Ok(())
}

#[test]
fn the_files_and_command_lines_of_every_version() -> Result<()> {
    within(120, |scene| {
        let pod = Pod::new(scene)?;
        let mut seed = Seed::new(7_000);
        trees::random(&pod.source, &mut seed, 120)?;
        std::os::unix::fs::symlink("/etc/passwd", pod.source.join("absolute"))?;
        std::os::unix::fs::symlink("nowhere", pod.source.join("dangling"))?;
        std::fs::write(pod.source.join("50%_off"), "half")?;
        let old = [OLD, &["--checksum"]].concat();
        for (conf, options) in [(pod.old_conf(), old), (pod.new_conf(), new())] {
            let daemon = pod.daemon(&conf)?;
            for _ in 0..2 {
                let done = pod.copy(&options)?;
                ended(&done, 0)?;
                operator::reads_always(&done.text())?;
                compare::equal_but(&pod.source, &pod.destination, &[Aspect::Xattrs("")])?;
                trees::edit(&pod.source, &mut seed, 30)?;
            }
            // Port and options before the operands, and the port in the URL, as 1.4 may be told.
            let mut first = Command::new(pod.called.path("rsync"));
            first.env("RSYNC_PASSWORD", PASSWORD).args(options).arg(format!("--port={}", pod.port));
            first.arg(format!("{}/", pod.source.display())).arg(format!("rsync://root@127.0.0.1/{MODULE}"));
            ended(&run(scene, &mut first, SOON)?, 0)?;
            compare::equal_but(&pod.source, &pod.destination, &[Aspect::Xattrs("")])?;
            daemon.signal(Signal::TERM)?;
            ended(&daemon.finish(Duration::from_secs(10))?, 20)?;
        }
        Ok(())
    })
}

#[test]
fn who_may_not_come_in_is_told_so_at_once() -> Result<()> {
    within(120, |scene| {
        let pod = Pod::new(scene)?;
        std::fs::write(pod.source.join("file"), "f")?;
        let elsewhere = pod.new_conf().replace("hosts allow = ::1, 127.0.0.1, localhost", "hosts allow = 10.0.0.0/8");
        let daemon = pod.daemon(&pod.new_conf())?;
        pod.refused(pod.client(&new(), MODULE).env("RSYNC_PASSWORD", "wrong"), 5, "password")?;
        pod.refused(pod.client(&new(), MODULE).env_remove("RSYNC_PASSWORD"), 5, "password")?;
        pod.refused(&mut pod.client(&new(), "other"), 5, "Unknown module")?;
        let mut other_user = pod.called.command("rsync");
        other_user.env("RSYNC_PASSWORD", PASSWORD).args(new()).arg(format!("{}/", pod.source.display()));
        other_user.arg(format!("rsync://mallory@localhost:{}/{MODULE}", pod.port));
        pod.refused(&mut other_user, 5, "password")?;
        ended(&daemon.kill()?, 137)?;
        let _daemon = pod.daemon(&elsewhere)?;
        pod.refused(&mut pod.client(&new(), MODULE), 5, "access denied")?;
        ensure!(std::fs::read_dir(&pod.destination)?.next().is_none(), "something arrived");
        Ok(())
    })
}

#[test]
fn stock_rsync_on_either_side_is_named_at_once() -> Result<()> {
    within(120, |scene| {
        let pod = Pod::new(scene)?;
        std::fs::write(pod.source.join("file"), "f")?;
        let ours = pod.daemon(&pod.new_conf())?;
        let begun = Instant::now();
        let stock = run(scene, &mut pod.client_of(Path::new("/usr/bin/rsync"), &new(), MODULE), SOON)?;
        ensure!(stock.exit != 0 && begun.elapsed() < AT_ONCE, "{} after {:?}", stock.exit, begun.elapsed());
        let said = format!("{}{}", stock.text(), stock.stderr);
        ensure!(said.contains("the source's transfer image is stock rsync"), "{said}");
        ended(&ours.kill()?, 137)?;

        let conf = scene.path("stock.conf");
        std::fs::write(&conf, pod.old_conf())?;
        let mut command = Command::new("/usr/bin/rsync");
        command.args([
            "--daemon",
            "--no-detach",
            &format!("--port={}", pod.port),
            &format!("--config={}", conf.display()),
        ]);
        let _stock = pod.called.start(&mut command)?;
        ports::await_listener(pod.port, SOON)?;
        pod.refused(&mut pod.client(&new(), MODULE), 2, "the destination's transfer image is stock rsync")?;
        ensure!(std::fs::read_dir(&pod.destination)?.next().is_none(), "something arrived");
        Ok(())
    })
}

#[test]
fn probes_are_nothing_and_cost_nothing() -> Result<()> {
    within(60, |scene| {
        let pod = Pod::new(scene)?;
        std::fs::write(pod.source.join("file"), "f")?;
        let daemon = pod.daemon(&pod.new_conf())?;
        let before = daemon.so_far();
        for _ in 0..50 {
            ended(&pod.called.run("nc", &["-z", "localhost", &pod.port.to_string()])?, 0)?;
        }
        ensure!(daemon.so_far() == before, "a probe was told: {:?}", daemon.so_far());
        ended(&pod.copy(&new())?, 0)?;
        compare::equal(&pod.source, &pod.destination)
    })
}

#[test]
fn a_daemon_that_comes_late_or_closes_first_is_waited_for() -> Result<()> {
    within(90, |scene| {
        let pod = Pod::new(scene)?;
        std::fs::write(pod.source.join("file"), "f")?;
        // Nobody, then the daemon.
        let client = pod.called.start(&mut pod.client(&new(), MODULE))?;
        std::thread::sleep(Duration::from_secs(2));
        let daemon = pod.daemon(&pod.new_conf())?;
        ended(&client.finish(Duration::from_secs(30))?, 0)?;
        compare::equal(&pod.source, &pod.destination)?;
        ended(&daemon.kill()?, 137)?;

        // Something that closes every connection, as a tunnel without another side does.
        let fake = Fake::start(Habit::Close)?;
        let mut command = pod.called.command("rsync");
        command.env("RSYNC_PASSWORD", PASSWORD).args(new()).arg(format!("{}/", pod.source.display()));
        command.arg(format!("rsync://root@127.0.0.1:{}/{MODULE}", fake.port));
        let mut client = pod.called.start(&mut command)?;
        std::thread::sleep(Duration::from_secs(3));
        ensure!(client.is_running()?, "it gave up: {:?}", client.so_far());
        ensure!((2..30).contains(&fake.met()), "{} connections in 3 s", fake.met());
        client.signal(Signal::TERM)?;
        let done = client.finish(Duration::from_secs(10))?;
        ended(&done, 20)?;
        // What it waited for was said once, whether a connection was ended or reset.
        let said = done.text().matches("closed the connection before it said anything").count();
        ensure!(said == 1, "{}", done.text());
        operator::reads_always(&done.text())
    })
}

#[test]
fn what_a_tunnel_tells_ends_with_its_number_at_once() -> Result<()> {
    within(60, |scene| {
        let pod = Pod::new(scene)?;
        for (answer, code, word) in [
            (
                &b"@ERROR: ferry-stunnel unreachable: cannot reach route:443: No route to host (os error 113)\n"[..],
                10,
                "No route to host",
            ),
            (b"@ERROR: ferry-stunnel stock: the stunnel at route:443 is stock (TLS 1.2 only)\n", 2, "is stock"),
            (b"@ERROR: ferry-stunnel certificate: delete the Secret x\n", 2, "delete the Secret x"),
            (b"@ERROR: ferry-stunnel proxy: 407 from the proxy\n", 10, "407"),
        ] {
            let fake = Fake::start(Habit::Answer(answer))?;
            let mut command = pod.called.command("rsync");
            command.args(new()).arg(format!("{}/", pod.source.display()));
            command.arg(format!("rsync://root@127.0.0.1:{}/{MODULE}", fake.port));
            pod.refused(&mut command, code, word)?;
        }
        Ok(())
    })
}

#[test]
fn no_way_to_the_host_is_ten_with_the_kernels_words() -> Result<()> {
    within(60, |scene| {
        let pod = Pod::new(scene)?;
        // A network of its own, with a route to nobody.
        for (route, word) in
            [("true", "Network is unreachable"), ("ip route add unreachable 10.99.0.0/16", "No route to host")]
        {
            let script = format!(
                "ip link set lo up && {route} && exec {} -a {}/ rsync://root@10.99.1.1:6443/{MODULE}",
                pod.called.path("rsync").display(),
                pod.source.display()
            );
            let mut command = Command::new("unshare");
            command.args(["--net", "/bin/bash", "-c", &script]);
            pod.refused(&mut command, 10, word)?;
        }
        Ok(())
    })
}

#[test]
fn a_daemon_that_is_killed_and_comes_again_is_gone_on_with() -> Result<()> {
    within(90, |scene| {
        let pod = Pod::new(scene)?;
        Place::open(&pod.source)?.file(b"big", &Seed::new(3).bytes(24 << 20))?;
        trees::small_files(&pod.source, 200, 4)?;
        let daemon = pod.daemon(&pod.new_conf())?;
        let mut client = pod.called.start(&mut pod.client(&[new(), vec!["--bwlimit=4M"]].concat(), MODULE))?;
        client.wait_for(Duration::from_secs(30), |out, _| (operator::read(out).percent? > 15).then_some(()))?;
        ended(&daemon.kill()?, 137)?;
        std::thread::sleep(Duration::from_secs(1));
        let _daemon = pod.daemon(&pod.new_conf())?;
        let done = client.finish(Duration::from_secs(60))?;
        ended(&done, 0)?;
        operator::reads_always(&done.text())?;
        compare::equal(&pod.source, &pod.destination)
    })
}

#[test]
fn a_full_destination_is_eleven_and_the_daemon_goes_on() -> Result<()> {
    within(60, |scene| {
        let pod = Pod::new(scene)?;
        Place::open(&pod.source)?.file(b"big", &Seed::new(4).bytes(4 << 20))?;
        let _small = Mount::tmpfs(&pod.destination, 1 << 20)?;
        let mut daemon = pod.daemon(&pod.new_conf())?;
        let done = pod.copy(&new())?;
        ended(&done, 11)?;
        ensure!(done.text().contains("ENOSPC"), "{}", done.text());
        operator::reads_always(&done.text())?;
        ensure!(daemon.is_running()?, "the daemon ended too");
        std::fs::remove_file(pod.source.join("big"))?;
        std::fs::write(pod.source.join("small"), "s")?;
        ended(&pod.copy(&new())?, 0)?;
        compare::equal_but(&pod.source, &pod.destination, &[Aspect::Root])
    })
}

/// The two clusters decide about their pods apart: here the source's are root and the destination's are not.
#[test]
fn what_a_daemon_that_is_not_root_cannot_keep_is_a_warning() -> Result<()> {
    within(60, |scene| {
        let pod = Pod::new(scene)?;
        std::os::unix::fs::chown(&pod.destination, Some(unprivileged::UID), Some(0))?;
        std::os::unix::fs::chown(&pod.secrets, Some(unprivileged::UID), Some(0))?;
        let from = Place::open(&pod.source)?;
        from.file(b"foreign", b"f")?;
        from.own(b"foreign", 4321, 4321)?;
        let name = scene.path("rsync");
        std::os::unix::fs::symlink(unprivileged::runnable(scene, Ferry::new(scene)?.binary())?, &name)?;
        let told = pod.daemon_command(&pod.new_conf())?;
        let mut command = Command::new(name);
        command.args(told.get_args());
        let mut daemon = pod.called.start(&mut unprivileged::command(&command))?;
        daemon.wait_for(SOON, |_, _| ports::is_listening(pod.port).then_some(()))?;
        let done = pod.copy(&[new(), vec!["--omit-dir-times"]].concat())?;
        ended(&done, 0)?;
        let text = done.text();
        ensure!(text.matches("warning: not kept: ownership").count() == 1, "{text}");
        operator::reads_always(&text)
    })
}

#[test]
fn a_daemon_that_cannot_serve_says_so_before_it_listens() -> Result<()> {
    within(60, |scene| {
        let pod = Pod::new(scene)?;
        let whole = pod.new_conf();
        std::fs::set_permissions(scene.path("source"), std::fs::Permissions::from_mode(0o755))?;
        let missing = whole.replace(&pod.secrets.display().to_string(), "/nonexistent");
        for (conf, code, word) in [
            (whole.replace("read only = false", "read only = perhaps"), 1, "line 17"),
            (whole.replace("list = yes", "hosts deny = *"), 1, "hosts deny"),
            (whole.replace("read only = false", "read only = yes"), 1, "no module"),
            (whole.replace(&pod.destination.display().to_string(), "/nonexistent"), 1, "/nonexistent"),
            (whole.replace("max verbosity = 4", "uid = nobody"), 1, "uid"),
            (missing, 1, "/nonexistent"),
        ] {
            pod.refused(&mut pod.daemon_command(&conf)?, code, word)?;
        }
        std::fs::set_permissions(&pod.secrets, std::fs::Permissions::from_mode(0o644))?;
        pod.refused(&mut pod.daemon_command(&whole)?, 1, "may be read by others")?;
        std::fs::set_permissions(&pod.secrets, std::fs::Permissions::from_mode(0o600))?;
        let _taken = std::net::TcpListener::bind(("::", pod.port))?;
        pod.refused(&mut pod.daemon_command(&whole)?, 10, "cannot listen")
    })
}

#[test]
fn a_user_of_no_name_loses_what_it_must_and_ends_well() -> Result<()> {
    within(90, |scene| {
        let pod = Pod::new(scene)?;
        trees::unprivileged(&pod.source, unprivileged::UID)?;
        // A volume as a cluster prepares it: root's, a group of its own, setgid.
        std::os::unix::fs::chown(&pod.destination, Some(0), Some(0))?;
        std::fs::set_permissions(&pod.destination, std::fs::Permissions::from_mode(0o2775))?;
        let name = scene.path("rsync");
        std::os::unix::fs::symlink(unprivileged::runnable(scene, Ferry::new(scene)?.binary())?, &name)?;
        let as_nobody = |command: &Command| {
            let mut renamed = Command::new(&name);
            renamed.args(command.get_args()).env("RSYNC_PASSWORD", PASSWORD);
            unprivileged::command(&renamed)
        };
        let mut daemon = pod.called.start(&mut as_nobody(&pod.daemon_command(&pod.new_conf())?))?;
        daemon.wait_for(SOON, |_, _| ports::is_listening(pod.port).then_some(()))?;
        let lost = [Aspect::Root, Aspect::Owner, Aspect::SetId, Aspect::Devices, Aspect::Xattrs("")];
        let options = [new(), vec!["--omit-dir-times"]].concat();
        for _ in 0..2 {
            let done = run(scene, &mut as_nobody(&pod.client(&options, MODULE)), SOON)?;
            ended(&done, 0)?;
            let text = done.text();
            ensure!(text.lines().filter(|line| line.starts_with("warning: ")).count() == 1, "{text}");
            operator::reads_always(&text)?;
            compare::equal_but(&pod.source, &pod.destination, &lost)?;
        }
        trees::everything::unreadable(&pod.source)?;
        let done = run(scene, &mut as_nobody(&pod.client(&options, MODULE)), SOON)?;
        ended(&done, 23)?;
        let last = done.text().lines().last().unwrap_or_default().to_owned();
        ensure!(last.contains(&format!("uid {}", unprivileged::UID)) && last.contains("runAsRoot"), "{last}");
        Ok(())
    })
}

#[test]
fn ten_modules_of_one_daemon_at_once() -> Result<()> {
    within(120, |scene| {
        let pod = Pod::new(scene)?;
        let mut conf = "auth users = root\nhosts allow = localhost\nuse chroot = no\n".to_owned();
        for n in 0..10 {
            let (source, destination) = (scene.dir(&format!("source/{n}"))?, scene.dir(&format!("destination/{n}"))?);
            trees::random(&source, &mut Seed::new(8_000 + n), 60)?;
            conf.push_str(&format!(
                "[claim_{n}]\npath = {}\nread only = no\nsecrets file = {}\n",
                destination.display(),
                pod.secrets.display()
            ));
        }
        let _daemon = pod.daemon(&conf)?;
        let mut clients = Vec::new();
        for n in 0..10 {
            let mut command = pod.called.command("rsync");
            command.env("RSYNC_PASSWORD", PASSWORD).args(new()).arg(format!("{}/{n}/", pod.source.display()));
            command.arg(format!("rsync://root@localhost:{}/claim_{n}", pod.port));
            clients.push(pod.called.start(&mut command)?);
        }
        for client in clients {
            ended(&client.finish(SOON)?, 0)?;
        }
        for n in 0..10 {
            let (source, destination) = (format!("source/{n}"), format!("destination/{n}"));
            compare::equal_but(&scene.path(&source), &scene.path(&destination), &[Aspect::Xattrs("")])?;
        }
        Ok(())
    })
}
