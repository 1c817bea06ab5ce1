//! The errand of a block transfer: who has the volume asks who knows the rest of it, and says when all is done.
//!
//! ```text
//!  blockrsync (has the device)                proxy (knows identifier and tunnel, writes the control file)
//!                                         <-  @FERRY: IDENTIFIER HOST:PORT
//!  ... the transfer itself goes to HOST:PORT, past the proxy ...
//!  @FERRY: DONE                           ->
//!                                         <-  @FERRY: OK
//! ```
//! Loopback only, inside one pod. A client that goes without `DONE` was killed or failed: the next one is waited for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dial::open;
use super::lines::{Line, Module, Socket, buffered, read_line, word};
use crate::tunnel::address::HostPort;
use crate::tunnel::listener::{BindError, Listener};

/// For one line, of a process in the same pod.
const DEADLINE: Duration = Duration::from_secs(5);
/// What a client says at its end, and the answer.
const DONE: &str = "DONE";
const OK: &str = "OK";

/// Where errands are answered.
pub struct ErrandDoor {
    listener: Listener,
    answer: String,
}

/// An errand under way.
pub struct Errand {
    socket: Socket,
    /// What the receiving side calls the volume.
    pub identifier: Module,
    /// Where the transfer goes.
    pub target: HostPort,
}

/// Why an errand failed.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// Nobody is there, or it broke off. May pass: containers of a pod start and restart one by one.
    #[error("cannot reach the proxy at {address}")]
    Io {
        /// Where.
        address: HostPort,
        /// Why.
        source: io::Error,
    },
    /// Something else is there. Final.
    #[error("{0} is not ferry's proxy: do all containers of the pod run the same image?")]
    Foreign(HostPort),
}

impl ErrandDoor {
    /// Answers on `port` of loopback with the volume's identifier and the transfer's target.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(port: u16, identifier: &Module, target: &HostPort) -> Result<Self, BindError> {
        let listener = Listener::bind(&SocketAddr::from(([127, 0, 0, 1], port)).to_string())?;
        Ok(Self { listener, answer: word(&format!("{identifier} {target}")) })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's, which is not to be expected.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until somebody has said `DONE` and `settle` has done what is to be done then; only then is it confirmed.
    ///
    /// # Errors
    /// The listener's, or what `settle` fails with: then the client is not told that all is well.
    pub async fn serve(self, settle: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                arrived = self.listener.accept() => {
                    let (tcp, _, stranger) = arrived?;
                    let answer = self.answer.clone();
                    clients.spawn(async move {
                        let done = attend(tcp, &answer).await;
                        drop(stranger);
                        done
                    });
                }
                Some(ended) = clients.join_next(), if !clients.is_empty() => match ended {
                    Ok(Ok(Some(socket))) => {
                        settle()?;
                        return confirm(socket).await;
                    }
                    Ok(Ok(None)) => tracing::info!("the client went before all was done; waiting for the next"),
                    Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "a client broke off"),
                    Err(_) => tracing::error!("a task ended without a word"),
                },
            }
        }
    }
}

/// One client to its end: its connection when it has said `DONE`.
async fn attend(tcp: TcpStream, answer: &str) -> io::Result<Option<Socket>> {
    let mut socket = buffered(tcp)?;
    say(&mut socket, answer).await?;
    // A transfer takes as long as it takes; TCP tells when the client is gone.
    match read_line(&mut socket).await? {
        Some(Line::Word(text)) if text == DONE => Ok(Some(socket)),
        _ => Ok(None),
    }
}

async fn confirm(mut socket: Socket) -> io::Result<()> {
    let confirmed = async {
        say(&mut socket, &word(OK)).await?;
        // The client hangs up when it has heard.
        read_line(&mut socket).await.map(drop)
    };
    // What had to be done is done; that the client heard it is its own affair.
    if let Ok(Err(error)) = timeout(DEADLINE, confirmed).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "the client did not wait for the confirmation");
    }
    Ok(())
}

impl Errand {
    /// Asks the proxy at `address`.
    ///
    /// # Errors
    /// [`ErrandError`].
    pub async fn ask(address: &HostPort) -> Result<Self, ErrandError> {
        let failed = |source| ErrandError::Io { address: address.clone(), source };
        let ask = async {
            let mut socket = open(address).await?;
            let line = read_line(&mut socket).await?;
            Ok::<_, io::Error>((socket, line))
        };
        let (socket, line) = match timeout(DEADLINE, ask).await {
            Ok(asked) => asked.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        let foreign = || ErrandError::Foreign(address.clone());
        let words = match line {
            Some(Line::Word(words)) => words,
            None => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Some(_) => return Err(foreign()),
        };
        let (identifier, target) = words.split_once(' ').ok_or_else(foreign)?;
        let identifier = Module::new(identifier).map_err(|_| foreign())?;
        let target = HostPort::parse(target).map_err(|_| foreign())?;
        Ok(Self { socket, identifier, target })
    }

    /// Says that all is done and waits for the proxy to have settled it.
    ///
    /// # Errors
    /// The connection's: the proxy may not know.
    pub async fn done(mut self) -> io::Result<()> {
        let tell = async {
            say(&mut self.socket, &word(DONE)).await?;
            match read_line(&mut self.socket).await? {
                Some(Line::Word(text)) if text == OK => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        timeout(DEADLINE, tell).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn say(socket: &mut Socket, line: &str) -> io::Result<()> {
    socket.write_all(line.as_bytes()).await?;
    socket.flush().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    const AT_MOST: Duration = Duration::from_secs(10);

    fn door() -> (ErrandDoor, HostPort) {
        let target = HostPort::parse("localhost:6443").unwrap();
        let door = ErrandDoor::bind(0, &Module::new("abc").unwrap(), &target).unwrap();
        let address = HostPort::parse(&door.local_addr().unwrap().to_string()).unwrap();
        (door, address)
    }

    #[tokio::test]
    async fn an_errand_ends_when_it_is_settled_and_not_before() {
        let (door, address) = door();
        let settled = AtomicBool::new(false);
        let serving = door.serve(|| {
            settled.store(true, Relaxed);
            Ok(())
        });
        let asking = async {
            // One that goes, one that sends rubbish, and one that comes to its end.
            drop(Errand::ask(&address).await.unwrap());
            let mut other = Errand::ask(&address).await.unwrap();
            say(&mut other.socket, "@FERRY: DON\n").await.unwrap();
            let errand = Errand::ask(&address).await.unwrap();
            assert_eq!((errand.identifier.as_str(), errand.target.to_string().as_str()), ("abc", "localhost:6443"));
            assert!(!settled.load(Relaxed));
            errand.done().await.unwrap();
            assert!(settled.load(Relaxed));
        };
        let (served, ()) = timeout(AT_MOST, async { tokio::join!(serving, asking) }).await.unwrap();
        served.unwrap();
    }

    #[tokio::test]
    async fn what_could_not_be_settled_is_not_confirmed() {
        let (door, address) = door();
        let serving = door.serve(|| Err(io::ErrorKind::PermissionDenied.into()));
        let asking = async { Errand::ask(&address).await.unwrap().done().await };
        let (served, told) = timeout(AT_MOST, async { tokio::join!(serving, asking) }).await.unwrap();
        assert!(served.is_err() && told.is_err());
    }

    #[tokio::test]
    async fn another_program_on_the_port_is_told_from_nobody() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = HostPort::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let other = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"@RSYNCD: 31.0\n").await.unwrap();
            socket
        };
        let (asked, _socket) = timeout(AT_MOST, async { tokio::join!(Errand::ask(&address), other) }).await.unwrap();
        assert!(matches!(asked, Err(ErrandError::Foreign(_))));
        drop(listener);
        assert!(matches!(Errand::ask(&address).await, Err(ErrandError::Io { .. })));
    }
}
