//! The first bytes of every connection: both sides say which versions they speak.
//!
//! Nothing else is read; what follows the peer's preamble stays in the stream. This is also where a sender learns that
//! the receiver did not believe it, for in TLS 1.3 its own handshake is over before.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::failure::{ConnectError, classify};
use super::stream::Stream;
use super::timing::Timing;
use crate::wire::{PREAMBLE_LEN, PreambleError, agree, preamble};

/// Why two sides did not get as far as speaking.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// The peer does not believe us. Final.
    #[error(transparent)]
    Refused(ConnectError),
    /// Not ferry, or no version in common. Final.
    #[error("the peer answered, but cannot be spoken to")]
    Preamble(#[from] PreambleError),
    /// It said nothing in time.
    #[error("the peer said nothing within {0} s after the TLS handshake")]
    Slow(u64),
    /// The connection broke or was closed.
    #[error("the connection broke before the peer said anything")]
    Io(#[source] io::Error),
}

impl GreetError {
    /// True when a later attempt may succeed without anyone doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Preamble(_) => false,
            Self::Slow(_) | Self::Io(_) => true,
        }
    }
}

/// Exchanges preambles under `HANDSHAKE_DEADLINE` and returns the version of the connection.
///
/// # Errors
/// [`GreetError`]; the stream is then of no further use.
pub async fn greet(stream: &mut Stream) -> Result<u16, GreetError> {
    greet_within(stream, Timing::default()).await
}

/// [`greet`] with another deadline.
///
/// # Errors
/// As [`greet`].
pub async fn greet_within(stream: &mut Stream, timing: Timing) -> Result<u16, GreetError> {
    let exchange = async {
        // A write that fails is not the end: why the peer closed may be there to be read.
        let sent = send(stream).await;
        let mut theirs = [0; PREAMBLE_LEN];
        match stream.read_exact(&mut theirs).await {
            Ok(_) => sent.map_err(GreetError::Io).and_then(|()| Ok(agree(theirs)?)),
            Err(error) => Err(match classify(&error, "the receiver") {
                Some(refused) => GreetError::Refused(refused),
                None => GreetError::Io(sent.err().unwrap_or(error)),
            }),
        }
    };
    timeout(timing.handshake, exchange).await.unwrap_or(Err(GreetError::Slow(timing.handshake.as_secs())))
}

async fn send(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(&preamble()).await?;
    stream.flush().await
}
