//! Room `tunnel`: an authenticated channel that carries frames, through one port.
//!
//! ```text
//!  keygen, ticket ──> identity ──┬─> connect (proxy) ─┐
//!                                └─> accept ──────────┴─> Stream ──> greet ──> open ──> Outbox, Inbox
//!  relay   plain bytes <──> TLS with one certificate on both sides, for programs that know nothing of it
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
mod listener;
mod pace;
mod pinned;
mod port;
mod probe;
mod provider;
mod proxy;
mod relay;
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

pub use accept::{AcceptError, Acceptor, Handshake};
pub use address::{AddressError, Host, HostPort, ProxyUrl, Target};
pub use certificate::{Date, Role};
pub use connect::{Connector, ConnectorError};
pub use failure::{ConnectError, Distrust, NetworkError, classify};
pub use greet::{GreetError, greet, greet_blindly, greet_with};
pub use identity::{Identity, IdentityError};
pub use keygen::{KeygenError, keygen};
pub use link::{Closed, Inbox, LinkError, Outbox, Spare, open, open_with};
pub use listener::{BindError, Stranger};
pub use pace::{Meter, Pace};
pub use port::{
    Allowed, Errand, ErrandDoor, ErrandError, Module, ModuleError, Password, PortArrival, PortConnector, PortDoor,
    PortError, PortModule, PortTarget, Trouble,
};
pub use probe::{probe, resolve};
pub use provider::random_bytes;
pub use proxy::ProxyError;
pub use relay::{Event, Inlet, InletAddress, InletError, Pair, PairError, Reason, Relay, Way, Witness};
pub use stream::{AsyncStream, Stream, memory_pair};
pub use ticket::{Ticket, TicketError};
pub use timing::Timing;
