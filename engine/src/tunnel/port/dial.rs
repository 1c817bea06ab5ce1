//! The client's side of the port: connect, know the peer for a ferry, prove the password.
//!
//! One attempt under one deadline; when to try again is the session's.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::PortError;
use super::lines::{GREETING, Line, Module, Request, Socket, buffered, hex, read_line, unhex, word};
use super::proof::Password;
use crate::tunnel::address::{Host, HostPort};
use crate::tunnel::probe::resolve;
use crate::tunnel::provider::random_bytes;
use crate::tunnel::stream::Stream;

/// For the whole exchange. A tunnel between us and the daemon connects only now, and is to tell us itself what it waited
/// for in vain: name, proxy, connection and handshake may take 10 s each.
const DEADLINE: Duration = Duration::from_secs(45);

/// For what listens on this machine to be started again, once it took a connection and takes none any more. In a pod it is
/// the tunnel beside us that died, and nobody starts that again.
const GONE_AFTER: Duration = Duration::from_secs(20);

/// Where to, and what is asked for there.
#[derive(Clone, Debug)]
pub struct PortTarget {
    /// The daemon, or the tunnel to it.
    pub address: HostPort,
    /// The module.
    pub module: Module,
    /// The user; empty for nobody.
    pub user: String,
    /// The user's password.
    pub password: Option<Password>,
}

/// Makes connections to one module.
#[derive(Clone, Debug)]
pub struct PortConnector {
    target: PortTarget,
    deadline: Duration,
    gone_after: Duration,
    contact: Arc<Mutex<Contact>>,
}

/// What is known of the port from earlier attempts.
#[derive(Debug, Default)]
struct Contact {
    /// It took a connection.
    reached: bool,
    /// It has refused every connection since then.
    refused_since: Option<Instant>,
}

impl PortConnector {
    /// Prepares connections to `target`.
    #[must_use]
    pub fn new(target: PortTarget) -> Self {
        Self { target, deadline: DEADLINE, gone_after: GONE_AFTER, contact: Arc::default() }
    }

    /// The same with less patience for what has gone.
    #[cfg(test)]
    pub(super) fn gone_after(self, gone_after: Duration) -> Self {
        Self { gone_after, ..self }
    }

    /// The same with another deadline.
    #[cfg(test)]
    pub(super) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// One connection on which ferry's protocol may begin.
    ///
    /// # Errors
    /// [`PortError`], of the last address where there are several.
    pub async fn connect(&self) -> Result<Stream, PortError> {
        let attempt = async {
            let opened = open(&self.target.address).await;
            let mut socket = opened.map_err(|source| self.unreached(source))?;
            *self.contact() = Contact { reached: true, refused_since: None };
            self.introduce(&mut socket).await?;
            let stream: Stream = Box::new(socket);
            Ok(stream)
        };
        let late = || PortError::Slow { peer: self.peer(), seconds: self.deadline.as_secs() };
        timeout(self.deadline, attempt).await.unwrap_or_else(|_| Err(late()))
    }

    /// Greets, asks and proves.
    async fn introduce(&self, socket: &mut Socket) -> Result<(), PortError> {
        // The greeting goes first: a tunnel connects to the other side when there is something to carry. That it could not
        // be said is told by what is read.
        let said = self.say(socket, GREETING).await;
        match self.hear(socket).await {
            Ok(Line::Ferry) => said?,
            Ok(Line::Stock) => return Err(PortError::Stock),
            Ok(_) => return Err(PortError::Foreign { peer: self.peer() }),
            Err(error) => return Err(error),
        }
        let nonce = random_bytes().ok_or(PortError::Random)?;
        let request = Request { module: self.target.module.clone(), user: self.target.user.clone(), nonce };
        self.say(socket, &request.line()).await?;
        let answer = self.word(socket).await?;
        if answer == "OK" {
            return Ok(());
        }
        let theirs = unhex(&answer).ok_or_else(|| PortError::Foreign { peer: self.peer() })?;
        let Some(password) = &self.target.password else {
            return Err(PortError::Password(request.module));
        };
        self.say(socket, &word(&hex(password.proof(&request, &theirs).as_bytes()))).await?;
        match self.word(socket).await {
            Ok(answer) if answer == "OK" => Ok(()),
            Ok(_) => Err(PortError::Foreign { peer: self.peer() }),
            Err(PortError::Refused(_)) => Err(PortError::Password(request.module)),
            Err(error) => Err(error),
        }
    }

    async fn say(&self, socket: &mut Socket, line: &str) -> Result<(), PortError> {
        let write = async {
            socket.write_all(line.as_bytes()).await?;
            socket.flush().await
        };
        write.await.map_err(|error| self.broken(Some(error)))
    }

    /// The next line; a refusal is an error.
    async fn hear(&self, socket: &mut Socket) -> Result<Line, PortError> {
        match read_line(socket).await {
            Ok(Some(Line::Error(text))) => Err(PortError::refusal(text)),
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.broken(None)),
            Err(error) => Err(self.broken(Some(error))),
        }
    }

    async fn word(&self, socket: &mut Socket) -> Result<String, PortError> {
        match self.hear(socket).await? {
            Line::Word(text) => Ok(text),
            _ => Err(PortError::Foreign { peer: self.peer() }),
        }
    }

    /// No connection: one that was had before, from this very machine, and is refused for some time, is not coming back.
    fn unreached(&self, source: io::Error) -> PortError {
        let here = match self.target.address.host() {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name.as_ref() == "localhost",
        };
        let mut contact = self.contact();
        if here && contact.reached && source.kind() == io::ErrorKind::ConnectionRefused {
            let since = *contact.refused_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.gone_after {
                return PortError::Gone { peer: self.peer(), source };
            }
        }
        PortError::Connect { peer: self.peer(), source }
    }

    fn contact(&self) -> MutexGuard<'_, Contact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self) -> String {
        self.target.address.to_string()
    }

    fn broken(&self, how: Option<io::Error>) -> PortError {
        PortError::Broken { peer: self.peer(), how }
    }
}

/// A connection to the first address of a host that takes one.
pub(super) async fn open(address: &HostPort) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for ip in resolve(address.host()).await? {
        match TcpStream::connect((ip, address.port())).await.and_then(buffered) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
