//! Runs what a contender needs, times its client, and counts what all its processes took: the CPU seconds of the run alone
//! and the memory of all of them together. Everything it starts it also ends, and nothing else.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ferry_tests::command::{tail, until};
use ferry_tests::ports;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::procfs;

/// How long one run may take before it counts as hung.
const RUN_MAX: Duration = Duration::from_secs(1200);
/// How long a daemon may take to listen, and to finish its work once the client ended.
const DAEMON_MAX: Duration = Duration::from_secs(30);
/// Memory is looked at this often: a look at six processes costs a tenth of a millisecond.
const LOOK: Duration = Duration::from_millis(20);

/// What one run took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Seconds from the client's start to its end, and to the destination's being on the disk where it lies on one.
    pub wall_s: f64,
    /// CPU seconds of all processes in that time, in steps of 10 ms.
    pub cpu_s: f64,
    /// The largest sum of anonymous resident bytes of all processes that was seen, every 20 ms. What a fork shares counts
    /// for each.
    pub memory_bytes: u64,
}

/// How a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// By itself once its work is done, with exit code 0.
    ByItself,
    /// When it is told; its children end before.
    WhenTold,
}

/// A program that serves; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    ends: Ends,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until somebody listens on `port`.
    ///
    /// # Errors
    /// When it does not start or does not listen; what it printed is in the message.
    pub fn start(command: Command, port: u16, ends: Ends, log: PathBuf) -> Result<Self> {
        let child = spawn(&mut bound(&command), &log)?;
        let mut daemon = Self { child, ends, log };
        until(DAEMON_MAX, &format!("{command:?} listens"), || {
            let listens = ports::is_listening(port);
            if !listens && let Some(status) = daemon.child.try_wait()? {
                bail!("{command:?} ended with {status}: {}", printed(&daemon.log));
            }
            Ok(listens)
        })?;
        Ok(daemon)
    }

    /// CPU ticks so far.
    fn ticks(&self) -> u64 {
        procfs::ticks(self.child.id()).map_or(0, |ticks| ticks.own + ticks.reaped)
    }

    /// Waits for the work's end, then for the daemon's.
    fn finish(mut self) -> Result<()> {
        let pid = self.child.id();
        match self.ends {
            Ends::ByItself => {
                until(DAEMON_MAX, "the daemon ends", || Ok(self.child.try_wait()?.is_some()))?;
                let status = self.child.wait()?;
                ensure!(status.success(), "the daemon ended with {status}: {}", printed(&self.log));
            }
            Ends::WhenTold => {
                until(DAEMON_MAX, "the daemon's children end", || Ok(procfs::children(pid).is_empty()))?;
                signal(pid, Signal::TERM)?;
                until(DAEMON_MAX, "the daemon ends", || Ok(self.child.try_wait()?.is_some()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended and been waited for; then both refuse.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `client` against `daemons` to the end of all of them. `settle` follows the client at once and is part of its time.
///
/// # Errors
/// When one fails or hangs; what it printed is in the message.
pub fn measure(
    daemons: Vec<Daemon>,
    client: &mut Command,
    log: &Path,
    settle: impl FnOnce() -> Result<()>,
) -> Result<Run> {
    let reaped_before = procfs::reaped_here();
    let idle: u64 = daemons.iter().map(Daemon::ticks).sum();
    let servers: Vec<u32> = daemons.iter().map(|daemon| daemon.child.id()).collect();
    let start = Instant::now();
    let mut child = spawn(client, log)?;
    let (status, memory_bytes) = watch(&mut child, &servers, start)?;
    settle()?;
    let wall = start.elapsed();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ensure!(code == 0, "the client ended with {code}: {}", printed(log));
    daemons.into_iter().try_for_each(Daemon::finish)?;
    let ticks = procfs::reaped_here().saturating_sub(reaped_before).saturating_sub(idle);
    Ok(Run { wall_s: wall.as_secs_f64(), cpu_s: procfs::seconds(ticks), memory_bytes })
}

/// Waits for the client without a delay of our own, while a thread looks at the memory of all.
fn watch(child: &mut Child, servers: &[u32], start: Instant) -> Result<(ExitStatus, u64)> {
    let (ended, client) = (AtomicBool::new(false), child.id());
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                let all = servers.iter().chain([&client]).flat_map(|pid| procfs::family(*pid));
                most = most.max(all.map(procfs::anonymous_bytes).sum());
                if start.elapsed() > RUN_MAX {
                    // Not yet waited for, so the id is still its own.
                    let _ = signal(client, Signal::KILL);
                }
                std::thread::park_timeout(LOOK);
            }
            most
        });
        let status = child.wait();
        ended.store(true, Ordering::Relaxed);
        looker.thread().unpark();
        let most = looker.join().unwrap_or(0);
        Ok((status.context("cannot wait for the client")?, most))
    })
}

/// The same command, killed when who starts it dies, however that comes about: nobody is left to hold a port or a device.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    bound
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn().with_context(|| format!("cannot start {command:?}"))
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process")?;
    kill_process(pid, signal).context("cannot signal a process of ours")
}

fn printed(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    tail(String::from_utf8_lossy(&text).trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_takes_the_time_of_its_client() {
        let site = Site::scratch().unwrap();
        let run = measure(Vec::new(), &mut shell("sleep 0.2"), &site.logs().join("client"), || Ok(())).unwrap();
        assert!((0.2..5.0).contains(&run.wall_s), "{run:?}");
        assert!(run.cpu_s < run.wall_s && run.memory_bytes > 0, "{run:?}");
    }

    #[test]
    fn a_client_that_fails_is_an_error_with_its_words() {
        let site = Site::scratch().unwrap();
        let error = measure(Vec::new(), &mut shell("echo went astray; exit 3"), &site.logs().join("client"), || Ok(()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("ended with 3") && error.contains("went astray"), "{error}");
    }

    #[test]
    fn what_is_bound_dies_with_who_started_it() {
        // The kernel counts the thread that started it.
        let mut command = shell("sleep 60; echo $WORD");
        command.env("WORD", "never");
        let started = std::thread::spawn(move || {
            let child = bound(&command).spawn().unwrap();
            // Not before it is bound.
            let name = || std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
            until(DAEMON_MAX, "the shell runs", || Ok(name() == "sh\n")).unwrap();
            child
        });
        let status = started.join().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    #[test]
    fn a_daemon_that_does_not_listen_is_an_error_with_its_words() {
        let site = Site::scratch().unwrap();
        let port = ports::free().unwrap();
        let error = Daemon::start(shell("echo no room; exit 1"), port, Ends::WhenTold, site.logs().join("daemon"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
    }
}
