//! A listening port: one socket, many strangers.
//!
//! Whoever connects is a stranger until it has said who it is. At most `STRANGERS_MAX` of them are let in at a time; the
//! others wait in the kernel's queue. What they say is not read here.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::identity::IdentityError;
use crate::types::limits::STRANGERS_MAX;

/// Connections the kernel holds for us.
const BACKLOG: i32 = 1_024;
/// How long to wait when the process or the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A port that is listened on.
pub(super) struct Listener {
    listener: StdListener,
    /// The same listener, once a runtime drives it: it is bound before there is one.
    driven: OnceLock<TcpListener>,
    strangers: Arc<Semaphore>,
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

impl Listener {
    /// Listens on `address` (`[::]:PORT` is both families, port 0 any free one). Needs no runtime yet.
    ///
    /// # Errors
    /// [`BindError::Address`], [`BindError::Listen`].
    pub(super) fn bind(address: &str) -> Result<Self, BindError> {
        let address: SocketAddr =
            address.parse().map_err(|_| BindError::Address(address.escape_debug().take(100).collect()))?;
        let listener = listen(address).map_err(|source| BindError::Listen { address, source })?;
        Ok(Self { listener, driven: OnceLock::new(), strangers: Arc::new(Semaphore::new(STRANGERS_MAX)) })
    }

    /// The address it listens on, with the port that was chosen.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. Waits while there are `STRANGERS_MAX` strangers; goes on when a connection broke before it
    /// was taken or descriptors ran out. May be dropped at any time: no connection is lost.
    ///
    /// # Errors
    /// Only what will not pass.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Stranger)> {
        let listener = self.driven()?;
        let strangers = Arc::clone(&self.strangers).acquire_owned().await;
        let stranger = Stranger(strangers.map_err(io::Error::other)?);
        let (tcp, peer) = take(listener).await?;
        Ok((tcp, peer, stranger))
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

/// The next connection; goes on when one broke before it was taken or descriptors ran out. May be dropped at any time.
///
/// # Errors
/// Only what will not pass.
pub(super) async fn take(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok(taken) => return Ok(taken),
            Err(error) => match fate_of(&error) {
                Fate::Next => tokio::task::yield_now().await,
                Fate::Pause => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot take connections for the moment");
                    sleep(PAUSE).await;
                }
                Fate::End => return Err(error),
            },
        }
    }
}

/// A socket that listens on `address`; on both families where that is `::`.
pub(super) fn listen(address: SocketAddr) -> io::Result<StdListener> {
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
