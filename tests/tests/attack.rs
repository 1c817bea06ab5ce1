//! What nearly went wrong once: each test is an attack on a promise that a review found open. Hangs, false successes,
//! deletions outside the volume, counts that were wrong.

use ferry_tests::Result;
use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::place::Place;
use ferry_tests::scene::within;

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
