//! What the contest asks of a contender: whether it is here, and the daemons and the client of one run. It never runs or judges
//! anything.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use crate::cases::Case;
use crate::line::Line;
use crate::process::Daemon;
use crate::relay::Relay;
use crate::span::Far;

/// How the two sides reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// With nothing of ours between them.
    Direct,
    /// Through a relay that counts, over a line of this kind.
    Relayed(Line),
}

/// One run, ready to go.
#[derive(Debug)]
pub struct Stage {
    /// What listens already.
    pub daemons: Vec<Daemon>,
    /// What is timed.
    pub client: Command,
    /// The relay between the two sides of TLS, when the wire is counted.
    pub relay: Option<Relay>,
}

/// What a run is about.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// What is copied: a directory, or a device.
    pub source: &'a Path,
    /// Where to.
    pub destination: &'a Path,
    /// What the destination is a copy of when the run begins, in cases that begin so; the source itself where nothing changed.
    pub before: &'a Path,
    /// For settings, and for what is printed.
    pub logs: &'a Path,
    /// The identities of both sides, below `sender` and `receiver`.
    pub keys: &'a Path,
    /// The options it gets.
    pub options: &'a [&'static str],
    /// How the sides reach each other.
    pub route: Route,
    /// Where the destination's side runs.
    pub far: &'a Far,
}

impl Job<'_> {
    /// Where a daemon of the destination's side listens that is given this port.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.far.host(), port)
    }
}

/// What a contender keeps of what it copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Everything, and it is held to it.
    Everything,
    /// Names, contents and times of files.
    Contents,
}

/// Whose time a ratio is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Side {
    /// ferry, in one of its ways.
    Ours,
    /// Another program.
    Theirs,
}

/// Where a contender can copy to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Over a network, and so over a line with a delay.
    Network,
    /// On its own machine only.
    Local,
}

/// The ratios that are owed and aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Targets {
    /// What is owed.
    pub must: f64,
    /// What is aimed at, where that is more.
    pub aim: Option<f64>,
}

/// Something that can make the destination equal to the source.
pub trait Contender {
    /// Its name on the command line.
    fn id(&self) -> &'static str;

    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// Its version, or in one sentence what is missing.
    ///
    /// # Errors
    /// What is missing.
    fn version(&self) -> Result<String>;

    /// The options it gets in this case, as they are typed; nothing when it does not take part.
    fn options(&self, case: &Case) -> Option<Vec<&'static str>>;

    /// Whose it is.
    fn side(&self) -> Side {
        Side::Theirs
    }

    /// How far it gets.
    fn reach(&self) -> Reach {
        Reach::Network
    }

    /// The ratios ferry owes against it in this case, or it owes itself when it is ours; nothing where none was agreed.
    fn targets(&self, _case: &Case) -> Option<Targets> {
        None
    }

    /// What it keeps.
    fn keeps(&self) -> Keeps {
        Keeps::Everything
    }

    /// What it does before each run, in its own time.
    ///
    /// # Errors
    /// When that fails.
    fn prepare(&self, _job: &Job<'_>) -> Result<()> {
        Ok(())
    }

    /// Starts what listens and makes the client's command.
    ///
    /// # Errors
    /// When something does not start.
    fn stage(&self, job: &Job<'_>) -> Result<Stage>;
}

impl Route {
    /// Where to connect to for what listens on `peer`, and the relay before it if there is one.
    ///
    /// # Errors
    /// When the loopback has no free port.
    pub fn to(self, peer: SocketAddr) -> Result<(SocketAddr, Option<Relay>)> {
        match self {
            Self::Direct => Ok((peer, None)),
            Self::Relayed(line) => Relay::to(peer, line).map(|relay| (relay.address(), Some(relay))),
        }
    }
}
