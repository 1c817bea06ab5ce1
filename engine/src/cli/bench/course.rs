//! The course of a benchmark: data, the parts by themselves, then each run with the comparison behind it.
//!
//! What is prepared, opened and compared is outside of the time that is measured. It ends with the first thing that fails
//! or with a wish to stop; what was measured until then stands in the figures.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::clock::Clock;
use super::data::{self, Changes, LARGE_NAME};
use super::limit::{Machine, Rate, Raw, Work};
use super::rates;
use super::rows::{Case, Figures, Row, Unit};
use crate::cli::console::Console;
use crate::cli::job::Failure;
use crate::cli::loopback::{self, Crossing, Route, go_on};
use crate::cli::{units, verify};
use crate::session::{RunReport, Stop};
use crate::types::{Outcome, VolumeName};

/// Runs that change nothing are short: the middle one of so many counts.
const SHORT_RUNS: usize = 3;

/// A benchmark under way, in a directory of its own.
pub struct Course<'a> {
    root: PathBuf,
    console: &'a Console,
    stop: Stop,
}

impl<'a> Course<'a> {
    /// In the empty directory `root`.
    #[must_use]
    pub fn new(root: &Path, console: &'a Console, stop: Stop) -> Self {
        Self { root: root.to_owned(), console, stop }
    }

    /// Measures everything; what was measured is put into `figures` as it comes.
    ///
    /// # Errors
    /// Something could not be made, copied or compared, was not equal, or somebody wanted to stop.
    pub async fn run(&self, figures: &mut Figures) -> Result<(), Failure> {
        let (scale, clock) = (figures.scale, Clock::start());
        let (size, files) = (units::bytes(scale.size), units::count(scale.files));
        let site = format!("{}, {}", figures.site.path, figures.site.words);
        self.console.say(&format!("making one file of {size} and {files} small files in {site}"));
        loopback::keys(&self.keys())?;
        let (source, stop) = (self.source(Unit::Bytes), self.stop.clone());
        file_work(move || data::make_large(&source, scale.size, &stop)).await?;
        let (source, stop) = (self.source(Unit::Files), self.stop.clone());
        let (make, bytes) = file_work(move || {
            let clock = Clock::start();
            let bytes = data::make_small(&source, scale.files, &stop)?;
            Ok((Rate { amount: scale.files, spent: clock.stop() }, bytes))
        })
        .await?;
        figures.small_bytes = bytes;

        self.console.say("measuring each part by itself");
        figures.raw = Some(self.parts(figures, make).await?);

        for case in Case::ALL {
            self.console.say(&format!("measuring: {}", case.words(scale)));
            self.prepare(case).await?;
            figures.rows.push(self.measure(figures, case).await?);
            self.compare(case.unit()).await?;
        }
        figures.machine = Machine::seen(figures.machine.cores, clock.stop());
        Ok(())
    }

    async fn parts(&self, figures: &Figures, make: Rate) -> Result<Raw, Failure> {
        let large = self.source(Unit::Bytes).join(LARGE_NAME);
        let (scratch, size, stop) = (self.root.join("written"), figures.scale.size, self.stop.clone());
        let (fetch, read, hash, write) = file_work(move || {
            // Fetched first: the kernel is made to forget for it, and has it all again for what follows.
            let fetch = rates::fetch(&large, &stop)?;
            let read = rates::read(&large, &stop)?;
            Ok((fetch, read, rates::hash(&stop)?, rates::write(&scratch, size, &stop)?))
        })
        .await?;
        let tls = rates::tls(&self.keys(), figures.lanes, &self.stop).await?;
        Ok(Raw { read, fetch, hash, tls, write, make })
    }

    /// Changes the source as the case wants it.
    async fn prepare(&self, case: Case) -> Result<(), Failure> {
        let (source, stop) = (self.source(case.unit()), self.stop.clone());
        match case {
            Case::LargePages => file_work(move || data::change_pages(&source, Changes(1), &stop)).await.map(|_| ()),
            Case::LargeTouched => file_work(move || data::touch(&source, Changes(2))).await,
            Case::LargeFirst | Case::SmallFirst | Case::SmallAgain => Ok(()),
        }
    }

    async fn measure(&self, figures: &Figures, case: Case) -> Result<Row, Failure> {
        let runs = if case == Case::SmallAgain { SHORT_RUNS } else { 1 };
        let mut rows = Vec::new();
        for _ in 0..runs {
            rows.push(self.copy(figures, case).await?);
        }
        rows.sort_by_key(|row: &Row| row.spent.wall);
        rows.get(runs / 2).copied().context("nothing was measured").map_err(Failure::failed)
    }

    /// One run of a sender and a receiver.
    async fn copy(&self, figures: &Figures, case: Case) -> Result<Row, Failure> {
        let crossing = Crossing {
            volume: VolumeName::new("bench").map_err(Failure::failed)?,
            source: self.source(case.unit()),
            destination: self.destination(case.unit()),
            delete: false,
            lanes: figures.lanes,
        };
        let route = Route::open(&self.keys())?;
        let clock = Clock::start();
        let report = route.copy(crossing, self.console, &self.stop).await?;
        let spent = clock.stop();
        let work = work(figures, case, &report);
        if matches!(case, Case::LargeTouched | Case::SmallAgain) && literal(&report) > 0 {
            return Err(Failure::failed(anyhow!("content was sent although none had changed")));
        }
        let amount = match case.unit() {
            Unit::Bytes => figures.scale.size,
            Unit::Files => figures.scale.files,
        };
        Ok(Row { case, amount, spent, work })
    }

    /// A copy that is not equal to its source is no figure.
    async fn compare(&self, volume: Unit) -> Result<(), Failure> {
        let report = verify::strictly(self.source(volume), self.destination(volume), self.stop.clone()).await?;
        go_on(&self.stop)?;
        match report.outcome {
            Outcome::Clean => Ok(()),
            outcome => Err(Failure {
                outcome,
                error: anyhow!(
                    "the copy was compared with its source: {} differences, {} problems; please report this",
                    report.differences,
                    report.problems.total()
                ),
            }),
        }
    }

    fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    fn source(&self, volume: Unit) -> PathBuf {
        self.root.join(format!("{}-source", volume.key()))
    }

    fn destination(&self, volume: Unit) -> PathBuf {
        self.root.join(format!("{}-destination", volume.key()))
    }
}

/// What a run did, by what its case asks for and what it reported.
fn work(figures: &Figures, case: Case, report: &RunReport) -> Work {
    let sent = report.wire.sent.saturating_add(report.wire.received);
    let size = figures.scale.size;
    let both = size.saturating_mul(2);
    match case {
        // Content is hashed where it leaves and where it arrives.
        Case::LargeFirst => Work { read: size, hashed: both, sent, written: size, made: 0 },
        // Leaves are read and hashed on both sides, then what differs is sent.
        Case::LargePages | Case::LargeTouched => {
            Work { read: both, hashed: both, sent, written: literal(report), made: 0 }
        }
        Case::SmallFirst => Work {
            read: figures.small_bytes,
            hashed: figures.small_bytes.saturating_mul(2),
            sent,
            written: 0,
            made: figures.scale.files,
        },
        Case::SmallAgain => Work { sent, ..Work::default() },
    }
}

/// Bytes of content that were sent as they are.
fn literal(report: &RunReport) -> u64 {
    report.volumes.iter().fold(0, |sum, volume| sum.saturating_add(volume.bytes.literal))
}

/// File work blocks its thread: not one of those that drive sockets.
async fn file_work<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.context("file work ended early").map_err(Failure::failed)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(root: &Path) -> Result<(), Failure> {
        let console = Console::default();
        let course = Course::new(root, &console, Stop::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(course.compare(Unit::Bytes))
    }

    #[test]
    fn a_fast_wrong_copy_is_a_failure_and_no_figure() {
        let root = std::env::temp_dir().join(format!("ferry-bench-course-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir(&root).unwrap();
        for side in ["bytes-source", "bytes-destination"] {
            data::make_large(&root.join(side), 1 << 20, &Stop::new()).unwrap();
            let directory = std::fs::File::open(root.join(side)).unwrap();
            directory.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        compared(&root).unwrap();
        // One byte, under the same size and time.
        let wrong = root.join("bytes-destination").join(LARGE_NAME);
        let modified = std::fs::metadata(&wrong).unwrap().modified().unwrap();
        let mut content = std::fs::read(&wrong).unwrap();
        content[700_000] ^= 1;
        std::fs::write(&wrong, content).unwrap();
        std::fs::File::open(&wrong).unwrap().set_modified(modified).unwrap();
        assert_eq!(compared(&root).unwrap_err().outcome, Outcome::Differences);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
