//! The matrix: our image in the pods of each version, on both sides. It moves the very trees that `pods_stock` moves, and the same
//! comparator holds the outcome against the source; what is overlooked there as stock's defect is not overlooked here.

use std::path::Path;
use std::time::Duration;

use ferry_tests::compare::{self, Aspect};
use ferry_tests::pods::cell::Cell;
use ferry_tests::pods::client::Options;
use ferry_tests::pods::image::{Built, Root};
use ferry_tests::pods::pod::Pod;
use ferry_tests::pods::security::Security;
use ferry_tests::pods::tree::{FOREIGN, LEADING_OUT};
use ferry_tests::pods::version::Version;
use ferry_tests::scene::within;
use ferry_tests::{Result, ensure, operator};

/// How long one pod may take.
const SOON: Duration = Duration::from_secs(60);

/// What a version's privilege cannot keep, and nothing else.
fn known(version: Version) -> Vec<Aspect> {
    match version.security() {
        Security::Root | Security::RootDropped | Security::Image => vec![Aspect::Root],
        Security::Restricted => vec![Aspect::Root, Aspect::DirectoryTimes, Aspect::Below(FOREIGN.into())],
    }
}

/// A first run, a second one that has nothing to do, and a third after changes at the source.
fn ours_moves_a_tree(version: Version) -> Result<()> {
    Built::get()?;
    within(120, move |scene| {
        let cell = Cell::new(scene, version, &Root::ours(scene)?)?;
        let claim = cell.claim();
        let mut migration = cell.start(scene)?;
        let first = migration.attempt(&claim, &Options::default(), SOON)?;
        operator::reads_always(&first.succeeded()?.log)?;
        compare::equal_but(&claim.source, &claim.destination, &known(version))?;
        let link = std::fs::read_link(claim.destination.join(LEADING_OUT).join("absolute"))?;
        ensure!(link.as_os_str() == "/etc/hostname", "a target became {}", link.display());

        let before = compare::snapshot(&claim.destination)?;
        let second = migration.attempt(&claim, &Options::default(), SOON)?;
        operator::reads_always(&second.succeeded()?.log)?;
        compare::unmoved(&before, &compare::snapshot(&claim.destination)?)?;

        std::fs::remove_file(claim.source.join("content/300000 bytes"))?;
        std::fs::write(claim.source.join("content/1 bytes"), "changed")?;
        hand_over(&claim.source.join("content/1 bytes"), version)?;
        migration.attempt(&claim, &Options::default(), SOON)?.succeeded()?;
        compare::equal_but(&claim.source, &claim.destination, &known(version))?;
        leaves_nothing_in_its_root(&mut migration.server)
    })
}

/// Gives a file to whom a pod of this version's application would be.
fn hand_over(path: &Path, version: Version) -> Result<()> {
    let user = version.security().fs_group();
    Ok(std::os::unix::fs::chown(path, user, user)?)
}

/// Nothing but mounts was written to.
fn leaves_nothing_in_its_root(pod: &mut Pod<'_>) -> Result<()> {
    for container in &pod.containers {
        let written = container.written()?;
        ensure!(written.is_empty(), "{} wrote {written:?} into its root", container.name);
    }
    Ok(())
}

#[test]
fn ours_moves_a_tree_under_1_4() -> Result<()> {
    ours_moves_a_tree(Version::V14)
}

#[test]
fn ours_moves_a_tree_under_1_5() -> Result<()> {
    ours_moves_a_tree(Version::V15)
}

#[test]
fn ours_moves_a_tree_under_1_7_as_root() -> Result<()> {
    ours_moves_a_tree(Version::V17)
}

#[test]
fn ours_moves_a_tree_under_1_7_as_anybody() -> Result<()> {
    ours_moves_a_tree(Version::V17Restricted)
}

#[test]
fn ours_moves_a_tree_under_1_8_as_root() -> Result<()> {
    ours_moves_a_tree(Version::V18)
}

#[test]
fn ours_moves_a_tree_under_1_8_as_anybody() -> Result<()> {
    ours_moves_a_tree(Version::V18Restricted)
}

#[test]
fn the_operator_sees_it_move() -> Result<()> {
    Built::get()?;
    within(90, |scene| {
        let cell = Cell::slow(scene, Version::V17Restricted, &Root::ours(scene)?, 160)?;
        let attempt =
            cell.start(scene)?.attempt(&cell.claim(), &Options { bwlimit: Some(1536), ..Options::default() }, SOON)?;
        operator::reads_always(&attempt.succeeded()?.log)?;
        let percents = attempt.percents();
        ensure!(percents.iter().any(|percent| (1..100).contains(percent)), "it saw {percents:?}:\n{}", attempt.log);
        ensure!(percents.is_sorted(), "it saw {percents:?}");
        ensure!(attempt.samples.iter().any(|sample| sample.rate.is_some()), "it saw no rate:\n{}", attempt.log);
        Ok(())
    })
}

#[test]
fn options_of_an_administrator_do_what_they_say() -> Result<()> {
    Built::get()?;
    within(120, |scene| {
        let cell = Cell::new(scene, Version::V17, &Root::ours(scene)?)?;
        let claim = cell.claim();
        let mut migration = cell.start(scene)?;
        let extras =
            |words: &[&str]| Options { extras: words.iter().map(|w| (*w).to_owned()).collect(), ..Options::default() };
        migration.attempt(&claim, &extras(&["--dry-run"]), SOON)?.succeeded()?;
        ensure!(std::fs::read_dir(&claim.destination)?.next().is_none(), "a dry run wrote something");

        rustix::fs::setxattr(claim.source.join("many/file 1"), "user.kept", b"v", rustix::fs::XattrFlags::empty())?;
        let all = Options { sparse: true, ..extras(&["--compress", "--acls", "--xattrs"]) };
        migration.attempt(&claim, &all, SOON)?.succeeded()?;
        compare::equal_but(&claim.source, &claim.destination, &[Aspect::Root])?;

        // The same size and the same time: only who compares content sees it.
        let damaged = claim.destination.join("content/65537 bytes");
        let (mut bytes, time) = (std::fs::read(&damaged)?, std::fs::metadata(&damaged)?.modified()?);
        bytes.reverse();
        std::fs::write(&damaged, bytes)?;
        std::fs::File::options().write(true).open(&damaged)?.set_modified(time)?;
        let verify = Options { verify: true, ..Options::default() };
        migration.attempt(&claim, &verify, SOON)?.succeeded()?;
        compare::equal_but(&claim.source, &claim.destination, &[Aspect::Root])
    })
}
