//! TCP as we want it: no delay, and a dead peer noticed by the kernel too.
//!
//! Buffers are left to the kernel, which tunes them by itself as long as nobody sets them. Reading goes through a
//! buffer, for the TLS library asks for 4 KiB at a time.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::BufReader;
use tokio::net::TcpStream;

/// Bytes read from a socket at once: eight records.
const READ_LEN: usize = 131_072;
/// Probes begin after this much silence, and follow each other this closely.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// Sent bytes that stay unacknowledged for this long end the connection; longer than `SILENCE_MAX`, which is ours.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A socket that TLS reads from.
pub(super) type Socket = BufReader<TcpStream>;

/// Sets the options of a socket that bytes only pass through. It has no user timeout: the kernel counts a window that stays
/// closed too, and whoever reads slowly behind a relay is not dead.
pub(super) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (after, every, times) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(after).with_interval(every).with_retries(times);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// Sets the options.
pub(super) fn prepare(tcp: TcpStream) -> io::Result<Socket> {
    tune(&tcp)?;
    SockRef::from(&tcp).set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(BufReader::with_capacity(READ_LEN, tcp))
}
