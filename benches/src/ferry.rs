//! ferry as a contender: one receiver, one sender, TLS 1.3 on the loopback, default options unless the case is about one. It also
//! makes the keys for everybody.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ferry_tests::ferry::add_volumes;
use ferry_tests::ports;

use crate::cases::Case;
use crate::contender::{Contender, Job, Stage};
use crate::machine;
use crate::process::{Daemon, Ends};

/// ferry, by its binary.
#[derive(Clone, Debug)]
pub struct Ferry {
    binary: PathBuf,
}

impl Ferry {
    /// The binary at this path.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(binary: &Path) -> Result<Self> {
        let found = binary.canonicalize().with_context(|| {
            format!("no ferry at {}: run `cargo build --release` first, or say --ferry FILE", binary.display())
        })?;
        Ok(Self { binary: found })
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(subcommand).env_remove("FERRY_TICKET").env_remove("FERRY_LOG").env_remove("RUST_LOG");
        command
    }

    /// A receiver that listens.
    fn receiver(&self, job: &Job<'_>, port: u16) -> Result<Daemon> {
        let mut command = self.command("receive");
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--identity").arg(job.keys.join("receiver"));
        command.args(["--once", "--progress", "none"]);
        add_volumes(&mut command, &[("data", job.destination)]);
        Daemon::start(command, port, Ends::ByItself, job.logs.join("ferry-receive"))
    }

    /// The command of a sender of `source`.
    fn sender(&self, job: &Job<'_>, source: &Path, port: u16) -> Command {
        let mut command = self.command("send");
        command.arg("--to").arg(format!("127.0.0.1:{port}")).arg("--identity").arg(job.keys.join("sender"));
        command.args(["--retry-for", "30s", "--progress", "none"]);
        add_volumes(&mut command, &[("data", source)]);
        command
    }

    /// Makes `keys/sender` and `keys/receiver`.
    ///
    /// # Errors
    /// When it fails.
    pub fn keygen(&self, keys: &Path) -> Result<()> {
        let done = self.command("keygen").arg(keys).output().context("cannot start ferry")?;
        match done.status.success() {
            true => Ok(()),
            false => bail!("ferry keygen failed: {}", String::from_utf8_lossy(&done.stderr)),
        }
    }
}

impl Contender for Ferry {
    fn id(&self) -> &'static str {
        "ferry"
    }

    fn name(&self) -> &'static str {
        "ferry"
    }

    fn version(&self) -> Result<String> {
        machine::said(&self.binary, &["--version"], "ferry").context("ferry does not say its version")
    }

    fn options(&self, case: &Case) -> Option<Vec<&'static str>> {
        Some(case.ferry.to_vec())
    }

    fn stage(&self, job: &Job<'_>) -> Result<Stage> {
        let port = ports::free()?;
        let daemons = vec![self.receiver(job, port)?];
        let (port, relay) = job.route.to(port)?;
        let mut client = self.sender(job, job.source, port);
        client.args(job.options);
        Ok(Stage { daemons, client, relay })
    }
}
