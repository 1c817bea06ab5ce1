//! What `ferry receive` means.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ConfigError, Conflict, Volumes, refuse, state, volume, volumes};
use crate::cli::args::{BoundsArgs, ReceiveArgs};
use crate::tunnel::HostPort;
use crate::types::{Bounds, LossSet, StatePlace};
use crate::volume::places;

/// How long a ticket is good for unless told.
const TICKET_LIFE: Duration = Duration::from_secs(3_600);

/// A receiver that can be started.
#[derive(Debug)]
pub struct ReceiveConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who is let in.
    pub admission: Admission,
    /// What may be written.
    pub volumes: Volumes,
    /// Where is remembered what large files hold.
    pub state: StatePlace,
    /// What is permitted.
    pub bounds: Bounds,
    /// End when each volume was completed once.
    pub once: bool,
    /// End when nothing has happened for this long.
    pub idle_exit: Option<Duration>,
}

/// Who a receiver lets in.
#[derive(Debug)]
pub enum Admission {
    /// The holder of a sender's certificate from the same authority.
    Certificates {
        /// The receiver's own identity.
        identity: PathBuf,
    },
    /// Whoever has the ticket that is printed.
    Ticket {
        /// Addresses to write into it; none means those of this machine.
        advertise: Vec<HostPort>,
        /// How long it is good for.
        life: Duration,
    },
}

impl ReceiveConfig {
    /// Judges what was typed.
    ///
    /// # Errors
    /// [`ConfigError`], each with what to change.
    pub fn new(args: &ReceiveArgs) -> Result<Self, ConfigError> {
        let listen: SocketAddr = args.listen.parse().map_err(|_| ConfigError::Listen(args.listen.clone()))?;
        let (admission, volumes) = match (&args.offer, &args.identity) {
            (Some(offer), identity) => {
                refuse(identity.is_some(), Conflict::OfferWithIdentity)?;
                refuse(!args.volumes.is_empty(), Conflict::OfferWithVolume)?;
                (ticket(args)?, vec![volume("--offer", offer)?])
            }
            (None, identity) => {
                refuse(!args.advertise.is_empty(), Conflict::AdvertiseWithoutOffer)?;
                refuse(args.expires.is_some(), Conflict::ExpiresWithoutOffer)?;
                let identity = identity.clone().ok_or(Conflict::NoIdentityToReceive)?;
                (Admission::Certificates { identity }, volumes(&args.volumes)?)
            }
        };
        for (_, path) in &volumes {
            places::destination(path)?;
        }
        places::all_apart(volumes.iter().map(|(name, path)| (name.as_str(), Path::new(path))))?;
        let state = state(&args.state, volumes.iter().map(|(_, path)| path.as_path()))?;
        let bounds = bounds(&args.bounds)?;
        // A ticket is good for one completed copy; waiting for a second one would be waiting for nobody.
        let once = args.once || matches!(admission, Admission::Ticket { .. });
        Ok(Self { listen, admission, volumes, state, bounds, once, idle_exit: args.idle_exit })
    }
}

fn ticket(args: &ReceiveArgs) -> Result<Admission, ConfigError> {
    let parse =
        |text: &String| HostPort::parse(text).map_err(|source| ConfigError::Address { option: "--advertise", source });
    let advertise = args.advertise.iter().map(parse).collect::<Result<_, _>>()?;
    let life = args.expires.unwrap_or(TICKET_LIFE);
    refuse(life.is_zero(), Conflict::ExpiresAtOnce)?;
    Ok(Admission::Ticket { advertise, life })
}

fn bounds(args: &BoundsArgs) -> Result<Bounds, ConfigError> {
    refuse(args.no_delete && args.max_delete.is_some(), Conflict::MaxDeleteWithNoDelete)?;
    Ok(Bounds {
        no_delete: args.no_delete,
        max_delete: args.max_delete,
        no_devices: args.no_devices,
        no_setuid: args.no_setuid,
        no_xattrs: args.no_xattrs,
        quota: args.quota,
        accept_loss: LossSet::default(),
    })
}
