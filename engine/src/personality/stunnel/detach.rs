//! A daemon without fork: the port is bound, then this program is started anew with the bound port as standard input.
//!
//! ```text
//!  stunnel FILE ── bind ── start /proc/self/exe, port on 0, pipe on 2 ── wait ── exit 0
//!                              └─ read FILE, serve ── a zero byte on 2 ──┘      (or a sentence: exit 1)
//! ```
//! One socket serves both families, so one descriptor is enough; the ports of further services are bound by the daemon
//! before it reports. Its standard output stays the container's. It leads a session of its own, so that no terminal takes it
//! along. Whoever waits hears of every failure up to the moment connections are taken.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::conf::Conf;
use super::run;

/// Said to the daemon behind the file.
pub(super) const FLAG: &str = "--port-is-standard-input";
/// What the daemon says when it takes connections; no sentence begins with it.
const READY: u8 = 0;
/// Bytes of a daemon's sentence.
const SENTENCE_LEN_MAX: u64 = 4_096;

/// Starts the daemon for `file` and returns when it takes connections.
pub(super) fn leave_behind(file: &Path, conf: &Conf) -> Result<()> {
    let first = conf.services.first().context("there is no service")?;
    let inlet = run::bind(first)?;
    let mut daemon = Command::new("/proc/self/exe")
        .arg0("stunnel")
        .arg(file)
        .arg(FLAG)
        .stdin(inlet.descriptor().context("cannot hand the port over")?)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the daemon by /proc/self/exe: is /proc mounted?")?;
    let mut said = Vec::new();
    let mut from = daemon.stderr.take().context("the daemon has no standard error")?.take(1);
    from.read_to_end(&mut said).context("cannot hear the daemon")?;
    if said == [READY] {
        return Ok(());
    }
    from.set_limit(SENTENCE_LEN_MAX);
    from.read_to_end(&mut said).context("cannot hear the daemon")?;
    let status = daemon.wait().context("cannot wait for the daemon")?;
    let said = String::from_utf8_lossy(&said);
    let said = said.trim().trim_start_matches("stunnel: ");
    if said.is_empty() {
        bail!("the daemon ended without a word ({status})");
    }
    bail!("{said}")
}

/// The port that was handed over.
pub(super) fn handed_over() -> Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned().context("no port was handed over as standard input")
}

/// Lets go of whoever waits for the daemon; from now on standard error is the container's log.
pub(super) fn report_ready() -> Result<()> {
    // Fails only where it leads a session already, which is what is wanted.
    let _ = rustix::process::setsid();
    io::stderr().lock().write_all(&[READY]).context("nobody waits for the daemon")?;
    rustix::stdio::dup2_stderr(io::stdout()).context("cannot put standard error in its place")
}
