//! Frames over a connection: all of them, in order, and what ends them.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::*;
use crate::tunnel::stream::memory_pair;
use crate::tunnel::tests::connected;
use crate::types::limits::FRAME_LEN_MAX;
use crate::wire::{Frame, preamble};

/// Nothing here takes this long; it only keeps a broken test from hanging.
const AT_MOST: Duration = Duration::from_secs(30);
/// An Ack: any message will do.
const TYPE: u8 = 0x38;

fn timing() -> Timing {
    Timing { linger: Duration::from_millis(200), ..Timing::default() }
}

fn open_plain(stream: Stream) -> (Outbox, Inbox) {
    open_with(stream, Arc::default(), None, timing())
}

/// A whole frame with a body of `len` bytes that tell `n`.
fn frame(n: usize, len: usize) -> Vec<u8> {
    let mut frame = u32::try_from(len).unwrap().to_be_bytes().to_vec();
    frame.push(TYPE);
    frame.resize(4 + len, u8::try_from(n % 251).unwrap());
    frame
}

fn body(n: usize, len: usize) -> Frame {
    Frame::new(frame(n, len).split_off(4)).unwrap()
}

#[track_caller]
fn assert_same(found: &Frame, expected: &Frame) {
    assert_eq!((found.kind(), found.len()), (expected.kind(), expected.len()));
    assert!(found.payload() == expected.payload(), "a frame of {} bytes has other contents", found.len());
}

/// Lengths around every bound at which something changes.
const LENGTHS: [usize; 10] = [1, 2, 4_096, 16_380, 16_384, 32_764, 32_768, 131_072, 262_200, FRAME_LEN_MAX];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_all_lengths_arrive_in_order_over_tls_both_ways() {
    let (one, other) = connected().await;
    let (ours, mut our_inbox) = open_plain(one);
    let (theirs, mut their_inbox) = open_plain(other);
    let send = |outbox: Outbox| async move {
        for n in 0..60 {
            let len = LENGTHS[n % LENGTHS.len()];
            if n % 3 == 0 { outbox.post(frame(n, len)).unwrap() } else { outbox.send(frame(n, len)).await.unwrap() }
        }
        outbox
    };
    let read = async |inbox: &mut Inbox| {
        for n in 0..60 {
            assert_same(&inbox.recv().await.unwrap(), &body(n, LENGTHS[n % LENGTHS.len()]));
        }
    };
    let all = async { tokio::join!(send(ours), send(theirs), read(&mut our_inbox), read(&mut their_inbox)) };
    timeout(AT_MOST, all).await.unwrap();
}

#[tokio::test]
async fn finish_delivers_everything_and_then_the_end() {
    let (one, other) = connected().await;
    let (outbox, inbox) = open_plain(one);
    let (_their_outbox, mut their_inbox) = open_plain(other);
    let sending = async {
        for n in 0..500 {
            outbox.post(frame(n, 1_000 + n)).unwrap();
        }
        outbox.post(frame(0, FRAME_LEN_MAX)).unwrap();
        let clone = outbox.clone();
        outbox.finish().await.unwrap();
        assert_eq!(clone.post(frame(0, 1)), Err(Closed));
        inbox.read_away().await;
    };
    let reading = async {
        for n in 0..500 {
            assert_same(&their_inbox.recv().await.unwrap(), &body(n, 1_000 + n));
        }
        assert_same(&their_inbox.recv().await.unwrap(), &body(0, FRAME_LEN_MAX));
        assert!(matches!(their_inbox.recv().await, Err(LinkError::Closed)));
        assert!(matches!(their_inbox.recv().await, Err(LinkError::Closed)), "and stays so");
    };
    timeout(AT_MOST, async { tokio::join!(sending, reading) }).await.unwrap();
}

/// What is said last must not be destroyed by what the peer said meanwhile and nobody read.
#[tokio::test]
async fn the_last_word_arrives_though_the_peer_was_not_heard_out() {
    let (one, other) = connected().await;
    let (outbox, inbox) = open_plain(one);
    let (their_outbox, mut their_inbox) = open_plain(other);
    for n in 0..20 {
        their_outbox.post(frame(n, 100_000)).unwrap();
    }
    outbox.post(frame(7, 50)).unwrap();
    let ending = async {
        outbox.finish().await.unwrap();
        inbox.read_away().await;
    };
    let reading = async {
        assert_same(&their_inbox.recv().await.unwrap(), &body(7, 50));
        their_outbox.finish().await.unwrap();
    };
    timeout(AT_MOST, async { tokio::join!(ending, reading) }).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_kept_alive_by_pings_that_nobody_sees() {
    let timing = Timing { ping_after: Duration::from_millis(20), silence_max: Duration::from_millis(400), ..timing() };
    let (one, other) = memory_pair();
    let meter = Arc::new(Meter::default());
    let (outbox, _inbox) = open_with(one, Arc::clone(&meter), None, timing);
    let (_their_outbox, mut their_inbox) = open_with(other, Arc::default(), None, timing);
    let quiet = timeout(Duration::from_millis(1_000), their_inbox.recv()).await;
    assert!(quiet.is_err(), "{:?}", quiet.unwrap().err());
    assert!(meter.sent() >= 2 * 5, "{} bytes of pings", meter.sent());
    outbox.post(frame(1, 10)).unwrap();
    assert_same(&timeout(AT_MOST, their_inbox.recv()).await.unwrap().unwrap(), &body(1, 10));
}

#[tokio::test]
async fn a_silent_peer_is_cut_and_a_slow_one_is_not() {
    let timing = Timing { silence_max: Duration::from_millis(150), ..timing() };
    let (one, mut other) = memory_pair();
    let (_outbox, mut inbox) = open_with(one, Arc::default(), None, timing);
    let dribble = async {
        for byte in frame(3, 8) {
            tokio::time::sleep(Duration::from_millis(40)).await;
            other.write_all(&[byte]).await.unwrap();
        }
    };
    let reading = async {
        assert_same(&inbox.recv().await.unwrap(), &body(3, 8));
        let since = Instant::now();
        assert!(matches!(inbox.recv().await, Err(LinkError::Silent)));
        since.elapsed()
    };
    let (silence, ()) = timeout(AT_MOST, async { tokio::join!(reading, dribble) }).await.unwrap();
    assert!(silence >= Duration::from_millis(100), "{silence:?}");
}

/// A session that was busy elsewhere must not take its own deafness for the peer's silence.
#[tokio::test]
async fn what_came_while_nobody_listened_is_no_silence() {
    let timing = Timing { silence_max: Duration::from_millis(30), ..timing() };
    let (one, other) = connected().await;
    let (_outbox, mut inbox) = open_with(one, Arc::default(), None, timing);
    let (their_outbox, _their_inbox) = open_plain(other);
    their_outbox.post(frame(1, 10)).unwrap();
    assert_same(&timeout(AT_MOST, inbox.recv()).await.unwrap().unwrap(), &body(1, 10));
    their_outbox.post(frame(2, 10)).unwrap();
    their_outbox.finish().await.unwrap();
    // Longer than the silence allowed, and the runtime does not turn meanwhile.
    std::thread::sleep(Duration::from_millis(60));
    assert_same(&timeout(AT_MOST, inbox.recv()).await.unwrap().unwrap(), &body(2, 10));
}

#[tokio::test]
async fn a_recv_that_is_dropped_loses_nothing() {
    let (one, mut other) = memory_pair();
    let (_outbox, mut inbox) = open_plain(one);
    for byte in frame(9, 20) {
        assert!(timeout(Duration::ZERO, inbox.recv()).await.is_err());
        other.write_all(&[byte]).await.unwrap();
    }
    assert_same(&timeout(AT_MOST, inbox.recv()).await.unwrap().unwrap(), &body(9, 20));
}

#[tokio::test]
async fn malformed_frames_end_the_connection() {
    let too_long = u32::try_from(FRAME_LEN_MAX + 1).unwrap().to_be_bytes();
    let loaded_ping = [0, 0, 0, 2, 6, 0];
    for bytes in [&too_long[..], &[0; 4], &loaded_ping] {
        let (one, mut other) = memory_pair();
        let (_outbox, mut inbox) = open_plain(one);
        other.write_all(bytes).await.unwrap();
        let error = timeout(AT_MOST, inbox.recv()).await.unwrap().unwrap_err();
        assert!(matches!(error, LinkError::Malformed(_)), "{bytes:?}: {error:?}");
        assert!(matches!(inbox.recv().await, Err(LinkError::Closed)));
    }
}

#[tokio::test]
async fn a_hello_has_a_bound_of_its_own() {
    let (one, mut other) = memory_pair();
    let (_outbox, mut inbox) = open_plain(one);
    other.write_all(&u32::try_from(FRAME_LEN_MAX).unwrap().to_be_bytes()).await.unwrap();
    assert!(matches!(timeout(AT_MOST, inbox.recv_hello()).await.unwrap(), Err(LinkError::Malformed(_))));
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_frame_is_broken_not_closed() {
    for kept in [2, 4, 9] {
        let (one, mut other) = memory_pair();
        let (_outbox, mut inbox) = open_plain(one);
        other.write_all(&frame(0, 100)[..kept]).await.unwrap();
        drop(other);
        assert!(matches!(timeout(AT_MOST, inbox.recv()).await.unwrap(), Err(LinkError::Io(_))), "{kept}");
    }
}

#[tokio::test]
async fn at_most_eight_data_frames_wait_and_posts_never_do() {
    let (one, other) = memory_pair();
    let (outbox, _inbox) = open_plain(one);
    // A mebibyte fits the pair's memory; the writer holds one frame more.
    let mut sent = 0;
    while timeout(Duration::from_millis(200), outbox.send(frame(sent, FRAME_LEN_MAX))).await.is_ok() {
        sent += 1;
        assert!(sent <= 1 + PLACES);
    }
    assert!(sent >= PLACES);
    for n in 0..100 {
        outbox.post(frame(n, 10)).unwrap();
    }
    let (_their_outbox, mut their_inbox) = open_plain(other);
    for n in 0..sent {
        assert_same(&timeout(AT_MOST, their_inbox.recv()).await.unwrap().unwrap(), &body(n, FRAME_LEN_MAX));
    }
    for n in 0..100 {
        assert_same(&timeout(AT_MOST, their_inbox.recv()).await.unwrap().unwrap(), &body(n, 10));
    }
    timeout(AT_MOST, outbox.send(frame(0, 10))).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_send_through_the_same_places() {
    let (one, other) = memory_pair();
    let (outbox, _inbox) = open_plain(one);
    let (_their_outbox, mut their_inbox) = open_plain(other);
    let thread = std::thread::spawn(move || {
        for n in 0..50 {
            outbox.blocking_send(frame(n, 200_000)).unwrap();
        }
        outbox
    });
    for n in 0..50 {
        assert_same(&timeout(AT_MOST, their_inbox.recv()).await.unwrap().unwrap(), &body(n, 200_000));
    }
    let outbox = thread.join().unwrap();
    outbox.kill();
    let refused = tokio::task::spawn_blocking(move || {
        // The writer is gone a moment after it is told to.
        while outbox.blocking_send(frame(0, 1)).is_ok() {}
    });
    timeout(AT_MOST, refused).await.unwrap().unwrap();
}

#[tokio::test]
async fn kill_ends_both_directions_at_once() {
    let (one, mut other) = memory_pair();
    let (outbox, mut inbox) = open_plain(one);
    let stuck = outbox.clone();
    let sending = tokio::spawn(async move { while stuck.send(frame(0, FRAME_LEN_MAX)).await.is_ok() {} });
    let reading = tokio::spawn(async move { (inbox.recv().await, inbox) });
    tokio::task::yield_now().await;
    outbox.kill();
    let (received, _inbox) = timeout(AT_MOST, reading).await.unwrap().unwrap();
    assert!(matches!(received, Err(LinkError::Closed)));
    timeout(AT_MOST, sending).await.unwrap().unwrap();
    // The stream itself is gone, though inbox and outbox are still held.
    let mut rest = Vec::new();
    timeout(AT_MOST, other.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(other.write_all(b"x").await.is_err());
    assert!(matches!(outbox.finish().await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn nothing_is_left_running_once_both_ends_are_dropped() {
    let (one, mut other) = memory_pair();
    let (outbox, inbox) = open_plain(one);
    outbox.post(frame(5, 30)).unwrap();
    drop(outbox);
    drop(inbox);
    let mut rest = Vec::new();
    timeout(AT_MOST, other.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, frame(5, 30));

    // A peer that does not read holds the writer for a while, not for ever.
    let patience = Timing { silence_max: Duration::from_millis(50), ..timing() };
    let (one, other) = memory_pair();
    let (outbox, inbox) = open_with(one, Arc::default(), None, patience);
    for n in 0..3 {
        outbox.post(frame(n, FRAME_LEN_MAX)).unwrap();
    }
    let writer = outbox.link.writer.clone();
    drop(outbox);
    drop(inbox);
    let gone = async {
        while !writer.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(AT_MOST, gone).await.unwrap();
    drop(other);
}

#[tokio::test]
async fn a_pace_holds_for_all_connections_together_and_starves_no_ping() {
    let pace = Arc::new(Pace::new(NonZeroU64::new(1_000_000).unwrap()));
    let meter = Arc::new(Meter::default());
    let since = Instant::now();
    let lane = async |n: usize| {
        let (one, other) = memory_pair();
        let (outbox, _inbox) = open_with(one, Arc::clone(&meter), Some(Arc::clone(&pace)), timing());
        let (_their_outbox, mut their_inbox) = open_plain(other);
        outbox.post(frame(n, 250_000)).unwrap();
        assert_same(&their_inbox.recv().await.unwrap(), &body(n, 250_000));
    };
    timeout(AT_MOST, async { tokio::join!(lane(1), lane(2)) }).await.unwrap();
    // Half a megabyte at one a second, less the burst.
    assert!(since.elapsed() >= Duration::from_millis(440), "{:?}", since.elapsed());
    assert_eq!(meter.sent(), 2 * 250_004);
}

#[tokio::test]
async fn a_preamble_that_comes_late_is_read_before_the_first_frame() {
    let (ours, mut theirs) = memory_pair();
    let (_outbox, inbox) = open_plain(ours);
    let mut inbox = inbox.unanswered();
    let bytes = [preamble().as_slice(), &frame(1, 9)].concat();
    theirs.write_all(&bytes[..5]).await.unwrap();
    // A recv that is dropped meanwhile loses nothing of it.
    assert!(timeout(Duration::from_millis(50), inbox.recv()).await.is_err());
    theirs.write_all(&bytes[5..]).await.unwrap();
    assert_same(&timeout(AT_MOST, inbox.recv()).await.unwrap().unwrap(), &body(1, 9));
}

#[tokio::test]
async fn who_speaks_something_else_instead_of_a_preamble_is_refused_and_who_says_nothing_is_gone() {
    let (ours, mut theirs) = memory_pair();
    let (_outbox, inbox) = open_plain(ours);
    theirs.write_all(b"SSH-2.0-OpenSSH").await.unwrap();
    let error = timeout(AT_MOST, inbox.unanswered().recv()).await.unwrap().unwrap_err();
    assert!(matches!(error, LinkError::Preamble(_)), "{error:?}");
    let (ours, theirs) = memory_pair();
    let (_outbox, inbox) = open_plain(ours);
    drop(theirs);
    let error = timeout(AT_MOST, inbox.unanswered().recv()).await.unwrap().unwrap_err();
    assert!(matches!(error, LinkError::Closed), "{error:?}");
}

#[tokio::test]
async fn the_memory_of_content_that_was_written_comes_back_and_that_of_posts_does_not() {
    let (ours, theirs) = memory_pair();
    let ((outbox, _inbox), (_theirs, mut there)) = (open_plain(ours), open_plain(theirs));
    outbox.post(frame(1, 100_000)).unwrap();
    outbox.send(frame(2, 200_000)).await.unwrap();
    for _ in 0..2 {
        timeout(AT_MOST, there.recv()).await.unwrap().unwrap();
    }
    // It is kept after it was written, which the peer may see first.
    let begun = Instant::now();
    let spare = loop {
        let spare = outbox.spare();
        if !spare.is_empty() || begun.elapsed() > AT_MOST {
            break spare;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(spare.len(), 200_004);
    assert!(outbox.spare().is_empty());
}
