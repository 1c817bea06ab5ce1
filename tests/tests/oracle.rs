//! rsync as the oracle: random trees and random edits through both, each compared strictly with the source. What rsync
//! leaves is printed; ferry must leave nothing.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use ferry_tests::command::run;
use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Limits, Seed};
use ferry_tests::{Context, Result, ensure};

fn rsync(scene: &Scene, source: &Path, destination: &Path) -> Result<i32> {
    let mut command = Command::new("rsync");
    command
        .args(["-aHAXS", "--numeric-ids", "--delete", "--modify-window=-1"])
        .arg(format!("{}/", source.display()))
        .arg(destination);
    Ok(run(scene, &mut command, SOON)?.exit)
}

/// Says it where `cargo test -- --nocapture` shows it.
fn note(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn random_trees(first: u64) -> Result<()> {
    within(200, move |scene| {
        let ferry = Ferry::new(scene)?;
        for number in first..first + 8 {
            let mut seed = Seed::new(number);
            let [source, ours, theirs] =
                ["source", "ferry", "rsync"].map(|name| scene.path(&format!("{name}-{number}")));
            trees::random(&source, &mut seed, 150)?;
            let mut left = 0;
            for round in 0..4 {
                ferry
                    .sync(&source, &ours, &["--delete"])?
                    .exits(0)
                    .with_context(|| format!("seed {number}, round {round}"))?;
                compare::equal(&source, &ours).with_context(|| format!("ferry, seed {number}, round {round}"))?;
                let exit = rsync(scene, &source, &theirs)?;
                ensure!(matches!(exit, 0 | 23 | 24), "rsync ended with {exit}: the oracle itself is broken");
                left += compare::differences(&source, &theirs, &[])?.len();
                trees::edit(&source, &mut seed, 40)?;
            }
            note(&format!("seed {number}: rsync left {left} differences in four rounds, ferry none"))?;
        }
        Ok(())
    })
}

#[test]
fn random_trees_and_edits_leave_no_difference() -> Result<()> {
    random_trees(1000)
}

#[test]
fn more_random_trees_and_edits_leave_no_difference() -> Result<()> {
    random_trees(2000)
}

#[test]
fn a_tree_that_rsync_cannot_carry_is_carried() -> Result<()> {
    within(200, |scene| {
        let [source, ours, theirs] = ["source", "ferry", "rsync"].map(|name| scene.path(name));
        trees::everything(&source, 12, Limits::PATH)?;
        Ferry::new(scene)?.sync(&source, &ours, &["--delete"])?.exits(0)?;
        compare::equal(&source, &ours)?;
        let exit = rsync(scene, &source, &theirs)?;
        let left = compare::differences(&source, &theirs, &[])?.len();
        note(&format!("rsync ended with {exit} and left {left} differences"))
    })
}

#[test]
fn ferry_agrees_with_what_rsync_copied() -> Result<()> {
    within(120, |scene| {
        let (source, copied) = (scene.path("source"), scene.path("copied"));
        trees::small_files(&source, 3000, 20)?;
        ensure!(rsync(scene, &source, &copied)? == 0, "rsync failed on plain files");
        let ferry = Ferry::new(scene)?;
        ferry.verify(&source, &copied, &[])?.exits(0)?;
        let done = ferry.sync(&source, &copied, &["--delete"])?.exits(0)?;
        ensure!(done.report()?.bytes.literal == 0, "what rsync copied was copied again: {:?}", done.report()?.bytes);
        compare::equal_but(&source, &copied, &[Aspect::Top("none")])
    })
}
