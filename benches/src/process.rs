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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    /// Seconds from the client's start to its end, and to the destination's being on the disk where it lies on one.
    pub wall_s: f64,
    /// CPU seconds of all processes in that time, in steps of 10 ms.
    pub cpu_s: f64,
    /// The largest sum of anonymous resident bytes of all processes that was seen, every 20 ms. What a fork shares counts
    /// for each.
    pub memory_bytes: u64,
    /// The same of each side by itself; its largest may have been at another moment.
    pub anonymous: Sides,
    /// The largest resident memory of each side, programs included.
    pub resident: Sides,
}

/// Bytes of memory at the source's side and at the destination's. A program that copies on one machine is all source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// The client, and what it talks through on its side.
    pub source: u64,
    /// What it talks to.
    pub destination: u64,
}

impl Sides {
    /// The larger of both, side by side.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { source: self.source.max(other.source), destination: self.destination.max(other.destination) }
    }

    /// The larger side.
    #[must_use]
    pub fn larger(self) -> u64 {
        self.source.max(self.destination)
    }
}

/// Whose side a process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the source is.
    Source,
    /// Where the destination is.
    Destination,
    /// On neither: a router.
    Between,
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
    place: Place,
    ends: Ends,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until somebody listens on `port`.
    ///
    /// # Errors
    /// When it does not start or does not listen; what it printed is in the message.
    pub fn start(command: Command, port: u16, place: Place, ends: Ends, log: PathBuf) -> Result<Self> {
        let child = spawn(&mut bound(&command), &log)?;
        let mut daemon = Self { child, place, ends, log };
        until(DAEMON_MAX, &format!("{command:?} listens"), || {
            let listens = ports::is_listening_where(daemon.child.id(), port);
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
    let servers: Vec<(Place, u32)> = daemons.iter().map(|daemon| (daemon.place, daemon.child.id())).collect();
    let start = Instant::now();
    let mut child = spawn(client, log)?;
    let (status, peak) = watch(&mut child, &servers, start)?;
    settle()?;
    let wall = start.elapsed();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ensure!(code == 0, "the client ended with {code}: {}", printed(log));
    daemons.into_iter().try_for_each(Daemon::finish)?;
    let ticks = procfs::reaped_here().saturating_sub(reaped_before).saturating_sub(idle);
    let Peak { together, anonymous, resident } = peak;
    let (wall_s, cpu_s) = (wall.as_secs_f64(), procfs::seconds(ticks));
    Ok(Run { wall_s, cpu_s, memory_bytes: together, anonymous, resident })
}

/// The most memory that was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    together: u64,
    anonymous: Sides,
    resident: Sides,
}

impl Peak {
    /// Looks at these processes and their descendants now.
    fn look(&mut self, roots: impl Iterator<Item = (Place, u32)>) {
        let (mut together, mut anonymous, mut resident) = (0, Sides::default(), Sides::default());
        for (place, root) in roots {
            for memory in procfs::family(root).into_iter().map(procfs::memory) {
                together += memory.anonymous;
                match place {
                    Place::Source => {
                        anonymous.source += memory.anonymous;
                        resident.source += memory.resident;
                    }
                    Place::Destination => {
                        anonymous.destination += memory.anonymous;
                        resident.destination += memory.resident;
                    }
                    Place::Between => {}
                }
            }
        }
        self.together = self.together.max(together);
        self.anonymous = self.anonymous.max(anonymous);
        self.resident = self.resident.max(resident);
    }
}

/// Waits for the client without a delay of our own, while a thread looks at the memory of all.
fn watch(child: &mut Child, servers: &[(Place, u32)], start: Instant) -> Result<(ExitStatus, Peak)> {
    let (ended, client) = (AtomicBool::new(false), child.id());
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut peak = Peak::default();
            while !ended.load(Ordering::Relaxed) {
                peak.look(servers.iter().copied().chain([(Place::Source, client)]));
                if start.elapsed() > RUN_MAX {
                    // Not yet waited for, so the id is still its own.
                    let _ = signal(client, Signal::KILL);
                }
                std::thread::park_timeout(LOOK);
            }
            peak
        });
        let status = child.wait();
        ended.store(true, Ordering::Relaxed);
        looker.thread().unpark();
        let peak = looker.join().unwrap_or_default();
        Ok((status.context("cannot wait for the client")?, peak))
    })
}

/// The same command, killed when who starts it dies, however that comes about: nobody is left to hold a port or a device.
#[must_use]
pub fn bound(command: &Command) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--pdeathsig", "KILL", "--"]);
    wrapped(&setpriv, command)
}

/// The command `inner`, its environment too, as the last arguments of `outer`, which becomes it.
#[must_use]
pub fn wrapped(outer: &Command, inner: &Command) -> Command {
    let mut whole = Command::new(outer.get_program());
    whole.args(outer.get_args()).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    whole
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
        assert!(run.resident.source > run.anonymous.source && run.anonymous.source == run.memory_bytes, "{run:?}");
        assert_eq!((run.anonymous.destination, run.resident.larger()), (0, run.resident.source));
    }

    #[test]
    fn each_side_has_its_memory_and_a_router_is_on_none() {
        let mut child = shell("sleep 60").spawn().unwrap();
        let mut peak = Peak::default();
        peak.look([(Place::Destination, child.id())].into_iter());
        assert!(peak.together > 0 && peak.anonymous == Sides { source: 0, destination: peak.together }, "{peak:?}");
        let before = peak;
        peak.look([(Place::Between, child.id()), (Place::Between, child.id())].into_iter());
        assert!(peak.together > before.together && peak.anonymous == before.anonymous, "{peak:?}");
        child.kill().unwrap();
        child.wait().unwrap();
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
        let log = site.logs().join("daemon");
        let error = Daemon::start(shell("echo no room; exit 1"), port, Place::Destination, Ends::WhenTold, log);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
    }
}
