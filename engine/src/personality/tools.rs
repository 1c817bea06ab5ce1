//! `nc -z`, `touch` and `sleep`: what the shell scripts around rsync and stunnel call, in an image that has nothing else.
//!
//! Each does what those scripts use of it, and says so of anything else instead of guessing.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::console::complain;
use super::files;
use crate::tunnel::{Host, HostPort, probe};

/// A port that refuses is asked again for so long. The scripts ask in a loop without a pause.
const PATIENCE: Duration = Duration::from_secs(1);
/// An address that does not answer is given so long, unless `-w` says otherwise.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest of all sleeps that can be added up: a timer's clock ends somewhere.
const SLEEP_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What `nc` is asked.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    address: HostPort,
    within: Duration,
    verbose: bool,
}

/// `nc -z [-v] [-w SECONDS] HOST PORT`: 0 when somebody listens, 1 when nobody does, 2 for any other use.
pub fn nc(args: &[OsString]) -> ExitCode {
    let asked = match ask(args) {
        Ok(asked) => asked,
        Err(what) => {
            complain(&format!("nc: {what}; ferry only knows nc -z [-v] [-w SECONDS] HOST PORT"));
            return ExitCode::from(2);
        }
    };
    let probed = runtime().and_then(|runtime| runtime.block_on(probe(&asked.address, PATIENCE, asked.within)));
    match probed {
        Ok(()) => {
            if asked.verbose {
                complain(&format!("nc: {} is listened on", asked.address));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            if asked.verbose {
                complain(&format!("nc: cannot connect to {}: {error}", asked.address));
            }
            ExitCode::FAILURE
        }
    }
}

fn ask(args: &[OsString]) -> Result<Asked, String> {
    let (mut only_probe, mut verbose, mut within) = (false, false, ANSWER);
    let mut operands = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let text = arg.to_str().ok_or("an argument is no text")?;
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            operands.push(text);
            continue;
        };
        for (at, letter) in letters.char_indices() {
            match letter {
                'z' => only_probe = true,
                'v' => verbose = true,
                'w' => {
                    let left = letters.get(at + 1..).filter(|left| !left.is_empty());
                    let seconds = left.or_else(|| rest.next().and_then(|next| next.to_str()));
                    let seconds = seconds.and_then(|text| text.parse::<u32>().ok()).filter(|seconds| *seconds > 0);
                    within = Duration::from_secs(seconds.ok_or("-w takes whole seconds")?.into());
                    break;
                }
                _ => return Err(format!("-{letter} is not done")),
            }
        }
    }
    let [host, port] = operands.as_slice() else { return Err("one host and one port are wanted".to_owned()) };
    if !only_probe {
        return Err("without -z it would carry data, which is not done".to_owned());
    }
    let host = Host::parse(host).map_err(|error| error.to_string())?;
    let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = port.and_then(|port| HostPort::new(host, port)).ok_or("a port is a number from 1 to 65535")?;
    Ok(Asked { address, within, verbose })
}

/// `touch FILE...`: 1 when one of them cannot be touched; the others are.
pub fn touch(args: &[OsString]) -> ExitCode {
    let paths = match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    };
    let option = paths.iter().find(|arg| args.first().is_none_or(|first| first != "--") && is_option(arg));
    if let Some(option) = option {
        complain(&format!(
            "touch: {}: unknown option; ferry only knows touch FILE...",
            files::shown(Path::new(option))
        ));
        return ExitCode::FAILURE;
    }
    if paths.is_empty() {
        complain("touch: no file is named; write touch FILE...");
        return ExitCode::FAILURE;
    }
    let mut failed = false;
    for path in paths {
        if let Err(error) = files::touch(Path::new(path)) {
            complain(&format!("touch: {error}"));
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn is_option(arg: &OsStr) -> bool {
    arg.len() > 1 && arg.as_encoded_bytes().starts_with(b"-")
}

/// `sleep NUMBER[smhd]...` or `sleep infinity`. SIGTERM and SIGINT end it at once, also as a container's first process,
/// which the kernel kills by no signal that it does not handle.
pub fn sleep(args: &[OsString]) -> ExitCode {
    let texts: Option<Vec<&str>> = args.iter().map(|arg| arg.to_str()).collect();
    let Some(time) = texts.as_deref().and_then(sum) else {
        complain("sleep: write sleep NUMBER[smhd]... or sleep infinity");
        return ExitCode::FAILURE;
    };
    let slept = runtime().and_then(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            Ok(tokio::select! {
                () = rest(time) => 0,
                () = heard(&mut terminate) => 143,
                () = heard(&mut interrupt) => 130,
            })
        })
    });
    match slept {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("sleep: the system gives neither timers nor signals: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// `None` sleeps for ever.
async fn rest(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn heard(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// All of them added up; `Some(None)` is for ever, `None` is nothing that can be slept.
#[expect(clippy::option_option, reason = "not understood, for ever, and a time are three things")]
fn sum(texts: &[&str]) -> Option<Option<Duration>> {
    let mut total = Some(Duration::ZERO);
    for text in texts {
        if matches!(*text, "infinity" | "inf") {
            total = None;
            continue;
        }
        let digits = text.trim_end_matches(['s', 'm', 'h', 'd']);
        let factor = match text.get(digits.len()..)? {
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let seconds = digits.parse::<f64>().ok().filter(|_| plain)? * factor;
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(SLEEP_MAX);
        total = total.map(|total| total.saturating_add(time).min(SLEEP_MAX));
    }
    (!texts.is_empty()).then_some(total)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, String> {
        ask(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn nc_only_probes() {
        let address = HostPort::parse("localhost:6443").unwrap();
        let plain = Asked { address, within: ANSWER, verbose: false };
        assert_eq!(asked("-z localhost 6443"), Ok(plain));
        for (line, seconds) in [("-z -w 3 h 1", 3), ("-zw3 h 1", 3), ("h 1 -w 7 -z", 7)] {
            assert_eq!(asked(line).unwrap().within, Duration::from_secs(seconds), "{line}");
        }
        assert!(asked("-zv h 1").unwrap().verbose);
        for bad in
            ["h 1", "-z h", "-z h 1 2", "-l 1", "-z h 0", "-z h x", "-z h 65536", "-z -w 0 h 1", "-z -w", "-z h +1"]
        {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sleeps_add_up() {
        let seconds = |n| Some(Some(Duration::from_secs(n)));
        assert_eq!(sum(&["1", "2m", "1h"]), seconds(3_721));
        assert_eq!(sum(&["0.5"]), Some(Some(Duration::from_millis(500))));
        assert_eq!(sum(&["1d"]), seconds(86_400));
        assert_eq!(sum(&["infinity"]), Some(None));
        assert_eq!(sum(&["99999999999999999999999d"]), Some(Some(SLEEP_MAX)));
        for bad in [&[][..], &["x"], &["1x"], &["-1"], &["1ss"], &["s"], &[""], &["1e3"], &["NaN"]] {
            assert_eq!(sum(bad), None, "{bad:?}");
        }
    }
}
