//! `ferry receive`: waits for senders, with certificates or one ticket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::args::ReceiveArgs;
use super::config::{Admission, ReceiveConfig};
use super::console::Console;
use super::job::{self, Failure, Job};
use super::offer;
use super::report::Side;
use crate::session::{self, Door, ReceiveRun, RunReport};
use crate::tunnel::{Acceptor, Identity, Role, Ticket};
use crate::types::Exit;

/// Receives.
pub fn run(args: &ReceiveArgs, console: &Arc<Console>) -> Exit {
    job::reported(console, &args.output, Side::Receives, false, |job| receive(job, ReceiveConfig::new(args)?))
}

fn receive(job: &Job<'_>, config: ReceiveConfig) -> Result<RunReport, Failure> {
    let ReceiveConfig { listen, admission, volumes, state, bounds, once, idle_exit } = config;
    let (identity, ticket) = match admission {
        Admission::Certificates { identity } => (Identity::load(&identity, Role::Receiver), None),
        Admission::Ticket { advertise, life } => {
            let ticket = offer::issue(listen, advertise, &volumes, life)?;
            (Identity::from_ticket(&ticket, Role::Receiver), Some((ticket, life)))
        }
    };
    let identity = identity.map_err(Failure::usage)?;
    job.drive(|progress, stop| async move {
        let acceptor = Acceptor::bind(&listen.to_string(), identity).map_err(Failure::usage)?;
        announce(job.console, &acceptor, ticket.as_ref())?;
        let ticket_expires = ticket.as_ref().map(|(ticket, _)| ticket.expires());
        let (run, door) = (job.run.clone(), Door::Tunnel(acceptor));
        let run = ReceiveRun { run, door, volumes, state, bounds, once, idle_exit, ticket_expires };
        Ok(session::receive(run, progress, stop).await)
    })
}

/// Says where we listen once we do, and prints the ticket only then: whoever pastes it is answered.
fn announce(console: &Console, acceptor: &Acceptor, ticket: Option<&(Ticket, Duration)>) -> Result<(), Failure> {
    let local = acceptor.local_addr().context("cannot tell the address of the listener").map_err(Failure::failed)?;
    console.say(&format!("listening on {local}"));
    if let Some((ticket, life)) = ticket {
        offer::print(console, ticket, *life)?;
    }
    Ok(())
}
