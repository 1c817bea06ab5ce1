//! TEMPORARY declarations of the faces `cli` uses; dropped at the merge.
#![allow(missing_docs, clippy::unused_async)]
use std::net::SocketAddr;
use std::path::Path;

use crate::types::VolumeName;

#[derive(Debug, thiserror::Error)]
#[error("stand-in")]
pub struct StandIn;
pub type KeygenError = StandIn;
pub type AddressError = StandIn;
pub type TicketError = StandIn;
pub type IdentityError = StandIn;
pub fn keygen(_dir: &Path, _hosts: &[String], _days: u32) -> Result<(), KeygenError> {
    Err(StandIn)
}
#[derive(Clone, Copy, Debug)]
pub enum Role {
    Sender,
    Receiver,
}
pub struct Identity;
impl Identity {
    pub fn load(_dir: &Path, _role: Role) -> Result<Self, IdentityError> {
        Err(StandIn)
    }
    pub fn from_ticket(_ticket: &Ticket, _role: Role) -> Result<Self, IdentityError> {
        Err(StandIn)
    }
}
#[derive(Clone)]
pub struct Ticket;
impl Ticket {
    pub fn issue(
        _addresses: Vec<HostPort>,
        _server_name: &str,
        _volume: VolumeName,
        _expires: u64,
    ) -> Result<Self, StandIn> {
        Err(StandIn)
    }
    pub fn parse(_text: &str) -> Result<Self, StandIn> {
        Err(StandIn)
    }
    pub fn volume(&self) -> &VolumeName {
        unreachable!()
    }
    pub fn expires(&self) -> u64 {
        0
    }
    pub fn target(&self) -> Target {
        unreachable!()
    }
}
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(..)")
    }
}
impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stand-in")
    }
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Name(Box<str>),
    Ip(std::net::IpAddr),
}
impl Host {
    pub fn parse(text: &str) -> Result<Self, StandIn> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.into()), Self::Ip))
    }
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: Host,
    port: u16,
}
impl HostPort {
    pub fn parse(text: &str) -> Result<Self, StandIn> {
        let (host, port) = text.rsplit_once(':').ok_or(StandIn)?;
        Ok(Self { host: Host::parse(host)?, port: port.parse().map_err(|_| StandIn)? })
    }
    pub fn new(host: Host, port: u16) -> Option<Self> {
        (port != 0).then_some(Self { host, port })
    }
    pub fn host(&self) -> &Host {
        &self.host
    }
    pub fn port(&self) -> u16 {
        self.port
    }
}
impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}:{}", self.host, self.port)
    }
}
#[derive(Clone, Debug)]
pub struct ProxyUrl;
impl ProxyUrl {
    pub fn parse(_text: &str) -> Result<Self, StandIn> {
        Err(StandIn)
    }
}
#[derive(Clone, Debug)]
pub struct Target {
    pub addresses: Vec<HostPort>,
    pub server_name: Option<String>,
    pub proxy: Option<ProxyUrl>,
}
pub struct Connector;
impl Connector {
    pub fn new(_target: Target, _identity: Identity) -> Result<Self, StandIn> {
        Err(StandIn)
    }
}
pub struct Acceptor;
impl Acceptor {
    pub fn bind(_address: &str, _identity: Identity) -> Result<Self, StandIn> {
        Err(StandIn)
    }
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Err(std::io::Error::other("stand-in"))
    }
}
