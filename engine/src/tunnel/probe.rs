//! Whether a port is listened on, and which addresses a name has. Nothing is said to whoever listens, and nothing is read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};

use super::address::{Host, HostPort};

/// A refused port is tried again after this long: a shell that asks in a loop would burn a processor otherwise.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Connects to `address` and hangs up. Tries every address of a name, and all of them again while they refuse, until
/// `patience` is over; one that does not answer is given `within`.
///
/// # Errors
/// What the system said last.
pub async fn probe(address: &HostPort, patience: Duration, within: Duration) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let error = match once(address, Instant::now() + within).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::ConnectionRefused || begun.elapsed() + AGAIN_AFTER > patience {
            return Err(error);
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// One round over the addresses. Of their errors the one that a later round may end is told.
async fn once(address: &HostPort, deadline: Instant) -> io::Result<()> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let addresses = timeout_at(deadline, resolve(address.host())).await.unwrap_or_else(|error| Err(late(error)))?;
    let mut told = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for ip in addresses {
        let connect = TcpStream::connect(SocketAddr::new(ip, address.port()));
        match timeout_at(deadline, connect).await.unwrap_or_else(|error| Err(late(error))) {
            Ok(_) => return Ok(()),
            Err(error) if told.kind() != io::ErrorKind::ConnectionRefused => told = error,
            Err(_) => {}
        }
    }
    Err(told)
}

/// The addresses of a host.
///
/// # Errors
/// What the resolver said.
pub async fn resolve(host: &Host) -> io::Result<Vec<IpAddr>> {
    match host {
        Host::Ip(ip) => Ok(vec![*ip]),
        Host::Name(name) => Ok(lookup_host((name.as_ref(), 0)).await?.map(|address| address.ip()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> HostPort {
        HostPort::parse(&format!("127.0.0.1:{port}")).unwrap()
    }

    #[tokio::test]
    async fn a_refused_port_is_tried_again_for_as_long_as_was_said() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let second = Duration::from_secs(1);
        assert!(probe(&at(port), Duration::ZERO, second).await.is_ok());
        drop(listener);
        let begun = Instant::now();
        let error = probe(&at(port), Duration::from_millis(300), second).await.unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");
    }

    #[tokio::test]
    async fn a_port_that_opens_meanwhile_is_found() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let late = tokio::spawn(async move {
            sleep(Duration::from_millis(200)).await;
            tokio::net::TcpListener::bind(free).await.unwrap()
        });
        let found = probe(&at(free.port()), Duration::from_secs(10), Duration::from_secs(1)).await;
        assert!(found.is_ok(), "{found:?}");
        drop(late.await.unwrap());
    }
}
