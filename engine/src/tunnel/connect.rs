//! The sender's side of a connection: name, address, proxy, TLS.
//!
//! One attempt, each step under its deadline; when to try again is the session's. All addresses of all names are
//! tried in order, beginning with the one that worked last, so that the lanes of a session do not wait for addresses
//! that its control connection found dead. Once a TCP connection stands the TLS hello leaves at once, for routers wait
//! for it only a few seconds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::address::{AddressError, Host, HostPort, ProxyUrl, Target};
use super::certificate::Role;
use super::failure::{ConnectError, NetworkError, handshake_failed};
use super::identity::{Identity, IdentityError};
use super::proxy::connect_through;
use super::socket::prepare;
use super::stream::Stream;
use super::timing::Timing;
use super::tls;

/// Makes connections to one receiver. Shared by all lanes of a session.
pub struct Connector {
    destinations: Vec<Destination>,
    proxy: Option<ProxyUrl>,
    config: Arc<ClientConfig>,
    timing: Timing,
    /// Index of the destination that worked last.
    preferred: AtomicUsize,
}

struct Destination {
    address: HostPort,
    name: ServerName<'static>,
}

/// Why there can be no [`Connector`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// No address, or a server name that is none.
    #[error("cannot use this destination")]
    Target(#[from] AddressError),
    /// An identity that is not a sender's.
    #[error("cannot connect with this identity")]
    Identity(#[from] IdentityError),
}

impl Connector {
    /// Prepares connections to `target` as `identity`, which must be a sender's.
    ///
    /// # Errors
    /// [`ConnectorError`]; nothing was sent.
    pub fn new(target: Target, identity: Identity) -> Result<Self, ConnectorError> {
        Self::with_timing(target, &identity, Timing::default())
    }

    /// [`Self::new`] with other deadlines.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_timing(target: Target, identity: &Identity, timing: Timing) -> Result<Self, ConnectorError> {
        let name = target.server_name.as_deref().map(Host::parse).transpose()?;
        let destinations = target
            .addresses
            .into_iter()
            .map(|address| {
                let name = server_name(name.as_ref().unwrap_or(address.host()))?;
                Ok(Destination { address, name })
            })
            .collect::<Result<Vec<_>, AddressError>>()?;
        if destinations.is_empty() {
            return Err(AddressError::None.into());
        }
        let config = Arc::new(identity.client_config()?);
        Ok(Self { destinations, proxy: target.proxy, config, timing, preferred: AtomicUsize::new(0) })
    }

    /// One connection, authenticated on our side. That the receiver has believed us as well is known with its first
    /// bytes only (`greet`).
    ///
    /// # Errors
    /// [`ConnectError`], the most telling one of all addresses.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for (index, destination) in
            self.destinations.iter().enumerate().cycle().skip(first).take(self.destinations.len())
        {
            match self.connect_to(destination).await {
                Ok(stream) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(stream);
                }
                Err(error) => {
                    tracing::debug!(address = %destination.address, error = &error as &dyn std::error::Error, "no connection");
                    failure = Some(match failure {
                        None => error,
                        Some(earlier) => ConnectError::more_telling(earlier, error),
                    });
                }
            }
        }
        Err(failure.unwrap_or_else(|| network("no address", NetworkError::Closed)))
    }

    #[cfg(test)]
    pub(super) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// Tries the addresses of one name until TLS stands with one of them.
    async fn connect_to(&self, destination: &Destination) -> Result<Stream, ConnectError> {
        let peer = destination.address.to_string();
        let hop = self.proxy.as_ref().map_or(&destination.address, ProxyUrl::address);
        let mut failure = None;
        for address in resolve(hop, self.timing.connect).await? {
            let attempt = async {
                let mut socket = self.connect_tcp(address, hop).await?;
                if let Some(proxy) = &self.proxy {
                    connect_through(&mut socket, proxy, &destination.address, self.timing.handshake).await.map_err(
                        |source| ConnectError::Proxy { proxy: proxy.to_string(), peer: peer.clone(), source },
                    )?;
                }
                self.shake_hands(socket, destination.name.clone(), &peer).await
            };
            match attempt.await {
                Ok(stream) => return Ok(stream),
                // The next address of the same name may lead elsewhere only when this one led nowhere.
                Err(error @ ConnectError::Network { .. }) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let none = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
            network(&peer, NetworkError::Resolve(none))
        }))
    }

    async fn connect_tcp(&self, address: SocketAddr, hop: &HostPort) -> Result<TcpStream, ConnectError> {
        let what = if self.proxy.is_some() { "the proxy " } else { "" };
        let peer = match hop.host() {
            Host::Name(_) => format!("{what}{hop} ({address})"),
            Host::Ip(_) => format!("{what}{hop}"),
        };
        match timeout(self.timing.connect, TcpStream::connect(address)).await {
            Ok(connected) => connected.and_then(prepare).map_err(|cause| network(&peer, cause.into())),
            Err(_) => Err(network(&peer, late("connecting", self.timing.connect))),
        }
    }

    async fn shake_hands(
        &self,
        socket: TcpStream,
        name: ServerName<'static>,
        peer: &str,
    ) -> Result<Stream, ConnectError> {
        let handshake = tls::connect(Arc::clone(&self.config), name, socket);
        match timeout(self.timing.handshake, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(handshake_failed(error, peer, Role::Receiver)),
            Err(_) => Err(network(peer, late("waiting for the TLS handshake", self.timing.handshake))),
        }
    }
}

/// The name to be verified. An IP address is verified against the certificate's addresses and cannot be sent as SNI.
pub(super) fn server_name(host: &Host) -> Result<ServerName<'static>, AddressError> {
    match host {
        Host::Ip(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| AddressError::Host(name.to_string())),
    }
}

/// All addresses of a host, of both families, in the resolver's order.
pub(super) async fn resolve(to: &HostPort, deadline: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    let name = match to.host() {
        Host::Ip(address) => return Ok(vec![SocketAddr::new(*address, to.port())]),
        Host::Name(name) => name.as_ref(),
    };
    match timeout(deadline, lookup_host((name, to.port()))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(cause)) => Err(network(&to.to_string(), NetworkError::Resolve(cause))),
        Err(_) => Err(network(&to.to_string(), late("resolving the name", deadline))),
    }
}

pub(super) fn network(peer: &str, source: NetworkError) -> ConnectError {
    ConnectError::Network { peer: peer.to_owned(), source }
}

pub(super) fn late(waiting_for: &'static str, deadline: Duration) -> NetworkError {
    NetworkError::Timeout { waiting_for, seconds: deadline.as_secs() }
}
