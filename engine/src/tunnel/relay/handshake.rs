//! TLS for a relay, in one place: the two handshakes, over a socket whose end stays open.
//!
//! A TLS goodbye ends one direction only. The TCP connection beneath stays open until both have ended: routers cut a
//! connection a second after one side of it closed, and what the other side still had to say would be lost.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::super::stream::Stream;
use super::super::tls;

/// The client's handshake with the server `name`. That the server believes us is known with its first bytes only.
pub(super) async fn client(config: Arc<ClientConfig>, name: ServerName<'static>, tcp: TcpStream) -> io::Result<Stream> {
    Ok(Box::new(tls::connect(config, name, Lasting(tcp)).await?))
}

/// The server's handshake; the socket comes back with an error, for the peer to be parted from with care.
pub(super) async fn server(config: Arc<ServerConfig>, tcp: TcpStream) -> Result<Stream, (io::Error, TcpStream)> {
    match tls::accept(config, Lasting(tcp)).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err((error, socket)) => Err((error, socket.0)),
    }
}

/// A socket whose sending side is closed by dropping it only.
struct Lasting<T>(T);

impl<T: AsyncRead + Unpin> AsyncRead for Lasting<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Lasting<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    /// Flushes, and leaves the connection open.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
