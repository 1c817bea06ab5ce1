//! How long this room waits, in one place, so that tests need not wait as long.

use std::time::Duration;

use crate::types::limits::{CONNECT_DEADLINE, HANDSHAKE_DEADLINE, PING_AFTER, SILENCE_MAX};

/// How long the tunnel waits for what. The default is what PROTOCOL.md says.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For a TCP connection to one address, and for the resolver.
    pub connect: Duration,
    /// For a TLS handshake, a proxy's answer, a preamble.
    pub handshake: Duration,
    /// A side that has sent nothing for this long sends a ping.
    pub ping_after: Duration,
    /// A connection on which nothing arrived for this long is cut.
    pub silence_max: Duration,
    /// For the peer to read what was said last before a connection is dropped.
    pub linger: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: CONNECT_DEADLINE,
            handshake: HANDSHAKE_DEADLINE,
            ping_after: PING_AFTER,
            silence_max: SILENCE_MAX,
            linger: Duration::from_secs(1),
        }
    }
}
