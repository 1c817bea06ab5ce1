//! `ferry send`: volumes to a receiver, with certificates or a ticket.

use std::sync::Arc;

use super::args::SendArgs;
use super::config::{SendConfig, SenderAccess};
use super::console::Console;
use super::items;
use super::job::{self, Failure, Job};
use super::report::Side;
use crate::session::{self, Dial, RunReport, SendRun};
use crate::tunnel::{Connector, Identity, Role};
use crate::types::{Exit, Restless};

/// Sends; `environment` is the value of `FERRY_TICKET`.
pub fn run(args: &SendArgs, environment: Option<String>, console: &Arc<Console>) -> Exit {
    job::reported(console, &args.output, Side::Sends, args.transfer.dry_run, |job| {
        let config = SendConfig::new(args, environment)?;
        for warning in &config.warnings {
            console.say(&format!("ferry: warning: {warning}"));
        }
        send(job, config)
    })
}

fn send(job: &Job<'_>, config: SendConfig) -> Result<RunReport, Failure> {
    let connector = connector(config.access)?;
    let transfer = config.transfer;
    let on_item = transfer.options.dry_run.then(|| items::printer(job.console, job.mode));
    let run = SendRun {
        run: job.run.clone(),
        volumes: config.volumes,
        options: transfer.options,
        chown: transfer.chown,
        one_file_system: transfer.one_file_system,
        lanes: transfer.lanes,
        lanes_max: transfer.lanes_max,
        compress: transfer.compress,
        restless: Restless::default(),
        retry_for: config.retry_for,
        bwlimit: transfer.bwlimit.and_then(std::num::NonZeroU64::new),
        dial: Dial::Tunnel(Arc::new(connector)),
        on_item,
    };
    job.drive(|progress, stop| async move { Ok(session::send(run, progress, stop).await) })
}

fn connector(access: SenderAccess) -> Result<Connector, Failure> {
    let (identity, target) = match access {
        SenderAccess::Certificates { identity, target } => (Identity::load(&identity, Role::Sender), target),
        SenderAccess::Ticket { ticket, target } => (Identity::from_ticket(&ticket, Role::Sender), target),
    };
    Connector::new(target, identity.map_err(Failure::usage)?).map_err(Failure::usage)
}
