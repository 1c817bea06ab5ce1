//! The first bytes of every connection: both sides say which versions they speak.
//!
//! Nothing else is read; what follows the peer's preamble stays in the stream. This is also where a sender learns that
//! the receiver did not believe it, for in TLS 1.3 its own handshake is over before.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::failure::{ConnectError, classify};
use super::pace::Meter;
use super::stream::Stream;
use super::timing::Timing;
use crate::types::Outcome;
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

    /// What a run that ends with it ends as.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refused) => refused.outcome(),
            Self::Preamble(_) => Outcome::Refused,
            Self::Slow(_) | Self::Io(_) => Outcome::Network,
        }
    }
}

/// Exchanges preambles under `HANDSHAKE_DEADLINE` and returns the version of the connection.
///
/// # Errors
/// [`GreetError`]; the stream is then of no further use.
pub async fn greet(stream: &mut Stream) -> Result<u16, GreetError> {
    greet_within(stream, &[], Timing::default()).await
}

/// Says preamble and `hello`, a whole frame, which is counted in `meter`, and waits for nothing: what the peer says is for
/// [`super::Inbox::unanswered`].
///
/// # Errors
/// When the connection is broken already.
pub async fn greet_blindly(stream: &mut Stream, hello: &[u8], meter: &Meter) -> Result<(), GreetError> {
    send(stream, hello).await.map_err(GreetError::Io)?;
    meter.count_sent(hello.len());
    Ok(())
}

/// [`greet`] that does not wait for the peer's preamble before it says `hello`, a whole frame, which is counted in `meter`:
/// one round trip less. A peer of another version does not read that far.
///
/// # Errors
/// As [`greet`].
pub async fn greet_with(stream: &mut Stream, hello: &[u8], meter: &Meter) -> Result<u16, GreetError> {
    let version = greet_within(stream, hello, Timing::default()).await?;
    meter.count_sent(hello.len());
    Ok(version)
}

pub(super) async fn greet_within(stream: &mut Stream, hello: &[u8], timing: Timing) -> Result<u16, GreetError> {
    let exchange = async {
        // A write that fails is not the end: why the peer closed may be there to be read.
        let sent = send(stream, hello).await;
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

async fn send(stream: &mut Stream, hello: &[u8]) -> io::Result<()> {
    stream.write_all(&preamble()).await?;
    stream.write_all(hello).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::stream::memory_pair;
    use super::*;

    fn timing() -> Timing {
        Timing { handshake: Duration::from_millis(50), ..Timing::default() }
    }

    #[tokio::test]
    async fn two_ferries_agree_and_what_follows_stays_in_the_stream() {
        let (mut one, mut other) = memory_pair();
        other.write_all(&[preamble().as_slice(), b"next"].concat()).await.unwrap();
        assert_eq!(greet_within(&mut one, &[], timing()).await.unwrap(), 1);
        let mut next = [0; 4];
        one.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next");
    }

    #[tokio::test]
    async fn another_protocol_is_refused_for_good() {
        let (mut one, mut other) = memory_pair();
        other.write_all(b"SSH-2.0-OpenSSH").await.unwrap();
        let error = greet_within(&mut one, &[], timing()).await.unwrap_err();
        assert!(matches!(error, GreetError::Preamble(PreambleError::NotFerry)), "{error:?}");
        assert_eq!((error.outcome(), error.may_pass()), (Outcome::Refused, false));
    }

    #[tokio::test]
    async fn silence_and_a_hung_up_line_may_pass() {
        let (mut one, _other) = memory_pair();
        let slow = greet_within(&mut one, &[], timing()).await.unwrap_err();
        assert!(matches!(slow, GreetError::Slow(_)) && slow.may_pass(), "{slow:?}");
        let (mut one, other) = memory_pair();
        drop(other);
        let closed = greet_within(&mut one, &[], timing()).await.unwrap_err();
        assert!(matches!(closed, GreetError::Io(_)) && closed.may_pass(), "{closed:?}");
        assert_eq!(closed.outcome(), Outcome::Network);
    }
}
