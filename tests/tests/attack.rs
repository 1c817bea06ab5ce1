//! What nearly went wrong once: each test is an attack on a promise that a review found open. Hangs, false successes,
//! deletions outside the volume, counts that were wrong.

use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::Mount;
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::{Result, ensure};

#[test]
fn a_checksum_run_over_larger_files_at_the_destination_ends() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let (small, large) = (Place::open(&source)?, Place::open(&destination)?);
        for number in 0..80 {
            let name = format!("file-{number:02}").into_bytes();
            small.file(&name, b"small")?;
            large.sparse(&name, 8 << 20, &[(0, b"large")])?;
        }
        Ferry::new(scene)?.sync(&source, &destination, &["--checksum"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_bind_mount_of_the_same_file_system_is_never_emptied() -> Result<()> {
    within(60, |scene| {
        let (source, destination, outside) = (scene.dir("source")?, scene.dir("destination")?, scene.dir("outside")?);
        std::fs::write(source.join("file"), "f")?;
        std::fs::write(outside.join("precious"), "p")?;
        std::fs::create_dir_all(destination.join("extra"))?;
        let _mount = Mount::bind(&outside, &destination.join("extra/bound"))?;
        std::fs::write(destination.join("gone"), "g")?;
        let done = Ferry::new(scene)?.sync(&source, &destination, &["--delete"])?.exits(3)?;
        ensure!(outside.join("precious").exists(), "a file outside the volume was deleted");
        ensure!(!destination.join("gone").exists(), "the rest was not mirrored");
        let problems = &done.report()?.problems;
        ensure!(problems.iter().any(|problem| problem.path.starts_with("extra")), "{problems:?}");
        Ok(())
    })
}
