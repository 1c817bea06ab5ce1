//! ferry as a contender: one receiver, one sender, TLS 1.3 on the loopback, default options unless the case is about one; also
//! with what the receiver remembers of an earlier run (leaves of large files, a ctime baseline), and through a router as a
//! cluster has it. It makes the keys for everybody.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ferry_tests::ferry::{HOST, add_volumes};
use ferry_tests::ports;

use crate::cases::Case;
use crate::contender::{Contender, Job, Side, Stage, Targets};
use crate::machine;
use crate::process::{self, Daemon, Ends, Place};

/// The router: TLS passed through by server name.
const ROUTER: &str = include_str!("../../tests/data/haproxy.cfg");
/// What is remembered says nothing of what was written in the last two seconds before it was.
const CACHE_AGE: Duration = Duration::from_millis(2500);

/// ferry, by its binary.
#[derive(Clone, Debug)]
pub struct Ferry {
    binary: PathBuf,
    setting: Setting,
}

/// In which setting it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The sender talks to the receiver, and nothing is remembered.
    Plain,
    /// The receiver remembers an earlier run.
    Cached,
    /// Through HAProxy.
    Routed,
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
        Ok(Self { binary: found, setting: Setting::Plain })
    }

    /// The same binary in another setting.
    #[must_use]
    pub fn set(&self, setting: Setting) -> Self {
        Self { binary: self.binary.clone(), setting }
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(subcommand).env_remove("FERRY_TICKET").env_remove("FERRY_LOG").env_remove("RUST_LOG");
        command
    }

    /// A receiver that listens.
    fn receiver(&self, job: &Job<'_>, port: u16) -> Result<Daemon> {
        let mut command = self.command("receive");
        command.arg("--listen").arg(job.at(port).to_string()).arg("--identity").arg(job.keys.join("receiver"));
        command.args(["--once", "--progress", "none"]);
        add_volumes(&mut command, &[("data", job.destination)]);
        if self.setting == Setting::Cached {
            command.arg("--state").arg(state(job));
        }
        Daemon::start(job.far.within(command), port, Place::Destination, Ends::ByItself, job.logs.join("ferry-receive"))
    }

    /// The command of a sender of `source`.
    fn sender(&self, job: &Job<'_>, source: &Path, to: SocketAddr) -> Command {
        let mut command = self.command("send");
        command.arg("--to").arg(to.to_string()).arg("--identity").arg(job.keys.join("sender"));
        command.args(["--server-name", HOST, "--retry-for", "30s", "--progress", "none"]);
        add_volumes(&mut command, &[("data", source)]);
        command
    }

    /// Makes `keys/sender` and `keys/receiver`.
    ///
    /// # Errors
    /// When it fails.
    pub fn keygen(&self, keys: &Path) -> Result<()> {
        let done = self.command("keygen").arg(keys).args(["--host", HOST]).output().context("cannot start ferry")?;
        match done.status.success() {
            true => Ok(()),
            false => bail!("ferry keygen failed: {}", String::from_utf8_lossy(&done.stderr)),
        }
    }
}

impl Contender for Ferry {
    fn id(&self) -> &'static str {
        match self.setting {
            Setting::Plain => "ferry",
            Setting::Cached => "ferry-state",
            Setting::Routed => "ferry-haproxy",
        }
    }

    fn name(&self) -> &'static str {
        match self.setting {
            Setting::Plain => "ferry",
            Setting::Cached => "ferry, state",
            Setting::Routed => "ferry via HAProxy",
        }
    }

    fn version(&self) -> Result<String> {
        let ferry = machine::said(&self.binary, &["--version"], "ferry").context("ferry does not say its version")?;
        match self.setting {
            Setting::Plain => Ok(ferry),
            Setting::Cached => {
                let known = machine::said(&self.binary, &["receive", "--help"], "--state").is_some();
                known.then_some(ferry).context("this ferry's receive has no option --state")
            }
            Setting::Routed => {
                let haproxy = machine::said("haproxy", &["-v"], "version").context("haproxy is not installed")?;
                Ok(format!("{ferry}, HAProxy {}", haproxy.split_whitespace().nth(2).unwrap_or("?")))
            }
        }
    }

    fn options(&self, case: &Case) -> Option<Vec<&'static str>> {
        let plays = self.setting != Setting::Cached || case.cached.is_some();
        plays.then(|| case.ferry.to_vec())
    }

    fn side(&self) -> Side {
        Side::Ours
    }

    fn targets(&self, case: &Case) -> Option<Targets> {
        match self.setting {
            Setting::Plain | Setting::Routed => None,
            Setting::Cached => case.cached,
        }
    }

    /// State is made by a run that reads all and changes nothing, from what the destination is a copy of.
    fn prepare(&self, job: &Job<'_>) -> Result<()> {
        if self.setting != Setting::Cached {
            return Ok(());
        }
        match std::fs::remove_dir_all(state(job)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => std::fs::create_dir_all(state(job))?,
        }
        std::thread::sleep(CACHE_AGE);
        let port = ports::free()?;
        let daemons = vec![self.receiver(job, port)?];
        let mut client = self.sender(job, job.before, job.at(port));
        client.arg("--checksum");
        process::measure(daemons, &mut client, &job.logs.join("ferry-prepares"), || Ok(())).map(drop)
    }

    fn stage(&self, job: &Job<'_>) -> Result<Stage> {
        let mut port = ports::free()?;
        let mut daemons = vec![self.receiver(job, port)?];
        if self.setting == Setting::Routed {
            let front = ports::free()?;
            // First: the router has nobody to serve once the client is gone, the receiver ends by itself.
            daemons.insert(0, router(job, front, port)?);
            port = front;
        }
        let (to, relay) = job.route.to(job.at(port))?;
        let mut client = self.sender(job, job.source, to);
        client.args(job.options);
        Ok(Stage { daemons, client, relay })
    }
}

/// Where the receiver keeps its state.
fn state(job: &Job<'_>) -> PathBuf {
    job.logs.join("state")
}

fn router(job: &Job<'_>, port: u16, receiver: u16) -> Result<Daemon> {
    let settings = job.logs.join("haproxy.cfg");
    std::fs::write(&settings, ROUTER).with_context(|| format!("cannot write {}", settings.display()))?;
    // Both it and the receiver are at the destination's side.
    let host = job.far.host().to_string();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(settings).env("ROUTER_SOCKET", job.logs.join("haproxy.socket"));
    command.env("ROUTER_ADDRESS", &host).env("RECEIVER_ADDRESS", &host);
    command.env("ROUTER_PORT", port.to_string()).env("RECEIVER_PORT", receiver.to_string());
    Daemon::start(job.far.within(command), port, Place::Between, Ends::WhenTold, job.logs.join("haproxy"))
}
