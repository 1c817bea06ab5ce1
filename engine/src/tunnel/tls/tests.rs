//! TLS of ours against the library's own buffers at the other end, over sockets that dribble, cut and damage.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::records::INCOMING_LEN;
use super::*;
use crate::tunnel::failure::tls_error;
use crate::tunnel::tests::pair;

/// Nothing here takes this long; it only keeps a broken test from hanging.
const AT_MOST: Duration = Duration::from_secs(15);

/// What a socket does to the bytes that are read from it.
#[derive(Clone, Copy)]
struct Habit {
    /// Bytes a read returns at most.
    read_max: usize,
    /// After this many bytes there is an end.
    cut_at: usize,
    /// This byte is another.
    flip_at: Option<usize>,
}

const PLAIN: Habit = Habit { read_max: usize::MAX, cut_at: usize::MAX, flip_at: None };

/// A socket with a habit, that counts.
struct Wire<T> {
    inner: T,
    habit: Habit,
    count: Arc<Mutex<Count>>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    bytes_read: usize,
    writes: usize,
}

impl<T> Wire<T> {
    fn new(inner: T, habit: Habit) -> (Self, Arc<Mutex<Count>>) {
        let count = Arc::<Mutex<Count>>::default();
        (Self { inner, habit, count: Arc::clone(&count) }, count)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut count = this.count.lock().unwrap();
        let len = buf.remaining().min(this.habit.read_max).min(this.habit.cut_at - count.bytes_read);
        if len == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut memory = vec![0; len];
        let mut read = ReadBuf::new(&mut memory);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
        let len = read.filled().len();
        let flipped = this.habit.flip_at.and_then(|at| at.checked_sub(count.bytes_read));
        if let Some(byte) = flipped.and_then(|at| memory[..len].get_mut(at)) {
            *byte ^= 0x10;
        }
        count.bytes_read += len;
        buf.put_slice(&memory[..len]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.count.lock().unwrap().writes += 1;
        Pin::new(&mut this.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// What is configured on both sides.
struct Pair {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Pair {
    fn new() -> Self {
        let (receiver, sender) = pair();
        Self { client: Arc::new(sender.client_config().unwrap()), server: Arc::new(receiver.server_config().unwrap()) }
    }

    /// A server that splits everything into small records and gives out tickets.
    fn with_a_chatty_server() -> Self {
        let mut pair = Self::new();
        let server = Arc::make_mut(&mut pair.server);
        server.max_fragment_size = Some(32);
        server.send_tls13_tickets = 8;
        server.session_storage = rustls::server::ServerSessionMemoryCache::new(32);
        pair
    }

    fn name() -> ServerName<'static> {
        ServerName::try_from("localhost").unwrap()
    }

    async fn our_client<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: T,
    ) -> io::Result<TlsStream<UnbufferedClientConnection, T>> {
        connect(Arc::clone(&self.client), Self::name(), socket).await
    }

    async fn our_server<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: T,
    ) -> io::Result<TlsStream<UnbufferedServerConnection, T>> {
        accept(Arc::clone(&self.server), socket).await.map_err(|(error, _)| error)
    }

    async fn their_client<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: T,
    ) -> io::Result<tokio_rustls::client::TlsStream<T>> {
        TlsConnector::from(Arc::clone(&self.client)).connect(Self::name(), socket).await
    }

    async fn their_server<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: T,
    ) -> io::Result<tokio_rustls::server::TlsStream<T>> {
        TlsAcceptor::from(Arc::clone(&self.server)).accept(socket).await
    }
}

/// Our client and their server over memory, and what the client's socket counts.
async fn our_client_and_their_server(
    pair: &Pair,
    habit: Habit,
) -> (
    TlsStream<UnbufferedClientConnection, Wire<DuplexStream>>,
    tokio_rustls::server::TlsStream<DuplexStream>,
    Arc<Mutex<Count>>,
) {
    let (one, other) = duplex(1 << 20);
    let (wire, count) = Wire::new(one, habit);
    let met = async { tokio::join!(pair.our_client(wire), pair.their_server(other)) };
    let (ours, theirs) = timeout(AT_MOST, met).await.unwrap();
    (ours.unwrap(), theirs.unwrap(), count)
}

/// Bytes that show when one is missing, doubled or out of place.
fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Both ends shake hands, send `len` bytes in pieces of all sizes while they read, say goodbye, and see the other's.
async fn exchange<A, B>(
    one: impl Future<Output = io::Result<A>>,
    other: impl Future<Output = io::Result<B>>,
    len: usize,
) where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    async fn send(mut to: impl AsyncWrite + Unpin, all: &[u8]) {
        let mut rest = all;
        for piece in [1, 2, 300, 16_383, 16_384, 16_385, 40_000, 262_144, 262_200, 300_000].into_iter().cycle() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            to.write_all(now).await.unwrap();
            to.flush().await.unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        to.shutdown().await.unwrap();
    }
    async fn receive(mut from: impl AsyncRead + Unpin, all: &[u8]) {
        let mut memory = vec![0; 200_000];
        let mut found = Vec::new();
        for piece in [1, 5, 100, 16_384, 20_000, 200_000].into_iter().cycle() {
            match from.read(&mut memory[..piece]).await.unwrap() {
                0 => break,
                count => found.extend_from_slice(&memory[..count]),
            }
        }
        assert_eq!(found.len(), all.len());
        assert!(found == all, "other bytes arrived");
    }
    async fn talk(end: impl AsyncRead + AsyncWrite + Unpin, all: &[u8]) {
        let (from, to) = split(end);
        tokio::join!(send(to, all), receive(from, all));
    }
    let all = bytes(len);
    let everything = async {
        tokio::join!(async { talk(one.await.unwrap(), &all).await }, async { talk(other.await.unwrap(), &all).await })
    };
    timeout(AT_MOST, everything).await.unwrap();
}

#[tokio::test]
async fn all_bytes_cross_both_ways_however_small_the_pieces_of_the_way_are() {
    for (way, len) in [(1, 40_000), (7, 400_000), (1_000, 2_000_000), (1 << 20, 3_000_000)] {
        for pair in [Pair::new(), Pair::with_a_chatty_server()] {
            let (one, other) = duplex(way);
            exchange(pair.our_client(one), pair.their_server(other), len).await;
            let (one, other) = duplex(way);
            exchange(pair.our_client(one), pair.our_server(other), len).await;
        }
        let pair = Pair::new();
        let (one, other) = duplex(way);
        exchange(pair.their_client(one), pair.our_server(other), len).await;
    }
}

#[tokio::test]
async fn keys_are_changed_whenever_the_peer_likes() {
    let pair = Pair::new();
    for read_max in [1, usize::MAX] {
        let (mut ours, mut theirs, _) = our_client_and_their_server(&pair, Habit { read_max, ..PLAIN }).await;
        let talk = async {
            for round in 0..40_u8 {
                theirs.get_mut().1.refresh_traffic_keys().unwrap();
                theirs.write_all(&[round; 100]).await.unwrap();
                theirs.flush().await.unwrap();
                // We write before we have read that the keys changed, and after.
                ours.write_all(&[round; 3]).await.unwrap();
                ours.flush().await.unwrap();
                let mut read = [0; 100];
                ours.read_exact(&mut read).await.unwrap();
                assert_eq!(read, [round; 100]);
                ours.write_all(&[round; 5]).await.unwrap();
                ours.flush().await.unwrap();
                let mut read = [0; 8];
                theirs.read_exact(&mut read).await.unwrap();
                assert_eq!(read, [round; 8]);
            }
        };
        timeout(AT_MOST, talk).await.unwrap();
    }
}

/// Tickets in records of 32 bytes: when we write, TLS holds a part of one.
#[tokio::test]
async fn writing_does_not_disturb_a_handshake_message_of_which_a_part_has_come() {
    let pair = Pair::with_a_chatty_server();
    let (mut ours, mut theirs, _) = our_client_and_their_server(&pair, Habit { read_max: 3, ..PLAIN }).await;
    let talk = async {
        theirs.write_all(b"after the tickets").await.unwrap();
        theirs.flush().await.unwrap();
        let (mut read, mut filled, mut written) = ([0; 17], 0, 0);
        while filled < read.len() {
            // One look at what came, and then a write, in whatever state that left TLS.
            let mut into = ReadBuf::new(&mut read[filled..]);
            let looked = poll_fn(|cx| Poll::Ready(Pin::new(&mut ours).poll_read_once(cx, &mut into))).await;
            looked.unwrap();
            filled += into.filled().len();
            ours.write_all(b"x").await.unwrap();
            written += 1;
        }
        ours.flush().await.unwrap();
        assert_eq!(&read, b"after the tickets");
        assert!(written > 100, "{written} writes are too few to have met a part");
        let mut got = vec![0; written];
        theirs.read_exact(&mut got).await.unwrap();
        assert!(got.iter().all(|byte| *byte == b'x'));
    };
    timeout(AT_MOST, talk).await.unwrap();
}

impl<S: Side, T: AsyncRead + AsyncWrite + Unpin> TlsStream<S, T> {
    /// One read from the socket and one look at what came.
    fn poll_read_once(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        match self.poll_fetch(cx) {
            Poll::Ready(fetched) => fetched?,
            Poll::Pending => {}
        }
        self.records.read(buf).map(drop).map_err(tls)
    }
}

#[tokio::test]
async fn a_large_frame_leaves_in_one_system_call() {
    let (mut ours, mut theirs, count) = our_client_and_their_server(&Pair::new(), PLAIN).await;
    let frame = bytes(262_144 + 500);
    let before = count.lock().unwrap().writes;
    let writing = async {
        ours.write_all(&frame).await.unwrap();
        ours.flush().await.unwrap();
    };
    let mut found = vec![0; frame.len()];
    timeout(AT_MOST, async { tokio::join!(writing, theirs.read_exact(&mut found)).1.unwrap() }).await.unwrap();
    assert!(found == frame);
    assert_eq!(count.lock().unwrap().writes - before, 1);
}

#[tokio::test]
async fn a_handshake_that_is_cut_anywhere_is_an_end_and_nothing_else() {
    let pair = Pair::new();
    for we_serve in [false, true] {
        let handshake = async |cut_at| {
            let (one, other) = duplex(1 << 20);
            let (wire, count) = Wire::new(one, Habit { cut_at, ..PLAIN });
            let met = async {
                if we_serve {
                    tokio::join!(async { pair.our_server(wire).await.map(drop) }, async {
                        pair.their_client(other).await.map(drop).is_ok()
                    })
                } else {
                    tokio::join!(async { pair.our_client(wire).await.map(drop) }, async {
                        pair.their_server(other).await.map(drop).is_ok()
                    })
                }
            };
            let (ours, _) = timeout(AT_MOST, met).await.unwrap();
            let count = count.lock().unwrap().bytes_read;
            (ours, count)
        };
        let (whole, len) = handshake(usize::MAX).await;
        whole.unwrap();
        // Signatures differ by a few bytes from handshake to handshake.
        for cut_at in 0..len - 16 {
            let error = handshake(cut_at).await.0.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut_at}: {error:?}");
            assert!(tls_error(&error).is_none());
        }
    }
}

#[tokio::test]
async fn an_end_without_a_goodbye_is_an_error_behind_what_was_said() {
    let (mut ours, mut theirs, _) = our_client_and_their_server(&Pair::new(), PLAIN).await;
    let talk = async {
        theirs.write_all(b"said").await.unwrap();
        theirs.flush().await.unwrap();
        drop(theirs);
        let mut found = Vec::new();
        let error = ours.read_to_end(&mut found).await.unwrap_err();
        assert_eq!((found.as_slice(), error.kind()), (&b"said"[..], io::ErrorKind::UnexpectedEof));
    };
    timeout(AT_MOST, talk).await.unwrap();
}

#[tokio::test]
async fn each_side_may_go_on_after_the_others_goodbye_and_not_after_its_own() {
    let (mut ours, mut theirs, _) = our_client_and_their_server(&Pair::new(), PLAIN).await;
    let talk = async {
        theirs.write_all(b"last").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut found = Vec::new();
        ours.read_to_end(&mut found).await.unwrap();
        assert_eq!(found, b"last");
        assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0, "and it stays so");
        ours.write_all(b"not yet").await.unwrap();
        ours.shutdown().await.unwrap();
        ours.shutdown().await.unwrap();
        let mut found = Vec::new();
        theirs.read_to_end(&mut found).await.unwrap();
        assert_eq!(found, b"not yet");
        assert_eq!(ours.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    };
    timeout(AT_MOST, talk).await.unwrap();
}

#[tokio::test]
async fn a_byte_that_changes_on_the_way_is_noticed_and_the_peer_is_told() {
    let pair = Pair::new();
    let sent = bytes(20_000);
    // Bytes of the first record: its header, content, tag.
    for into_data in [0, 3, 5, 6, 9_000, 16_384 + 5 + 1 + 15] {
        let (ours, mut theirs, count) = our_client_and_their_server(&pair, PLAIN).await;
        let mut ours = ours;
        ours.socket.habit.flip_at = Some(count.lock().unwrap().bytes_read + into_data);
        let talk = async {
            theirs.write_all(&sent).await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut found = Vec::new();
            let error = ours.read_to_end(&mut found).await.unwrap_err();
            assert!(found.is_empty(), "{} bytes of a damaged record were believed", found.len());
            assert!(tls_error(&error).is_some() || error.kind() == io::ErrorKind::UnexpectedEof, "{error:?}");
            let again = ours.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(again.kind(), error.kind(), "and it stays so");
            if matches!(tls_error(&error), Some(rustls::Error::DecryptError)) {
                let told = theirs.read(&mut [0; 1]).await.unwrap_err();
                let alert = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
                assert_eq!(tls_error(&told), Some(&alert));
                assert!(ours.write(b"more").await.is_err());
            }
        };
        timeout(AT_MOST, talk).await.unwrap();
    }
}

/// What our server says to somebody who sends `first`, and then `then` for ever; and how many bytes it read.
async fn answer_to(first: &[u8], then: &[u8]) -> (io::Error, Vec<u8>, usize) {
    let (one, mut other) = duplex(4_096);
    let (wire, count) = Wire::new(one, PLAIN);
    let pair = Pair::new();
    let serving = async { pair.our_server(wire).await.map(drop).unwrap_err() };
    let talking = async {
        let mut sent = other.write_all(first).await;
        while sent.is_ok() && !then.is_empty() {
            sent = other.write_all(then).await;
        }
        let mut answer = Vec::new();
        other.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (error, answer) = timeout(AT_MOST, async { tokio::join!(serving, talking) }).await.unwrap();
    let bytes_read = count.lock().unwrap().bytes_read;
    (error, answer, bytes_read)
}

#[tokio::test]
async fn strangers_that_speak_something_else_get_an_alert_and_no_memory() {
    // What is no record, a record that is too long, and records of the wrong kind.
    let first: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[22, 3, 1, 0x48, 0x01],
        &[23, 3, 3, 0, 1, 0],
        &[0; 64],
    ];
    for first in first {
        let (error, answer, bytes_read) = answer_to(first, b"").await;
        assert!(tls_error(&error).is_some(), "{first:?}: {error:?}");
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{first:?} is answered by {answer:?}");
        assert!(bytes_read <= first.len());
    }
}

#[tokio::test]
async fn floods_end_before_they_cost_anything() {
    let hello_of_64_kib = [22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    let floods: [(&[u8], &[u8]); 4] = [
        // Nothing, again and again: in handshake records, and in the only other kind that is not encrypted.
        (&[], &[22, 3, 1, 0, 0]),
        (&[], &[20, 3, 1, 0, 1, 1]),
        // A hello in pieces of one byte, and one that promises more than it may.
        (&hello_of_64_kib, &[22, 3, 1, 0, 1, 0]),
        (&[22, 3, 1, 0, 4, 1, 1, 0, 1], &[22, 3, 1, 0, 1, 0]),
    ];
    for (first, then) in floods {
        let (error, _, bytes_read) = answer_to(first, then).await;
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{then:?}: {error:?}");
        assert!(bytes_read <= INCOMING_LEN, "{then:?}: {bytes_read} bytes were read");
    }
}

/// Each direction of a socket wakes one task. An alert that had to wait would take the writer's place.
#[tokio::test]
async fn a_writer_that_waits_is_not_forgotten_when_reading_fails() {
    let pair = Pair::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ours = async { pair.our_client(TcpStream::connect(address).await.unwrap()).await.unwrap() };
    let theirs = async { pair.their_server(listener.accept().await.unwrap().0).await.unwrap() };
    let (ours, theirs) = timeout(AT_MOST, async { tokio::join!(ours, theirs) }).await.unwrap();
    let (mut socket, _) = theirs.into_inner();
    let (mut reader, mut writer) = split(ours);
    let reading = tokio::spawn(async move { reader.read(&mut [0; 9]).await.unwrap_err() });
    let (wrote, mut written) = tokio::sync::mpsc::unbounded_channel();
    let writing = tokio::spawn(async move {
        loop {
            match writer.write(&[7; 100_000]).await {
                Ok(_) => wrote.send(()).unwrap(),
                Err(error) => return error,
            }
        }
    });
    let all = async {
        // Until nothing more fits into the kernel.
        while timeout(Duration::from_millis(300), written.recv()).await.is_ok() {}
        socket.write_all(&[23, 3, 3, 0, 40]).await.unwrap();
        socket.write_all(&[9; 40]).await.unwrap();
        assert_eq!(tls_error(&reading.await.unwrap()), Some(&rustls::Error::DecryptError));
        let away = tokio::spawn(async move { tokio::io::copy(&mut socket, &mut tokio::io::sink()).await });
        assert_eq!(tls_error(&writing.await.unwrap()), Some(&rustls::Error::DecryptError));
        away.await.unwrap().unwrap();
    };
    timeout(AT_MOST, all).await.unwrap();
}
