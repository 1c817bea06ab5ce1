//! `blockrsync FILE --source`: asks the proxy what the volume is called and where it goes, sends it there, and says so.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::BlockArgs;
use crate::personality::rsync::{Code, Ending, Teller, copy, lanes, run_id};
use crate::session::{self, Dial, Progress, RunReport, SendRun, Stop, Tally};
use crate::tunnel::{Errand, ErrandError, HostPort, PortConnector, PortTarget};
use crate::types::{
    Cause, Compress, LossKind, LossSet, Options, Outcome, OwnerPolicy, Restless, RunId, WireCount, limits::LANES_MAX,
};

/// Time without progress before the network is given up. The end of this container would be the end of the migration.
const RETRY_FOR: Duration = Duration::from_secs(3_600);
/// For the proxy of the same pod to be there, at the beginning and at the end.
const PROXY_WITHIN: Duration = Duration::from_secs(600);
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends.
pub fn run(asked: &BlockArgs) -> ExitCode {
    let teller = Arc::new(Teller::new());
    let refused = |text: &str| teller.end(&Ending::with(Code::Syntax, text));
    if asked.side.target {
        return refused("blockrsync --target is not run by itself: proxy --target receives");
    }
    let Some(proxy) = asked.proxy() else { return refused("--port 0 is none; name one") };
    let Some(id) = run_id() else { return refused("internal error: this run has no name") };
    copy(&teller, |progress, stop| send(asked, id, proxy, (progress, stop)))
}

async fn send(asked: &BlockArgs, id: RunId, proxy: HostPort, (progress, stop): (Arc<Progress>, Stop)) -> RunReport {
    let errand = tokio::select! {
        errand = reach(&proxy, PROXY_WITHIN) => errand,
        signal = stop.wait() => return nothing_sent(id, signal.outcome(), None, "stopped before anything was sent"),
    };
    let errand = match errand {
        Ok(errand) => errand,
        Err(error @ ErrandError::Foreign(_)) => {
            return nothing_sent(id, Outcome::Refused, Some(Cause::Foreign), &error.to_string());
        }
        Err(error @ ErrandError::Io { .. }) => {
            return nothing_sent(id, Outcome::Network, Some(Cause::NoConnection), &error.to_string());
        }
    };
    let volume = match errand.identifier.volume() {
        Ok(volume) => volume,
        Err(error) => return nothing_sent(id, Outcome::Usage, None, &error.to_string()),
    };
    let target = PortTarget {
        address: errand.target.clone(),
        module: errand.identifier.clone(),
        user: String::new(),
        password: None,
    };
    let run = SendRun {
        run: id,
        volumes: vec![(volume, asked.file.clone())],
        options: options(),
        chown: None,
        one_file_system: false,
        lanes: lanes(),
        lanes_max: LANES_MAX as u8,
        compress: Compress::Auto,
        restless: Restless::default(),
        retry_for: RETRY_FOR,
        bwlimit: None,
        dial: Dial::Port(PortConnector::new(target)),
        on_item: None,
    };
    let report = session::send(run, progress, stop).await;
    if report.outcome == Outcome::Clean {
        confirm(errand, &proxy).await;
    }
    report
}

/// Content alone: who owns an image at the destination, and how it is marked, is the destination's affair.
fn options() -> Options {
    let mut accept_loss = LossSet::default();
    LossKind::ALL.into_iter().for_each(|kind| accept_loss.insert(kind));
    Options { owner: OwnerPolicy::Ignore, xattrs: false, accept_loss, ..Options::default() }
}

/// An errand at the proxy, which may come up later than we do.
async fn reach(proxy: &HostPort, within: Duration) -> Result<Errand, ErrandError> {
    let begun = Instant::now();
    loop {
        match Errand::ask(proxy).await {
            Err(ErrandError::Io { .. }) if begun.elapsed() < within => tokio::time::sleep(PAUSE).await,
            asked => return asked,
        }
    }
}

/// Tells the proxy that the receiver has everything. One that was restarted meanwhile is told anew; one that is gone for
/// good has ended because it knows.
async fn confirm(errand: Errand, proxy: &HostPort) {
    let mut told = errand.done().await;
    while told.is_err() {
        match reach(proxy, CONFIRMED_WITHIN).await {
            Ok(errand) => told = errand.done().await,
            Err(error) => return tracing::warn!(%error, "the proxy is not there any more to be told that all is sent"),
        }
    }
}

fn nothing_sent(id: RunId, outcome: Outcome, cause: Option<Cause>, text: &str) -> RunReport {
    let volume = Tally::default().report("block", outcome, Some(text.to_owned())).because(cause);
    RunReport::of(id, vec![volume], WireCount::default(), Duration::ZERO)
}
