//! The proxy on the way out: tinyproxy with CONNECT and Basic authentication, as companies run them. It refuses to start
//! without tinyproxy, which is a failure and not a skip.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::Running;
use crate::ports;
use crate::scene::Scene;

/// Who may use it.
pub const USER: &str = "mover";
/// With what; in the URL one letter of it is escaped.
pub const PASSWORD: &str = "s3cret";

/// A running proxy.
#[derive(Debug)]
pub struct Proxy<'s> {
    process: Running<'s>,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl<'s> Proxy<'s> {
    /// Starts one.
    ///
    /// # Errors
    /// When tinyproxy is missing or does not listen.
    pub fn start(scene: &'s Scene) -> Result<Self> {
        let port = ports::free()?;
        let file = scene.path(&format!("tinyproxy-{port}.conf"));
        let lines = format!(
            "User root\nGroup root\nPort {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nAllow 127.0.0.1\n\
             LogLevel Connect\nBasicAuth {USER} {PASSWORD}\n"
        );
        std::fs::write(&file, lines)?;
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&file);
        let mut process = Running::start(scene, &mut command).context("is tinyproxy installed?")?;
        process.wait_for(Duration::from_secs(10), |_, _| ports::is_listening(port).then_some(()))?;
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
