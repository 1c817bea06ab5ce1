//! A relay's connection from the server's side: TLS here, plain there.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::address::HostPort;
use super::super::certificate::Role;
use super::super::failure::{distrust, tls_error};
use super::super::socket::tune;
use super::super::stream::Stream;
use super::client::reset;
use super::inlet::Place;
use super::pair::{Pair, PairError};
use super::pour::{POUR_LEN, Poured, pour};
use super::reason::{Reason, of_distrust, of_plain, too_many};
use super::upstream::reach_plain;
use super::{Course, Event, handshake};

/// Bytes of a refused peer that are read away before its connection is closed.
const READ_AWAY_MAX: u64 = 65_536;
/// Peers that are remembered as refused; more are refused without a word.
const REFUSED_MAX: usize = 64;

pub(super) struct Server {
    to: HostPort,
    config: Arc<ServerConfig>,
    /// Who was refused for what, so that it is said once.
    refused: Mutex<HashSet<(IpAddr, &'static str)>>,
}

impl Server {
    pub(super) fn new(to: HostPort, pair: &Pair) -> Result<Self, PairError> {
        Ok(Self { to, config: pair.server_config()?, refused: Mutex::default() })
    }

    /// One peer, to its end.
    pub(super) async fn carry(&self, course: &Arc<Course>, tcp: TcpStream, from: SocketAddr, place: Place) {
        let shaken = place.hold(timeout(course.timing.handshake, self.shake_hands(course, tcp, from))).await;
        let Some(Ok(Some(mut tunnel))) = shaken else { return };
        if let Err(reason) = self.connect_and_pour(course, &mut tunnel, from).await {
            course.tell(from, &reason);
            let line = reason.line();
            let said = async {
                tunnel.write_all(line.as_bytes()).await?;
                part(tunnel).await
            };
            hush(timeout(course.timing.linger, said).await);
        }
    }

    async fn shake_hands(&self, course: &Course, tcp: TcpStream, from: SocketAddr) -> Option<Stream> {
        tune(&tcp).ok()?;
        match handshake::server(Arc::clone(&self.config), tcp).await {
            Ok(tunnel) => Some(tunnel),
            Err((error, tcp)) => {
                self.refuse(course, &error, from);
                hush(timeout(course.timing.linger, part(tcp)).await);
                None
            }
        }
    }

    /// Says once of each peer why it is refused. What only looks into the port is none: it says no word of TLS.
    fn refuse(&self, course: &Course, error: &io::Error, from: SocketAddr) {
        let Some(distrust) = tls_error(error).and_then(|tls| distrust(tls, Role::Sender)) else {
            tracing::debug!(%from, error = error as &dyn std::error::Error, "no handshake");
            return;
        };
        let reason = of_distrust(&distrust, &from.ip().to_string());
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED_MAX && refused.insert((from.ip(), reason.trouble.word())) {
            course.tell(from, &reason);
        }
    }

    async fn connect_and_pour(&self, course: &Course, tunnel: &mut Stream, from: SocketAddr) -> Result<(), Reason> {
        let _place = course.tunnels.try_acquire().map_err(|_| too_many())?;
        let mut ahead = Vec::with_capacity(POUR_LEN);
        // Whoever leaves without a byte was a probe, though one of ours.
        if !matches!(tunnel.read_buf(&mut ahead).await, Ok(1..)) {
            return Ok(());
        }
        let _spoken = course.spoke();
        let mut plain = reach_plain(&self.to, &course.timing).await.map_err(|error| of_plain(&error))?;
        let begun = Instant::now();
        let Poured { up, down, broken } = pour(&mut plain, tunnel, &ahead).await;
        let broken = broken.map(|broken| reset(broken, &plain));
        let lasted = begun.elapsed();
        course.witness.saw(Event::Carried { from, sent: down, returned: up, lasted, broken: broken.as_ref() });
        Ok(())
    }
}

/// Closes a connection so that what was said last arrives.
async fn part<T: AsyncRead + AsyncWrite + Unpin>(mut stream: T) -> io::Result<u64> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(READ_AWAY_MAX), &mut tokio::io::sink()).await
}

/// A peer that does not wait for the last word is no news.
fn hush(parted: Result<io::Result<u64>, tokio::time::error::Elapsed>) {
    if let Ok(Err(error)) = parted {
        tracing::debug!(error = &error as &dyn std::error::Error, "a peer did not wait for the last word");
    }
}
