//! The binary under test, by its command line: keys, receivers, senders, sync and verify, each with a report that is read
//! back. It refuses to build the binary: a missing one is a failure that says how.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{Finished, Running, run, tail};
use crate::ports;
use crate::report::Report;
use crate::scene::Scene;

/// The host that the router forwards and certificates name.
pub const HOST: &str = "transfer.apps.example.test";
/// How long one run of a small tree may take.
pub const SOON: Duration = Duration::from_secs(60);

/// The binary, on one scene.
#[derive(Debug)]
pub struct Ferry<'s> {
    scene: &'s Scene,
    binary: PathBuf,
}

/// Two identities that trust each other.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The directory of the receiver's `tls.crt`, `tls.key`, `ca.crt`.
    pub receiver: PathBuf,
    /// The sender's.
    pub sender: PathBuf,
}

/// A run of ferry under way.
#[derive(Debug)]
pub struct Run<'s> {
    /// The process.
    pub process: Running<'s>,
    report: PathBuf,
}

/// A receiver under way.
#[derive(Debug)]
pub struct Receiver<'s> {
    /// The process.
    pub run: Run<'s>,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

/// A run of ferry that ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// The process' end.
    pub process: Finished,
    report: Option<Report>,
}

impl<'s> Ferry<'s> {
    /// Finds the binary: `FERRY_BIN`, or `ferry` beside the test's own target directory.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(scene: &'s Scene) -> Result<Self> {
        let binary = match std::env::var_os("FERRY_BIN") {
            Some(path) => PathBuf::from(path),
            // target/PROFILE/deps/TEST -> target/PROFILE/ferry
            None => std::env::current_exe()?.ancestors().nth(2).context("no target directory")?.join("ferry"),
        };
        ensure!(binary.is_file(), "{} is missing: run `cargo build` first, or set FERRY_BIN", binary.display());
        Ok(Self { scene, binary })
    }

    /// The binary's path.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// A command with a clean environment as far as ferry looks at it.
    #[must_use]
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(subcommand).env_remove("FERRY_TICKET").env_remove("RUST_LOG").env("NO_COLOR", "1");
        command
    }

    /// Starts `command` with a report.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, mut command: Command) -> Result<Run<'s>> {
        let report = self.report_path();
        command.arg("--report").arg(&report);
        Ok(Run { process: Running::start(self.scene, &mut command)?, report })
    }

    /// A fresh path for a report.
    #[must_use]
    pub fn report_path(&self) -> PathBuf {
        self.scene.fresh("report", ".json")
    }

    /// `ferry keygen` for the router's host.
    ///
    /// # Errors
    /// When it fails.
    pub fn keys(&self) -> Result<Keys> {
        let dir = self.scene.fresh("keys", "");
        let mut command = self.command("keygen");
        command.arg(&dir).args(["--host", HOST]);
        let done = run(self.scene, &mut command, SOON)?;
        ensure!(done.exit == 0, "keygen ended with {}: {}", done.exit, done.stderr);
        Ok(Keys { receiver: dir.join("receiver"), sender: dir.join("sender") })
    }

    /// Starts a receiver on a free port and waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen in time.
    pub fn receive(&self, keys: &Keys, volumes: &[(&str, &Path)], more: &[&str]) -> Result<Receiver<'s>> {
        self.receive_on(ports::free()?, keys, volumes, more)
    }

    /// Starts a receiver on this port and waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen in time.
    pub fn receive_on(&self, port: u16, keys: &Keys, volumes: &[(&str, &Path)], more: &[&str]) -> Result<Receiver<'s>> {
        let mut run = self.start(self.receive_command(port, keys, volumes, more))?;
        run.process.wait_for(Duration::from_secs(10), |_, _| ports::is_listening(port).then_some(()))?;
        Ok(Receiver { run, port })
    }

    /// The command of a receiver.
    #[must_use]
    pub fn receive_command(&self, port: u16, keys: &Keys, volumes: &[(&str, &Path)], more: &[&str]) -> Command {
        let mut command = self.command("receive");
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--identity").arg(&keys.receiver);
        add_volumes(&mut command, volumes);
        command.args(more);
        command
    }

    /// The command of a sender; it gives up after 30 s unless `more` says otherwise.
    #[must_use]
    pub fn send_command(&self, keys: &Keys, port: u16, volumes: &[(&str, &Path)], more: &[&str]) -> Command {
        let mut command = self.command("send");
        command.arg("--to").arg(format!("127.0.0.1:{port}")).arg("--identity").arg(&keys.sender);
        add_volumes(&mut command, volumes);
        if !more.contains(&"--server-name") {
            command.args(["--server-name", HOST]);
        }
        if !more.contains(&"--retry-for") {
            command.args(["--retry-for", "30s"]);
        }
        command.args(more);
        command
    }

    /// Starts a sender.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn send(&self, keys: &Keys, port: u16, volumes: &[(&str, &Path)], more: &[&str]) -> Result<Run<'s>> {
        self.start(self.send_command(keys, port, volumes, more))
    }

    /// One volume from `source` to `destination` over the network: a receiver with `--once`, a sender with `more`, both to
    /// their ends. The sender's end comes first.
    ///
    /// # Errors
    /// When one cannot be started or takes too long.
    pub fn transfer(&self, keys: &Keys, source: &Path, destination: &Path, more: &[&str]) -> Result<(Done, Done)> {
        let receiver = self.receive(keys, &[("data", destination)], &["--once"])?;
        let sent = self.send(keys, receiver.port, &[("data", source)], more)?.finish(SOON)?;
        let received = receiver.run.finish(Duration::from_secs(30)).with_context(|| sent.process.stderr.clone())?;
        Ok((sent, received))
    }

    /// `ferry sync`, to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    pub fn sync(&self, source: &Path, destination: &Path, more: &[&str]) -> Result<Done> {
        let mut command = self.command("sync");
        command.arg(source).arg(destination).args(more);
        self.start(command)?.finish(SOON)
    }

    /// `ferry verify`, to its end; it takes no report.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    pub fn verify(&self, source: &Path, destination: &Path, more: &[&str]) -> Result<Done> {
        let mut command = self.command("verify");
        command.arg(source).arg(destination).args(more);
        Ok(Done { process: run(self.scene, &mut command, SOON)?, report: None })
    }

    /// Any command line, to its end, without a report.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    pub fn plain(&self, args: &[&OsStr]) -> Result<Done> {
        let (first, rest) = args.split_first().context("no arguments")?;
        let mut command = self.command(&first.to_string_lossy());
        command.args(rest);
        Ok(Done { process: run(self.scene, &mut command, SOON)?, report: None })
    }
}

/// Adds `--volume NAME=PATH` for each.
pub fn add_volumes(command: &mut Command, volumes: &[(&str, &Path)]) {
    for (name, path) in volumes {
        let mut pair = OsString::from(name);
        pair.push("=");
        pair.push(path);
        command.arg("--volume").arg(pair);
    }
}

impl Run<'_> {
    /// Waits for the end and reads the report.
    ///
    /// # Errors
    /// When it takes longer than `limit` or the report is not what was promised.
    pub fn finish(self, limit: Duration) -> Result<Done> {
        let process = self.process.finish(limit)?;
        let report = Report::read(&self.report).with_context(|| tail(&process.stderr).to_owned())?;
        Ok(Done { process, report })
    }
}

impl Done {
    /// Fails unless this was the exit code; hands itself on.
    ///
    /// # Errors
    /// When it ended otherwise; what it printed is in the message.
    pub fn exits(self, code: i32) -> Result<Self> {
        self.exits_one_of(&[code])
    }

    /// Fails unless the exit code was one of these; hands itself on.
    ///
    /// # Errors
    /// When it ended otherwise; what it printed is in the message.
    pub fn exits_one_of(self, codes: &[i32]) -> Result<Self> {
        if !codes.contains(&self.process.exit) {
            let (out, report) = (self.process.text(), &self.report);
            let problems = report.as_ref().map(|report| report.problems.iter().take(10).collect::<Vec<_>>());
            bail!(
                "exit {} instead of {codes:?}\nstdout: {}\nstderr: {}\nproblems: {problems:?}\nloss: {:?}",
                self.process.exit,
                tail(&out),
                tail(&self.process.stderr),
                report.as_ref().map(|report| &report.loss)
            );
        }
        Ok(self)
    }

    /// The report.
    ///
    /// # Errors
    /// When there is none.
    pub fn report(&self) -> Result<&Report> {
        self.report.as_ref().with_context(|| format!("no report was written: {}", self.process.stderr))
    }

    /// Fails unless what it printed holds one of these words, whatever their case.
    ///
    /// # Errors
    /// When none is there.
    pub fn says(&self, words: &[&str]) -> Result<()> {
        let said = format!("{}\n{}", self.process.stderr, self.process.text());
        let lower = said.to_lowercase();
        ensure!(words.iter().any(|word| lower.contains(word)), "none of {words:?} is said:\n{}", tail(&said));
        Ok(())
    }
}
