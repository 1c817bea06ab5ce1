//! Ports of the loopback: a free one, and whether somebody listens. It refuses to connect in order to find out: a probe is
//! a connection the program under test would see.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::until;

/// A port nobody listens on at the moment.
///
/// # Errors
/// When the loopback has none.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on the loopback")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until somebody listens on `port`, on any address.
///
/// # Errors
/// When nobody does within `limit`.
pub fn await_listener(port: u16, limit: Duration) -> Result<()> {
    until(limit, &format!("somebody listens on port {port}"), || Ok(is_listening(port)))
}

/// Whether somebody listens on `port`.
#[must_use]
pub fn is_listening(port: u16) -> bool {
    is_listening_where(std::process::id(), port)
}

/// Whether somebody listens on `port` in the network namespace of this process.
#[must_use]
pub fn is_listening_where(process: u32, port: u16) -> bool {
    // The kernel's table: local address `ADDR:PORT` in hexadecimal, state 0A is LISTEN.
    let suffix = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        table.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            fields.next().is_some_and(|local| local.ends_with(&suffix)) && fields.nth(1) == Some("0A")
        })
    })
}
