//! The router in front of the receiver: HAProxy, passing TLS through by server name, as a cluster's router does for a
//! passthrough route. It refuses to start without haproxy, which is a failure and not a skip.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::Running;
use crate::ports;
use crate::scene::Scene;

/// The configuration: passthrough by SNI.
const CONFIGURATION: &str = include_str!("../data/haproxy.cfg");

/// A running router.
#[derive(Debug)]
pub struct Router<'s> {
    process: Running<'s>,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl<'s> Router<'s> {
    /// Starts a router that forwards to `receiver` on the loopback.
    ///
    /// # Errors
    /// When haproxy is missing or does not listen.
    pub fn start(scene: &'s Scene, receiver: u16) -> Result<Self> {
        let port = ports::free()?;
        let file = |end: &str| -> PathBuf { scene.path(&format!("router-{port}.{end}")) };
        std::fs::write(file("cfg"), CONFIGURATION)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file("cfg"));
        command.env("ROUTER_PORT", port.to_string()).env("RECEIVER_PORT", receiver.to_string());
        command.env("ROUTER_SOCKET", file("socket"));
        let mut process = Running::start(scene, &mut command).context("is haproxy installed?")?;
        process.wait_for(Duration::from_secs(10), |_, _| ports::is_listening(port).then_some(()))?;
        Ok(Self { process, port })
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.so_far().1
    }
}
