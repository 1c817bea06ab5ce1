//! A stream that is read by one task and written by another, and that a third can drop under both.
//!
//! Both halves share the stream behind a lock that is held while it is polled, never across an await. Dropping it
//! ([`Cord::cut`]) closes the connection at once and wakes both tasks.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tunnel::stream::Stream;

/// The stream while it lasts.
pub(super) struct Cord(Mutex<State>);

struct State {
    stream: Option<Stream>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The half that is read.
pub(super) struct ReadSide(Arc<Cord>);

/// The half that is written.
pub(super) struct WriteSide(Arc<Cord>);

/// Both halves, and what cuts them.
pub(super) fn split(stream: Stream) -> (ReadSide, WriteSide, Arc<Cord>) {
    let cord = Arc::new(Cord(Mutex::new(State { stream: Some(stream), reader: None, writer: None })));
    (ReadSide(Arc::clone(&cord)), WriteSide(Arc::clone(&cord)), cord)
}

impl Cord {
    /// Drops the stream. Both halves fail from now on.
    pub(super) fn cut(&self) {
        let (stream, wakers) = {
            let mut state = self.lock();
            (state.stream.take(), [state.reader.take(), state.writer.take()])
        };
        drop(stream);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// True once it was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.lock().stream.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_write_side<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut state = self.lock();
        let State { stream, writer, .. } = &mut *state;
        match stream {
            Some(stream) => {
                remember(writer, cx);
                poll(Pin::new(stream), cx)
            }
            None => Poll::Ready(Err(cut())),
        }
    }
}

impl AsyncRead for ReadSide {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        let State { stream, reader, .. } = &mut *state;
        match stream {
            Some(stream) => {
                remember(reader, cx);
                Pin::new(stream).poll_read(cx, buf)
            }
            None => Poll::Ready(Err(cut())),
        }
    }
}

impl AsyncWrite for WriteSide {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write_side(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_side(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_side(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

/// Keeps the waker of the task that polls, which is almost always the one kept already.
fn remember(kept: &mut Option<Waker>, cx: &Context<'_>) {
    match kept {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *kept = Some(cx.waker().clone()),
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was dropped on this side")
}
