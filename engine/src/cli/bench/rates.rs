//! How fast each part of a copy goes by itself on this machine: what the figures of the runs are held against.
//!
//! Each takes a second at most where it can, and a bounded number of bytes where it cannot. One thread each, but for TLS,
//! which goes through as many connections as a run has. What it writes it removes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::fs::Advice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::data::{BLOCK_LEN, cannot, fill};
use super::limit::Rate;
use crate::cli::job::Failure;
use crate::cli::loopback::{Route, go_on};
use crate::session::Stop;
use crate::tunnel::Stream;

/// What goes on until then.
const LONG_ENOUGH: Duration = Duration::from_millis(400);
/// Bytes that are fetched from a device or written to one: a slow one takes seconds for them.
const DEVICE_LEN_MAX: u64 = 128 << 20;
/// Bytes handed to TLS at once, as much as a frame of content.
const SENT_AT_ONCE: usize = 262_144;
/// Bytes of a leaf, which are hashed at once.
const LEAF_LEN: usize = 65_536;

/// Reads the beginning of `path` from its device: the kernel is asked to forget it first, which it does only with what was
/// synced. `None` where it came from memory all the same.
///
/// # Errors
/// It cannot be read, or `stop` was asked for.
pub fn fetch(path: &Path, stop: &Stop) -> Result<Option<Rate>, Failure> {
    let at = |error| cannot("read", path, error);
    let file = File::open(path).map_err(at)?;
    // Only advice: where it is not taken, the file comes from memory.
    let _ = rustix::fs::fadvise(&file, 0, NonZeroU64::new(DEVICE_LEN_MAX), Advice::DontNeed);
    let rate = read_up_to(file, DEVICE_LEN_MAX, Duration::MAX, path, stop)?;
    // The kernel counts what a device brought; where it does not count, or nothing came, there is no rate to tell.
    Ok((rate.spent.fetched > rate.amount / 2).then_some(rate))
}

/// Reads `path` from the page cache.
///
/// # Errors
/// It cannot be read, or `stop` was asked for.
pub fn read(path: &Path, stop: &Stop) -> Result<Rate, Failure> {
    let file = File::open(path).map_err(|error| cannot("read", path, error))?;
    read_up_to(file, u64::MAX, LONG_ENOUGH, path, stop)
}

fn read_up_to(mut file: File, most: u64, within: Duration, path: &Path, stop: &Stop) -> Result<Rate, Failure> {
    let mut block = vec![0; BLOCK_LEN];
    let (begun, clock, mut amount) = (Instant::now(), Clock::start(), 0);
    while amount < most && begun.elapsed() < within {
        go_on(stop)?;
        match file.read(&mut block).map_err(|error| cannot("read", path, error))? {
            0 => break,
            length => amount += length as u64,
        }
    }
    Ok(Rate { amount, spent: clock.stop() })
}

/// Writes up to `size` bytes into the new file `path`, syncs it, and removes it.
///
/// # Errors
/// It cannot be written or removed, or `stop` was asked for.
pub fn write(path: &Path, size: u64, stop: &Stop) -> Result<Rate, Failure> {
    let at = |error: io::Error| cannot("write", path, error);
    let mut block = vec![0; BLOCK_LEN];
    fill(&mut block, 0);
    let clock = Clock::start();
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(at)?;
    let mut amount = 0;
    while amount < size.min(DEVICE_LEN_MAX) {
        go_on(stop)?;
        file.write_all(&block).map_err(at)?;
        amount += block.len() as u64;
    }
    file.sync_all().map_err(at)?;
    let rate = Rate { amount, spent: clock.stop() };
    std::fs::remove_file(path).map_err(at)?;
    Ok(rate)
}

/// Hashes leaves, on one core.
///
/// # Errors
/// `stop` was asked for.
pub fn hash(stop: &Stop) -> Result<Rate, Failure> {
    let mut block = vec![0; BLOCK_LEN];
    fill(&mut block, 0);
    let (begun, clock, mut amount) = (Instant::now(), Clock::start(), 0);
    while begun.elapsed() < LONG_ENOUGH {
        go_on(stop)?;
        for leaf in block.chunks(LEAF_LEN) {
            std::hint::black_box(blake3::hash(leaf));
        }
        amount += block.len() as u64;
    }
    Ok(Rate { amount, spent: clock.stop() })
}

/// Sends bytes through as many connections as `lanes`, with the keys in `keys`; both ends are here.
///
/// # Errors
/// There is no connection, it broke, or `stop` was asked for.
pub async fn tls(keys: &Path, lanes: u8, stop: &Stop) -> Result<Rate, Failure> {
    let (acceptor, connector) = Route::open(keys)?.into_ends();
    let mut ends = Vec::new();
    for _ in 0..lanes.max(1) {
        let accepted = async {
            let handshake = acceptor.accept().await.context("cannot take a connection on loopback")?;
            handshake.complete().await.context("a connection on loopback failed")
        };
        let connected = async { connector.connect().await.context("cannot connect on loopback") };
        let (near, (far, _stranger)) = tokio::try_join!(connected, accepted).map_err(Failure::failed)?;
        ends.push((near, far));
    }
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let clock = Clock::start();
    for (near, far) in ends {
        writers.spawn(pour(near, stop.clone()));
        readers.spawn(drain(far));
    }
    let broken = |error: anyhow::Error| Failure::failed(error.context("a connection on loopback broke"));
    while let Some(poured) = writers.join_next().await {
        poured.map_err(Into::into).and_then(|poured| poured.map_err(Into::into)).map_err(broken)?;
    }
    let mut amount = 0;
    while let Some(drained) = readers.join_next().await {
        amount += drained.map_err(Into::into).and_then(|drained| drained.map_err(Into::into)).map_err(broken)?;
    }
    go_on(stop)?;
    Ok(Rate { amount, spent: clock.stop() })
}

async fn pour(mut near: Stream, stop: Stop) -> io::Result<()> {
    let mut block = vec![0; SENT_AT_ONCE];
    fill(&mut block, 0);
    let begun = Instant::now();
    while begun.elapsed() < LONG_ENOUGH && stop.asked().is_none() {
        near.write_all(&block).await?;
    }
    near.flush().await?;
    near.shutdown().await
}

async fn drain(mut far: Stream) -> io::Result<u64> {
    let (mut block, mut amount) = (vec![0; SENT_AT_ONCE], 0);
    loop {
        match far.read(&mut block).await? {
            0 => return Ok(amount),
            length => amount += length as u64,
        }
    }
}
