//! What a transfer is asked: owners, attributes, file systems, the root's own attributes, a rate; each does what it says
//! and nothing else.

use std::time::{Duration, Instant};

use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::Mount;
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::trees::{self, Limits};
use ferry_tests::{Result, ensure};

#[test]
fn chown_gives_every_entry_one_owner() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 2, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &["--chown", "1234:5678"])?.exits(0)?;
        compare::equal_but(&source, &destination, &[Aspect::Owner, Aspect::Root])?;
        let expected = |dir: &str, name: &[u8]| -> Result<()> {
            let stat = Place::open(&destination.join(dir))?.stat(name)?;
            ensure!((stat.st_uid, stat.st_gid) == (1234, 5678), "{dir}: {}:{}", stat.st_uid, stat.st_gid);
            Ok(())
        };
        expected("owners", b"1-2")?;
        expected("symlinks", b"dangling")?;
        expected("nodes", b"fifo")?;
        expected("nodes", b"null")?;
        expected("modes/dir-0000", b".")?;
        let before = compare::snapshot(&destination)?;
        ferry.sync(&source, &destination, &["--chown", "1234:5678"])?.exits(0)?;
        compare::unmoved(&before, &compare::snapshot(&destination)?)
    })
}

#[test]
fn without_owners_and_attributes_the_destinations_stay() -> Result<()> {
    within(90, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let (from, to) = (Place::open(&source)?, Place::open(&destination)?);
        for place in [&from, &to] {
            place.file(b"file", b"f")?;
            place.time(b"file", (1_500_000_000, 1))?;
        }
        from.own(b"file", 11, 12)?;
        from.xattr(b"file", "user.source", b"s")?;
        to.own(b"file", 21, 22)?;
        to.xattr(b"file", "user.destination", b"d")?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &["--no-owner", "--no-xattrs"])?.exits(0)?;
        let stat = to.stat(b"file")?;
        ensure!((stat.st_uid, stat.st_gid) == (21, 22), "{}:{}", stat.st_uid, stat.st_gid);
        ensure!(
            to.xattrs(b"file")?.iter().map(|(key, _)| key.as_slice()).eq([&b"user.destination"[..]]),
            "{:?}",
            to.xattrs(b"file")?
        );
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn selinux_labels_are_skipped_when_asked() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let from = Place::open(&source)?;
        from.file(b"file", b"f")?;
        from.xattr(b"file", "security.selinux", b"a_label")?;
        from.xattr(b"file", "user.kept", b"k")?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &["--selinux", "skip"])?.exits(0)?;
        let keys = Place::open(&destination)?.xattrs(b"file")?;
        ensure!(keys.iter().map(|(key, _)| key.as_slice()).eq([&b"user.kept"[..]]), "{keys:?}");
        ferry.sync(&source, &destination, &["--selinux", "keep"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn one_file_system_stops_at_mount_points() -> Result<()> {
    within(60, |scene| {
        let source = scene.dir("source")?;
        std::fs::write(source.join("file"), "f")?;
        let other = Mount::tmpfs(&source.join("mounted"), 1 << 20)?;
        std::fs::write(other.path().join("inside"), "i")?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &scene.path("all"), &[])?.exits(0)?;
        ensure!(scene.path("all/mounted/inside").exists(), "a mounted directory was left out unasked");
        ferry.sync(&source, &scene.path("one"), &["--one-file-system"])?.exits(0)?;
        ensure!(scene.path("one/file").exists() && !scene.path("one/mounted/inside").exists(), "it crossed over");
        Ok(())
    })
}

#[test]
fn root_attributes_are_kept_or_copied_as_asked() -> Result<()> {
    within(60, |scene| {
        let source = scene.dir("source")?;
        let from = Place::open(&source)?;
        from.own(b".", 100, 200)?;
        from.mode(b".", 0o750)?;
        from.time(b".", (1_400_000_000, 0))?;
        let ferry = Ferry::new(scene)?;
        // A volume as a cluster prepares it: root, a group of its own, setgid.
        for (how, owner, mode) in
            [("keep", (0, 2000), 0o2775), ("auto", (0, 2000), 0o2775), ("copy", (100, 200), 0o750)]
        {
            let destination = scene.dir(how)?;
            let to = Place::open(&destination)?;
            to.own(b".", 0, 2000)?;
            to.mode(b".", 0o2775)?;
            ferry.sync(&source, &destination, &["--root-attrs", how])?.exits(0)?;
            let stat = to.stat(b".")?;
            ensure!((stat.st_uid, stat.st_gid) == owner, "{how}: {}:{}", stat.st_uid, stat.st_gid);
            ensure!(stat.st_mode & 0o7777 == mode, "{how}: {:o}", stat.st_mode);
        }
        // A fresh root belongs to nobody yet: auto copies.
        ferry.sync(&source, &scene.path("fresh"), &[])?.exits(0)?;
        compare::equal(&source, &scene.path("fresh"))
    })
}

#[test]
fn a_rate_is_kept() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        Place::open(&source)?.file(b"big", &trees::Seed::new(1).bytes(8 << 20))?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let start = Instant::now();
        ferry.transfer(&keys, &source, &destination, &["--bwlimit", "2M", "--connections", "4"])?.0.exits(0)?;
        let took = start.elapsed();
        ensure!(
            took > Duration::from_secs(3) && took < Duration::from_secs(12),
            "8 MiB at 2 MiB a second took {took:?}"
        );
        compare::equal(&source, &destination)
    })
}
