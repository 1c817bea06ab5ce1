//! A stunnel that serves: its ports and relays, what it logs, and the signals that end it.
//!
//! Few lines on standard output, one a fact: where it listens, each tunnel at its end, each new trouble. It ends at once on
//! SIGTERM and SIGINT, also as the first process of a container; SIGHUP, by which others read their file again, changes
//! nothing.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use super::conf::{Conf, Service, Side};
use super::watchdog::{self, Clients, QUIET};
use crate::tunnel::{Event, Inlet, Pair, Relay, Way, Witness};

/// Threads that carry bytes; more would only wait for each other's memory.
const THREADS_MAX: usize = 4;
/// Threads that wait for a resolver.
const RESOLVERS_MAX: usize = 16;
/// Descriptors for the tunnels and strangers of several services.
const DESCRIPTORS_WANTED: u64 = 8_192;
/// The same trouble is not said again for this long.
const SAID_FOR: Duration = Duration::from_secs(60);

/// A line on standard output. A closed one is nobody's concern.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Listens for a service.
pub(super) fn bind(service: &Service) -> Result<Inlet> {
    let taken = || format!("the service [{}] has no port: does another process listen there?", service.name);
    Inlet::bind(&service.accept).with_context(taken)
}

/// Serves until a signal comes. `first` is the port of the first service, if another process has bound it; `ready` is called
/// once, when all ports are taken and signals are heeded.
pub(super) fn serve(conf: &Conf, first: Option<OwnedFd>, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    start_log()?;
    raise_descriptor_limit();
    let (clients, watched) = watch::channel(Clients::default());
    let clients = Arc::new(clients);
    let (mut relays, mut first) = (Vec::new(), first);
    for service in &conf.services {
        let inlet = match first.take() {
            Some(port) => Inlet::inherit(&service.accept, port)?,
            None => bind(service)?,
        };
        relays.push(relay(service, inlet, &clients)?);
    }
    for note in &conf.notes {
        say(&format!("stunnel: {note}"));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(RESOLVERS_MAX)
        .enable_all()
        .build()
        .context("cannot start its threads")?;
    let ended = runtime.block_on(async {
        let signals = Signals::new().context("cannot heed signals")?;
        ready()?;
        for service in &conf.services {
            say(&announcement(service));
        }
        if conf.services.iter().any(|service| matches!(service.side, Side::Client(_))) {
            tokio::spawn(watchdog::watch(watched, QUIET, declare_done));
        }
        until_the_end(relays, signals).await
    });
    // Tunnels end with their process, and nothing waits for a resolver.
    runtime.shutdown_background();
    ended
}

fn relay(service: &Service, inlet: Inlet, clients: &Arc<watch::Sender<Clients>>) -> Result<Relay> {
    let context = || format!("the service [{}] cannot be served", service.name);
    let pair = Pair::load(&service.cert, &service.key).with_context(context)?;
    let (way, clients) = match &service.side {
        Side::Client(proxy) => {
            (Way::Client { to: service.to.clone(), proxy: proxy.clone() }, Some(Arc::clone(clients)))
        }
        Side::Server => (Way::Server { to: service.to.clone() }, None),
    };
    let log = Log { service: service.name.clone(), clients, said: Mutex::default() };
    Relay::new(inlet, way, &pair, Arc::new(log)).with_context(context)
}

async fn until_the_end(relays: Vec<Relay>, mut signals: Signals) -> Result<()> {
    let mut serving: JoinSet<io::Result<()>> = relays.into_iter().map(Relay::serve).collect();
    tokio::select! {
        signal = signals.next() => {
            say(&format!("stunnel: ended by {signal}"));
            Ok(())
        }
        Some(ended) = serving.join_next() => ended.map_err(io::Error::other).and_then(|ended| ended).context("a port failed"),
    }
}

fn announcement(service: &Service) -> String {
    let Service { name, accept, to, .. } = service;
    match &service.side {
        Side::Client(None) => format!("stunnel: [{name}] plain connections at {accept} go through TLS to {to}"),
        Side::Client(Some(proxy)) => {
            format!(
                "stunnel: [{name}] plain connections at {accept} go through the proxy {} and TLS to {to}",
                proxy.address()
            )
        }
        Side::Server => format!("stunnel: [{name}] TLS connections at {accept} go to {to}"),
    }
}

/// Makes the done-files and says so.
fn declare_done() {
    for (file, made) in watchdog::touch_done_files() {
        let file = file.display();
        say(&match made {
            Ok(()) => format!("stunnel: no client came for {} s: made {file}", QUIET.as_secs()),
            Err(error) => format!("stunnel: no client came for {} s, and cannot make {file}: {error}", QUIET.as_secs()),
        });
    }
}

/// What is logged of one service.
struct Log {
    service: String,
    /// Those whose going is watched.
    clients: Option<Arc<watch::Sender<Clients>>>,
    /// The trouble that was said last, and when.
    said: Mutex<Option<(String, Instant)>>,
}

impl Log {
    /// Whether `sentence` is news; a client that tries again and again meets the same trouble each time.
    fn is_news(&self, sentence: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref().is_some_and(|(last, when)| last == sentence && when.elapsed() < SAID_FOR) {
            return false;
        }
        *said = Some((sentence.to_owned(), Instant::now()));
        true
    }
}

impl Witness for Log {
    fn saw(&self, event: Event<'_>) {
        let name = &self.service;
        match event {
            Event::Spoke => {
                self.clients.iter().for_each(|clients| clients.send_modify(Clients::come));
            }
            Event::Gone => {
                self.clients.iter().for_each(|clients| clients.send_modify(Clients::go));
            }
            Event::Carried { from, sent, returned, lasted, broken } => {
                let seconds = lasted.as_secs();
                let ended = broken.map_or_else(String::new, |error| format!(", then it broke: {error}"));
                say(&format!("stunnel: [{name}] {from}: {sent} bytes there, {returned} back, in {seconds} s{ended}"));
            }
            Event::Trouble { from, reason } => {
                if self.is_news(&reason.sentence) {
                    say(&format!("stunnel: [{name}] {from}: {}: {reason}", reason.trouble.word()));
                }
            }
        }
    }
}

/// The signals that end it, and one that must not.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Heeded, it no longer ends the process.
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => return "SIGTERM",
                Some(()) = self.interrupt.recv() => return "SIGINT",
                Some(()) = self.hang_up.recv() => {}
                else => return "the end of signals",
            }
        }
    }
}

/// Lets all tunnels that a relay bounds itself to have their two sockets: the usual soft limit is 1,024 descriptors.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let most = limit.maximum.unwrap_or(DESCRIPTORS_WANTED).min(DESCRIPTORS_WANTED);
    if limit.current.is_some_and(|current| current < most)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })
    {
        tracing::debug!(error = &error as &dyn std::error::Error, "fewer tunnels at a time than could be");
    }
}

/// What the rooms below say, on standard output; `FERRY_LOG` chooses more.
fn start_log() -> Result<()> {
    let chosen = std::env::var("FERRY_LOG").ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::try_new(chosen.as_deref().unwrap_or("warn"))
        .context("FERRY_LOG is not understood: write for example FERRY_LOG=debug")?;
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(io::stdout).finish();
    // Fails only when something else logs already, which in this process is an earlier call of this very function.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
