//! What the command line means: every combination is either a configuration that can run or one sentence.
//!
//! Reads the small files that options name (patterns, tickets) and looks at the places of volumes; opens no socket,
//! makes nothing, and knows no environment but what it is handed. Every error here ends the run with exit code 2.

mod receive;
mod send;
mod transfer;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use receive::{Admission, ReceiveConfig};
pub use send::{SendConfig, SenderAccess};
pub use transfer::{SyncConfig, TransferConfig, VerifyConfig, lanes};

use super::files::{self, FileError};
use super::flags::StateArgs;
use super::values::{self, ValueError};
use crate::tunnel::{AddressError, TicketError};
use crate::types::{StatePlace, VolumeName, limits};
use crate::volume::places::{self, PlaceError};

/// Volumes by name, in the order typed.
pub type Volumes = Vec<(VolumeName, PathBuf)>;

/// Why what was typed cannot be done. Each is one sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file named by an option.
    #[error(transparent)]
    File(#[from] FileError),
    /// The place of a volume.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A `--volume` or `--offer`.
    #[error("{option} {text:?} is not usable")]
    Volume {
        /// The option.
        option: &'static str,
        /// What was typed.
        text: OsString,
        /// What is wrong with it.
        source: ValueError,
    },
    /// One name twice.
    #[error("the volume {0} is named twice; every --volume needs a name of its own")]
    DuplicateVolume(VolumeName),
    /// Nothing to do.
    #[error("no volume is named; give --volume NAME=PATH for each")]
    NoVolume,
    /// `--listen`.
    #[error("--listen {0:?} is no ADDR:PORT; write for example 0.0.0.0:8443, 127.0.0.1:8443 or [::]:8443")]
    Listen(String),
    /// An address that did not parse.
    #[error("{option} is not usable")]
    Address {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        source: AddressError,
    },
    /// The ticket, without its text: it is a secret.
    #[error("the ticket from {origin} is not usable (paste the line that `ferry receive --offer` printed, whole)")]
    Ticket {
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        source: TicketError,
    },
    /// Two options that exclude each other, or one that needs another.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Too many patterns.
    #[error("there are {count} exclude patterns of {bytes} bytes; at most {max} of {max_bytes} bytes are taken",
        max = limits::EXCLUDES_MAX, max_bytes = limits::EXCLUDES_LEN_MAX)]
    Excludes {
        /// How many.
        count: usize,
        /// Their bytes.
        bytes: usize,
    },
}

/// Options that do not go together, each with its own sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// `receive` without either.
    #[error(
        "the receiver has no identity; give --identity DIR (from `ferry keygen`), or --offer NAME=PATH for a ticket"
    )]
    NoIdentityToReceive,
    /// `--offer` with `--identity`.
    #[error("--offer makes keys of its own from the ticket; leave out --identity, or use --volume with it")]
    OfferWithIdentity,
    /// `--offer` with `--volume`.
    #[error("a ticket is for one volume; use --offer alone, or --volume with --identity")]
    OfferWithVolume,
    /// `--advertise` without `--offer`.
    #[error("--advertise is written into a ticket; it needs --offer NAME=PATH")]
    AdvertiseWithoutOffer,
    /// `--expires` without `--offer`.
    #[error("--expires limits a ticket; it needs --offer NAME=PATH")]
    ExpiresWithoutOffer,
    /// A ticket that has expired when it is made.
    #[error("--expires 0 would make a ticket that has already expired")]
    ExpiresAtOnce,
    /// `--no-delete` with `--max-delete`.
    #[error("--no-delete leaves nothing for --max-delete to bound; give one of them")]
    MaxDeleteWithNoDelete,
    /// `send` with nothing that names the receiver.
    #[error(
        "the receiver is not named; give --to HOST:PORT with --identity DIR and --volume NAME=PATH, or a ticket (FERRY_TICKET or --ticket-file) with SRC"
    )]
    NoReceiver,
    /// `--to` without `--identity`.
    #[error("--to needs --identity DIR, the sender's tls.crt, tls.key and ca.crt from `ferry keygen`")]
    NoIdentityToSend,
    /// A ticket with `--to`.
    #[error("a ticket already says where the receiver is; leave out --to")]
    TicketWithTo,
    /// A ticket with `--identity`.
    #[error("a ticket already holds the keys; leave out --identity")]
    TicketWithIdentity,
    /// A ticket with `--server-name`.
    #[error("a ticket already holds the receiver's name; leave out --server-name")]
    TicketWithServerName,
    /// A ticket with `--volume`.
    #[error("a ticket already names its volume; give only its directory: ferry send SRC")]
    TicketWithVolume,
    /// A ticket without `SRC`.
    #[error("the directory to send is missing: ferry send SRC")]
    TicketWithoutSource,
    /// `--ticket` with `--ticket-file`.
    #[error("--ticket and --ticket-file both give a ticket; give one of them")]
    TwoTickets,
    /// `SRC` without a ticket.
    #[error("SRC alone goes with a ticket; with --to write --volume NAME=PATH, NAME as the receiver calls it")]
    SourceWithTo,
    /// `--delete-excluded` without `--delete`.
    #[error("--delete-excluded says what --delete may remove too; give --delete with it")]
    DeleteExcludedWithoutDelete,
    /// `--max-delete` without `--delete`.
    #[error("--max-delete bounds --delete; give --delete with it")]
    MaxDeleteWithoutDelete,
    /// `--allow-empty-source` without `--delete`.
    #[error("--allow-empty-source permits what only --delete does; give --delete with it")]
    EmptySourceWithoutDelete,
    /// `--verify` with `--dry-run`.
    #[error("--dry-run writes nothing that --verify could read back; give one of them")]
    VerifyWithDryRun,
    /// `--chown` with `--no-owner`.
    #[error("--chown sets the owner that --no-owner leaves alone; give one of them")]
    ChownWithNoOwner,
    /// `--selinux keep` with `--no-xattrs`.
    #[error(
        "--selinux keep copies labels, which are extended attributes that --no-xattrs leaves out; give one of them"
    )]
    SelinuxWithNoXattrs,
}

/// Where state is kept: outside every one of `volumes`, unless it is in the volume itself.
fn state<'a>(typed: &StateArgs, volumes: impl Iterator<Item = &'a Path>) -> Result<StatePlace, ConfigError> {
    let StatePlace::Dir(dir) = &typed.state else { return Ok(typed.state.clone()) };
    places::state(dir)?;
    for volume in volumes {
        places::state_outside(dir, volume)?;
    }
    Ok(StatePlace::Dir(files::absolute(dir)?))
}

/// Reads a list of `--volume`s: at least one, no name twice.
fn volumes(typed: &[OsString]) -> Result<Volumes, ConfigError> {
    let mut volumes = Volumes::new();
    for text in typed {
        let (name, path) = volume("--volume", text)?;
        if volumes.iter().any(|(other, _)| *other == name) {
            return Err(ConfigError::DuplicateVolume(name));
        }
        volumes.push((name, path));
    }
    if volumes.is_empty() { Err(ConfigError::NoVolume) } else { Ok(volumes) }
}

fn volume(option: &'static str, text: &OsString) -> Result<(VolumeName, PathBuf), ConfigError> {
    let arg = values::volume(text).map_err(|source| ConfigError::Volume { option, text: text.clone(), source })?;
    Ok((arg.name, arg.path))
}

/// Fails with `conflict` when `met`.
fn refuse(met: bool, conflict: Conflict) -> Result<(), Conflict> {
    if met { Err(conflict) } else { Ok(()) }
}
