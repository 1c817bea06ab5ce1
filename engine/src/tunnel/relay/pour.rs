//! Pouring: bytes from each side to the other, until both have ended or one is broken.
//!
//! ```text
//!  plain ──── up ───> tunnel        an end of one direction is handed on and leaves the other alone
//!  plain <── down ─── tunnel        a side that cannot be read any more ends both at once
//! ```
//! A side that takes no more bytes may have said why: what it sent last is still handed on, for a moment. Two buffers a
//! tunnel and nothing else is kept. Dropping it at any time is the end of the tunnel.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::super::stream::Stream;

/// Bytes read at once, each way.
pub(super) const POUR_LEN: usize = 131_072;
/// How long what a broken side said last is waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How far a tunnel came.
#[derive(Debug, Default)]
pub(super) struct Poured {
    /// Bytes from the plain socket.
    pub(super) up: u64,
    /// Bytes to the plain socket.
    pub(super) down: u64,
    /// What ended it, unless both sides did.
    pub(super) broken: Option<Broken>,
}

/// Which side of a tunnel broke.
#[derive(Debug)]
pub(super) enum Broken {
    Plain(io::Error),
    Tunnel(io::Error),
}

/// Where in one direction it broke.
enum Fault {
    Read(io::Error),
    Write(io::Error),
}

/// Pours until the end. `ahead` was read from the tunnel already.
pub(super) async fn pour(plain: &mut TcpStream, tunnel: &mut Stream, ahead: &[u8]) -> Poured {
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let broken = {
        let (plain_out, plain_in) = plain.split();
        let (tunnel_out, tunnel_in) = split(tunnel);
        let rising = one_way(plain_out, tunnel_in, &[], &up);
        let falling = one_way(tunnel_out, plain_in, ahead, &down);
        tokio::pin!(rising, falling);
        tokio::select! {
            rose = &mut rising => match rose {
                Ok(()) => falling.await.err().map(of_falling),
                Err(Fault::Read(error)) => Some(Broken::Plain(error)),
                // An error that the other side tells of says more than that we cannot write to it.
                Err(Fault::Write(error)) => Some(match timeout(LAST_WORDS, falling).await {
                    Ok(Err(fault)) => of_falling(fault),
                    Ok(Ok(())) | Err(_) => Broken::Tunnel(error),
                }),
            },
            fell = &mut falling => match fell {
                Ok(()) => rising.await.err().map(of_rising),
                Err(Fault::Read(error)) => Some(Broken::Tunnel(error)),
                Err(Fault::Write(error)) => Some(match timeout(LAST_WORDS, rising).await {
                    Ok(Err(fault)) => of_rising(fault),
                    Ok(Ok(())) | Err(_) => Broken::Plain(error),
                }),
            },
        }
    };
    Poured { up: up.into_inner(), down: down.into_inner(), broken }
}

fn of_rising(fault: Fault) -> Broken {
    match fault {
        Fault::Read(error) => Broken::Plain(error),
        Fault::Write(error) => Broken::Tunnel(error),
    }
}

fn of_falling(fault: Fault) -> Broken {
    match fault {
        Fault::Read(error) => Broken::Tunnel(error),
        Fault::Write(error) => Broken::Plain(error),
    }
}

/// One direction, to its end, which is handed on.
async fn one_way<R, W>(mut from: R, mut to: W, ahead: &[u8], counted: &AtomicU64) -> Result<(), Fault>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    hand_on(&mut to, ahead, counted).await?;
    let mut buffer = Vec::with_capacity(POUR_LEN);
    loop {
        buffer.clear();
        // The capacity is what bounds it: `read_buf` fills what there is and asks for no more.
        if from.read_buf(&mut buffer).await.map_err(Fault::Read)? == 0 {
            return to.shutdown().await.map_err(Fault::Write);
        }
        hand_on(&mut to, &buffer, counted).await?;
    }
}

async fn hand_on<W: AsyncWrite + Unpin>(to: &mut W, bytes: &[u8], counted: &AtomicU64) -> Result<(), Fault> {
    to.write_all(bytes).await.map_err(Fault::Write)?;
    // Else the last of them would wait in TLS for more.
    to.flush().await.map_err(Fault::Write)?;
    counted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}
