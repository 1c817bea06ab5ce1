//! The router in front of the receiver: HAProxy, passing TLS through by server name, as a cluster's router does for a
//! passthrough route. It refuses to start without haproxy, which is a failure and not a skip.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::Running;
use crate::pods::network::Namespace;
use crate::ports;
use crate::scene::Scene;

/// The configuration: passthrough by SNI.
const CONFIGURATION: &str = include_str!("../data/haproxy.cfg");

/// How long it may take to listen.
const STARTED_MAX: Duration = Duration::from_secs(10);
/// Where a node's router listens, as every cluster's does.
const NODE_PORT: u16 = 443;

/// A running router.
#[derive(Debug)]
pub struct Router<'s> {
    process: Running<'s>,
    /// Where it listens: on 127.0.0.1, or on the node of [`Router::on_node`].
    pub port: u16,
}

impl<'s> Router<'s> {
    /// Starts a router that forwards to `receiver` on the loopback.
    ///
    /// # Errors
    /// When haproxy is missing or does not listen.
    pub fn start(scene: &'s Scene, receiver: u16) -> Result<Self> {
        let port = ports::free()?;
        let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut command = command(scene, here, SocketAddrV4::new(Ipv4Addr::LOCALHOST, receiver))?;
        let mut process = Running::start(scene, &mut command).context("is haproxy installed?")?;
        process.wait_for(STARTED_MAX, |_, _| ports::is_listening(port).then_some(()))?;
        Ok(Self { process, port })
    }

    /// Starts a router on `node`, on port 443 of all its addresses, that forwards to `receiver`.
    ///
    /// # Errors
    /// When haproxy is missing or does not listen.
    pub fn on_node(scene: &'s Scene, node: &Namespace<'s>, receiver: SocketAddrV4) -> Result<Self> {
        let command = command(scene, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, NODE_PORT), receiver)?;
        let mut process = Running::start(scene, &mut node.enter(&command)).context("is haproxy installed?")?;
        let keeper = node.keeper();
        process.wait_for(STARTED_MAX, |_, _| ports::is_listening_where(keeper, NODE_PORT).then_some(()))?;
        Ok(Self { process, port: NODE_PORT })
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.so_far().1
    }
}

/// haproxy with its configuration, listening here and forwarding there.
fn command(scene: &Scene, here: SocketAddrV4, there: SocketAddrV4) -> Result<Command> {
    let file = scene.fresh("router", ".cfg");
    std::fs::write(&file, CONFIGURATION)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&file);
    command.env("ROUTER_ADDRESS", here.ip().to_string()).env("ROUTER_PORT", here.port().to_string());
    command.env("RECEIVER_ADDRESS", there.ip().to_string()).env("RECEIVER_PORT", there.port().to_string());
    command.env("ROUTER_SOCKET", file.with_extension("socket"));
    Ok(command)
}
