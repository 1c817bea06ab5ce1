//! A connection once it is authenticated: bytes in order, both ways.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};

/// Bytes in flight between the two ends of a [`memory_pair`], each way.
const MEMORY_LEN: usize = 1_048_576;

/// What a [`Stream`] can do.
pub trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for T {}

/// An authenticated connection, or one end of a [`memory_pair`].
pub type Stream = Box<dyn AsyncStream>;

/// Two ends of a connection inside this process; what is written to one is read from the other.
#[must_use]
pub fn memory_pair() -> (Stream, Stream) {
    let (one, other): (DuplexStream, DuplexStream) = duplex(MEMORY_LEN);
    (Box::new(one), Box::new(other))
}
