//! The receiver's side of a connection: one port, many strangers.
//!
//! Whoever connects is a stranger until the session has read a hello that it admits. At most `STRANGERS_MAX` of them
//! are let in at a time; the others wait in the kernel's queue. Health checks and scanners that close without a TLS
//! hello or send something else are told from refused peers and are logged at debug level only.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::certificate::Role;
use super::failure::{Distrust, distrust, tls_error};
use super::identity::{Identity, IdentityError};
use super::socket::prepare;
use super::stream::Stream;
use super::timing::Timing;
use super::tls;
use crate::types::limits::STRANGERS_MAX;

/// Connections the kernel holds for us.
const BACKLOG: i32 = 1_024;
/// How long to wait when the process or the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a refused peer that are read away before its connection is closed.
const READ_AWAY_MAX: u64 = 65_536;

/// A listening port with an identity.
pub struct Acceptor {
    listener: StdListener,
    /// The same listener, once a runtime drives it: it is bound before there is one.
    driven: OnceLock<TcpListener>,
    config: Arc<ServerConfig>,
    strangers: Arc<Semaphore>,
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

/// One of the places for strangers; dropped when the peer has introduced itself or is gone.
#[derive(Debug)]
pub struct Stranger(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not an address.
    #[error("`{0}` is not an address to listen on: write [::]:PORT, 0.0.0.0:PORT or another ADDRESS:PORT")]
    Address(String),
    /// The system refuses.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// An identity that is not a receiver's.
    #[error("cannot listen with this identity")]
    Identity(#[from] IdentityError),
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
        let address: SocketAddr =
            address.parse().map_err(|_| BindError::Address(address.escape_debug().take(100).collect()))?;
        let listener = listen(address).map_err(|source| BindError::Listen { address, source })?;
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        Ok(Self { listener, driven: OnceLock::new(), config, strangers, timing })
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
        let listener = self.driven()?;
        let strangers = Arc::clone(&self.strangers).acquire_owned().await;
        let stranger = Stranger(strangers.map_err(io::Error::other)?);
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    let deadline = Instant::now() + self.timing.handshake;
                    let config = Arc::clone(&self.config);
                    return Ok(Handshake { tcp, peer, config, stranger, timing: self.timing, deadline });
                }
                Err(error) => match fate_of(&error) {
                    Fate::Next => tokio::task::yield_now().await,
                    Fate::Pause => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "cannot take connections for the moment"
                        );
                        sleep(PAUSE).await;
                    }
                    Fate::End => return Err(error),
                },
            }
        }
    }

    #[cfg(test)]
    pub(super) fn places_left(&self) -> usize {
        self.strangers.available_permits()
    }

    fn driven(&self) -> io::Result<&TcpListener> {
        if let Some(listener) = self.driven.get() {
            return Ok(listener);
        }
        let listener = TcpListener::from_std(self.listener.try_clone()?)?;
        Ok(self.driven.get_or_init(|| listener))
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

fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What an error of accept(2) means for the next one.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Next,
    Pause,
    End,
}

fn fate_of(error: &io::Error) -> Fate {
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM: what others hold will come free.
    const EXHAUSTED: [i32; 4] = [24, 23, 105, 12];
    /// EINVAL, EBADF, ENOTSOCK, EFAULT, EOPNOTSUPP: the listener itself is no good.
    const BROKEN: [i32; 5] = [22, 9, 88, 14, 95];
    match error.raw_os_error() {
        Some(number) if EXHAUSTED.contains(&number) => Fate::Pause,
        Some(number) if BROKEN.contains(&number) => Fate::End,
        // accept(2) hands on what already happened to the new connection: ECONNABORTED, EPROTO, EHOSTUNREACH and more.
        Some(_) => Fate::Next,
        None => Fate::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_outlives_what_befell_one_connection() {
        // ECONNABORTED, EPROTO, EPERM (a firewall); EMFILE, ENFILE; EBADF.
        let fate = |number| fate_of(&io::Error::from_raw_os_error(number));
        assert_eq!([103, 71, 1].map(fate), [Fate::Next, Fate::Next, Fate::Next]);
        assert_eq!([24, 23].map(fate), [Fate::Pause, Fate::Pause]);
        assert_eq!(fate(9), Fate::End);
    }
}
