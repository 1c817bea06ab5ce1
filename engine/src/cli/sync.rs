//! `ferry sync SRC DST`: both ends in one process, no network.

use std::sync::Arc;

use super::args::SyncArgs;
use super::config::SyncConfig;
use super::console::Console;
use super::report::Side;
use super::{items, job};
use crate::session::{self, SyncRun};
use crate::types::{Exit, Restless};

/// Copies.
pub fn run(args: &SyncArgs, console: &Arc<Console>) -> Exit {
    job::reported(console, &args.output, Side::Sends, args.transfer.dry_run, |job| {
        let SyncConfig { source, destination, state, transfer } = SyncConfig::new(args)?;
        let run = SyncRun {
            run: job.run.clone(),
            source,
            destination,
            state,
            on_item: transfer.options.dry_run.then(|| items::printer(console, job.mode)),
            options: transfer.options,
            chown: transfer.chown,
            one_file_system: transfer.one_file_system,
            lanes: transfer.lanes,
            compress: transfer.compress,
            restless: Restless::default(),
            bwlimit: transfer.bwlimit.and_then(std::num::NonZeroU64::new),
        };
        job.drive(|progress, stop| async move { Ok(session::sync(run, progress, stop).await) })
    })
}
