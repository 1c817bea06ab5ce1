//! A sender and a receiver in this one process, over mutual TLS through one port on loopback: what `ferry demo` shows and
//! `ferry bench` measures.
//!
//! Believes only the keys in the directory it is given. It makes no volume, compares none, and listens on no address that
//! another machine reaches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::console::Console;
use super::job::{self, Failure};
use super::report::{Ending, Side};
use super::summary;
use crate::session::{self, Dial, Door, Progress, ReceiveRun, RunReport, SendRun, Stop};
use crate::tunnel::{self, Acceptor, Connector, HostPort, Identity, Role, Target};
use crate::types::{Bounds, Compress, Options, Outcome, Restless, RootAttrs, StatePlace, VolumeName};

/// The name in the receiver's certificate.
const HOST: &str = "localhost";
/// A free port that only this machine reaches.
const LISTEN: &str = "127.0.0.1:0";
/// Nothing on loopback takes longer to come up.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// A listening port and who connects to it, good for one run.
pub struct Route {
    acceptor: Acceptor,
    connector: Connector,
}

/// One volume on its way.
pub struct Crossing {
    /// What both sides call it.
    pub volume: VolumeName,
    /// Copied from.
    pub source: PathBuf,
    /// Copied to; made when it is missing.
    pub destination: PathBuf,
    /// Whether what only the destination has is removed.
    pub delete: bool,
    /// Data connections, 1 to `LANES_MAX`.
    pub lanes: u8,
}

/// Makes the keys of both sides in `dir`, which does not exist, good for a day.
///
/// # Errors
/// They cannot be made or written.
pub fn keys(dir: &Path) -> Result<(), Failure> {
    tunnel::keygen(dir, &[HOST.to_owned()], 1).map_err(Failure::failed)
}

impl Route {
    /// Listens on a free port with the keys that [`keys`] made in `dir`.
    ///
    /// # Errors
    /// The keys cannot be used, or there is no port.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let identity = |role: Role| Identity::load(&dir.join(role.to_string()), role).map_err(Failure::failed);
        let acceptor = Acceptor::bind(LISTEN, identity(Role::Receiver)?).map_err(Failure::failed)?;
        let address = acceptor.local_addr().context("cannot tell the port").map_err(Failure::failed)?;
        let target = Target {
            addresses: vec![HostPort::parse(&address.to_string()).map_err(Failure::failed)?],
            server_name: Some(HOST.to_owned()),
            proxy: None,
        };
        let connector = Connector::new(target, identity(Role::Sender)?).map_err(Failure::failed)?;
        Ok(Self { acceptor, connector })
    }

    /// Both ends, for whoever moves bytes of his own.
    #[must_use]
    pub fn into_ends(self) -> (Acceptor, Connector) {
        (self.acceptor, self.connector)
    }

    /// One run of a receiver and a sender; the sender's report.
    ///
    /// # Errors
    /// Either did not end clean, which `console` is told of, or `stop` was asked for.
    pub async fn copy(self, crossing: Crossing, console: &Console, stop: &Stop) -> Result<RunReport, Failure> {
        let receiver = ReceiveRun {
            run: job::run_id()?,
            door: Door::Tunnel(self.acceptor),
            volumes: vec![(crossing.volume.clone(), crossing.destination)],
            bounds: Bounds::default(),
            state: StatePlace::None,
            once: true,
            idle_exit: Some(RETRY_FOR),
            ticket_expires: None,
        };
        let sender = SendRun {
            run: job::run_id()?,
            volumes: vec![(crossing.volume, crossing.source)],
            // Both roots are ours, so that also without privilege theirs can be made equal.
            options: Options { delete: crossing.delete, root_attrs: RootAttrs::Copy, ..Options::default() },
            chown: None,
            one_file_system: false,
            lanes: crossing.lanes,
            lanes_max: crossing.lanes,
            compress: Compress::Auto,
            restless: Restless::default(),
            retry_for: RETRY_FOR,
            bwlimit: None,
            dial: Dial::Tunnel(Arc::new(self.connector)),
            on_item: None,
        };
        let (sent, received) = tokio::join!(
            session::send(sender, Arc::new(Progress::default()), stop.clone()),
            session::receive(receiver, Arc::new(Progress::default()), stop.clone()),
        );
        go_on(stop)?;
        for report in [&sent, &received] {
            if report.outcome != Outcome::Clean {
                let ending = Ending::of(report.clone(), Side::Sends);
                summary::lines(&ending, false).iter().for_each(|line| console.say(line));
                return Err(Failure { outcome: report.outcome, error: anyhow!("the copy did not end clean") });
            }
        }
        Ok(sent)
    }
}

/// Fails when somebody wants to stop.
///
/// # Errors
/// The outcome is that of the signal.
pub fn go_on(stop: &Stop) -> Result<(), Failure> {
    match stop.asked() {
        None => Ok(()),
        Some(signal) => Err(Failure { outcome: signal.outcome(), error: anyhow!("stopped before the end") }),
    }
}
