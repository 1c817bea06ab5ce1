//! rsync as people use it for this job: a daemon at the destination behind stunnel, a client at the source through stunnel, TLS
//! 1.3 with certificates on both sides. Once with its default options, once with its best ones where a case has such; and once
//! without stunnel, in the clear.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ferry_tests::ports;

use crate::cases::Case;
use crate::contender::{Contender, Job, Stage, Targets};
use crate::machine;
use crate::process::{Daemon, Ends};

/// What it is given always: all that ferry keeps by default.
pub const ALL_ATTRIBUTES: &str = "-aHAX";
/// Links and the common attributes, for cases without extended ones.
pub const PLAIN: &str = "-aH";

/// Which options of a case it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    /// The default ones.
    Default,
    /// The fastest known for the case; it takes no part in cases without.
    Best,
    /// The default ones, and no TLS.
    Clear,
}

/// rsync, to a daemon.
#[derive(Clone, Copy, Debug)]
pub struct Rsync {
    options: Options,
}

impl Rsync {
    /// The id of what wire and time are owed against.
    pub const REFERENCE: &str = "rsync-stunnel";

    /// With these options.
    #[must_use]
    pub const fn with(options: Options) -> Self {
        Self { options }
    }
}

impl Contender for Rsync {
    fn id(&self) -> &'static str {
        match self.options {
            Options::Default => Self::REFERENCE,
            Options::Best => "rsync-best",
            Options::Clear => "rsync",
        }
    }

    fn name(&self) -> &'static str {
        match self.options {
            Options::Default => "rsync+stunnel",
            Options::Best => "rsync+stunnel, best flags",
            Options::Clear => "rsync, no TLS",
        }
    }

    fn version(&self) -> Result<String> {
        let rsync = machine::said("rsync", &["--version"], "version").context("rsync is not installed")?;
        let rsync = format!("rsync {}", rsync.split_whitespace().nth(2).unwrap_or("?"));
        if self.options == Options::Clear {
            return Ok(rsync);
        }
        let stunnel = machine::said("stunnel", &["-version"], "stunnel ").context("stunnel is not installed")?;
        let stunnel = stunnel.split_whitespace().nth(1).unwrap_or("?").to_owned();
        Ok(format!("{rsync}, stunnel {stunnel}"))
    }

    fn options(&self, case: &Case) -> Option<Vec<&'static str>> {
        match self.options {
            Options::Default | Options::Clear => Some(case.rsync.to_vec()),
            Options::Best => case.best.map(<[&str]>::to_vec),
        }
    }

    fn targets(&self, case: &Case) -> Option<Targets> {
        let agreed = self.options != Options::Clear;
        agreed.then_some(Targets { must: case.must, aim: Some(case.aim) })
    }

    fn stage(&self, job: &Job<'_>) -> Result<Stage> {
        let port = ports::free()?;
        let mut daemons = vec![daemon(job, port)?];
        let (port, relay) = match self.options {
            Options::Clear => job.route.to(port)?,
            Options::Default | Options::Best => {
                let (outer, inner) = (ports::free()?, ports::free()?);
                let server = tunnel(Side::Server, outer, port, &job.keys.join("receiver"));
                daemons.push(stunnel(job.logs, "stunnel-server", &server, outer)?);
                let (outer, relay) = job.route.to(outer)?;
                let client = tunnel(Side::Client, inner, outer, &job.keys.join("sender"));
                daemons.push(stunnel(job.logs, "stunnel-client", &client, inner)?);
                (inner, relay)
            }
        };
        // Clients before those they talk to: what is told to end first has nobody left to serve.
        daemons.reverse();
        let mut client = Command::new("rsync");
        client.args(job.options).arg("--numeric-ids").args(ends(job, port));
        Ok(Stage { daemons, client, relay })
    }
}

fn daemon(job: &Job<'_>, port: u16) -> Result<Daemon> {
    let mut command = Command::new("rsync");
    command.args(["--daemon", "--no-detach", "--address", "127.0.0.1", "--port"]).arg(port.to_string());
    command.arg("--config").arg(write(job.logs, "rsyncd.conf", &module(root(job.destination), job.logs))?);
    Daemon::start(command, port, Ends::WhenTold, job.logs.join("rsyncd"))
}

/// The directory the daemon's module is: that of a device's node.
fn root(destination: &Path) -> &Path {
    if destination.is_dir() { destination } else { destination.parent().unwrap_or(destination) }
}

/// From where to where, as the client is told: the contents of a directory, or one device into another.
fn ends(job: &Job<'_>, port: u16) -> [OsString; 2] {
    let mut from = job.source.as_os_str().to_owned();
    let mut to = OsString::from(format!("rsync://127.0.0.1:{port}/data/"));
    match job.destination.is_dir() {
        true => from.push("/"),
        false => to.push(job.destination.file_name().unwrap_or_default()),
    }
    [from, to]
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Server,
    Client,
}

fn stunnel(logs: &Path, name: &str, settings: &str, port: u16) -> Result<Daemon> {
    let mut command = Command::new("stunnel");
    command.arg(write(logs, &format!("{name}.conf"), settings)?);
    Daemon::start(command, port, Ends::WhenTold, logs.join(name))
}

fn write(logs: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = logs.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A module that may write everything. Without privilege rsync refuses to be told who it is.
fn module(destination: &Path, logs: &Path) -> String {
    let owner = if rustix::process::geteuid().is_root() { "uid = 0\ngid = 0\n" } else { "" };
    // Writing to devices is refused unless it is allowed by name; links are changed unless that is refused.
    format!(
        "use chroot = no\nmunge symlinks = no\nnumeric ids = yes\nlock file = {}\n{owner}[data]\npath = {}\nread only = no\n\
         refuse options = !write-devices !copy-devices\n",
        logs.join("rsyncd.lock").display(),
        destination.display()
    )
}

/// One side of the tunnel; each proves itself to the other, as ferry's do.
fn tunnel(side: Side, accept: u16, connect: u16, identity: &Path) -> String {
    let client = match side {
        Side::Server => "no",
        Side::Client => "yes",
    };
    let file = |name: &str| identity.join(name).display().to_string();
    format!(
        "foreground = yes\npid =\ndebug = warning\nsslVersion = TLSv1.3\n\
         socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
         [data]\nclient = {client}\naccept = 127.0.0.1:{accept}\nconnect = 127.0.0.1:{connect}\n\
         cert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\nTIMEOUTclose = 0\n",
        file("tls.crt"),
        file("tls.key"),
        file("ca.crt")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_the_tunnel_demand_a_certificate_and_nothing_below_tls_13() {
        for side in [Side::Server, Side::Client] {
            let text = tunnel(side, 1, 2, Path::new("/keys"));
            assert!(text.contains("sslVersion = TLSv1.3\n") && text.contains("verifyChain = yes\n"), "{text}");
            assert!(text.contains("CAfile = /keys/ca.crt\n"), "{text}");
        }
    }
}
