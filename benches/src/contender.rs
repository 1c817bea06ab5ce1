//! What the contest asks of a contender: whether it is here, and the daemons and the client of one run. It never runs or judges
//! anything.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cases::Case;
use crate::process::Daemon;
use crate::relay::Relay;
/// Whether the wire is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// No: the run is timed.
    Direct,
    /// Through a relay that counts; not timed.
    Counted,
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
    /// For settings, and for what is printed.
    pub logs: &'a Path,
    /// The identities of both sides, below `sender` and `receiver`.
    pub keys: &'a Path,
    /// The options it gets.
    pub options: &'a [&'static str],
    /// How the sides reach each other.
    pub route: Route,
}

/// What a contender keeps of what it copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Everything, and it is held to it.
    Everything,
    /// Names, contents and times of files.
    Contents,
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
    /// The port to connect to for what listens on `port`, and the relay before it if there is one.
    ///
    /// # Errors
    /// When the loopback has no free port.
    pub fn to(self, port: u16) -> Result<(u16, Option<Relay>)> {
        match self {
            Self::Direct => Ok((port, None)),
            Self::Counted => Relay::to(port).map(|relay| (relay.port(), Some(relay))),
        }
    }
}
