//! A relay on the loopback that counts the bytes it carries: what a contender puts on the wire, TLS and all, by the same
//! yardstick for each. It slows what goes through it, so it is used in runs of its own that are not timed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

/// Bytes carried so far.
#[derive(Debug, Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    stop: AtomicBool,
}

/// The relay; it stops taking connections when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    counts: Arc<Counts>,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

/// What went over the wire in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Wire {
    /// Bytes from the source's side.
    pub up: u64,
    /// Bytes to the source's side.
    pub down: u64,
    /// TCP connections.
    pub connections: u64,
}

impl Wire {
    /// Both directions.
    #[must_use]
    pub fn total(self) -> u64 {
        self.up + self.down
    }
}

impl Relay {
    /// Carries what comes in on a free port to `port`, both on the loopback.
    ///
    /// # Errors
    /// When the loopback has no free port.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on the loopback")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let inner = Arc::clone(&counts);
        let acceptor = std::thread::spawn(move || accept(&listener, port, &inner));
        Ok(Self { address, counts, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits for the connections' ends and tells what they carried.
    #[must_use]
    pub fn finish(mut self) -> Wire {
        for copier in self.stop() {
            let _ = copier.join();
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Wire { up: read(&self.counts.up), down: read(&self.counts.down), connections: read(&self.counts.connections) }
    }

    /// Takes no more connections; hands out the threads of those there are.
    fn stop(&mut self) -> Vec<JoinHandle<()>> {
        self.counts.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        drop(TcpStream::connect(self.address));
        self.acceptor.take().and_then(|acceptor| acceptor.join().ok()).unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.acceptor.is_some() {
            drop(self.stop());
        }
    }
}

fn accept(listener: &TcpListener, port: u16, counts: &Arc<Counts>) -> Vec<JoinHandle<()>> {
    let mut copiers = Vec::new();
    for incoming in listener.incoming() {
        if counts.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(near) = incoming else { continue };
        // A peer that is not there is shown by closing on who asked for it.
        if let Ok(pair) = carry(near, port, counts) {
            counts.connections.fetch_add(1, Ordering::Relaxed);
            copiers.extend(pair);
        }
    }
    copiers
}

fn carry(near: TcpStream, port: u16, counts: &Arc<Counts>) -> io::Result<[JoinHandle<()>; 2]> {
    let far = TcpStream::connect(("127.0.0.1", port))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    let (up, down) = (Arc::clone(counts), Arc::clone(counts));
    Ok([
        std::thread::spawn(move || copy(near, far, &up.up)),
        std::thread::spawn(move || copy(far_too, near_too, &down.down)),
    ])
}

/// Copies until `from` ends, then ends `to`.
fn copy(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() || to.write_all(piece).is_err() {
            break;
        }
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_carried_and_counted_in_its_direction() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::to(server.local_addr().unwrap().port()).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
        client.write_all(&[7; 100_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        peer.write_all(b"thanks").unwrap();
        drop(peer);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!((got, answer.as_slice()), (vec![7; 100_000], b"thanks".as_slice()));
        let wire = relay.finish();
        assert_eq!(wire, Wire { up: 100_000, down: 6, connections: 1 });
        assert_eq!(wire.total(), 100_006);
    }
}
