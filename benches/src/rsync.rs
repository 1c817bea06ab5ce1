//! rsync as people use it for this job: a daemon at the destination behind stunnel, a client at the source through stunnel, TLS
//! 1.3 with certificates on both sides. Once with its default options, once with its best ones where a case has such; and once
//! without stunnel, in the clear.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ferry_tests::ports;

use crate::cases::{Case, Race};
use crate::contender::{Contender, Job, Stage, Targets};
use crate::machine;
use crate::process::{Daemon, Ends, Place};

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
        let agreed = self.options != Options::Clear && case.race == Race::Judged;
        agreed.then_some(Targets { must: case.must, aim: Some(case.aim) })
    }

    fn stage(&self, job: &Job<'_>) -> Result<Stage> {
        let port = ports::free()?;
        let (daemons, to, relay) = match self.options {
            Options::Clear => {
                let daemon = daemon(job, job.at(port))?;
                let (to, relay) = job.route.to(job.at(port))?;
                (vec![daemon], to, relay)
            }
            Options::Default | Options::Best => {
                let (rsyncd, inner) = (here(port), here(ports::free()?));
                let outer = job.at(ports::free()?);
                let daemon = daemon(job, rsyncd)?;
                let server = tunnel(Side::Server, outer, rsyncd, &job.keys.join("receiver"));
                let server = stunnel(job, Side::Server, &server, outer.port())?;
                let (outer, relay) = job.route.to(outer)?;
                let client = tunnel(Side::Client, inner, outer, &job.keys.join("sender"));
                (vec![daemon, server, stunnel(job, Side::Client, &client, inner.port())?], inner, relay)
            }
        };
        // Clients before those they talk to: what is told to end first has nobody left to serve.
        let daemons = daemons.into_iter().rev().collect();
        let mut client = Command::new("rsync");
        client.args(job.options).arg("--numeric-ids").args(ends(job, to));
        Ok(Stage { daemons, client, relay })
    }
}

/// On the loopback of whichever side.
fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn daemon(job: &Job<'_>, at: SocketAddr) -> Result<Daemon> {
    let (mut command, port) = (Command::new("rsync"), at.port());
    command.args(["--daemon", "--no-detach", "--address"]).arg(at.ip().to_string()).arg("--port").arg(port.to_string());
    command.arg("--config").arg(write(job.logs, "rsyncd.conf", &module(root(job.destination), job.logs))?);
    Daemon::start(job.far.within(command), port, Place::Destination, Ends::WhenTold, job.logs.join("rsyncd"))
}

/// The directory the daemon's module is: that of a device's node.
fn root(destination: &Path) -> &Path {
    if destination.is_dir() { destination } else { destination.parent().unwrap_or(destination) }
}

/// From where to where, as the client is told: the contents of a directory, or one device into another.
fn ends(job: &Job<'_>, at: SocketAddr) -> [OsString; 2] {
    let mut from = job.source.as_os_str().to_owned();
    let mut to = OsString::from(format!("rsync://{at}/data/"));
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

fn stunnel(job: &Job<'_>, side: Side, settings: &str, port: u16) -> Result<Daemon> {
    let (name, place) = match side {
        Side::Server => ("stunnel-server", Place::Destination),
        Side::Client => ("stunnel-client", Place::Source),
    };
    let mut command = Command::new("stunnel");
    command.arg(write(job.logs, &format!("{name}.conf"), settings)?);
    let command = match side {
        Side::Server => job.far.within(command),
        Side::Client => command,
    };
    Daemon::start(command, port, place, Ends::WhenTold, job.logs.join(name))
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
fn tunnel(side: Side, accept: SocketAddr, connect: SocketAddr, identity: &Path) -> String {
    let client = match side {
        Side::Server => "no",
        Side::Client => "yes",
    };
    let file = |name: &str| identity.join(name).display().to_string();
    format!(
        "foreground = yes\npid =\ndebug = warning\nsslVersion = TLSv1.3\n\
         socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
         [data]\nclient = {client}\naccept = {accept}\nconnect = {connect}\n\
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
            let text = tunnel(side, here(1), here(2), Path::new("/keys"));
            assert!(text.contains("sslVersion = TLSv1.3\n") && text.contains("verifyChain = yes\n"), "{text}");
            assert!(text.contains("CAfile = /keys/ca.crt\n"), "{text}");
        }
    }
}
