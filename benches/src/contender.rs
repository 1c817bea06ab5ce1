//! What the contest asks of a contender: whether it is here, and the daemons and the client of one run. It never runs or judges
//! anything.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cases::Case;
use crate::process::Daemon;
use crate::relay::Relay;
use crate::site::Site;

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

/// Something that can make the destination equal to the source.
pub trait Contender {
    /// Its name in tables.
    fn name(&self) -> String;

    /// Its version, or in one sentence what is missing.
    ///
    /// # Errors
    /// What is missing.
    fn version(&self) -> Result<String>;

    /// The options it gets in this case, as they are typed; nothing when it does not take part.
    fn options(&self, case: &Case) -> Option<Vec<&'static str>>;

    /// Starts what listens and makes the client's command, from `site`'s source to its destination.
    ///
    /// # Errors
    /// When something does not start.
    fn stage(&self, site: &Site, keys: &Path, options: &[&'static str], route: Route) -> Result<Stage>;
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
