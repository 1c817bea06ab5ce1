//! `ferry bench`: its figures are there, in the table and in the report; what it made is gone on every way out; what cannot be
//! measured is refused in a sentence. How fast it is is nobody's business here.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ferry_tests::command::{Finished, Running, run};
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::mounts::Mount;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Context, Result, ensure, unprivileged};
use rustix::process::Signal;
use serde_json::Value;

const RUNS: [&str; 5] = ["large-first", "large-pages", "large-touched", "small-first", "small-again"];

/// `ferry bench --dir DIR` with `more`.
fn command(scene: &Scene, dir: &Path, more: &[&str]) -> Result<Command> {
    let mut command = Ferry::new(scene)?.command("bench");
    command.arg("--dir").arg(dir).args(more);
    Ok(command)
}

fn bench(scene: &Scene, dir: &Path, more: &[&str]) -> Result<Finished> {
    run(scene, &mut command(scene, dir, more)?, SOON)
}

/// Fails unless it ended so, said one of the words, and left nothing in `dir`.
fn ended(done: &Finished, exit: i32, word: &str, dir: &Path) -> Result<()> {
    let said = format!("{}{}", done.text(), done.stderr);
    ensure!(done.exit == exit && said.contains(word), "exit {} instead of {exit}, or no `{word}`: {said}", done.exit);
    nothing_in(dir)
}

fn nothing_in(dir: &Path) -> Result<()> {
    let left: Vec<_> = std::fs::read_dir(dir)?.collect::<std::io::Result<_>>()?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("no report in {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn positive(record: &Value, key: &str) -> Result<f64> {
    let value = record[key].as_f64().with_context(|| format!("no {key} in {record}"))?;
    ensure!(value > 0.0 && value.is_finite(), "{key} is {value}: {record}");
    Ok(value)
}

#[test]
fn every_row_has_a_figure_a_limit_and_nothing_stays() -> Result<()> {
    within(90, |scene| {
        let (dir, report) = (scene.dir("here")?, scene.path("report.json"));
        let done = bench(scene, &dir, &["--size", "8M", "--files", "200", "--report", &report.to_string_lossy()])?;
        ended(&done, 0, "", &dir)?;
        let record = read(&report)?;
        ensure!(record["outcome"] == "clean" && record["exit"] == 0 && record["cause"].is_null(), "{record}");
        ensure!(record["size"] == 8 << 20 && record["files"] == 200, "{record}");
        ensure!(record["place"]["file_system"] == "tmpfs" && record["place"]["memory"] == true, "{record}");
        let runs = record["runs"].as_array().context("no runs")?;
        let names: Vec<&str> = runs.iter().filter_map(|run| run["run"].as_str()).collect();
        ensure!(names == RUNS, "{names:?}");
        for run in runs {
            for key in ["a_second", "amount", "elapsed_ms", "cpu_ms", "wire", "cpu_share"] {
                positive(run, key)?;
            }
            ensure!(run["limit"].as_str().is_some_and(|limit| !limit.is_empty()), "{run}");
        }
        for part in record["parts"].as_array().context("no parts")? {
            positive(part, "a_second")?;
        }
        // The first copy sends all of it, the others next to nothing: 20 pages, and digests.
        let wire: Vec<u64> = runs.iter().filter_map(|run| run["wire"].as_u64()).collect();
        ensure!(wire[0] > 8 << 20 && (20 * 4096..1 << 20).contains(&wire[1]) && wire[2] < 200_000, "{wire:?}");

        let table = done.text();
        let bars = table.lines().filter(|line| line.contains("/s  =")).count();
        ensure!(bars >= RUNS.len() + 5 && table.matches("Limit: ").count() == RUNS.len(), "{table}");
        ensure!(table.contains("on tmpfs, which is memory and no disk") && table.contains("equal"), "{table}");
        ensure!(table.contains(&*dir.to_string_lossy()), "where was it? {table}");
        Ok(())
    })
}

#[test]
fn a_report_on_standard_output_is_alone_there() -> Result<()> {
    within(90, |scene| {
        let dir = scene.dir("here")?;
        let mut command = Ferry::new(scene)?.command("bench");
        command.env("TMPDIR", &dir).args(["--size", "1M", "--files", "1", "--report", "/dev/stdout"]);
        let done = run(scene, &mut command, SOON)?;
        ended(&done, 0, "Limit: ", &dir)?;
        let record: Value = serde_json::from_str(&done.text())?;
        ensure!(record["runs"].as_array().is_some_and(|runs| runs.len() == RUNS.len()), "{record}");
        ensure!(record["place"]["path"].as_str().is_some_and(|path| Path::new(path).starts_with(&dir)), "{record}");
        Ok(())
    })
}

#[test]
fn a_signal_at_any_moment_leaves_nothing_and_says_so() -> Result<()> {
    within(180, |scene| {
        let dir = scene.dir("here")?;
        let moments = [
            ("making one file", Signal::INT, 130),
            ("measuring each part", Signal::TERM, 143),
            ("measuring: first copy, one file", Signal::INT, 130),
            ("measuring: again, 1 %", Signal::TERM, 143),
            ("measuring: first copy, 5,000", Signal::INT, 130),
        ];
        for (words, signal, exit) in moments {
            let report = scene.fresh("report", ".json");
            let mut command = command(scene, &dir, &["--size", "128M", "--files", "5000"])?;
            let mut running = Running::start(scene, command.arg("--report").arg(&report))?;
            running.wait_for(SOON, |_, said| said.contains(words).then_some(()))?;
            running.signal(signal)?;
            let done = running.finish(Duration::from_secs(30))?;
            ended(&done, exit, "stopped before the end", &dir).with_context(|| words.to_owned())?;
            ensure!(done.stdout.is_empty(), "{words}: a table of half the figures: {}", done.text());
            let record = read(&report)?;
            ensure!(record["exit"] == exit && record["cause"].is_string(), "{words}: {record}");
        }
        Ok(())
    })
}

#[test]
fn a_second_signal_ends_at_once_and_names_what_remains() -> Result<()> {
    within(90, |scene| {
        let dir = scene.dir("here")?;
        let mut running = Running::start(scene, &mut command(scene, &dir, &["--size", "512M"])?)?;
        running.wait_for(SOON, |_, said| said.contains("making one file").then_some(()))?;
        // Both are there when it goes on.
        for signal in [Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT] {
            running.signal(signal)?;
        }
        let done = running.finish(Duration::from_secs(30))?;
        ensure!([130, 143].contains(&done.exit), "exit {}: {}", done.exit, done.stderr);
        let left: Vec<_> = std::fs::read_dir(&dir)?.collect::<std::io::Result<_>>()?;
        let named = left.iter().all(|entry| done.stderr.contains(&format!("{} remains", entry.path().display())));
        ensure!(left.len() == 1 && named, "{left:?}: {}", done.stderr);
        Ok(())
    })
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_made() -> Result<()> {
    within(90, |scene| {
        let dir = scene.dir("here")?;
        let wrong: [(&[&str], &str); 5] = [
            (&["--size", "0"], "at least 1M"),
            (&["--size", "512K"], "at least 1M"),
            (&["--size", "much"], "a size is a number of bytes"),
            (&["--files", "0"], "0 is not in 1..=10000000"),
            (&["--report", "/no/such/report.json"], "/no/such/report.json"),
        ];
        for (more, words) in wrong {
            ended(&bench(scene, &dir, more)?, 2, words, &dir).with_context(|| format!("{more:?}"))?;
        }
        ended(&bench(scene, &scene.path("missing"), &[])?, 2, "does not exist", &dir)?;
        std::fs::write(scene.path("file"), "x")?;
        ended(&bench(scene, &scene.path("file"), &[])?, 2, "no directory", &dir)?;
        let huge = bench(scene, &dir, &["--size", "900T"])?;
        ended(&huge, 1, "the benchmark needs about 1.76 PiB", &dir)?;
        ensure!(huge.stderr.contains("--size") && huge.stderr.contains("--dir"), "{}", huge.stderr);
        Ok(())
    })
}

#[test]
fn a_place_without_room_is_refused_and_one_that_fills_up_is_left_clean() -> Result<()> {
    within(90, |scene| {
        let small = Mount::tmpfs(&scene.path("small"), 24 << 20)?;
        ended(&bench(scene, small.path(), &["--size", "16M"])?, 1, "are free", small.path())?;
        // Room enough when it is asked for, taken by somebody else before the copy: enough for what is written meanwhile.
        let other = Mount::tmpfs(&scene.path("other"), 512 << 20)?;
        let mut running =
            Running::start(scene, &mut command(scene, other.path(), &["--size", "200M", "--files", "50"])?)?;
        running.wait_for(SOON, |_, said| said.contains("measuring each part").then_some(()))?;
        let taken = std::fs::File::create(other.path().join("taken"))?;
        rustix::fs::fallocate(&taken, rustix::fs::FallocateFlags::empty(), 0, 150 << 20)?;
        let done = running.finish(SOON)?;
        std::fs::remove_file(other.path().join("taken"))?;
        ended(&done, 1, "space", other.path())
    })
}

#[test]
fn anybody_can_run_it_where_he_may_write() -> Result<()> {
    within(90, |scene| {
        let binary = unprivileged::runnable(scene, Ferry::new(scene)?.binary())?;
        let (own, foreign) = (unprivileged::dir(scene, "own")?, scene.dir("foreign")?);
        let bench = |dir: &Path| {
            let mut command = Command::new(&binary);
            command.args(["bench", "--size", "1M", "--files", "100", "--dir"]).arg(dir);
            run(scene, &mut unprivileged::command(&command), SOON)
        };
        ended(&bench(&own)?, 0, "equal", &own)?;
        ended(&bench(&foreign)?, 2, "Permission denied", &foreign)
    })
}
