//! A source that lives while it is copied: files vanish, grow, shrink, are replaced and change their kind. The run never
//! fails, and no file at the destination is ever a mixture of two states.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::{Done, Ferry, SOON};
use ferry_tests::place::{Place, shown};
use ferry_tests::scene::within;
use ferry_tests::trees::Seed;
use ferry_tests::{Result, ensure};

/// Files that change.
const FILES: u64 = 60;
/// Bytes of the largest; one write call makes a state, and it must be short against the kernel's clock.
const LEN_MAX: u64 = 200_000;

/// A state of a file is one number repeated: any prefix of it is a state too, so growing and shrinking keep it whole.
fn state(generation: u64, len: u64) -> Vec<u8> {
    generation.to_le_bytes().iter().copied().cycle().take(len as usize).collect()
}

fn is_whole(content: &[u8]) -> bool {
    content.iter().zip(content.iter().skip(8)).all(|(a, b)| a == b)
}

/// Changes the tree until told to stop.
struct Mutator {
    stop: Arc<AtomicBool>,
    steps: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

impl Mutator {
    fn start(root: &Path) -> Result<Self> {
        let (stop, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (inner, counted, place) = (Arc::clone(&stop), Arc::clone(&steps), Place::open(root)?);
        let thread = std::thread::spawn(move || {
            let mut seed = Seed::new(77);
            while !inner.load(Ordering::Relaxed) {
                step(&place, &mut seed)?;
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(300));
            }
            Ok(())
        });
        Ok(Self { stop, steps, thread })
    }

    fn end(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(outcome) => outcome?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(self.steps.load(Ordering::Relaxed))
    }
}

fn step(place: &Place, seed: &mut Seed) -> Result<()> {
    let name = format!("live-{:03}", seed.below(FILES)).into_bytes();
    let len = 1 + seed.below(LEN_MAX);
    let generation = seed.number();
    let regular = place.stat(&name).is_ok_and(|stat| stat.st_mode & 0o170_000 == 0o100_000);
    match seed.below(8) {
        0 | 1 if regular => {
            let file = place.edit(&name)?;
            file.write_all_at(&state(generation, file.metadata()?.len()), 0)?;
        }
        2 if regular => {
            let file = place.edit(&name)?;
            let (mut first, now) = ([0; 8], file.metadata()?.len());
            if now >= 8 && now + 5000 < LEN_MAX * 2 {
                file.read_exact_at(&mut first, 0)?;
                let grown = state(u64::from_le_bytes(first), now + 5000);
                file.write_all_at(grown.get(now as usize..).unwrap_or_default(), now)?;
            }
        }
        3 if regular => {
            let file = place.edit(&name)?;
            file.set_len((len / 2).min(file.metadata()?.len()))?;
        }
        4 => {
            remove(place, &name)?;
        }
        5 => {
            remove(place, &name)?;
            place.dir(&name)?;
        }
        6 => {
            remove(place, &name)?;
            place.symlink(&name, b"changed")?;
        }
        _ => {
            remove(place, b"new")?;
            place.file(b"new", &state(generation, len))?;
            remove(place, &name)?;
            place.rename(b"new", place, &name)?;
        }
    }
    Ok(())
}

fn remove(place: &Place, name: &[u8]) -> Result<()> {
    match place.stat(name) {
        Err(_) => Ok(()),
        Ok(stat) if stat.st_mode & 0o170_000 == 0o040_000 => place.rmdir(name),
        Ok(_) => place.unlink(name),
    }
}

/// Every regular file is one state, unless the run named it as a problem.
fn no_mixture(destination: &Path, done: &Done) -> Result<()> {
    let report = done.report()?;
    let place = Place::open(destination)?;
    for name in place.names()? {
        let path = destination.join(String::from_utf8_lossy(&name).as_ref());
        if !std::fs::symlink_metadata(&path)?.is_file() || report.names(&shown(&name)) {
            continue;
        }
        let content = std::fs::read(&path)?;
        ensure!(is_whole(&content), "{} is a silent mixture of {} bytes", shown(&name), content.len());
    }
    Ok(())
}

#[test]
fn a_living_source_never_fails_a_run_and_never_leaves_a_mixture() -> Result<()> {
    within(240, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let place = Place::open(&source)?;
        for number in 0..FILES {
            place.file(format!("live-{number:03}").as_bytes(), &state(number, 1000 * number))?;
            place.file(format!("still-{number:03}").as_bytes(), &state(number, 100_000))?;
        }
        let ferry = Ferry::new(scene)?;
        let mutator = Mutator::start(&source)?;
        let mut exits = BTreeSet::new();
        for _ in 0..12 {
            let done = ferry.sync(&source, &destination, &["--delete"])?.exits_one_of(&[0, 3])?;
            no_mixture(&destination, &done)?;
            exits.insert(done.process.exit);
        }
        let keys = ferry.keys()?;
        for _ in 0..4 {
            let (sent, received) = ferry.transfer(&keys, &source, &destination, &["--delete"])?;
            received.exits_one_of(&[0, 3])?;
            no_mixture(&destination, &sent.exits_one_of(&[0, 3])?)?;
        }
        let steps = mutator.end()?;
        ensure!(steps > 500, "only {steps} changes were made: the machine was too busy to test anything");
        ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_file_that_grows_without_end_does_not_hold_the_run() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let place = Place::open(&source)?;
        let log = place.file(b"log", &[b'x'; 1 << 20])?;
        place.file(b"other", b"o")?;
        let stop = Arc::new(AtomicBool::new(false));
        let inner = Arc::clone(&stop);
        let writer = std::thread::spawn(move || -> Result<()> {
            let mut end = log.metadata()?.len();
            while !inner.load(Ordering::Relaxed) && end < 2 << 30 {
                log.write_all_at(&[b'x'; 4096], end)?;
                end += 4096;
                std::thread::sleep(Duration::from_micros(200));
            }
            Ok(())
        });
        let done = Ferry::new(scene)?.sync(&source, &destination, &[])?.exits_one_of(&[0, 3]);
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| ferry_tests::anyhow!("the writer failed"))??;
        let done = done?;
        ensure!(done.process.exit == 0 || done.report()?.names("log"), "{:?}", done.report()?.problems);
        ensure!(std::fs::read(destination.join("other"))? == b"o", "the other file did not arrive");
        Ok(())
    })
}

#[test]
fn files_that_vanish_are_counted_and_no_failure() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        ferry_tests::trees::small_files(&source, 30_000, 30)?;
        let ferry = Ferry::new(scene)?;
        let mut command = ferry.command("sync");
        command.arg(&source).arg(&destination).args(["--bwlimit", "1M"]);
        let run = ferry.start(command)?;
        std::thread::sleep(Duration::from_millis(150));
        for dir in (5..30).rev() {
            let place = Place::open(&source.join(format!("dir-{dir:05}")))?;
            for name in place.names()? {
                place.unlink(&name)?;
            }
        }
        run.finish(SOON)?.exits(0)?;
        ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}
