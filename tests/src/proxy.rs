//! The proxy on the way out: tinyproxy with CONNECT and Basic authentication, as companies run them. It refuses to start
//! without tinyproxy, which is a failure and not a skip.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::Running;
use crate::pods::network::Namespace;
use crate::ports;
use crate::scene::Scene;

/// Who may use it.
pub const USER: &str = "mover";
/// With what; in the URL one letter of it is escaped.
pub const PASSWORD: &str = "s3cret";

/// How long it may take to listen.
const STARTED_MAX: Duration = Duration::from_secs(10);
/// Where a node's proxy listens.
const NODE_PORT: u16 = 3128;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy<'s> {
    process: Running<'s>,
    /// Where it listens: on 127.0.0.1, or at the address of [`Proxy::on_node`].
    pub port: u16,
}

impl<'s> Proxy<'s> {
    /// Starts one.
    ///
    /// # Errors
    /// When tinyproxy is missing or does not listen.
    pub fn start(scene: &'s Scene) -> Result<Self> {
        let port = ports::free()?;
        let file = settings(scene, Ipv4Addr::LOCALHOST, port)?;
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&file);
        let mut process = Running::start(scene, &mut command).context("is tinyproxy installed?")?;
        process.wait_for(STARTED_MAX, |_, _| ports::is_listening(port).then_some(()))?;
        Ok(Self { process, port })
    }

    /// Starts one on a node, at `address`, for its neighbours; it knows `host` by an address that nobody else there need know.
    ///
    /// # Errors
    /// When tinyproxy is missing or does not listen.
    pub fn on_node(scene: &'s Scene, node: &Namespace<'s>, address: Ipv4Addr, host: (&str, Ipv4Addr)) -> Result<Self> {
        let port = NODE_PORT;
        let file = settings(scene, address, port)?;
        let hosts = scene.fresh("hosts", "");
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{} {}\n", host.1, host.0))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$1\" /etc/hosts && exec tinyproxy -d -c \"$2\"", "sh"]);
        command.arg(&hosts).arg(&file);
        let mut process = Running::start(scene, &mut node.enter(&command)).context("is tinyproxy installed?")?;
        let keeper = node.keeper();
        process.wait_for(STARTED_MAX, |_, _| ports::is_listening_where(keeper, port).then_some(()))?;
        Ok(Self { process, port })
    }

    /// Its URL, with the right password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{USER}:s3c%72et@127.0.0.1:{}", self.port)
    }

    /// Its URL with a wrong password.
    #[must_use]
    pub fn wrong_url(&self) -> String {
        format!("http://{USER}:guess@127.0.0.1:{}", self.port)
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let (out, err) = self.process.so_far();
        out + &err
    }
}

/// Its settings in a file: it listens at `address`, for whoever is in that network.
fn settings(scene: &Scene, address: Ipv4Addr, port: u16) -> Result<PathBuf> {
    let file = scene.fresh("tinyproxy", ".conf");
    let lines = format!(
        "User root\nGroup root\nPort {port}\nListen {address}\nTimeout 600\nMaxClients 100\nAllow {address}/24\n\
         LogLevel Connect\nBasicAuth {USER} {PASSWORD}\n"
    );
    std::fs::write(&file, lines)?;
    Ok(file)
}
