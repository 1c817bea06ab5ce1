//! TLS over a socket as a stream of bytes: both handshakes, reading, writing, and the end.
//!
//! The library does the cryptography (`rustls::unbuffered`); the memory is ours. With the library's own buffers every
//! plain byte was copied twice more and every 4 KiB cleared before they were read into (DESIGN.md, "TLS in our own
//! buffers").
//!
//! ```text
//!  connect, accept ─> TlsStream ── poll_read ── records ── poll_write ── socket
//! ```
//! One task may read while another writes. Reading never writes, but for the alert that tells the peer why it is over, and
//! that only when nobody waits to write: each side of the socket remembers one waiting task. An end without a goodbye
//! is an error. Deadlines and what an error means are the callers'.

mod buffer;
mod records;
mod side;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use records::{Records, Stop, tls};
use side::Side;

/// A connection whose handshake is done.
pub(super) struct TlsStream<S, T> {
    records: Records<S>,
    socket: T,
}

/// The client's handshake with the server `name` over `socket`. That the server has believed our certificate is not known
/// yet when it returns.
///
/// # Errors
/// The socket's; TLS's, in an error of the kind `InvalidData`; `UnexpectedEof`. The alert was sent, if there is one.
pub(super) async fn connect<T>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: T,
) -> io::Result<TlsStream<UnbufferedClientConnection, T>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let client = UnbufferedClientConnection::new(config, name).map_err(tls)?;
    shake_hands(client, socket).await.map_err(|(error, _)| error)
}

/// The server's handshake over `socket`.
///
/// # Errors
/// As [`connect`]; the socket comes back, for the peer to be parted from with care.
pub(super) async fn accept<T>(
    config: Arc<ServerConfig>,
    socket: T,
) -> Result<TlsStream<UnbufferedServerConnection, T>, (io::Error, T)>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    match UnbufferedServerConnection::new(config) {
        Ok(server) => shake_hands(server, socket).await,
        Err(error) => Err((tls(error), socket)),
    }
}

async fn shake_hands<S, T>(side: S, socket: T) -> Result<TlsStream<S, T>, (io::Error, T)>
where
    S: Side,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = TlsStream { records: Records::new(side), socket };
    match poll_fn(|cx| stream.poll_handshake(cx)).await {
        Ok(()) => Ok(stream),
        Err(error) => Err((error, stream.socket)),
    }
}

impl<S: Side, T: AsyncRead + AsyncWrite + Unpin> TlsStream<S, T> {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(error) = self.records.shake_hands() {
                self.tell(cx);
                return Poll::Ready(Err(tls(error)));
            }
            let sent = self.poll_send(cx)?;
            if !self.records.is_handshaking() {
                ready!(sent);
                return Pin::new(&mut self.socket).poll_flush(cx);
            }
            // Not after what we say is sent: the peer may not listen before it has said all.
            ready!(self.poll_fetch(cx))?;
        }
    }

    /// Reads from the socket what there is room for.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let incoming = &mut self.records.incoming;
        incoming.settle();
        let mut room = ReadBuf::new(incoming.room());
        if room.remaining() == 0 {
            let what = "the peer sent a handshake message in too many pieces";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
        let fetched = room.filled().len();
        if fetched == 0 {
            let what = "the peer closed the connection without a goodbye";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
        }
        incoming.fill(fetched);
        Poll::Ready(Ok(()))
    }

    /// Writes all of `outgoing` to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.records.outgoing;
        while !outgoing.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, outgoing.filled()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => outgoing.consume(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the alert if that can be done at once. What is wrong with the connection is known already, and worth more than
    /// that the peer could not be told.
    fn tell(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            tracing::trace!(error = &error as &dyn std::error::Error, "an alert could not be sent");
        }
    }
}

impl<S: Side, T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S, T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let silent = this.records.outgoing.is_empty();
            let read = this.records.read(buf);
            if silent && this.records.has_failed() {
                this.tell(cx);
            }
            match read.map_err(tls)? {
                Stop::Plain | Stop::Closed => return Poll::Ready(Ok(())),
                Stop::Starved => ready!(this.poll_fetch(cx))?,
            }
        }
    }
}

impl<S: Side, T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S, T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_send(cx))?;
        let taken = this.records.seal(buf)?;
        // What the socket does not take now is for the next call: these bytes are ours now.
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.records.part()?;
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
