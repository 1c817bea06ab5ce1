//! A relay on the loopback that counts the bytes it carries: what a contender puts on the wire, TLS and all, by the same
//! yardstick for each. It slows what goes through it, so runs are timed through it only when a delay or a bandwidth is asked for,
//! and then everybody's.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

use crate::flow::{Flow, Trace};
use crate::line::{Direction, Line, Way};

/// The line, and the bytes carried so far.
#[derive(Debug)]
struct Counts {
    ways: [Way; 2],
    line: Line,
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    /// Of what came from the source's side.
    trace: Mutex<Trace>,
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
    /// Carries what comes in on a free port of the loopback to `peer`, over a line of this kind.
    ///
    /// # Errors
    /// When the loopback has no free port.
    pub fn to(peer: SocketAddr, line: Line) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on the loopback")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::over(line));
        let inner = Arc::clone(&counts);
        let acceptor = std::thread::spawn(move || accept(&listener, peer, &inner));
        Ok(Self { address, counts, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the connections' ends and tells what they carried, and how that from the source's side was spread in time.
    #[must_use]
    pub fn finish(mut self) -> (Wire, Flow) {
        for copier in self.stop() {
            let _ = copier.join();
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (up, down) = (read(&self.counts.up), read(&self.counts.down));
        let flow = self.counts.trace.lock().unwrap_or_else(PoisonError::into_inner).flow();
        (Wire { up, down, connections: read(&self.counts.connections) }, flow)
    }

    /// Takes no more connections; hands out the threads of those there are.
    fn stop(&mut self) -> Vec<JoinHandle<()>> {
        self.counts.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        drop(TcpStream::connect(self.address));
        self.acceptor.take().and_then(|acceptor| acceptor.join().ok()).unwrap_or_default()
    }
}

impl Counts {
    fn over(line: Line) -> Self {
        let zero = || AtomicU64::new(0);
        let ways = [Way::new(line, Direction::Up), Way::new(line, Direction::Down)];
        let (trace, stop) = (Mutex::new(Trace::new()), AtomicBool::new(false));
        Self { ways, line, up: zero(), down: zero(), connections: zero(), trace, stop }
    }

    /// Copies until `from` ends, then ends `to`.
    fn copy(&self, direction: Direction, from: TcpStream, to: TcpStream) {
        let [up, down] = &self.ways;
        let way = match direction {
            Direction::Up => up,
            Direction::Down => down,
        };
        let count = |bytes| self.count(direction, bytes);
        match self.line {
            Line::FREE => copy(from, to, &count),
            _ => way.carry(from, to, &count),
        }
    }

    fn count(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => {
                self.up.fetch_add(bytes, Ordering::Relaxed);
                self.trace.lock().unwrap_or_else(PoisonError::into_inner).enter(bytes);
            }
            Direction::Down => _ = self.down.fetch_add(bytes, Ordering::Relaxed),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.acceptor.is_some() {
            drop(self.stop());
        }
    }
}

fn accept(listener: &TcpListener, peer: SocketAddr, counts: &Arc<Counts>) -> Vec<JoinHandle<()>> {
    let mut copiers = Vec::new();
    for incoming in listener.incoming() {
        if counts.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(near) = incoming else { continue };
        // A peer that is not there is shown by closing on who asked for it.
        if let Ok(pair) = carry(near, peer, counts) {
            counts.connections.fetch_add(1, Ordering::Relaxed);
            copiers.extend(pair);
        }
    }
    copiers
}

fn carry(near: TcpStream, peer: SocketAddr, counts: &Arc<Counts>) -> io::Result<[JoinHandle<()>; 2]> {
    let far = TcpStream::connect(peer)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    let (up, down) = (Arc::clone(counts), Arc::clone(counts));
    Ok([
        std::thread::spawn(move || up.copy(Direction::Up, near, far)),
        std::thread::spawn(move || down.copy(Direction::Down, far_too, near_too)),
    ])
}

/// Copies until `from` ends, then ends `to`.
fn copy(mut from: TcpStream, mut to: TcpStream, count: &dyn Fn(u64)) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() || to.write_all(piece).is_err() {
            break;
        }
        count(read as u64);
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use super::*;

    fn pair(line: Line) -> (Relay, TcpListener) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        (Relay::to(server.local_addr().unwrap(), line).unwrap(), server)
    }

    fn line(rtt_ms: u32, mbit: u32) -> Line {
        Line { rtt_ms, mbit: NonZeroU32::new(mbit), connection_mbit: None }
    }

    /// Sends `size` bytes up on `connections` connections at once; how long until all have arrived.
    fn pushed(line: Line, size: usize, connections: usize) -> Duration {
        let (relay, server) = pair(line);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..connections {
                let mut client = TcpStream::connect(relay.address()).unwrap();
                scope.spawn(move || client.write_all(&vec![7; size]).unwrap());
                let (mut peer, _) = server.accept().unwrap();
                scope.spawn(move || assert_eq!(io::copy(&mut peer, &mut io::sink()).unwrap(), size as u64));
            }
        });
        let (wire, flow) = relay.finish();
        assert_eq!(flow.bytes, wire.up);
        assert_eq!(wire, Wire { up: (size * connections) as u64, down: 0, connections: connections as u64 });
        start.elapsed()
    }

    #[test]
    fn an_answer_takes_a_round_trip_and_the_first_one_two() {
        let (relay, server) = pair(line(40, 0));
        let mut client = TcpStream::connect(relay.address()).unwrap();
        std::thread::spawn(move || {
            let (mut peer, _) = server.accept().unwrap();
            let mut byte = [0];
            while peer.read_exact(&mut byte).is_ok() {
                peer.write_all(&byte).unwrap();
            }
        });
        for trips in [2, 1, 1] {
            let start = Instant::now();
            client.write_all(b"?").unwrap();
            client.read_exact(&mut [0]).unwrap();
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(40 * trips), "{trips} round trips in {took:?}");
            assert!(took < Duration::from_millis(40 * trips + 400), "{took:?}");
        }
    }

    #[test]
    fn a_delay_alone_holds_nothing_back() {
        // At a window of 64 KiB this would take 26 s.
        let took = pushed(line(50, 0), 32 << 20, 1);
        assert!((0.07..6.0).contains(&took.as_secs_f64()), "{took:?}");
    }

    #[test]
    fn connections_share_the_bandwidth_and_reach_it() {
        // 4 MB at 80 Mbit/s are 0.4 s, however many carry them and whatever the delay.
        for (rtt_ms, connections) in [(0, 1), (0, 4), (100, 4)] {
            let took = pushed(line(rtt_ms, 80), 4_000_000 / connections, connections).as_secs_f64();
            let least = 0.38 + f64::from(rtt_ms) / 2000.0;
            assert!((least..least + 1.0).contains(&took), "{connections} connections, {rtt_ms} ms: {took} s");
        }
    }

    #[test]
    fn a_connection_has_its_own_bound_and_several_fill_the_line() {
        // 2 MB at 16 Mbit/s are 1 s on one connection; on four of them the line's 64 Mbit/s are the bound: 0.25 s.
        let line = Line { connection_mbit: NonZeroU32::new(16), ..line(20, 64) };
        for (connections, least) in [(1, 0.98), (4, 0.24)] {
            let took = pushed(line, 2_000_000 / connections, connections).as_secs_f64();
            assert!((least..least + 0.7).contains(&took), "{connections} connections: {took} s");
        }
    }

    #[test]
    fn who_sends_to_nobody_is_told() {
        let (relay, server) = pair(line(10, 0));
        let mut client = TcpStream::connect(relay.address()).unwrap();
        drop(server.accept().unwrap());
        let start = Instant::now();
        while client.write_all(&[1; 4096]).is_ok() {
            assert!(start.elapsed().as_secs() < 10, "still taken after 10 s");
        }
    }

    #[test]
    fn every_byte_is_carried_and_counted_in_its_direction() {
        let (relay, server) = pair(Line::FREE);
        let mut client = TcpStream::connect(relay.address()).unwrap();
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
        let (wire, flow) = relay.finish();
        assert_eq!((flow.bytes, flow.busiest_second), (100_000, 100_000), "only what goes up is traced");
        assert_eq!(wire, Wire { up: 100_000, down: 6, connections: 1 });
        assert_eq!(wire.total(), 100_006);
    }
}
