//! Ports of the loopback: a free one, and whether somebody listens. It refuses to connect in order to find out: a probe is
//! a connection the program under test would see.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::until;

/// Where ports are taken from: below those that the kernel gives to outgoing connections, which come and go while tests run
/// and would be in the way of whoever binds the port afterwards.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A port nobody listens on at the moment, and no other test of this process was given.
///
/// # Errors
/// When there is none.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let len = u32::from(RANGE.end - RANGE.start);
    // Test programs that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(977);
    for _ in 0..len {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % len;
        let port = RANGE.start + u16::try_from(number)?;
        // On either family: who listens on one address of it is in the way.
        if !is_listening(port) && TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {RANGE:?}")
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
