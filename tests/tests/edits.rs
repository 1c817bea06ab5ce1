//! Any edit of any file, judged by the bytes at the destination only: scripts that nobody thought of, and kills in the middle
//! of a second run. They know nothing of leaves, pages and windows but where their borders are.
//!
//! `PROPTEST_CASES=1000 cargo test --test edits any_edit` hunts longer, each time with other scripts.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::{Ferry, Keys};
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{Edit, Seed, apply};
use ferry_tests::{Context, Result, ensure};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

const MIB: u64 = 1 << 20;
/// The largest file; two and a half segments.
const LEN_MAX: u64 = 20 * MIB;
/// Where something begins or ends: a page, a leaf, the smallest file patched in place, a segment.
const BORDERS: [u64; 4] = [4096, 65_536, 4 * MIB, 8 * MIB];
const CASES: u32 = 20;
/// How each case is run: patched or rebuilt, never half-seen, and with every byte looked at.
const WAYS: [&[&str]; 3] = [&[], &["--atomic"], &["--checksum", "--delete"]];

/// A place in a file or a length of one, often at a border or beside it.
fn place() -> impl Strategy<Value = u64> {
    let border = (prop::sample::select(&BORDERS[..]), 0..40_u64, 0..5_u64)
        .prop_map(|(border, times, beside)| ((border * times) % LEN_MAX + beside).saturating_sub(2));
    prop_oneof![3 => border, 2 => 0..LEN_MAX]
}

/// How much of a file is edited: mostly little, borders again, sometimes megabytes.
fn stretch() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => 1..200_u64,
        3 => prop::sample::select(vec![4096, 4095, 4097, 65_536, 65_535, 65_537, 262_144]),
        2 => 1..200_000_u64,
        1 => 1..9 * MIB,
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, len, seed) = (place, stretch, any::<u64>);
    prop_oneof![
        (at(), len(), seed()).prop_map(|(at, len, seed)| Edit::Overwrite { at, len, seed }),
        (at(), len(), seed()).prop_map(|(at, len, seed)| Edit::Insert { at, len, seed }),
        (at(), len()).prop_map(|(at, len)| Edit::Delete { at, len }),
        (len(), seed()).prop_map(|(len, seed)| Edit::Append { len, seed }),
        at().prop_map(|at| Edit::Truncate { at }),
        len().prop_map(|len| Edit::Grow { len }),
        (at(), len()).prop_map(|(at, len)| Edit::Punch { at, len }),
        (at(), len()).prop_map(|(at, len)| Edit::Zero { at, len }),
        (at(), len(), at()).prop_map(|(at, len, to)| Edit::Move { at, len, to }),
        (at(), at(), len()).prop_map(|(one, other, len)| Edit::Swap { one, other, len }),
    ]
}

/// A file, and the scripts that are applied to it before each further run.
#[derive(Clone, Debug)]
struct Case {
    len: u64,
    seed: u64,
    /// How often the content repeats itself: what is alike may be mistaken for each other.
    period: u64,
    scripts: Vec<Vec<Edit>>,
}

fn case() -> impl Strategy<Value = Case> {
    let period = prop::sample::select(vec![4096, 5000, 65_536, LEN_MAX, LEN_MAX, LEN_MAX]);
    let scripts = prop::collection::vec(prop::collection::vec(edit(), 1..5), 1..3);
    (place(), any::<u64>(), period, scripts).prop_map(|(len, seed, period, scripts)| Case {
        len,
        seed,
        period,
        scripts,
    })
}

fn content(case: &Case) -> Result<Vec<u8>> {
    let block = Seed::new(case.seed).bytes(usize::try_from(case.len.min(case.period))?);
    Ok(block.iter().copied().cycle().take(usize::try_from(case.len)?).collect())
}

/// Runs one case in all ways.
fn holds(scene: &Scene, case: &Case) -> Result<()> {
    let root = scene.fresh("case", "");
    std::fs::create_dir(&root)?;
    let held = goes_through(&Ferry::new(scene)?, &root, case);
    // Also when it failed: what is made smaller is tried many times.
    std::fs::remove_dir_all(root)?;
    held
}

fn goes_through(ferry: &Ferry<'_>, root: &Path, case: &Case) -> Result<()> {
    let (source, file) = (root.join("source"), root.join("source/file"));
    std::fs::create_dir(&source)?;
    std::fs::write(&file, content(case)?)?;
    let destinations = WAYS.map(|more| (root.join(format!("to{}", more.len())), more));
    let run = |step: usize| -> Result<()> {
        for (destination, more) in &destinations {
            let told = || format!("run {step} with {more:?}");
            ferry.sync(&source, destination, more)?.exits(0).with_context(told)?;
            compare::equal(&source, destination).with_context(told)?;
        }
        Ok(())
    };
    run(0)?;
    for (step, script) in case.scripts.iter().enumerate() {
        apply(&file, script)?;
        run(step + 1)?;
    }
    for (destination, more) in &destinations {
        let before = compare::snapshot(destination)?;
        ferry.sync(&source, destination, more)?.exits(0)?;
        compare::unmoved(&before, &compare::snapshot(destination)?).context("a run without a change")?;
    }
    Ok(())
}

#[test]
fn any_edit_of_any_file_gives_the_same_bytes_and_a_second_run_changes_nothing() -> Result<()> {
    let hunts = std::env::var_os("PROPTEST_CASES").is_some();
    within(if hunts { 36_000 } else { 240 }, move |scene| {
        let quick = Config { cases: CASES, rng_seed: RngSeed::Fixed(3), ..Config::default() };
        let config = if hunts { Config::default() } else { quick };
        let mut runner = TestRunner::new(Config { failure_persistence: None, max_shrink_iters: 60, ..config });
        let judged =
            runner.run(&case(), |case| holds(scene, &case).map_err(|error| TestCaseError::fail(format!("{error:#}"))));
        judged.map_err(|error| ferry_tests::anyhow!("{error}"))
    })
}

#[test]
fn a_checked_run_over_an_empty_file_touches_nothing() -> Result<()> {
    // Found by `any_edit...`: with `--checksum` an empty file got a new inode in each run.
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        std::fs::write(source.join("empty"), "")?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &["--checksum"])?.exits(0)?;
        let before = compare::snapshot(&destination)?;
        ferry.sync(&source, &destination, &["--checksum"])?.exits(0)?;
        compare::unmoved(&before, &compare::snapshot(&destination)?)
    })
}

/// Files for each way a second run has: patched in place, rebuilt beside, moved, linked, copied from one that stands.
const FILES: [(&str, u64); 7] = [
    ("patched", 9 * MIB),
    ("grown", 5 * MIB),
    ("rebuilt", 3 * MIB),
    ("small", 200_000),
    ("moved 0", 6 * MIB),
    ("linked", 5 * MIB),
    ("a stays", 5 * MIB),
];

fn build(source: &Path, seed: &mut Seed) -> Result<()> {
    std::fs::create_dir_all(source)?;
    for (name, len) in FILES {
        std::fs::write(source.join(name), seed.bytes(usize::try_from(len)?))?;
    }
    Ok(std::fs::hard_link(source.join("linked"), source.join("linked too"))?)
}

/// Changes every file so that a run takes its time, and renames the one that moves.
fn change(source: &Path, seed: &mut Seed, round: u64) -> Result<()> {
    let (old, new) = (format!("moved {round}"), format!("moved {}", round + 1));
    std::fs::rename(source.join(&old), source.join(&new))?;
    let (stays, copy) = (source.join("a stays"), source.join(format!("copy {round}")));
    std::fs::copy(&stays, &copy)?;
    std::fs::File::open(&copy)?.set_modified(std::fs::metadata(&stays)?.modified()?)?;
    for (name, _) in FILES.iter().filter(|(name, _)| *name != "a stays") {
        let name = if name.starts_with("moved") { new.as_str() } else { *name };
        let len = std::fs::metadata(source.join(name))?.len();
        let mut script: Vec<Edit> = (0..6).map(|_| page(seed, len)).collect();
        script.push(Edit::Overwrite { at: seed.below(len), len: len / 4, seed: seed.number() });
        match name {
            "grown" => script.push(Edit::Append { len: 300_000, seed: seed.number() }),
            "rebuilt" => {
                script.push(Edit::Insert { at: seed.below(len), len: 19, seed: seed.number() });
                script.push(Edit::Delete { at: seed.below(len), len: 19 });
            }
            "patched" => script.push(Edit::Punch { at: seed.below(len), len: MIB }),
            _ => {}
        }
        // What only moved keeps its size and its time.
        if name != new || round % 2 == 1 {
            apply(&source.join(name), &script)?;
        }
    }
    Ok(())
}

fn page(seed: &mut Seed, len: u64) -> Edit {
    Edit::Overwrite { at: seed.below(len) / 4096 * 4096, len: 4096, seed: seed.number() }
}

#[derive(Clone, Copy)]
enum Victim {
    Sender,
    Receiver,
    Both,
}

/// Begins a run, kills one side somewhere in its middle. Whether it was met under way.
fn cut(
    ferry: &Ferry<'_>,
    keys: &Keys,
    source: &Path,
    destination: &Path,
    victim: Victim,
    after: Duration,
) -> Result<bool> {
    let more = ["--delete", "--bwlimit", "10M"];
    if matches!(victim, Victim::Both) {
        let mut command = ferry.command("sync");
        command.arg(source).arg(destination).args(more);
        let mut run = ferry.start(command)?;
        std::thread::sleep(after);
        let met = run.process.is_running()?;
        drop(run.process.kill()?);
        return Ok(met);
    }
    let receiver = ferry.receive(keys, &[("data", destination)], &[])?;
    let more = [&more[..], &["--retry-for", "1s"]].concat();
    let mut sender = ferry.send(keys, receiver.port, &[("data", source)], &more)?;
    std::thread::sleep(after);
    let met = sender.process.is_running()?;
    match victim {
        Victim::Sender => drop(sender.process.kill()?),
        Victim::Receiver | Victim::Both => drop(receiver.run.process.kill()?),
    }
    Ok(met)
}

fn killed(victim: Victim, number: u64) -> Result<()> {
    within(200, move |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let mut seed = Seed::new(number);
        build(&source, &mut seed)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let mut met = 0;
        for round in 0..10 {
            change(&source, &mut seed, round)?;
            // Cut once, and again while it is taken up.
            for _ in 0..2 {
                let after = Duration::from_millis(20 + seed.below(700));
                met += u32::from(cut(&ferry, &keys, &source, &destination, victim, after)?);
                compare::no_false_finish(&source, &destination).with_context(|| format!("round {round}"))?;
            }
            if round % 2 == 1 {
                ferry.transfer(&keys, &source, &destination, &["--delete"])?.0.exits(0)?;
                compare::equal(&source, &destination).with_context(|| format!("round {round}"))?;
            }
        }
        ensure!(met >= 10, "only {met} of 20 runs were met under way");
        Ok(())
    })
}

#[test]
fn a_sender_killed_in_a_second_run_leaves_nothing_false_and_a_rerun_converges() -> Result<()> {
    killed(Victim::Sender, 31)
}

#[test]
fn a_receiver_killed_in_a_second_run_leaves_nothing_false_and_a_rerun_converges() -> Result<()> {
    killed(Victim::Receiver, 32)
}

#[test]
fn both_sides_killed_in_a_second_run_leave_nothing_false_and_a_rerun_converges() -> Result<()> {
    killed(Victim::Both, 33)
}

/// Pages of a database: 8 KiB, each with its number and a count of how often it was written.
const DATABASE_PAGES: u64 = 4096;

fn write_page(file: &std::fs::File, number: u64, count: u64) -> Result<()> {
    let mut page = Seed::new(number * 1000 + count).bytes(8192);
    page.splice(..16, [number.to_le_bytes(), count.to_le_bytes()].concat());
    Ok(file.write_all_at(&page, number * 8192)?)
}

#[test]
fn a_database_costs_the_pages_that_were_written_in_place_or_anew() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let (ferry, name) = (Ferry::new(scene)?, source.join("database"));
        let file = std::fs::File::create(&name)?;
        (0..DATABASE_PAGES).try_for_each(|number| write_page(&file, number, 0))?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let mut seed = Seed::new(41);
        for round in 1..4 {
            // Written in place twice; then, as after a compaction, a new file under the old name.
            if round == 3 {
                std::fs::copy(&name, source.join("new"))?;
                std::fs::rename(source.join("new"), &name)?;
            }
            let file = std::fs::File::options().write(true).open(&name)?;
            write_page(&file, 0, round)?;
            (0..40).try_for_each(|_| write_page(&file, 1 + seed.below(DATABASE_PAGES - 1), round))?;
            (0..20).try_for_each(|more| write_page(&file, DATABASE_PAGES + 20 * (round - 1) + more, round))?;
            let done = ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
            compare::equal(&source, &destination)?;
            let literal = done.report()?.bytes.literal;
            ensure!(literal <= 61 * 8192, "round {round}: {literal} bytes were sent for 61 pages of 8 KiB");
        }
        Ok(())
    })
}
