//! TCP as we want it: no delay, and a dead peer noticed by the kernel too.
//!
//! Buffers are left to the kernel, which tunes them by itself as long as nobody sets them.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Probes begin after this much silence, and follow each other this closely.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// Sent bytes that stay unacknowledged for this long end the connection; longer than `SILENCE_MAX`, which is ours.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Sets the options of a socket that bytes only pass through. It has no user timeout: the kernel counts a window that stays
/// closed too, and whoever reads slowly behind a relay is not dead.
pub(super) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (after, every, times) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(after).with_interval(every).with_retries(times);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// Sets the options.
pub(super) fn prepare(tcp: TcpStream) -> io::Result<TcpStream> {
    tune(&tcp)?;
    SockRef::from(&tcp).set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(tcp)
}
