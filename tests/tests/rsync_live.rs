//! A source that never holds still, as a stage finds it: what rsync ends well with, ferry as rsync ends well with, and the
//! run after the last write makes both sides equal.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ferry_tests::called::Called;
use ferry_tests::command::{Finished, tail};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::operator;
use ferry_tests::scene::within;
use ferry_tests::{Result, ensure};

/// Bytes of the large file.
const LARGE: u64 = 24 << 20;

/// An application at work: it appends to a log, writes pages of a database, and makes and removes files.
struct Application {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Application {
    fn start(root: &Path) -> Result<Self> {
        std::fs::create_dir(root.join("spool"))?;
        let mut database = std::fs::File::create(root.join("database"))?;
        for page in 0..LARGE / 4_096 {
            database.write_all(&[u8::try_from(page % 251)?; 4_096])?;
        }
        std::fs::write(root.join("log"), "begun\n")?;
        std::fs::write(root.join("quiet"), "nobody writes here")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, root) = (Arc::clone(&stop), root.to_owned());
        let thread = std::thread::spawn(move || {
            let mut log = std::fs::File::options().append(true).open(root.join("log"))?;
            let mut step = 0_u64;
            while !told.load(Ordering::Relaxed) {
                writeln!(log, "step {step}")?;
                database.seek(SeekFrom::Start(step * 4_096 % LARGE))?;
                database.write_all(&step.to_le_bytes())?;
                std::fs::write(root.join(format!("spool/{}", step % 7)), step.to_string())?;
                std::fs::remove_file(root.join(format!("spool/{}", step % 7)))?;
                step += 1;
                std::thread::sleep(Duration::from_millis(4));
            }
            Ok(())
        });
        Ok(Self { stop, thread })
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn ended_well(done: &Finished) -> Result<()> {
    ensure!(done.exit == 0, "exit {}:\n{}\n{}", done.exit, tail(&done.text()), done.stderr);
    operator::reads_always(&done.text())
}

#[test]
fn a_stage_of_a_busy_application_ends_well_and_the_last_run_makes_it_equal() -> Result<()> {
    within(120, |scene| {
        let called = Called::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let application = Application::start(&source)?;
        let options = ["-aH", "--delete"];
        for _ in 0..3 {
            let done = called.rsync(&options, &source, &destination)?;
            ended_well(&done)?;
            ensure!(
                done.text().contains("changed while they were copied; the next run copies them again"),
                "nothing is said of it:\n{}",
                tail(&done.text())
            );
            let log = std::fs::read_to_string(destination.join("log"))?;
            ensure!(log.starts_with("begun\n") && log.ends_with('\n'), "no state the log ever had: {log:?}");
            ensure!(std::fs::metadata(destination.join("database"))?.len() == LARGE);
        }
        application.end()?;
        let last = called.rsync(&options, &source, &destination)?;
        ended_well(&last)?;
        ensure!(!last.text().contains("changed while"), "{}", tail(&last.text()));
        compare::equal_but(&source, &destination, &[Aspect::Xattrs("")])
    })
}
