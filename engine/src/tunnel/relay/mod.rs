//! A relay: bytes from plain sockets to pinned TLS connections and back, whatever they mean.
//!
//! ```text
//!  client   local socket ── first byte? ── upstream (name, proxy, TLS) ── pour
//!  server   TLS socket ── handshake ── first byte? ── plain socket ── pour
//!
//!  inlet      the port, and who is let in            pair       the shared certificate: whom we show and believe
//!  handshake  TLS, in one place                      reason     why there is no way, in one word and a sentence
//! ```
//! Both ends hold the same certificate and key, show it, and believe exactly it; TLS 1.3 only. Nothing is connected before
//! there is a byte to carry, so that probes of the port cost nothing behind it. Trouble is told to the local client in one
//! line, before any other byte ([`Reason`]). Nothing is retried, interpreted or kept: a tunnel may idle for ever, and
//! ends when both sides have ended or one is broken.

mod client;
mod handshake;
mod inlet;
mod pair;
mod pour;
mod reason;
mod server;
#[cfg(test)]
mod tests;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::address::{HostPort, ProxyUrl};
use super::timing::Timing;
use inlet::Strangers;

pub use inlet::{Inlet, InletAddress, InletError};
pub use pair::{Pair, PairError};
pub use reason::Reason;

/// Tunnels that carry bytes at the same time, per relay; each takes two buffers and the TLS library's.
const TUNNELS_MAX: usize = 512;

/// What a relay does with a connection.
pub enum Way {
    /// Takes plain connections and carries them through TLS to `to`.
    Client {
        /// Where the server's stunnel is reached; its host is sent as SNI.
        to: HostPort,
        /// Every connection goes through this proxy.
        proxy: Option<ProxyUrl>,
    },
    /// Takes TLS connections and carries them to a plain port.
    Server {
        /// Where they go; tried in this order.
        to: HostPort,
    },
}

/// What a relay tells whoever runs it.
#[derive(Debug)]
pub enum Event<'a> {
    /// A client has sent its first byte.
    Spoke,
    /// A client that has sent something is gone; follows each [`Self::Spoke`].
    Gone,
    /// A tunnel ended.
    Carried {
        /// Who had connected.
        from: SocketAddr,
        /// Bytes from whoever had connected.
        sent: u64,
        /// Bytes to whoever had connected.
        returned: u64,
        /// How long it stood.
        lasted: Duration,
        /// What broke it, unless both sides ended it.
        broken: Option<&'a io::Error>,
    },
    /// A client was told why there is no way, or a peer was refused.
    Trouble {
        /// Who had connected.
        from: SocketAddr,
        /// Why.
        reason: &'a Reason,
    },
}

/// Whoever runs a relay.
pub trait Witness: Send + Sync + 'static {
    /// Something happened. Must not wait.
    fn saw(&self, event: Event<'_>);
}

/// A relay that is ready to serve.
pub struct Relay {
    inlet: Inlet,
    course: Arc<Course>,
}

/// What all connections of a relay share.
struct Course {
    way: Line,
    timing: Timing,
    tunnels: Semaphore,
    witness: Arc<dyn Witness>,
}

enum Line {
    Client(client::Client),
    Server(server::Server),
}

impl Relay {
    /// Prepares to serve `inlet`; nothing is taken yet.
    ///
    /// # Errors
    /// [`PairError`] when the pair does not suit TLS.
    pub fn new(inlet: Inlet, way: Way, pair: &Pair, witness: Arc<dyn Witness>) -> Result<Self, PairError> {
        let way = match way {
            Way::Client { to, proxy } => Line::Client(client::Client::new(to, proxy, pair)?),
            Way::Server { to } => Line::Server(server::Server::new(to, pair)?),
        };
        let course = Course { way, timing: Timing::default(), tunnels: Semaphore::new(TUNNELS_MAX), witness };
        Ok(Self { inlet, course: Arc::new(course) })
    }

    /// Serves until the port itself fails or this is dropped; tunnels that stand then end with the runtime.
    ///
    /// # Errors
    /// What the system said of the port.
    pub async fn serve(self) -> io::Result<()> {
        let Self { inlet, course } = self;
        let inlet = inlet.drive()?;
        let mut strangers = Strangers::default();
        loop {
            let (tcp, peer) = inlet.take().await?;
            let place = strangers.let_in().await;
            tokio::spawn(Arc::clone(&course).carry(tcp, peer, place));
        }
    }
}

impl Course {
    async fn carry(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr, place: inlet::Place) {
        match &self.way {
            Line::Client(client) => client.carry(&self, tcp, peer, place).await,
            Line::Server(server) => server.carry(&self, tcp, peer, place).await,
        }
    }

    /// Says `reason` to whoever runs the relay.
    fn tell(&self, from: SocketAddr, reason: &Reason) {
        self.witness.saw(Event::Trouble { from, reason });
    }

    /// A client that has spoken, until it is dropped.
    fn spoke(&self) -> Spoken<'_> {
        self.witness.saw(Event::Spoke);
        Spoken(self.witness.as_ref())
    }
}

struct Spoken<'a>(&'a dyn Witness);

impl Drop for Spoken<'_> {
    fn drop(&mut self) {
        self.0.saw(Event::Gone);
    }
}
