//! Volumes that are one file or one block device: every way between them, what is refused, what is left alone, and that
//! kills and cuts end well.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ferry_tests::chaos::Chaos;
use ferry_tests::command::{must, run};
use ferry_tests::devices::Loop;
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::mounts::Mount;
use ferry_tests::scene::within;
use ferry_tests::trees::Seed;
use ferry_tests::{Result, ensure, unprivileged};

const MIB: usize = 1 << 20;
const LEAF: usize = 65_536;

/// Random bytes with stretches of zeros: at the start, across leaves, and short of a leaf.
fn mixed(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = Seed::new(seed).bytes(len);
    for (from, to) in [(0, len / 8), (len / 3, len / 2), (len - len / 64, len)] {
        bytes.iter_mut().take(to).skip(from).for_each(|byte| *byte = 0);
    }
    bytes
}

fn random(len: usize, seed: u64) -> Vec<u8> {
    Seed::new(seed).bytes(len)
}

/// Fails when the two differ, without printing megabytes.
fn same(have: &[u8], want: &[u8]) -> Result<()> {
    let at = have.iter().zip(want).position(|(a, b)| a != b);
    ensure!(have.len() == want.len(), "{} bytes instead of {}", have.len(), want.len());
    ensure!(at.is_none(), "it differs from byte {at:?} on");
    Ok(())
}

/// Syncs twice: the first run makes equal, the second moves nothing.
fn twice(ferry: &Ferry<'_>, source: &Path, destination: &Path, want: &[u8]) -> Result<()> {
    ferry.sync(source, destination, &["--verify"])?.exits(0)?;
    same(&std::fs::read(destination)?, want)?;
    let before = std::fs::metadata(destination)?;
    let second = ferry.sync(source, destination, &[])?.exits(0)?;
    let report = second.report()?;
    ensure!(report.bytes.literal == 0 && report.bytes.holes == 0, "{:?}", report.bytes);
    ensure!(report.entries.created + report.entries.updated == 0, "{:?}", report.entries);
    ensure!(report.entries.scanned == 1 && report.bytes.total == want.len() as u64, "{report:?}");
    let after = std::fs::metadata(destination)?;
    ensure!((before.ino(), before.ctime(), before.ctime_nsec()) == (after.ino(), after.ctime(), after.ctime_nsec()));
    ferry.verify(source, destination, &[])?.exits(0)?;
    same(&std::fs::read(destination)?, want)
}

#[test]
fn every_way_between_files_and_devices_ends_equal_and_a_second_run_does_nothing() -> Result<()> {
    within(180, |scene| {
        let ferry = Ferry::new(scene)?;
        let want = mixed(12 * MIB, 1);
        let image = scene.path("source.img");
        std::fs::write(&image, &want)?;
        let source = Loop::with(scene, "source-device.img", &want)?;
        twice(&ferry, &image, &scene.path("copy.img"), &want)?;
        twice(&ferry, source.node(), &scene.path("copy-of-device.img"), &want)?;
        for from in [image.as_path(), source.node()] {
            let device = Loop::with(scene, "destination-device.img", &random(12 * MIB, 2))?;
            twice(&ferry, from, device.node(), &want)?;
            let written = device.sectors_changed()?;
            ferry.sync(from, device.node(), &["--checksum"])?.exits(0)?;
            ensure!(device.sectors_changed()? == written, "a run with nothing to do wrote to the device");
        }
        Ok(())
    })
}

#[test]
fn files_of_every_size_become_equal_whatever_was_there() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        let device = Loop::with(scene, "device.img", &random(8 * MIB, 3))?;
        for (number, len) in [0, 1, 700, LEAF, LEAF + 1, MIB + 5, 5 * MIB + 123, 40].into_iter().enumerate() {
            let mut want = random(len, 10 + number as u64);
            std::fs::write(&source, &want)?;
            ferry.sync(&source, &destination, &["--verify"])?.exits(0)?;
            same(&std::fs::read(&destination)?, &want)?;
            let old = device.content()?;
            ferry.sync(&source, device.node(), &["--verify"])?.exits(0)?;
            let have = device.content()?;
            same(&have[..len], &want)?;
            same(&have[len..], &old[len..])?;
            if let Some(last) = want.last_mut() {
                *last ^= 1;
                std::fs::write(&source, &want)?;
                ferry.sync(&source, &destination, &["--checksum"])?.exits(0)?;
                same(&std::fs::read(&destination)?, &want)?;
                ferry.sync(&source, device.node(), &[])?.exits(0)?;
                same(&device.content()?[..len], &want)?;
            }
        }
        Ok(())
    })
}

#[test]
fn one_page_in_a_hundred_moves_only_the_leaves_it_is_in() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let mut want = random(64 * MIB, 4);
        let source = Loop::with(scene, "source.img", &want)?;
        let device = Loop::with(scene, "destination.img", &want)?;
        let image = scene.path("copy.img");
        std::fs::write(&image, &want)?;
        let (mut seed, mut leaves) = (Seed::new(5), std::collections::BTreeSet::new());
        let pages = want.len() / 4096 / 100;
        let file = std::fs::File::options().write(true).open(source.node())?;
        for _ in 0..pages {
            let at = usize::try_from(seed.below((want.len() / 4096) as u64))? * 4096;
            let page = seed.bytes(4096);
            file.write_all_at(&page, at as u64)?;
            want[at..at + 4096].copy_from_slice(&page);
            leaves.insert(at / LEAF);
        }
        file.sync_all()?;
        for destination in [device.node(), image.as_path()] {
            let done = ferry.sync(source.node(), destination, &[])?.exits(0)?;
            let bytes = done.report()?.bytes;
            let most = (leaves.len() * LEAF) as u64;
            ensure!(bytes.literal > 0 && bytes.literal <= most, "{bytes:?}, {most} expected");
            same(&std::fs::read(destination)?, &want)?;
        }
        Ok(())
    })
}

#[test]
fn a_smaller_device_is_refused_with_nothing_written_and_a_larger_one_keeps_its_tail() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let want = random(3 * MIB, 6);
        let image = scene.path("source.img");
        std::fs::write(&image, &want)?;
        let old = random(3 * MIB - 512, 7);
        let small = Loop::with(scene, "small.img", &old)?;
        let refused = ferry.sync(&image, small.node(), &[])?.exits(6)?;
        refused.says(&["nothing was written"])?;
        same(&small.content()?, &old)?;
        ensure!(small.sectors_changed()? == 0, "something was written");
        let old = random(4 * MIB, 8);
        let large = Loop::with(scene, "large.img", &old)?;
        ferry.sync(&image, large.node(), &["--verify"])?.exits(0)?.says(&["the last 1048576 bytes"])?;
        let have = large.content()?;
        same(&have[..3 * MIB], &want)?;
        same(&have[3 * MIB..], &old[3 * MIB..])?;
        ferry.verify(&image, large.node(), &[])?.exits(0)?;
        ferry.verify(large.node(), &image, &[])?.exits(4)?;
        Ok(())
    })
}

#[test]
fn a_mounted_destination_is_refused() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let image = scene.path("source.img");
        std::fs::write(&image, random(16 * MIB, 9))?;
        let device = Loop::with(scene, "device.img", &vec![0; 16 * MIB])?;
        must(scene, Command::new("mkfs.ext4").arg("-q").arg(device.node()))?;
        let before = device.content()?;
        let point = scene.dir("mounted")?;
        must(scene, Command::new("mount").args(["-o", "ro,noload"]).arg(device.node()).arg(&point))?;
        let refused = ferry.sync(&image, device.node(), &[])?.exits(6);
        must(scene, Command::new("umount").arg(&point))?;
        refused?.says(&["ebusy"])?;
        same(&device.content()?, &before)
    })
}

#[test]
fn a_tree_is_not_put_into_a_file_nor_a_file_into_a_tree() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let (tree, file) = (scene.dir("tree")?, scene.path("file"));
        std::fs::write(tree.join("kept"), "kept")?;
        std::fs::write(&file, "old")?;
        let device = Loop::with(scene, "device.img", &random(MIB, 10))?;
        let receiver = ferry.receive(&keys, &[("tree", &tree), ("file", &file), ("device", device.node())], &[])?;
        for (name, path) in [("tree", file.as_path()), ("tree", device.node()), ("file", &tree), ("device", &tree)] {
            let sent = ferry.send(&keys, receiver.port, &[(name, path)], &["--delete"])?.finish(SOON)?.exits(6)?;
            sent.says(&["the source is"])?;
        }
        ensure!(std::fs::read(&file)? == b"old" && std::fs::read(tree.join("kept"))? == b"kept");
        ferry.verify(&tree, &file, &[])?.exits(2)?.says(&["alike"])?;
        ferry.sync(&file, &file, &[])?.exits(2)?.says(&["onto itself"])?;
        ferry.sync(device.node(), device.node(), &[])?.exits(2)?.says(&["onto itself"])
    })
}

#[test]
fn a_missing_destination_becomes_what_the_source_is_below_a_directory_that_is_there() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let want = mixed(6 * MIB, 11);
        let device = Loop::with(scene, "device.img", &want)?;
        let ground = scene.dir("ground")?;
        let (copy, second) = (ground.join("copy.img"), ground.join("second.img"));
        std::fs::write(ground.join("neighbour"), "not ours")?;
        std::fs::write(ground.join(".ferry-beef-7"), "another receiver's")?;
        ferry.sync(device.node(), &copy, &["--dry-run"])?.exits(0)?.says(&["copy.img"])?;
        ensure!(!copy.exists(), "a dry run made the file");
        let (sent, received) = ferry.transfer(&keys, device.node(), &copy, &["--delete"])?;
        received.exits(0)?;
        ensure!(sent.exits(0)?.report()?.entries.created == 1);
        same(&std::fs::read(&copy)?, &want)?;
        ensure!(std::fs::metadata(&copy)?.blocks() * 512 < 5 * MIB as u64, "zeros were stored");
        ensure!(std::fs::metadata(&copy)?.mode() & 0o777 == 0o600, "others may read the image");
        let (sent, _) = ferry.transfer(&keys, &copy, &second, &["--delete"])?;
        ensure!(sent.exits(0)?.report()?.entries.created == 1);
        let mut names: Vec<_> =
            std::fs::read_dir(&ground)?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
        names.sort();
        ensure!(names == [".ferry-beef-7", "copy.img", "neighbour", "second.img"], "{names:?}");
        ferry.sync(&copy, &scene.path("no/such/place"), &[])?.exits(2)?.says(&["does not exist"])
    })
}

#[test]
fn a_file_keeps_its_attributes_and_its_neighbours_theirs() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let ground = scene.dir("ground")?;
        for len in [100, MIB, 6 * MIB] {
            let (source, destination) = (scene.path("source"), ground.join("destination"));
            std::fs::write(&source, random(len, 12))?;
            must(scene, Command::new("setfattr").args(["-n", "user.kept", "-v", "value"]).arg(&source))?;
            must(scene, Command::new("touch").args(["-d", "2001-02-03 04:05:06.789"]).arg(&source))?;
            std::os::unix::fs::chown(&source, Some(1234), Some(4321))?;
            std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o640))?;
            ferry.sync(&source, &destination, &[])?.exits(0)?;
            ferry.verify(&source, &destination, &[])?.exits(0)?;
            std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o4711))?;
            ferry.verify(&source, &destination, &[])?.exits(4)?;
            let again = ferry.sync(&source, &destination, &[])?.exits(0)?;
            ensure!(again.report()?.bytes.literal == 0, "content was sent for a mode");
            ferry.verify(&source, &destination, &[])?.exits(0)?;
        }
        Ok(())
    })
}

#[test]
fn holes_of_an_image_become_zeros_on_a_device_that_held_something_else() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let image = scene.path("sparse.img");
        let file = std::fs::File::create(&image)?;
        // Not whole leaves, nor whole sectors: the last stretch is zeroed by writing.
        file.set_len(40 * MIB as u64 + 1000)?;
        file.write_all_at(&random(300_000, 13), 9 * MIB as u64)?;
        let old = random(48 * MIB, 14);
        let device = Loop::with(scene, "device.img", &old)?;
        let done = ferry.sync(&image, device.node(), &["--verify"])?.exits(0)?;
        ensure!(done.report()?.bytes.literal < MIB as u64, "{:?}", done.report()?.bytes);
        let (have, len) = (device.content()?, 40 * MIB + 1000);
        same(&have[..len], &std::fs::read(&image)?)?;
        same(&have[len..], &old[len..])
    })
}

#[test]
fn one_wrong_byte_is_found_said_and_put_right() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let want = mixed(10 * MIB, 15);
        let image = scene.path("source.img");
        std::fs::write(&image, &want)?;
        // In data, in zeros, and in the last byte.
        for at in [2 * MIB, 4 * MIB, 10 * MIB - 1] {
            let mut wrong = want.clone();
            wrong[at] ^= 1;
            let device = Loop::with(scene, "device.img", &wrong)?;
            ferry.verify(&image, device.node(), &[])?.exits(4)?.says(&[&format!("from byte {at} on")])?;
            let told = ferry.sync(&image, device.node(), &["--dry-run"])?.exits(0)?;
            let name = device.node().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            told.says(&[&name])?;
            ensure!(told.process.text().lines().count() == 1, "{}", told.process.text());
            ensure!(device.sectors_changed()? == 0, "a dry run wrote to the device");
            let done = ferry.sync(&image, device.node(), &["--verify"])?.exits(0)?;
            ensure!(done.report()?.bytes.literal <= LEAF as u64, "{:?}", done.report()?.bytes);
            same(&device.content()?, &want)?;
        }
        Ok(())
    })
}

#[test]
fn a_killed_receiver_leaves_what_the_next_run_makes_right() -> Result<()> {
    within(180, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let want = random(24 * MIB, 16);
        let source = Loop::with(scene, "source.img", &want)?;
        let device = Loop::with(scene, "device.img", &random(24 * MIB, 17))?;
        let image = scene.path("image");
        for destination in [device.node(), image.as_path()] {
            let receiver = ferry.receive(&keys, &[("data", destination)], &[])?;
            let more = ["--bwlimit", "12M", "--retry-for", "1s"];
            let mut sender = ferry.send(&keys, receiver.port, &[("data", source.node())], &more)?;
            std::thread::sleep(Duration::from_millis(900));
            ensure!(sender.process.is_running()?, "it was over too soon");
            receiver.run.process.kill()?;
            sender.finish(SOON)?.exits(7)?;
            ensure!(std::fs::read(destination)? != want, "there was nothing left to do");
            let again = ferry.transfer(&keys, source.node(), destination, &[])?.0.exits(0)?;
            let bytes = again.report()?.bytes;
            ensure!(bytes.copied > 0 && bytes.literal < want.len() as u64, "nothing was taken up again: {bytes:?}");
            same(&std::fs::read(destination)?, &want)?;
        }
        Ok(())
    })
}

#[test]
fn cuts_in_the_middle_cost_little_and_end_equal() -> Result<()> {
    within(180, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let want = mixed(96 * MIB, 18);
        let image = scene.path("source.img");
        std::fs::write(&image, &want)?;
        let device = Loop::with(scene, "device.img", &random(96 * MIB, 19))?;
        let receiver = ferry.receive(&keys, &[("data", device.node())], &["--once"])?;
        let chaos = Chaos::start(receiver.port)?;
        chaos.cut_every(20 * MIB as u64, 3);
        let sent =
            ferry.send(&keys, chaos.port, &[("data", &image)], &["--connections", "2"])?.finish(SOON)?.exits(0)?;
        ensure!(chaos.cuts() == 3, "only {} cuts were made", chaos.cuts());
        ensure!(sent.report()?.wire.reconnects > 0, "{:?}", sent.report()?.wire);
        receiver.run.finish(SOON)?.exits(0)?;
        same(&device.content()?, &want)
    })
}

#[test]
fn two_receivers_do_not_write_to_one_file_or_device() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let image = scene.path("source.img");
        std::fs::write(&image, random(24 * MIB, 20))?;
        let device = Loop::with(scene, "device.img", &vec![0; 24 * MIB])?;
        let file = scene.path("file");
        for destination in [device.node(), file.as_path()] {
            let receiver = ferry.receive(&keys, &[("data", destination)], &[])?;
            let slow = ferry.send(&keys, receiver.port, &[("data", &image)], &["--bwlimit", "8M"])?;
            std::thread::sleep(Duration::from_millis(1000));
            let second = ferry.sync(&image, destination, &[])?.exits(6);
            slow.finish(SOON)?.exits(0)?;
            second?.says(&["ebusy", "another process"])?;
            same(&std::fs::read(destination)?, &std::fs::read(&image)?)?;
        }
        Ok(())
    })
}

#[test]
fn without_the_right_to_read_or_write_a_sentence_says_so() -> Result<()> {
    within(90, |scene| {
        let binary = unprivileged::runnable(scene, Ferry::new(scene)?.binary())?;
        let ours = unprivileged::dir(scene, "ours")?;
        let (secret, open) = (scene.path("secret"), scene.path("open"));
        std::fs::write(&secret, "secret")?;
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600))?;
        std::fs::write(&open, random(MIB, 21))?;
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644))?;
        let device = Loop::with(scene, "device.img", &random(MIB, 22))?;
        let sync = |source: &Path, destination: &Path| {
            let mut command = Command::new(&binary);
            command.arg("sync").arg(source).arg(destination);
            run(scene, &mut unprivileged::command(&command), SOON)
        };
        for (source, destination, code) in
            [(&*secret, &*ours.join("copy"), 2), (device.node(), &ours.join("copy"), 2), (&open, device.node(), 6)]
        {
            let done = sync(source, destination)?;
            ensure!(done.exit == code && done.stderr.contains("permission denied"), "{}: {}", done.exit, done.stderr);
        }
        let done = sync(&open, &ours.join("copy"))?;
        ensure!(done.exit == 3 && done.stderr.contains("ownership"), "{}: {}", done.exit, done.stderr);
        same(&std::fs::read(ours.join("copy"))?, &std::fs::read(&open)?)
    })
}

#[test]
fn a_full_file_system_fails_the_run() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let device = Loop::with(scene, "device.img", &random(16 * MIB, 23))?;
        let narrow = Mount::tmpfs(&scene.path("narrow"), 8 * MIB as u64)?;
        let failed = ferry.sync(device.node(), &narrow.path().join("image"), &[])?.exits(1)?;
        failed.says(&["no space"])
    })
}
