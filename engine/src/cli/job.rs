//! The frame around every run: outputs opened first, the run, then the summary, the report and the exit code, on every
//! way out.
//!
//! ```text
//!  open --report, --termination-log ─> configure ─> drive (signals, progress, session) ─> summary, report, exit
//!        fails: exit 2                  fails: reported too
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::config::ConfigError;
use super::console::Console;
use super::files::{FileError, InPlaceFile, ReportFile};
use super::flags::{OutputArgs, ProgressMode};
use super::report::{Ending, Side};
use super::{progress, signals, summary};
use crate::session::{Progress, RunReport, Stop};
use crate::types::{Exit, Outcome, RunId};

/// Threads that still do file work when a run has ended get this long; the report is written by then or was not asked for.
const THREADS_END_WITHIN: Duration = Duration::from_secs(2);

/// What kept a run from beginning, or a command from being done.
#[derive(Debug)]
pub struct Failure {
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub error: anyhow::Error,
}

impl Failure {
    /// Asked in a way that cannot be done.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { outcome: Outcome::Usage, error: error.into() }
    }

    /// It failed here.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { outcome: Outcome::Failed, error: error.into() }
    }

    /// The sentence: what failed, and each cause below it.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{:#}", self.error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::usage(error)
    }
}

/// A run under way, for the subcommand that is run.
#[derive(Debug)]
pub struct Job<'a> {
    /// Its id.
    pub run: RunId,
    /// Where it speaks.
    pub console: &'a Arc<Console>,
    /// Which side of the transfer it is.
    pub side: Side,
    /// How progress is shown.
    pub mode: ProgressMode,
}

/// The files a run was asked to write.
struct Outputs {
    report: Option<ReportFile>,
    termination: Option<InPlaceFile>,
}

/// Runs `body` as a run with a summary, a report and a termination log.
pub fn reported(
    console: &Arc<Console>,
    output: &OutputArgs,
    side: Side,
    dry_run: bool,
    body: impl FnOnce(&Job<'_>) -> Result<RunReport, Failure>,
) -> Exit {
    plain(console, || {
        let outputs = Outputs::open(output)?;
        let job = Job { run: output.run.clone().map_or_else(run_id, Ok)?, console, side, mode: output.progress };
        let ending = match body(&job) {
            Ok(report) => Ending::of(report, side),
            Err(failure) => Ending::never_began(job.run.clone(), side, failure.outcome, failure.sentence()),
        };
        for line in summary::lines(&ending, dry_run) {
            console.say(&line);
        }
        outputs.write(&ending).map_err(|error| Failure {
            // A run that failed keeps its own code; one that was clean is not, when its report is lost.
            outcome: if ending.outcome == Outcome::Clean { Outcome::Failed } else { ending.outcome },
            error: error.into(),
        })?;
        Ok(ending.outcome)
    })
}

/// Runs `body`, says why it failed, and gives its exit code.
pub fn plain(console: &Arc<Console>, body: impl FnOnce() -> Result<Outcome, Failure>) -> Exit {
    let outcome = body().unwrap_or_else(|failure| {
        console.say(&format!("ferry: {}", failure.sentence()));
        failure.outcome
    });
    outcome.exit()
}

impl Job<'_> {
    /// Runs a session to its end, with signals watched and progress shown.
    ///
    /// # Errors
    /// What the session's beginning failed with, or that this process got no runtime.
    pub fn drive<F>(&self, session: impl FnOnce(Arc<Progress>, Stop) -> F) -> Result<RunReport, Failure>
    where
        F: Future<Output = Result<RunReport, Failure>>,
    {
        block_on(self.console, |stop| {
            let progress = Arc::new(Progress::default());
            let session = session(Arc::clone(&progress), stop);
            async move {
                let _display = progress::show(self.mode, self.side, &self.run, &progress, self.console);
                session.await
            }
        })
    }
}

/// Runs a future of this process to its end with SIGINT and SIGTERM watched, on a runtime of its own.
///
/// # Errors
/// What the future failed with, or that there is no runtime.
pub fn block_on<T, F>(console: &Arc<Console>, make: impl FnOnce(Stop) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of this process")
        .map_err(Failure::failed)?;
    // Modes are set exactly as the source has them, so the umask must not take part (engine-rules 19).
    crate::volume::set_umask_zero();
    let stop = Stop::new();
    let result = runtime.block_on(async {
        let watch = signals::watch(stop.clone(), Arc::clone(console)).context("cannot watch for signals");
        let _watch = watch.map_err(Failure::failed)?;
        make(stop).await
    });
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    result
}

/// An id for a run nobody named: the second it began and the process.
///
/// # Errors
/// Never in practice: the text is always a run id.
pub fn run_id() -> Result<RunId, Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    RunId::new(&format!("run-{}-{}", now.as_secs(), std::process::id()))
        .context("cannot name this run; give --run ID")
        .map_err(Failure::failed)
}

impl Outputs {
    fn open(output: &OutputArgs) -> Result<Self, FileError> {
        let report = output.report.as_deref().map(ReportFile::open).transpose()?;
        let termination = output.termination_log.as_deref().map(InPlaceFile::open).transpose()?;
        Ok(Self { report, termination })
    }

    /// Writes both, also when the first fails.
    fn write(self, ending: &Ending) -> Result<(), FileError> {
        let termination = self.termination.map_or(Ok(()), |file| file.commit(&ending.termination()));
        let report = self.report.map_or(Ok(()), |file| file.commit(&ending.report()));
        report.and(termination)
    }
}
