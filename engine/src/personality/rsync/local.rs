//! `rsync OPTIONS SRC/ DST/`: a copy on this machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::asked::CopyAsked;
use super::ending::{Code, Ending};
use super::run::{self, Teller};
use crate::personality::files::shown;
use crate::session::{self, SyncRun};
use crate::types::{Restless, StatePlace};
use crate::volume::places::{self, Found};

/// Copies.
pub fn run(copy: CopyAsked, place: &Path, teller: &Arc<Teller>) -> ExitCode {
    let destination = match destination(&copy, place) {
        Ok(destination) => destination,
        Err(ending) => return teller.end(&ending),
    };
    let Some(id) = run::run_id() else {
        return teller.end(&Ending::with(Code::FileIo, "internal error: this run has no name"));
    };
    let run = SyncRun {
        run: id,
        source: copy.source,
        destination,
        on_item: copy.options.dry_run.then(|| run::items(teller)),
        options: copy.options,
        state: StatePlace::None,
        chown: copy.chown,
        one_file_system: copy.one_file_system,
        lanes: run::lanes(),
        compress: copy.compress,
        restless: Restless::Take,
        bwlimit: copy.bwlimit,
    };
    run::copy(teller, |progress, stop| session::sync(run, progress, stop))
}

/// What becomes the source's equal: the place itself for `SRC/`, and what bears the source's name in it for `SRC`.
fn destination(copy: &CopyAsked, place: &Path) -> Result<PathBuf, Ending> {
    let select = |error: places::PlaceError| Ending::with(Code::FileSelect, error.to_string());
    places::source(&copy.source).map_err(select)?;
    let destination = named(copy, place)?;
    places::destination(&destination).map_err(select)?;
    places::apart(&copy.source, &destination).map_err(select)?;
    Ok(destination)
}

fn named(copy: &CopyAsked, place: &Path) -> Result<PathBuf, Ending> {
    if copy.contents {
        return Ok(place.to_owned());
    }
    let below = || place.join(copy.source.file_name().unwrap_or_else(|| OsStr::new(".")));
    match places::found(&copy.source) {
        Found::Directory => Ok(below()),
        // A link would be copied as a link, into a directory: no volume, and nobody's intention.
        Found::Link => {
            let source = shown(&copy.source);
            let text = format!("{source} is a symbolic link; write {source}/ for what it leads to");
            Err(Ending::with(Code::FileSelect, text))
        }
        Found::Other | Found::Nothing => {
            let is_directory = place.as_os_str().as_bytes().ends_with(b"/") || places::is_directory(place);
            Ok(if is_directory { below() } else { place.to_owned() })
        }
    }
}
