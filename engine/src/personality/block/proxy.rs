//! `proxy`: answers errands at the source, receives at the destination. Ends when all is done, or when it is told to.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::args::ProxyArgs;
use crate::personality::files;
use crate::personality::rsync::{Code, Ending, Teller, block_on, copy, no_runtime, run_id};
use crate::session::{self, Door, ReceiveRun, sentence};
use crate::tunnel::{Allowed, ErrandDoor, Module, PortDoor, PortModule};
use crate::types::{Bounds, Outcome, StatePlace, VolumeName};

/// What stands before an identifier in the name of the variable that says where its volume is.
const VARIABLE: &str = "id-";

/// Runs the side that was asked for.
pub fn run(asked: &ProxyArgs) -> ExitCode {
    let teller = Arc::new(Teller::new());
    let ended = if asked.side.source { source(asked, &teller) } else { target(asked, &teller) };
    ended.unwrap_or_else(|ending| teller.end(&ending))
}

fn source(asked: &ProxyArgs, teller: &Arc<Teller>) -> Result<ExitCode, Ending> {
    let syntax = |text: &str| Ending::with(Code::Syntax, text);
    let [identifier] = asked.identifiers.as_slice() else {
        return Err(syntax("a source has one volume: give --identifier once"));
    };
    let tunnel = asked.tunnel().ok_or_else(|| syntax("--target-port 0 is none; name one"))?;
    let socket = |error: &dyn std::error::Error| Ending::with(Code::Socket, sentence(error));
    let control = asked.control_file.clone();
    let served = block_on(teller, |stop| async move {
        let door = ErrandDoor::bind(asked.listen_port, identifier, &tunnel).map_err(|error| socket(&error))?;
        teller.say(&format!("waiting for blockrsync, to send {identifier} through {tunnel}"));
        tokio::select! {
            served = door.serve(|| control.as_deref().map_or(Ok(()), mark)) => served.map_err(|error| {
                Ending::with(Code::FileIo, format!("cannot make the control file: {error}"))
            }),
            _ = stop.wait() => Err(Ending::with(Code::Signal, "stopped before all was sent")),
        }
    });
    served.map_err(|error| no_runtime(&error))??;
    teller.say(&format!("{identifier} was sent and confirmed"));
    Ok(ExitCode::SUCCESS)
}

fn target(asked: &ProxyArgs, teller: &Arc<Teller>) -> Result<ExitCode, Ending> {
    let served = asked.identifiers.iter().map(|identifier| volume(identifier, place_of(identifier)));
    let served: Vec<(PortModule, PathBuf)> = served.collect::<Result<_, _>>()?;
    let volumes: Vec<(VolumeName, PathBuf)> =
        served.iter().map(|(module, path)| (module.volume.clone(), path.clone())).collect();
    let modules = served.into_iter().map(|(module, _)| module).collect();
    let address = format!("[::]:{}", asked.listen_port);
    let door = PortDoor::bind(&address, modules).map_err(|error| Ending::with(Code::Socket, sentence(&error)))?;
    let run = run_id().ok_or_else(|| Ending::with(Code::FileIo, "internal error: this run has no name"))?;
    let receive = ReceiveRun {
        run,
        door: Door::Port(door),
        volumes,
        bounds: Bounds::default(),
        state: StatePlace::None,
        once: true,
        idle_exit: None,
        ticket_expires: None,
    };
    let control = asked.control_file.clone();
    Ok(copy(teller, |progress, stop| async move {
        let mut report = session::receive(receive, progress, stop).await;
        if report.outcome == Outcome::Clean
            && let Some(Err(error)) = control.as_deref().map(mark)
        {
            report.outcome = Outcome::Failed;
            if let Some(volume) = report.volumes.first_mut() {
                volume.outcome = Outcome::Failed;
                volume.text = Some(format!("cannot make the control file: {error}"));
            }
        }
        report
    }))
}

fn mark(control: &Path) -> io::Result<()> {
    files::mark(control).map_err(io::Error::other)
}

/// Where a volume is, from the environment.
fn place_of(identifier: &Module) -> Option<OsString> {
    std::env::var_os(format!("{VARIABLE}{identifier}")).filter(|place| !place.is_empty())
}

fn volume(identifier: &Module, place: Option<OsString>) -> Result<(PortModule, PathBuf), Ending> {
    let place = place.map(PathBuf::from).ok_or_else(|| {
        let text = format!("the variable {VARIABLE}{identifier} does not say where that volume is; set it to its path");
        Ending::with(Code::Syntax, text)
    })?;
    if !place.is_absolute() {
        let text = format!("{VARIABLE}{identifier} is no absolute path: {}", files::shown(&place));
        return Err(Ending::with(Code::Syntax, text));
    }
    let volume = identifier.volume().map_err(|error| Ending::with(Code::Syntax, error.to_string()))?;
    // Only the tunnel of this pod comes here, and it comes over loopback.
    let loopback = [(std::net::Ipv4Addr::LOCALHOST.into(), 32), (std::net::Ipv6Addr::LOCALHOST.into(), 128)];
    let allowed = Allowed::Networks(loopback.to_vec());
    Ok((PortModule { module: identifier.clone(), volume, users: Vec::new(), allowed }, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_where_its_variable_says_and_nowhere_else() {
        let identifier = Module::new("abc").unwrap();
        let (module, path) = volume(&identifier, Some("/dev/abc".into())).unwrap();
        assert_eq!((module.volume.as_str(), path.as_path()), ("abc", Path::new("/dev/abc")));
        assert!(
            module.allowed.contains("::1".parse().unwrap()) && !module.allowed.contains("10.0.0.1".parse().unwrap())
        );
        assert!(volume(&identifier, None).is_err() && volume(&identifier, Some("dev/abc".into())).is_err());
    }
}
