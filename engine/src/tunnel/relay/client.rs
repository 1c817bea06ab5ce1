//! A relay's connection from the client's side: plain here, TLS there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::super::address::{HostPort, ProxyUrl};
use super::super::socket::tune;
use super::inlet::Place;
use super::pair::{Pair, PairError};
use super::pour::{Broken, Poured, pour};
use super::reason::{Reason, of_broken, too_many};
use super::upstream::Upstream;
use super::{Course, Event};

/// Bytes of a client that are read away so that it can read why there is no way: closed with bytes unread, the kernel
/// would send a reset.
const READ_AWAY_MAX: u64 = 1_048_576;

pub(super) struct Client {
    upstream: Upstream,
}

impl Client {
    pub(super) fn new(to: HostPort, proxy: Option<ProxyUrl>, pair: &Pair) -> Result<Self, PairError> {
        let upstream = Upstream::new(to, proxy, pair.client_config()?).map_err(PairError::Name)?;
        Ok(Self { upstream })
    }

    /// One local client, to its end.
    pub(super) async fn carry(&self, course: &Arc<Course>, mut local: TcpStream, from: SocketAddr, place: Place) {
        // Whoever leaves without a byte, or breaks, was a probe.
        let first = place.hold(async { local.peek(&mut [0]).await }).await;
        if !matches!(first, Some(Ok(1..))) {
            return;
        }
        let _spoken = course.spoke();
        if let Err(reason) = self.connect_and_pour(course, &mut local, from).await {
            course.tell(from, &reason);
            say_and_part(&mut local, &reason, course.timing.linger).await;
        }
    }

    async fn connect_and_pour(&self, course: &Course, local: &mut TcpStream, from: SocketAddr) -> Result<(), Reason> {
        let _tunnel = course.tunnels.try_acquire().map_err(|_| too_many())?;
        if let Err(error) = tune(local) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a local client is gone already");
            return Ok(());
        }
        let mut tunnel = self.upstream.reach(&course.timing).await?;
        let begun = Instant::now();
        let Poured { up, down, broken } = pour(local, &mut tunnel, &[]).await;
        if let (Some(Broken::Tunnel(error)), 0) = (&broken, down) {
            return Err(of_broken(error, &self.upstream.peer()));
        }
        let broken = broken.map(|broken| reset(broken, local));
        let lasted = begun.elapsed();
        course.witness.saw(Event::Carried { from, sent: up, returned: down, lasted, broken: broken.as_ref() });
        Ok(())
    }
}

/// A tunnel that broke must not look to the plain side like one that ended.
pub(super) fn reset(broken: Broken, plain: &TcpStream) -> std::io::Error {
    match broken {
        Broken::Plain(error) => error,
        Broken::Tunnel(error) => {
            // With no time to linger, closing is a reset. If it cannot be set, the end is merely less clear.
            if let Err(cause) = SockRef::from(plain).set_linger(Some(Duration::ZERO)) {
                tracing::debug!(error = &cause as &dyn std::error::Error, "a plain side cannot be reset");
            }
            error
        }
    }
}

/// The line, and time for the client to read it.
async fn say_and_part(local: &mut TcpStream, reason: &Reason, linger: Duration) {
    let part = async {
        local.write_all(reason.line().as_bytes()).await?;
        local.shutdown().await?;
        tokio::io::copy(&mut local.take(READ_AWAY_MAX), &mut tokio::io::sink()).await
    };
    if let Ok(Err(error)) = timeout(linger, part).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a client did not wait for the reason");
    }
}
