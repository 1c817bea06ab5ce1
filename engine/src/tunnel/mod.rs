//! Room `tunnel`: an authenticated channel that carries frames, through one port.
//!
//! ```text
//!  keygen, ticket ──> identity ──┬─> connect (proxy) ─┐
//!                                └─> accept ──────────┴─> Stream ──> greet ──> open ──> Outbox, Inbox
//! ```
//! The only room with sockets, rustls and rcgen. Nothing is sent before both sides are authenticated; nothing is
//! believed but what the identity names. It knows frames as lengths and pings as pings; what else they mean is the
//! session's. No retries are made here: every failure says whether it may pass ([`ConnectError::may_pass`]).

mod accept;
mod address;
mod certificate;
mod connect;
mod failure;
mod greet;
mod identity;
mod issue;
mod keygen;
mod link;
mod pace;
mod pinned;
mod provider;
mod proxy;
#[cfg(test)]
mod scratch;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod ticket;
mod timing;
mod tls;
mod verifier;

pub use accept::{AcceptError, Acceptor, BindError, Handshake, Stranger};
pub use address::{AddressError, Host, HostPort, ProxyUrl, Target};
pub use certificate::{Date, Role};
pub use connect::{Connector, ConnectorError};
pub use failure::{ConnectError, Distrust, NetworkError, classify};
pub use greet::{GreetError, greet, greet_blindly, greet_with};
pub use identity::{Identity, IdentityError};
pub use keygen::{KeygenError, keygen};
pub use link::{Closed, Inbox, LinkError, Outbox, Spare, open, open_with};
pub use pace::{Meter, Pace};
pub use provider::random_bytes;
pub use proxy::ProxyError;
pub use stream::{AsyncStream, Stream, memory_pair};
pub use ticket::{Ticket, TicketError};
pub use timing::Timing;
