//! Servers that are not what they should be: they answer every connection with fixed bytes, or with nothing, and hold it or
//! close it. They refuse to understand anything.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

/// What a server does with a connection.
#[derive(Clone, Copy, Debug)]
pub enum Habit {
    /// Waits for some bytes, answers with these, closes.
    Answer(&'static [u8]),
    /// Says these at once, closes.
    Greet(&'static [u8]),
    /// Says nothing and keeps the connection.
    Silence,
    /// Closes at once.
    Close,
}

/// A web server, to the wrong client.
pub const HTTP: Habit = Habit::Answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
/// A proxy that wants a password.
pub const PROXY_407: Habit = Habit::Answer(
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
);
/// Noise.
pub const GARBAGE: Habit = Habit::Answer(b"\x00\xff\x1b[31m\r\n\r\nnothing anyone speaks \xde\xad\xbe\xef");
/// A mail server, which talks first.
pub const SMTP: Habit = Habit::Greet(b"220 mail.example.test ESMTP\r\n");

/// A running server.
#[derive(Debug)]
pub struct Fake {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    stop: Arc<AtomicBool>,
    met: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(habit: Habit) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (stop, met) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (inner_stop, inner_met) = (Arc::clone(&stop), Arc::clone(&met));
        let thread = std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().flatten() {
                if inner_stop.load(Ordering::Relaxed) {
                    break;
                }
                inner_met.fetch_add(1, Ordering::Relaxed);
                kept.extend(treat(stream, habit));
            }
        });
        Ok(Self { port, stop, met, thread: Some(thread) })
    }

    /// How many connections it met.
    #[must_use]
    pub fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }
}

/// Does as the habit says; a connection that is to be kept comes back.
fn treat(mut stream: TcpStream, habit: Habit) -> Option<TcpStream> {
    // A client that hangs up early is no concern of a fake.
    match habit {
        Habit::Answer(bytes) => {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
            None
        }
        Habit::Greet(bytes) => {
            let _ = stream.write_all(bytes);
            None
        }
        Habit::Silence => Some(stream),
        Habit::Close => None,
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One more connection wakes the listener up to see that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
