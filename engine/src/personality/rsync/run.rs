//! The frame around a copy and a daemon: a runtime, signals, a line of progress a second, and the end on every way out.

use std::future::Future;
use std::io::{self, Stdout, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use super::ending::{Code, Ending, User};
use super::lines::{Lines, quiet};
use super::progress::Figures;
use crate::personality::files::{TERMINATION_LOG, last_words};
use crate::session::{ItemChange, ItemSink, Progress, RunReport, Signal, Stop};
use crate::types::RunId;

/// How often progress is told, when it has changed.
const EVERY: Duration = Duration::from_secs(1);
/// Threads that still do file work when a run has ended get this long.
const THREADS_END_WITHIN: Duration = Duration::from_secs(2);
/// More lanes than this gain nothing between two machines that the network does not slow.
const LANES_MAX: usize = 4;

/// Tells what happens, on standard output and at the end in the pod's termination log.
#[derive(Debug)]
pub struct Teller {
    lines: Lines<Stdout>,
    figures: Mutex<Figures>,
    begun: Instant,
}

impl Teller {
    /// Nothing is told yet.
    #[must_use]
    pub fn new() -> Self {
        Self { lines: Lines::new(io::stdout()), figures: Mutex::default(), begun: Instant::now() }
    }

    /// A line that is no progress.
    pub fn say(&self, text: &str) {
        self.lines.say(text);
    }

    /// A line of progress, if it is another than the last.
    fn look(&self, progress: &Progress) {
        let line = self.figures().line(self.begun.elapsed(), &progress.snapshot());
        if self.lines.last().as_ref() != Some(&line) {
            self.lines.progress(line);
        }
    }

    /// The end of a run that had progress: its notes, the last line of progress, the error if there is one.
    pub fn end_of_run(&self, ending: &Ending, progress: &Progress) -> ExitCode {
        let clean = ending.code == Code::Clean;
        for note in &ending.notes {
            self.lines.say(note);
        }
        let sent = progress.snapshot().bytes_sent;
        self.lines.progress(self.figures().last(self.begun.elapsed(), sent, clean));
        self.close(ending)
    }

    /// The end of what never began, or has no progress.
    pub fn end(&self, ending: &Ending) -> ExitCode {
        for note in &ending.notes {
            self.lines.say(note);
        }
        self.lines.again();
        self.close(ending)
    }

    /// The error as the last line, and both in the termination log.
    fn close(&self, ending: &Ending) -> ExitCode {
        if let Some(error) = ending.error() {
            let error = quiet(&error);
            self.lines.say(&error);
            let mut words = self.lines.last().map_or_else(String::new, |line| format!("{}\n", line.trim()));
            words.push_str(&error);
            for note in &ending.notes {
                words.push('\n');
                words.push_str(&quiet(note));
            }
            words.push('\n');
            last_words(Path::new(TERMINATION_LOG), &words);
        }
        ExitCode::from(ending.code.number())
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the session's warnings go: a line each, among the others.
struct Warnings(Arc<Teller>);

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.say(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the sender say what it waits for. It does so once for each new reason; what else it warns of stands in the end.
fn hear_sender(teller: &Arc<Teller>) {
    let teller = Arc::clone(teller);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("off,ferry_engine::session::sender=warn"))
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || Warnings(Arc::clone(&teller)))
        .finish();
    // Fails only when something else logs already, which in this process nothing does.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Runs a copy to its end and tells of it.
pub fn copy<F>(teller: &Arc<Teller>, session: impl FnOnce(Arc<Progress>, Stop) -> F) -> ExitCode
where
    F: Future<Output = RunReport>,
{
    hear_sender(teller);
    let progress = Arc::new(Progress::default());
    let told = block_on(teller, |stop| {
        let session = session(Arc::clone(&progress), stop);
        let (teller, progress) = (Arc::clone(teller), Arc::clone(&progress));
        async move {
            let mut session = std::pin::pin!(session);
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                // Nothing is lost when a tick is dropped.
                tokio::select! {
                    report = &mut session => return report,
                    _ = ticks.tick() => teller.look(&progress),
                }
            }
        }
    });
    match told {
        Ok(report) => teller.end_of_run(&Ending::of(&report, user()), &progress),
        Err(error) => teller.end(&no_runtime(&error)),
    }
}

/// The end of a process that got no threads.
#[must_use]
pub fn no_runtime(error: &io::Error) -> Ending {
    Ending::with(Code::FileIo, format!("cannot start the threads of this process: {error}; raise its limits"))
}

/// Runs a future with SIGINT and SIGTERM watched: the first asks it to stop, the second ends the process.
///
/// # Errors
/// When the system gives no threads or no signals.
pub fn block_on<T, F>(teller: &Arc<Teller>, make: impl FnOnce(Stop) -> F) -> io::Result<T>
where
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Modes are set exactly as the source has them, so the umask must not take part (engine-rules 19).
    crate::volume::set_umask_zero();
    let stop = Stop::new();
    let result = runtime.block_on(async {
        let watch = watch(stop.clone(), Arc::clone(teller))?;
        let result = make(stop).await;
        watch.abort();
        Ok(result)
    });
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    result
}

fn watch(stop: Stop, teller: Arc<Teller>) -> io::Result<JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A shell that is gone takes nothing with it.
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = hangup.recv() => Signal::Terminate,
                else => return,
            };
            if stop.asked().is_some() {
                teller.end(&Ending::with(Code::Signal, "stopped at once by a second signal"));
                std::process::exit(i32::from(Code::Signal.number()));
            }
            stop.stop(signal);
        }
    }))
}

/// Who runs this process.
#[must_use]
pub fn user() -> User {
    User { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

/// Data connections to begin with: one a core.
#[must_use]
pub fn lanes() -> u8 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u8::try_from(cores.min(LANES_MAX)).unwrap_or(1)
}

/// The id of a run: the second it began and the process.
#[must_use]
pub fn run_id() -> Option<RunId> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    RunId::new(&format!("rsync-{}-{}", now.as_secs(), std::process::id()))
}

/// Takes the changes of a dry run, one line each.
#[must_use]
pub fn items(teller: &Arc<Teller>) -> ItemSink {
    let teller = Arc::clone(teller);
    ItemSink::new(move |item| {
        let verb = match item.change {
            ItemChange::Create => "would create",
            ItemChange::Update => "would update",
            ItemChange::Attributes => "would change the attributes of",
            ItemChange::Delete => "would delete",
        };
        teller.say(&format!("{verb} {}", item.path));
    })
}
