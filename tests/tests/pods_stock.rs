//! The pods with stock parts: that the harness runs what the operator runs, and what stock makes of a tree. The known defects are
//! held here, each by its name, so that `pods` may differ from stock in them and in nothing else.

use std::time::Duration;

use ferry_tests::compare::{self, Aspect};
use ferry_tests::pods::cell::Cell;
use ferry_tests::pods::client::Options;
use ferry_tests::pods::image::Root;
use ferry_tests::pods::security::Security;
use ferry_tests::pods::tree::{FOREIGN, LEADING_OUT, SPARSE};
use ferry_tests::pods::version::Version;
use ferry_tests::scene::within;
use ferry_tests::{Result, ensure};

/// How long one pod may take.
const SOON: Duration = Duration::from_secs(40);

/// Moves an application's tree and holds it against the source, but for what stock is known to do.
fn stock_moves_a_tree(version: Version) -> Result<()> {
    within(60, move |scene| {
        let cell = Cell::new(scene, version, &Root::stock(scene)?)?;
        let claim = cell.claim();
        let mut migration = cell.start(scene)?;
        migration.attempt(&claim, &Options::default(), SOON)?.succeeded()?;
        let mut known = vec![Aspect::Below(LEADING_OUT.into()), Aspect::Below(SPARSE.into()), Aspect::Root];
        if version.security() == Security::Restricted {
            // Asked for by `--omit-dir-times`, and by rule.
            known.extend([Aspect::DirectoryTimes, Aspect::Below(FOREIGN.into())]);
        }
        compare::equal_but(&claim.source, &claim.destination, &known)?;
        // A defect of stock without chroot: what led out of the volume leads into it.
        let link = std::fs::read_link(claim.destination.join(LEADING_OUT).join("absolute"))?;
        ensure!(link.as_os_str() == "etc/hostname", "stock kept {}", link.display());
        Ok(())
    })
}

#[test]
fn stock_moves_a_tree_under_1_4() -> Result<()> {
    stock_moves_a_tree(Version::V14)
}

#[test]
fn stock_moves_a_tree_under_1_5() -> Result<()> {
    stock_moves_a_tree(Version::V15)
}

#[test]
fn stock_moves_a_tree_under_1_7_as_root() -> Result<()> {
    stock_moves_a_tree(Version::V17)
}

#[test]
fn stock_moves_a_tree_under_1_7_as_anybody() -> Result<()> {
    stock_moves_a_tree(Version::V17Restricted)
}

#[test]
fn stock_moves_a_tree_under_1_8_as_root() -> Result<()> {
    stock_moves_a_tree(Version::V18)
}

#[test]
fn stock_moves_a_tree_under_1_8_as_anybody() -> Result<()> {
    stock_moves_a_tree(Version::V18Restricted)
}

#[test]
fn a_wrong_password_fails_a_stock_pod_with_5() -> Result<()> {
    within(60, |scene| {
        let cell = Cell::new(scene, Version::V17, &Root::stock(scene)?)?;
        let mut migration = cell.start(scene)?;
        migration.password = "Guess".to_owned();
        migration.attempt(&cell.claim(), &Options::default(), SOON)?.exits(5)?;
        Ok(())
    })
}

#[test]
fn a_stock_pod_whose_first_process_is_killed_never_ends() -> Result<()> {
    within(60, |scene| {
        let cell = Cell::empty(scene, Version::V17, &Root::stock(scene)?, &["data"])?;
        let claim = cell.claim();
        std::fs::create_dir_all(&claim.source)?;
        std::fs::write(claim.source.join("large"), vec![7; 8 << 20])?;
        let migration = cell.start(scene)?;
        let mut pod = migration.client(&claim, &Options { bwlimit: Some(512), ..Options::default() })?;
        ferry_tests::command::until(SOON, "the copy begins", || {
            Ok(std::fs::read_dir(&claim.destination)?.next().is_some())
        })?;
        pod.container("rsync")?.signal(rustix::process::Signal::KILL)?;
        std::thread::sleep(Duration::from_secs(5));
        ensure!(pod.container("rsync")?.exit()? == Some(137), "{}", pod.story());
        // Nobody touches the file that the other container waits for: why ours has a watchdog.
        ensure!(pod.container("stunnel")?.exit()?.is_none(), "{}", pod.story());
        Ok(())
    })
}
