//! A bad network: a TCP forwarder that counts what passes, cuts every connection on command or after so many bytes, swallows
//! everything, or slows down. It refuses to look into what it forwards.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::set_socket_linger;

/// Bytes forwarded at once.
const CHUNK: usize = 64 * 1024;
/// How often a swallowed connection looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);

/// The forwarder.
#[derive(Debug)]
pub struct Chaos {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    upstream: AtomicU64,
    sent: AtomicU64,
    returned: AtomicU64,
    accepted: AtomicU64,
    cuts: AtomicU64,
    cut_every: AtomicU64,
    cuts_left: AtomicU64,
    next_cut: AtomicU64,
    rate: AtomicU64,
    swallow: AtomicBool,
    over: AtomicBool,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Chaos {
    /// Starts a forwarder to `upstream` on the loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        shared.upstream.store(upstream.into(), Ordering::Relaxed);
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if inner.over.load(Ordering::Relaxed) {
                    break;
                }
                inner.accept(stream);
            }
        });
        Ok(Self { port, shared })
    }

    /// Forwards new connections there from now on.
    pub fn redirect(&self, upstream: u16) {
        self.shared.upstream.store(upstream.into(), Ordering::Relaxed);
    }

    /// Cuts all connections each time `bytes` more have passed towards the receiver, `times` times.
    pub fn cut_every(&self, bytes: u64, times: u64) {
        self.shared.next_cut.store(self.sent() + bytes, Ordering::Relaxed);
        self.shared.cuts_left.store(times, Ordering::Relaxed);
        self.shared.cut_every.store(bytes, Ordering::Relaxed);
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// From now on nothing passes and nothing is closed, until told otherwise: a firewall that forgot.
    pub fn swallow(&self, swallow: bool) {
        self.shared.swallow.store(swallow, Ordering::Relaxed);
    }

    /// Bytes a second towards the receiver, each connection by itself; 0 is no limit.
    pub fn throttle(&self, rate: u64) {
        self.shared.rate.store(rate, Ordering::Relaxed);
    }

    /// Bytes that passed towards the receiver.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Bytes that passed back.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.shared.returned.load(Ordering::Relaxed)
    }

    /// Connections accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Cuts made.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.shared.cut();
        // One more connection wakes the listener up to see that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Towards,
    Back,
}

impl Shared {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let upstream = u16::try_from(self.upstream.load(Ordering::Relaxed)).unwrap_or(0);
        // Without an upstream the client sees its connection close, as through a router without a backend.
        let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
        for end in [&client, &server] {
            // Closed with a reset: a peer stuck at a full window would not notice anything less for minutes.
            let _ = (end.set_nodelay(true), set_socket_linger(end, Some(Duration::ZERO)));
        }
        let ends = (client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone());
        let (Ok(c1), Ok(s1), Ok(c2), Ok(s2)) = ends else { return };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push((client, server));
        let (towards, back) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || towards.pump(c1, s1, Direction::Towards));
        std::thread::spawn(move || back.pump(s2, c2, Direction::Back));
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            while self.swallow.load(Ordering::Relaxed) && !self.over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
            }
            let rate = self.rate.load(Ordering::Relaxed);
            if rate > 0 && direction == Direction::Towards {
                std::thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64));
            }
            if to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
                break;
            }
            self.count(read as u64, direction);
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn count(&self, bytes: u64, direction: Direction) {
        if direction == Direction::Back {
            self.returned.fetch_add(bytes, Ordering::Relaxed);
            return;
        }
        let sent = self.sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let every = self.cut_every.load(Ordering::Relaxed);
        let due = self.next_cut.load(Ordering::Relaxed);
        if every == 0 || sent < due || self.cuts_left.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Whoever moves the mark makes the cut.
        if self.next_cut.compare_exchange(due, sent + every, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.cuts_left.fetch_sub(1, Ordering::Relaxed);
            self.cut();
        }
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        for (client, server) in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    }
}
