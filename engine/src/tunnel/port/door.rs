//! The daemon's side of the port: who may connect, which modules there are, who proves their password.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::lines::{GREETING, Line, Module, Request, Socket, buffered, hex, read_line, refusal, unhex, word};
use super::proof::Password;
use crate::tunnel::listener::{BindError, Listener, Stranger};
use crate::tunnel::provider::random_bytes;
use crate::tunnel::stream::Stream;
use crate::tunnel::timing::Timing;
use crate::types::VolumeName;

/// A module of the port.
#[derive(Clone, Debug)]
pub struct PortModule {
    /// Its name in the port.
    pub module: Module,
    /// The volume it stands for.
    pub volume: VolumeName,
    /// Users and their passwords; with none nothing needs to be proved.
    pub users: Vec<(String, Password)>,
    /// From where it may be asked for.
    pub allowed: Allowed,
}

/// Addresses that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All.
    Everybody,
    /// Those in one of these networks: an address, and how many of its bits count.
    Networks(Vec<(IpAddr, u8)>),
}

/// A listening port with modules.
pub struct PortDoor {
    listener: Listener,
    modules: Arc<HashMap<Module, PortModule>>,
    timing: Timing,
}

/// A connection that is still to introduce itself.
pub struct PortArrival {
    tcp: TcpStream,
    peer: SocketAddr,
    modules: Arc<HashMap<Module, PortModule>>,
    stranger: Stranger,
    deadline: Instant,
}

/// What became of a connection that introduces itself.
enum Introduced {
    As(VolumeName),
    /// It closed, or said something else from the first byte on.
    Probe,
    /// Told so, and to be told to people too.
    Refused(String),
}

impl PortDoor {
    /// Listens on `address` for clients of `modules`. Needs no runtime yet.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(address: &str, modules: Vec<PortModule>) -> Result<Self, BindError> {
        let modules = modules.into_iter().map(|module| (module.module.clone(), module)).collect();
        Ok(Self { listener: Listener::bind(address)?, modules: Arc::new(modules), timing: Timing::default() })
    }

    /// The address it listens on, with the port that was chosen.
    ///
    /// # Errors
    /// The system's, which is not to be expected.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, as [`super::super::Acceptor::accept`].
    ///
    /// # Errors
    /// Only what will not pass.
    pub async fn accept(&self) -> io::Result<PortArrival> {
        let (tcp, peer, stranger) = self.listener.accept().await?;
        let deadline = Instant::now() + self.timing.handshake;
        Ok(PortArrival { tcp, peer, modules: Arc::clone(&self.modules), stranger, deadline })
    }
}

impl PortArrival {
    /// Who connected.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Hears what the client wants and whether it may have it, under `HANDSHAKE_DEADLINE`. `None` for everybody else, who
    /// has been told and is gone.
    pub async fn complete(self) -> Option<(Stream, Stranger, VolumeName)> {
        let Self { tcp, peer, modules, stranger, deadline } = self;
        let mut socket = buffered(tcp).ok()?;
        let introduced = timeout_at(deadline, introduce(&mut socket, peer, &modules)).await;
        match introduced {
            Ok(Ok(Introduced::As(volume))) => Some((Box::new(socket), stranger, volume)),
            Ok(Ok(Introduced::Refused(text))) => {
                tracing::warn!(%peer, "a client was refused: {text}");
                None
            }
            Ok(Ok(Introduced::Probe)) | Err(_) => {
                tracing::debug!(%peer, "somebody looked whether we listen");
                None
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a client broke off");
                None
            }
        }
    }
}

async fn introduce(
    socket: &mut Socket,
    peer: SocketAddr,
    modules: &HashMap<Module, PortModule>,
) -> io::Result<Introduced> {
    say(socket, GREETING).await?;
    match read_line(socket).await? {
        Some(Line::Ferry) => {}
        Some(Line::Stock) => {
            let text = "the source's transfer image is stock rsync: set the same ferry image on both clusters";
            return refuse(socket, text).await;
        }
        Some(Line::Word(_) | Line::Error(_) | Line::Other) => {
            return refuse(socket, "this is ferry's rsync port, and no other protocol is spoken here").await;
        }
        None => return Ok(Introduced::Probe),
    }
    let Some(Line::Word(words)) = read_line(socket).await? else { return Ok(Introduced::Probe) };
    let Some(request) = Request::read(&words) else { return refuse(socket, "the request cannot be read").await };
    let Some(module) = modules.get(&request.module) else {
        return refuse(socket, &format!("Unknown module '{}'", request.module)).await;
    };
    if !module.allowed.contains(peer.ip()) {
        return refuse(socket, &format!("access denied to {} from {}", request.module, peer.ip())).await;
    }
    if !module.users.is_empty() && !prove(socket, &request, module).await? {
        return refuse(socket, &format!("auth failed on module {}", request.module)).await;
    }
    say(socket, &word("OK")).await?;
    Ok(Introduced::As(module.volume.clone()))
}

/// Whether the client knows the password of the user it says it is. A user that does not exist is asked as well.
async fn prove(socket: &mut Socket, request: &Request, module: &PortModule) -> io::Result<bool> {
    let nonce = random_bytes::<16>().ok_or_else(|| io::Error::other("the system gives no random bytes"))?;
    say(socket, &word(&hex(&nonce))).await?;
    let Some(Line::Word(answer)) = read_line(socket).await? else { return Ok(false) };
    let password = module.users.iter().find(|(user, _)| *user == request.user).map(|(_, password)| password);
    let proof = unhex::<32>(&answer).map(blake3::Hash::from_bytes);
    // Digests are compared in constant time.
    Ok(match (password, proof) {
        (Some(password), Some(proof)) => password.proof(request, &nonce) == proof,
        _ => false,
    })
}

async fn refuse(socket: &mut Socket, text: &str) -> io::Result<Introduced> {
    say(socket, &refusal(text)).await?;
    socket.shutdown().await?;
    Ok(Introduced::Refused(text.to_owned()))
}

async fn say(socket: &mut Socket, line: &str) -> io::Result<()> {
    socket.write_all(line.as_bytes()).await?;
    socket.flush().await
}

impl Allowed {
    /// Whether an address is one of them. An IPv4 address is the same whether it came over IPv6 or not.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Everybody => true,
            Self::Networks(networks) => {
                let address = address.to_canonical();
                networks.iter().any(|(network, bits)| is_in(address, network.to_canonical(), *bits))
            }
        }
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(address.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), Ipv6Addr::BITS),
        _ => return false,
    };
    let rest = width.saturating_sub(u32::from(bits));
    // A shift by the whole width is no shift: then every address is in.
    (address ^ network).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_what_begins_like_them() {
        let allowed = |network: &str, bits| Allowed::Networks(vec![(ip(network), bits)]);
        assert!(allowed("127.0.0.1", 32).contains(ip("127.0.0.1")));
        assert!(allowed("127.0.0.1", 32).contains(ip("::ffff:127.0.0.1")));
        assert!(!allowed("127.0.0.1", 32).contains(ip("127.0.0.2")));
        assert!(
            allowed("10.128.0.0", 14).contains(ip("10.131.7.7"))
                && !allowed("10.128.0.0", 14).contains(ip("10.132.0.1"))
        );
        assert!(allowed("::1", 128).contains(ip("::1")) && !allowed("::1", 128).contains(ip("127.0.0.1")));
        assert!(allowed("0.0.0.0", 0).contains(ip("9.9.9.9")) && !allowed("0.0.0.0", 0).contains(ip("::1")));
        assert!(allowed("::", 0).contains(ip("fe80::1")));
        assert!(!Allowed::Networks(Vec::new()).contains(ip("127.0.0.1")) && Allowed::Everybody.contains(ip("::1")));
    }
}
