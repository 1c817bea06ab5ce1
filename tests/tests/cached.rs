//! What a copy leaves in the page cache of the destination: little of what is new and large, all of what was there.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use ferry_tests::command::must;
use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::{Image, Kind};
use ferry_tests::place::Place;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::Seed;
use ferry_tests::{Context, Result, ensure};

const MIB: u64 = 1 << 20;
/// Much more than may stay.
const LARGE: usize = 192 << 20;

/// Bytes of the file that are in the page cache.
fn cached(scene: &Scene, file: &Path) -> Result<u64> {
    let mut fincore = Command::new("fincore");
    let done = must(scene, fincore.args(["--bytes", "--noheadings", "--raw", "--output", "RES"]).arg(file))?;
    done.text().trim().parse().with_context(|| format!("fincore said {:?}", done.text()))
}

fn on(kind: Kind) -> Result<()> {
    within(240, move |scene| {
        let disk = Image::new(scene, "disk", kind, 700 << 20)?;
        let source = scene.root().join("source");
        std::fs::create_dir_all(&source)?;
        let destination = disk.path().join("destination");
        let ferry = Ferry::new(scene)?;
        let place = Place::open(&source)?;
        place.file(b"large", &Seed::new(7).bytes(LARGE))?;
        place.file(b"small", &Seed::new(8).bytes(3 << 20))?;

        let copy = || ferry.transfer(&ferry.keys()?, &source, &destination, &[]);
        copy()?.0.exits(0)?;
        let (large, small) = (cached(scene, &destination.join("large"))?, cached(scene, &destination.join("small"))?);
        ensure!(large <= 16 * MIB, "{} MiB of the new file stayed in memory", large / MIB);
        ensure!(small == 3 * MIB, "only {small} bytes of the small file stayed in memory");

        // This reads all of it, and from then on somebody uses it.
        compare::equal(&source, &destination)?;
        ensure!(cached(scene, &destination.join("large"))? == LARGE as u64, "the comparison read it");
        place.edit(b"large")?.write_all_at(&[1; 20 << 20], 64 * MIB)?;
        copy()?.0.exits(0)?;
        let kept = cached(scene, &destination.join("large"))?;
        ensure!(kept == LARGE as u64, "of what was in use only {} MiB are left", kept / MIB);
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_new_large_file_leaves_memory_and_a_patched_one_stays_on_ext4() -> Result<()> {
    on(Kind::Ext4)
}

#[test]
fn a_new_large_file_leaves_memory_and_a_patched_one_stays_on_xfs() -> Result<()> {
    on(Kind::Xfs)
}
