//! Room `tunnel`: an authenticated channel that carries frames, through one port.
//!
//! ```text
//!  keygen, ticket ──> identity ──┬─> connect (proxy) ─┐
//!                                └─> accept ──────────┴─> Stream ──> greet ──> open ──> Outbox, Inbox
//! ```
//! The only room with sockets, rustls and rcgen. Nothing is sent before both sides are authenticated; nothing is
//! believed but what the identity names. It knows frames as lengths and pings as pings; what else they mean is the
//! session's. No retries are made here: every failure says whether it may pass ([`ConnectError::may_pass`]).

mod address;
mod certificate;
mod identity;
mod issue;
mod keygen;
mod pinned;
mod provider;
#[cfg(test)]
mod scratch;
mod ticket;
mod verifier;

pub use address::{AddressError, Host, HostPort, ProxyUrl, Target};
pub use certificate::{Date, Role};
pub use identity::{Identity, IdentityError};
pub use keygen::{KeygenError, keygen};
pub use ticket::{Ticket, TicketError};
