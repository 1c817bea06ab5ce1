//! `rsync OPTIONS SRC/ rsync://USER@HOST:PORT/MODULE`: sends a volume to a daemon, through rsync's port.
//!
//! A connection that is refused, closed before the greeting or cut is tried again here for ten minutes: an operator has
//! only so many attempts, and each begins with a new pod. What will not pass by itself ends at once.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::asked::{CopyAsked, Remote};
use super::ending::{Code, Ending};
use super::run::{self, Teller};
use crate::personality::files;
use crate::session::{self, Dial, SendRun};
use crate::tunnel::{Host, HostPort, Module, Password, PortConnector, PortTarget};
use crate::types::{Restless, limits};
use crate::volume::places;

/// Time without progress before the network is given up.
const RETRY_FOR: Duration = Duration::from_secs(600);

/// Sends.
pub fn run(copy: CopyAsked, remote: Remote, teller: &Arc<Teller>) -> ExitCode {
    match prepare(copy, remote, teller) {
        Ok(run) => run::copy(teller, |progress, stop| session::send(run, progress, stop)),
        Err(ending) => teller.end(&ending),
    }
}

fn prepare(copy: CopyAsked, remote: Remote, teller: &Arc<Teller>) -> Result<SendRun, Ending> {
    let syntax = |text: String| Ending::with(Code::Syntax, text);
    places::source(&copy.source).map_err(|error| Ending::with(Code::FileSelect, error.to_string()))?;
    let host = Host::parse(&remote.host).map_err(|error| syntax(error.to_string()))?;
    let address = HostPort::new(host, remote.port).ok_or_else(|| syntax("port 0 is none; name one".to_owned()))?;
    let module = Module::new(&remote.module).map_err(|error| syntax(error.to_string()))?;
    let volume = module.volume().map_err(|error| syntax(error.to_string()))?;
    let password = password(&copy)?;
    let user = remote.user.or_else(|| variable("USER")).or_else(|| variable("LOGNAME")).unwrap_or_default();
    let id = run::run_id().ok_or_else(|| Ending::with(Code::FileIo, "internal error: this run has no name"))?;
    let target = PortTarget { address, module, user, password };
    Ok(SendRun {
        run: id,
        volumes: vec![(volume, copy.source)],
        on_item: copy.options.dry_run.then(|| run::items(teller)),
        options: copy.options,
        chown: copy.chown,
        one_file_system: copy.one_file_system,
        lanes: run::lanes(),
        lanes_max: limits::LANES_MAX as u8,
        compress: copy.compress,
        restless: Restless::Take,
        retry_for: RETRY_FOR,
        bwlimit: copy.bwlimit,
        dial: Dial::Port(PortConnector::new(target)),
    })
}

/// The password of the file that was named, else of the environment.
fn password(copy: &CopyAsked) -> Result<Option<Password>, Ending> {
    let Some(path) = &copy.password_file else {
        return Ok(variable("RSYNC_PASSWORD").and_then(|text| Password::new(text.as_bytes())));
    };
    let text = files::read_secret(path).map_err(|error| Ending::with(Code::Syntax, error.to_string()))?;
    let first = text.lines().next().unwrap_or_default();
    let none = || Ending::with(Code::Syntax, format!("{} holds no password in its first line", files::shown(path)));
    Password::new(first.as_bytes()).map(Some).ok_or_else(none)
}

/// A variable of the environment; set to nothing is not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
