//! A line between the two sides: a delay, a bandwidth that all connections share, and one that each connection has for itself,
//! each direction apart. What is not imitated: loss, slow start and TCP's own windows; the relay's ends answer at once, as a
//! proxy near each side would.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Bytes that may be under way in one direction of one connection where no bandwidth bounds them: what ten gigabits a second
/// keep under way for 200 ms.
const UNDER_WAY_MAX: usize = 256 << 20;
/// Bytes taken at once.
const PIECE_MAX: usize = 256 << 10;
/// How much may wait in front of the line, as time: enough to keep it busy however late a thread wakes, too little to hold up a
/// small message for long.
const WAITING_MAX: Duration = Duration::from_millis(20);

/// A delay there and back, and bandwidths each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// There and back, in milliseconds.
    pub rtt_ms: u32,
    /// Megabits a second each way, all connections together; no bound unless said.
    pub mbit: Option<NonZeroU32>,
    /// Megabits a second each way of every connection by itself; no bound unless said.
    pub connection_mbit: Option<NonZeroU32>,
}

impl Line {
    /// No delay and no bound.
    pub const FREE: Self = Self { rtt_ms: 0, mbit: None, connection_mbit: None };

    /// The same line, longer by this there and back.
    #[must_use]
    pub fn longer_by(self, rtt_ms: u32) -> Self {
        Self { rtt_ms: self.rtt_ms.saturating_add(rtt_ms), ..self }
    }

    fn half(self) -> Duration {
        Duration::from_millis(self.rtt_ms.into()) / 2
    }

    /// Bytes taken at once: no more than occupy a bounded line for some milliseconds, so that connections take turns.
    fn piece(self) -> usize {
        let piece = |mbit: NonZeroU32| (mbit.get() as usize).saturating_mul(250).clamp(4 << 10, PIECE_MAX);
        self.mbit.into_iter().chain(self.connection_mbit).map(piece).min().unwrap_or(PIECE_MAX)
    }
}

/// How long these bytes occupy what carries so many megabits a second.
fn occupied(mbit: Option<NonZeroU32>, bytes: usize) -> Duration {
    let seconds = |mbit: NonZeroU32| bytes as f64 * 8.0 / (f64::from(mbit.get()) * 1e6);
    mbit.map_or(Duration::ZERO, |mbit| Duration::from_secs_f64(seconds(mbit)))
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client, which has to wait for its connection first.
    Up,
    /// To it.
    Down,
}

/// One direction of a line.
#[derive(Debug)]
pub struct Way {
    line: Line,
    direction: Direction,
    /// When the line has sent all it was given.
    idle_at: Mutex<Instant>,
}

impl Way {
    /// One direction, idle.
    #[must_use]
    pub fn new(line: Line, direction: Direction) -> Self {
        Self { line, direction, idle_at: Mutex::new(Instant::now()) }
    }

    /// Copies until `from` ends, then ends `to`; hears of each piece.
    pub fn carry(&self, from: TcpStream, mut to: TcpStream, count: &(dyn Fn(u64) + Sync)) {
        let opened = Instant::now() + self.handshake();
        let queue = Queue::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some((due, piece)) = queue.take() {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if to.write_all(&piece).is_err() {
                        queue.end();
                        // Whoever sends more hears at once that nobody takes it.
                        let _ = from.shutdown(Shutdown::Read);
                        break;
                    }
                    count(piece.len() as u64);
                }
                let _ = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut buffer) = (&from, vec![0; self.line.piece()]);
            // When this connection has sent all it was given.
            let mut own = Instant::now();
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                std::thread::sleep(own.saturating_duration_since(Instant::now()).saturating_sub(WAITING_MAX));
                own = own.max(Instant::now()) + occupied(self.line.connection_mbit, read);
                let due = self.due(read, opened.max(own));
                if !queue.put(due, buffer.get(..read).unwrap_or_default()) {
                    break;
                }
            }
            queue.end();
        });
    }

    /// What passes before the first byte may leave: one round trip for who connects, half of one for who is connected to.
    fn handshake(&self) -> Duration {
        match self.direction {
            Direction::Up => self.line.half() * 2,
            Direction::Down => self.line.half(),
        }
    }

    /// Waits until the line takes these bytes, which cannot leave before `ready`; when they arrive.
    fn due(&self, bytes: usize, ready: Instant) -> Instant {
        loop {
            let mut idle_at = lock(&self.idle_at);
            let now = Instant::now();
            let ahead = idle_at.saturating_duration_since(now);
            if ahead <= WAITING_MAX {
                *idle_at = (*idle_at).max(now) + occupied(self.line.mbit, bytes);
                return (*idle_at).max(ready) + self.line.half();
            }
            drop(idle_at);
            std::thread::sleep(ahead - WAITING_MAX / 2);
        }
    }
}

/// What is under way on one connection.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    ended: bool,
}

impl Queue {
    /// Waits for room; false when nothing is taken any more.
    fn put(&self, due: Instant, piece: &[u8]) -> bool {
        let full = |state: &mut State| state.bytes > UNDER_WAY_MAX && !state.ended;
        let mut state = self.changed.wait_while(lock(&self.state), full).unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return false;
        }
        state.bytes += piece.len();
        state.pieces.push_back((due, piece.to_vec()));
        self.changed.notify_all();
        true
    }

    /// The next piece; nothing after the end.
    fn take(&self) -> Option<(Instant, Vec<u8>)> {
        let empty = |state: &mut State| state.pieces.is_empty() && !state.ended;
        let mut state = self.changed.wait_while(lock(&self.state), empty).unwrap_or_else(PoisonError::into_inner);
        let next = state.pieces.pop_front()?;
        state.bytes -= next.1.len();
        self.changed.notify_all();
        Some(next)
    }

    /// Nothing more comes, or nothing more is taken.
    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
