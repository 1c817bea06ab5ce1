//! A program that runs beside the test: its output kept, its deadline watched, its peak memory sampled, and its end
//! certain. It refuses to wait without a limit and ends only processes it started.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::Scene;

/// How often a condition is looked at.
pub const LOOK: Duration = Duration::from_millis(10);

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Running<'s> {
    scene: &'s Scene,
    label: String,
    child: Child,
    output: [Arc<Mutex<Vec<u8>>>; 2],
    readers: Vec<JoinHandle<()>>,
    peak: Option<(Arc<AtomicU64>, JoinHandle<()>)>,
    ended: bool,
}

/// A program that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub exit: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
    /// Peak resident bytes (VmHWM), when that was sampled.
    pub peak: Option<u64>,
}

impl Finished {
    /// What it printed, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl<'s> Running<'s> {
    /// Starts `command` without standard input, keeping what it prints.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(scene: &'s Scene, command: &mut Command) -> Result<Self> {
        let label = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {label}"))?;
        scene.watch(child.id());
        let output = [Arc::default(), Arc::default()];
        let readers = vec![drain(child.stdout.take(), &output[0]), drain(child.stderr.take(), &output[1])];
        Ok(Self { scene, label, child, output, readers, peak: None, ended: false })
    }

    /// Samples the program's peak memory until it ends.
    pub fn watch_memory(&mut self) {
        let peak = Arc::new(AtomicU64::new(0));
        let (inner, pid) = (Arc::clone(&peak), self.child.id());
        let thread = std::thread::spawn(move || {
            while let Some(bytes) = high_water_mark(pid) {
                inner.fetch_max(bytes, Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        self.peak = Some((peak, thread));
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no such pid")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.label))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it printed so far: standard output, then standard error.
    #[must_use]
    pub fn so_far(&self) -> (String, String) {
        let text = |bytes: &Mutex<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
        };
        (text(&self.output[0]), text(&self.output[1]))
    }

    /// Waits until `found` finds something in what was printed so far.
    ///
    /// # Errors
    /// When the program ends or the time passes first.
    pub fn wait_for<T>(&mut self, limit: Duration, found: impl Fn(&str, &str) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            let running = self.is_running()?;
            let (out, err) = self.so_far();
            if let Some(found) = found(&out, &err) {
                return Ok(found);
            }
            if !running || start.elapsed() > limit {
                // What it said last may still be on its way to us.
                std::thread::sleep(LOOK * 10);
                let (out, err) = self.so_far();
                bail!("{} did not print what was awaited within {limit:?}:\n{out}\n{err}", self.label);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the time passes first; it is killed then.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(self.collect(status));
            }
            if start.elapsed() > limit {
                self.end();
                let (out, err) = self.so_far();
                bail!("{} did not end within {limit:?}; it printed:\n{}\n{}", self.label, tail(&out), tail(&err));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends it with SIGKILL and waits for it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(mut self) -> Result<Finished> {
        // It may have ended by itself meanwhile.
        let _ = self.child.kill();
        let status = self.child.wait()?;
        Ok(self.collect(status))
    }

    fn collect(&mut self, status: ExitStatus) -> Finished {
        self.ended = true;
        self.scene.forget(self.child.id());
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let peak = self.peak.take().map(|(peak, thread)| {
            let _ = thread.join();
            peak.load(Ordering::Relaxed)
        });
        let take = |bytes: &Mutex<Vec<u8>>| std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
        let exit = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let stderr = String::from_utf8_lossy(&take(&self.output[1])).into_owned();
        Finished { exit, stdout: take(&self.output[0]), stderr, peak }
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.scene.forget(self.child.id());
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs `command` to its end.
///
/// # Errors
/// When it cannot be started or takes longer than `limit`.
pub fn run(scene: &Scene, command: &mut Command, limit: Duration) -> Result<Finished> {
    Running::start(scene, command)?.finish(limit)
}

/// Runs `command` to its end and fails unless it succeeds.
///
/// # Errors
/// When it cannot be started, takes longer than a minute or fails; what it complained about is in the message.
pub fn must(scene: &Scene, command: &mut Command) -> Result<Finished> {
    let done = run(scene, command, Duration::from_secs(60))?;
    if done.exit != 0 {
        bail!("{command:?} ended with {}: {} {}", done.exit, done.stderr.trim(), done.text().trim());
    }
    Ok(done)
}

/// Waits until `condition` holds.
///
/// # Errors
/// When it does not within `limit`; `what` names it.
pub fn until(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The end of a long text.
#[must_use]
pub fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(4000);
    text.get((start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0)..).unwrap_or_default()
}

fn drain(from: Option<impl Read + Send + 'static>, into: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let Some(mut from) = from else { return };
        let mut buffer = [0; 8192];
        while let Ok(read) = from.read(&mut buffer) {
            if read == 0 {
                break;
            }
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
    })
}

/// Peak resident bytes of a process, or nothing once it has no memory any more.
#[must_use]
pub fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}
