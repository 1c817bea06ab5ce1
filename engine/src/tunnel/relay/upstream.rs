//! The way of a relay to its other side: names, addresses, a proxy, each step under its deadline.
//!
//! One attempt at all addresses, and when to try again is for whoever is behind the local client. An address that is
//! unreachable says nothing about the others: a name with an IPv6 address is common where there is no IPv6.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::super::address::{AddressError, HostPort, ProxyUrl};
use super::super::certificate::Role;
use super::super::connect::{late, network, resolve, server_name};
use super::super::failure::{ConnectError, NetworkError, handshake_failed};
use super::super::proxy::connect_through;
use super::super::socket::tune;
use super::super::stream::Stream;
use super::super::timing::Timing;
use super::handshake;
use super::inlet::{LOOPBACK, is_localhost};
use super::reason::{Reason, is_unreachable, of_connect};

/// For all addresses together; the operator's own wrapper gives up later.
const REACH_DEADLINE: Duration = Duration::from_secs(20);

/// Where TLS connections go.
pub(super) struct Upstream {
    to: HostPort,
    proxy: Option<ProxyUrl>,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Upstream {
    pub(super) fn new(to: HostPort, proxy: Option<ProxyUrl>, config: Arc<ClientConfig>) -> Result<Self, AddressError> {
        let name = server_name(to.host())?;
        Ok(Self { to, proxy, name, config })
    }

    /// A connection on which the peer has shown our certificate. That it believes us is known with its first bytes only.
    pub(super) async fn reach(&self, timing: &Timing) -> Result<Stream, Reason> {
        let reached = timeout(REACH_DEADLINE, self.try_all(timing)).await;
        let reached = reached.unwrap_or_else(|_| Err(network(&self.peer(), late("connecting", REACH_DEADLINE))));
        reached.map_err(|error| of_connect(&error))
    }

    /// The other side, as it is called in sentences.
    pub(super) fn peer(&self) -> String {
        self.to.to_string()
    }

    async fn try_all(&self, timing: &Timing) -> Result<Stream, ConnectError> {
        let hop = self.proxy.as_ref().map_or(&self.to, ProxyUrl::address);
        let mut failure = None;
        for address in addresses(hop, timing).await? {
            match self.try_one(address, timing).await {
                Ok(stream) => return Ok(stream),
                Err(error @ ConnectError::Network { .. }) => failure = Some(further(failure, error)),
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| no_address(hop)))
    }

    async fn try_one(&self, address: SocketAddr, timing: &Timing) -> Result<Stream, ConnectError> {
        let hop = match &self.proxy {
            Some(proxy) => format!("the proxy {}", proxy.address()),
            None => self.peer(),
        };
        let mut tcp = connect(address, &hop, timing).await?;
        if let Some(proxy) = &self.proxy {
            let through = connect_through(&mut tcp, proxy, &self.to, timing.handshake).await;
            through.map_err(|source| ConnectError::Proxy {
                proxy: proxy.address().to_string(),
                peer: self.peer(),
                source,
            })?;
        }
        let shaken = timeout(timing.handshake, handshake::client(Arc::clone(&self.config), self.name.clone(), tcp));
        match shaken.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(handshake_failed(error, &self.peer(), Role::Receiver)),
            Err(_) => Err(network(&self.peer(), late("waiting for the TLS handshake", timing.handshake))),
        }
    }
}

/// A plain connection to one of the addresses of `to`.
pub(super) async fn reach_plain(to: &HostPort, timing: &Timing) -> Result<TcpStream, ConnectError> {
    let mut failure = None;
    for address in addresses(to, timing).await? {
        match connect(address, &to.to_string(), timing).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = Some(further(failure, error)),
        }
    }
    Err(failure.unwrap_or_else(|| no_address(to)))
}

async fn addresses(to: &HostPort, timing: &Timing) -> Result<Vec<SocketAddr>, ConnectError> {
    if is_localhost(to) {
        return Ok(LOOPBACK.iter().map(|ip| SocketAddr::new(*ip, to.port())).collect());
    }
    resolve(to, timing.connect).await
}

async fn connect(address: SocketAddr, called: &str, timing: &Timing) -> Result<TcpStream, ConnectError> {
    match timeout(timing.connect, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => tune(&tcp).map(|()| tcp).map_err(|cause| network(called, cause.into())),
        Ok(Err(cause)) => Err(network(called, cause.into())),
        Err(_) => Err(network(called, late("connecting", timing.connect))),
    }
}

/// Of the failures at two addresses the one that came further: it says more, and more that may pass. The later one when
/// both came equally far.
pub(super) fn further(earlier: Option<ConnectError>, later: ConnectError) -> ConnectError {
    let steps = |error: &ConnectError| match error {
        error if is_unreachable(error) => 0,
        ConnectError::Network { source: NetworkError::Resolve(_) | NetworkError::Io(_), .. } => 1,
        ConnectError::Network { .. }
        | ConnectError::Identity { .. }
        | ConnectError::NotTls { .. }
        | ConnectError::Proxy { .. } => 2,
    };
    match earlier {
        Some(earlier) if steps(&earlier) > steps(&later) => earlier,
        Some(_) | None => later,
    }
}

fn no_address(of: &HostPort) -> ConnectError {
    let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    network(&of.to_string(), NetworkError::Resolve(none))
}
