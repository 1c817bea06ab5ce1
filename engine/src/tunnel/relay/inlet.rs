//! The port of a relay: one socket for both families, bound before anything runs, and the strangers at it.
//!
//! A stranger has connected and said nothing yet, or has not finished its handshake. There are at most `STRANGERS_MAX` of
//! them: one more waits for a place, and after a moment the one that has been a stranger for longest goes, so that neither
//! half-open connections nor slow ones keep anybody out. `localhost` listens on both families with the same one socket and closes what did not come over the
//! loopback.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Duration, Instant, timeout_at};

use super::super::address::{Host, HostPort};
use super::super::listener::{listen, take};
use crate::types::limits::STRANGERS_MAX;

/// What a stranger is left when others wait: many times what a handshake takes.
const GRACE: Duration = Duration::from_secs(1);

/// The name that means the loopback of both families, whatever a resolver says (RFC 6761, 6.3).
pub(super) const LOCALHOST: &str = "localhost";

/// Where a relay listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InletAddress {
    /// This port of every address.
    Port(u16),
    /// A host and a port; `localhost` is the loopback of both families.
    Host(HostPort),
}

/// Why a relay cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum InletError {
    /// The host has no address here.
    #[error("cannot listen on {0}: the name cannot be resolved")]
    Resolve(InletAddress, #[source] io::Error),
    /// The system refuses.
    #[error("cannot listen on {0}")]
    Listen(InletAddress, #[source] io::Error),
    /// What was handed over is no listening socket.
    #[error("the descriptor that was handed over for {0} does not listen")]
    Inherited(InletAddress, #[source] io::Error),
}

/// A bound port.
#[derive(Debug)]
pub struct Inlet {
    listener: StdListener,
    from: From,
}

/// Whose connections are taken.
#[derive(Clone, Copy, Debug)]
enum From {
    Everywhere,
    Loopback,
}

/// An inlet that a runtime drives.
pub(super) struct Driven {
    listener: TcpListener,
    from: From,
}

impl Inlet {
    /// Listens on `address`. Needs no runtime.
    ///
    /// # Errors
    /// [`InletError`].
    pub fn bind(address: &InletAddress) -> Result<Self, InletError> {
        let failed = |cause| InletError::Listen(address.clone(), cause);
        let (listener, from) = match address {
            InletAddress::Port(port) => (everywhere(*port).map_err(failed)?, From::Everywhere),
            InletAddress::Host(host) if is_localhost(host) => {
                (everywhere(host.port()).map_err(failed)?, From::Loopback)
            }
            InletAddress::Host(host) => {
                let at = resolve(host).map_err(|cause| InletError::Resolve(address.clone(), cause))?;
                (listen(at).map_err(failed)?, From::Everywhere)
            }
        };
        Ok(Self { listener, from })
    }

    /// Takes over what another process has bound to `address`.
    ///
    /// # Errors
    /// [`InletError::Inherited`].
    pub fn inherit(address: &InletAddress, descriptor: OwnedFd) -> Result<Self, InletError> {
        let failed = |cause| InletError::Inherited(address.clone(), cause);
        let listens = SockRef::from(&descriptor).is_listener().map_err(failed)?;
        if !listens {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        let listener = StdListener::from(descriptor);
        listener.set_nonblocking(true).map_err(failed)?;
        let from = match address {
            InletAddress::Host(host) if is_localhost(host) => From::Loopback,
            InletAddress::Host(_) | InletAddress::Port(_) => From::Everywhere,
        };
        Ok(Self { listener, from })
    }

    /// The descriptor, for another process to inherit.
    ///
    /// # Errors
    /// When the process has no more descriptors.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    pub(super) fn drive(self) -> io::Result<Driven> {
        Ok(Driven { listener: TcpListener::from_std(self.listener)?, from: self.from })
    }
}

impl AsFd for Inlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Driven {
    /// The next connection that may come in. May be dropped at any time.
    pub(super) async fn take(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (tcp, peer) = take(&self.listener).await?;
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let near = match self.from {
                From::Everywhere => true,
                From::Loopback => tcp.local_addr().is_ok_and(|here| here.ip().to_canonical().is_loopback()),
            };
            if near {
                return Ok((tcp, peer));
            }
            tracing::debug!(%peer, "closed: only the loopback is served");
        }
    }
}

/// Both families where the machine has both.
fn everywhere(port: u16) -> io::Result<StdListener> {
    /// EAFNOSUPPORT, EADDRNOTAVAIL: what a kernel without IPv6, or with IPv6 switched off, says.
    const NO_IPV6: [i32; 2] = [97, 99];
    match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Err(error) if error.raw_os_error().is_some_and(|number| NO_IPV6.contains(&number)) => {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        result => result,
    }
}

pub(super) fn is_localhost(address: &HostPort) -> bool {
    matches!(address.host(), Host::Name(name) if **name == *LOCALHOST)
}

fn resolve(address: &HostPort) -> io::Result<SocketAddr> {
    match address.host() {
        Host::Ip(ip) => Ok(SocketAddr::new(*ip, address.port())),
        Host::Name(name) => {
            let mut found = (&**name, address.port()).to_socket_addrs()?;
            found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        }
    }
}

/// The loopback of both families.
pub(super) const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Who is still a stranger, the eldest first.
pub(super) struct Strangers {
    places: VecDeque<(Instant, oneshot::Sender<()>)>,
    free: Arc<Semaphore>,
}

/// A stranger's place. It is given up by dropping it, and taken away when others need it.
pub(super) struct Place {
    lost: oneshot::Receiver<()>,
    _free: Option<OwnedSemaphorePermit>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { places: VecDeque::new(), free: Arc::new(Semaphore::new(STRANGERS_MAX)) }
    }
}

impl Strangers {
    /// A place for one more. Where there is none left it waits until one is given up, or until the eldest has had
    /// [`GRACE`] and loses theirs.
    pub(super) async fn let_in(&mut self) -> Place {
        self.places.retain(|(_, place)| !place.is_closed());
        let place = || Arc::clone(&self.free).acquire_owned();
        // An error would be a semaphore that somebody closed, which nobody does.
        let permit = match self.places.front() {
            None => place().await.ok(),
            Some((since, _)) => match timeout_at(*since + GRACE, place()).await {
                Ok(permit) => permit.ok(),
                Err(_) => {
                    // Dropping it is what the stranger notices, and then its place is free.
                    self.places.pop_front();
                    place().await.ok()
                }
            },
        };
        let (sender, lost) = oneshot::channel();
        self.places.push_back((Instant::now(), sender));
        Place { lost, _free: permit }
    }
}

impl Place {
    /// What `deed` comes to, unless the place is lost meanwhile.
    pub(super) async fn hold<T>(self, deed: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = deed => Some(done),
            _ = self.lost => None,
        }
    }
}

impl fmt::Display for InletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Host(host) => write!(f, "{host}"),
        }
    }
}
