//! The receiver's side of a connection: one port, many strangers.
//!
//! Whoever connects is a stranger until the session has read a hello that it admits (`listener`). Health checks and
//! scanners that close without a TLS hello or send something else are told from refused peers and are logged at debug level
//! only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::certificate::Role;
use super::failure::{Distrust, distrust, tls_error};
use super::identity::Identity;
use super::listener::{BindError, Listener, Stranger};
use super::socket::prepare;
use super::stream::Stream;
use super::timing::Timing;
use super::tls;

/// Bytes of a refused peer that are read away before its connection is closed.
const READ_AWAY_MAX: u64 = 65_536;

/// A listening port with an identity.
pub struct Acceptor {
    listener: Listener,
    config: Arc<ServerConfig>,
    timing: Timing,
}

/// A connection whose TLS handshake is still to be done.
pub struct Handshake {
    tcp: TcpStream,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    stranger: Stranger,
    timing: Timing,
    deadline: Instant,
}

/// Why a connection did not become a stream. It is closed.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It closed without a TLS hello, sent something else, or broke off: nothing to tell people.
    #[error("{peer} connected and did not speak TLS to the end")]
    Probe {
        /// Who.
        peer: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// It took too long.
    #[error("{peer} did not complete the TLS handshake in time")]
    Slow {
        /// Who.
        peer: SocketAddr,
    },
    /// One side does not believe the other.
    #[error("{peer} is not the peer we want, or does not want us")]
    Identity {
        /// Who.
        peer: SocketAddr,
        /// What was not believed.
        source: Distrust,
    },
}

impl Acceptor {
    /// Listens on `address` (`[::]:PORT` is both families, port 0 any free one) as `identity`, which must be a
    /// receiver's. Needs no runtime yet.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(address: &str, identity: Identity) -> Result<Self, BindError> {
        Self::with_timing(address, &identity, Timing::default())
    }

    /// [`Self::bind`] with other deadlines.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn with_timing(address: &str, identity: &Identity, timing: Timing) -> Result<Self, BindError> {
        let config = Arc::new(identity.server_config()?);
        Ok(Self { listener: Listener::bind(address)?, config, timing })
    }

    /// The address it listens on, with the port that was chosen.
    ///
    /// # Errors
    /// The system's, which is not to be expected.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. Waits while there are `STRANGERS_MAX` strangers; goes on when a connection broke before it
    /// was taken or descriptors ran out. May be dropped at any time: no connection is lost.
    ///
    /// # Errors
    /// Only what will not pass.
    pub async fn accept(&self) -> io::Result<Handshake> {
        let (tcp, peer, stranger) = self.listener.accept().await?;
        let deadline = Instant::now() + self.timing.handshake;
        Ok(Handshake { tcp, peer, config: Arc::clone(&self.config), stranger, timing: self.timing, deadline })
    }

    #[cfg(test)]
    pub(super) fn places_left(&self) -> usize {
        self.listener.places_left()
    }
}

impl Handshake {
    /// Who connected.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Does the TLS handshake, under `HANDSHAKE_DEADLINE` since the connection was taken. The [`Stranger`] is to be
    /// kept until the session has admitted the peer's hello.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub async fn complete(self) -> Result<(Stream, Stranger), AcceptError> {
        let peer = self.peer;
        let result = match timeout_at(self.deadline, self.shake_hands()).await {
            Ok(result) => result,
            Err(_) => Err(AcceptError::Slow { peer }),
        };
        if let Err(error) = &result {
            tracing::debug!(%peer, error = error as &dyn std::error::Error, "no handshake");
        }
        result
    }

    async fn shake_hands(self) -> Result<(Stream, Stranger), AcceptError> {
        let Self { tcp, peer, config, stranger, timing, .. } = self;
        let socket = prepare(tcp).map_err(|source| AcceptError::Probe { peer, source })?;
        match tls::accept(config, socket).await {
            Ok(stream) => Ok((Box::new(stream), stranger)),
            Err((error, socket)) => {
                let refused = tls_error(&error).and_then(|tls| distrust(tls, Role::Sender));
                let Some(source) = refused else {
                    return Err(AcceptError::Probe { peer, source: error });
                };
                part(socket, timing.linger).await;
                Err(AcceptError::Identity { peer, source })
            }
        }
    }
}

impl AcceptError {
    /// True for what health checks and scanners do: not worth a line.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        match self {
            Self::Probe { .. } | Self::Slow { .. } => true,
            Self::Identity { .. } => false,
        }
    }
}

/// Closes a connection so that the alert arrives: closed with bytes unread, the kernel would send a reset, and a reset
/// makes the peer's kernel throw away what it has not read yet.
async fn part(mut socket: TcpStream, linger: Duration) {
    let read_away = async {
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(READ_AWAY_MAX), &mut tokio::io::sink()).await
    };
    if let Ok(Err(error)) = timeout(linger, read_away).await {
        tracing::trace!(error = &error as &dyn std::error::Error, "a refused connection broke");
    }
}
