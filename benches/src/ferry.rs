//! ferry as a contender: one receiver, one sender, TLS 1.3 on the loopback, default options unless the case is about one. It also
//! makes the keys for everybody and compares source and destination for everybody.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ferry_tests::command::tail;
use ferry_tests::ferry::add_volumes;
use ferry_tests::ports;

use crate::cases::Case;
use crate::contender::{Contender, Route, Stage};
use crate::machine;
use crate::process::{Daemon, Ends};
use crate::site::Site;

/// ferry, by its binary.
#[derive(Clone, Debug)]
pub struct Ferry {
    binary: PathBuf,
}

/// What a comparison of two trees found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Equality {
    /// Nothing.
    Equal,
    /// These differences, as ferry names them.
    Different(String),
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

    /// Compares contents and every attribute of two trees.
    ///
    /// # Errors
    /// When it cannot.
    pub fn verify(&self, site: &Site) -> Result<Equality> {
        let mut command = self.command("verify");
        command.args(["--progress", "none"]).arg(site.source()).arg(site.destination());
        let done = command.output().context("cannot start ferry")?;
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).trim().to_owned();
        match done.status.code() {
            Some(0) => Ok(Equality::Equal),
            Some(4) => Ok(Equality::Different(tail(&text).to_owned())),
            _ => bail!("ferry verify ended with {}: {text}", done.status),
        }
    }
}

impl Contender for Ferry {
    fn name(&self) -> String {
        "ferry".to_owned()
    }

    fn version(&self) -> Result<String> {
        machine::said(&self.binary, &["--version"], "ferry").context("ferry does not say its version")
    }

    fn options(&self, case: &Case) -> Option<Vec<&'static str>> {
        Some(case.ferry.to_vec())
    }

    fn stage(&self, site: &Site, keys: &Path, options: &[&'static str], route: Route) -> Result<Stage> {
        let port = ports::free()?;
        let mut receive = self.command("receive");
        receive.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--identity").arg(keys.join("receiver"));
        receive.args(["--once", "--progress", "none"]);
        add_volumes(&mut receive, &[("data", &site.destination())]);
        let log = site.logs().join("ferry-receive");
        let daemons = vec![Daemon::start(receive, port, Ends::ByItself, log)?];
        let (port, relay) = route.to(port)?;
        let mut client = self.command("send");
        client.arg("--to").arg(format!("127.0.0.1:{port}")).arg("--identity").arg(keys.join("sender"));
        client.args(["--retry-for", "30s", "--progress", "none"]);
        add_volumes(&mut client, &[("data", &site.source())]);
        client.args(options);
        Ok(Stage { daemons, client, relay })
    }
}
