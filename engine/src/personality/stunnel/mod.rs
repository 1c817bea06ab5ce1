//! `stunnel FILE`: the operator's tunnel, as its pods call it.
//!
//! ```text
//!  conf     what the file asks for          run       ports, relays, signals
//!  detach   a daemon without fork           watchdog  the done-file, when the client is gone for good
//! ```
//! Both sides show and believe the one certificate that the operator gives them, in TLS 1.3; whatever the file says, nothing
//! less is spoken. Options of stunnel's command line that pods do not use are refused. It exits as stunnel does: 0, or 1 with
//! a sentence.

mod conf;
mod detach;
mod run;
mod watchdog;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};

use conf::Conf;

/// Read when no file is named.
const FILE_DEFAULT: &str = "/etc/stunnel/stunnel.conf";
const HELP: &str = "stunnel [FILE]: carries plain connections through TLS 1.3 as FILE says \
    (/etc/stunnel/stunnel.conf unless named). This is ferry's; other options of stunnel are not known to it.";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Help,
    Version,
    Serve(PathBuf),
    /// As the daemon that another process of ours leaves behind.
    ServeDetached(PathBuf),
}

/// The whole program.
pub(super) fn main(args: &[OsString]) -> ExitCode {
    match asked(args).and_then(|asked| obey(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be listening any more, and the exit code says the rest.
            let _ = writeln!(io::stderr().lock(), "stunnel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn asked(args: &[OsString]) -> Result<Asked> {
    match args {
        [] => Ok(Asked::Serve(FILE_DEFAULT.into())),
        [only] if ["-help", "--help", "-h"].iter().any(|help| only == help) => Ok(Asked::Help),
        [only] if ["-version", "--version"].iter().any(|version| only == version) => Ok(Asked::Version),
        [file] if !file.as_encoded_bytes().starts_with(b"-") => Ok(Asked::Serve(file.into())),
        [file, flag] if flag == detach::FLAG => Ok(Asked::ServeDetached(file.into())),
        _ => bail!("its arguments are not understood: write stunnel FILE"),
    }
}

fn obey(asked: &Asked) -> Result<()> {
    match asked {
        Asked::Help => run::say(HELP),
        Asked::Version => run::say(concat!("stunnel by ferry ", env!("CARGO_PKG_VERSION"))),
        Asked::Serve(file) => {
            let conf = read(file)?;
            if conf.foreground {
                return run::serve(&conf, None, || Ok(()));
            }
            detach::leave_behind(file, &conf)?;
        }
        Asked::ServeDetached(file) => {
            let conf = read(file)?;
            return run::serve(&conf, Some(detach::handed_over()?), detach::report_ready);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Conf> {
    let read = || {
        let mut bytes = Vec::new();
        // One byte more than it may have: a longer file is refused, not cut.
        File::open(file)?.take(conf::CONF_LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().with_context(|| format!("cannot read {}: is the ConfigMap mounted there?", file.display()))?;
    conf::parse(&bytes).map_err(|error| anyhow!("{}, {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_all_that_is_asked() {
        let asked = |args: &[&str]| asked(&args.iter().map(OsString::from).collect::<Vec<_>>()).ok();
        assert_eq!(asked(&["/etc/x"]), Some(Asked::Serve("/etc/x".into())));
        assert_eq!(asked(&[]), Some(Asked::Serve(FILE_DEFAULT.into())));
        assert_eq!(asked(&["-version"]), Some(Asked::Version));
        for bad in [&["-fd", "0"][..], &["-x"], &["a", "b"]] {
            assert_eq!(asked(bad), None, "{bad:?}");
        }
    }
}
