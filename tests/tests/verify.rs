//! Nothing is believed that was not read: `ferry verify` names each difference, `--verify` reads the destination back,
//! `--checksum` finds what size and times hide.

use std::path::Path;

use ferry_tests::compare;
use ferry_tests::facts::mtime;
use ferry_tests::ferry::Ferry;
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::trees::{self, Limits};
use ferry_tests::{Result, ensure};
use rustix::fs::FileType;

/// Flips one byte of `name` under `root/dir` and puts the time back: what a disk does to a file.
fn corrupt(root: &Path, dir: &str, name: &str) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let at = Place::open(&root.join(dir))?;
    let before = mtime(&at.stat(name.as_bytes())?);
    let file = at.edit(name.as_bytes())?;
    let offset = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 0xff], offset)?;
    at.time(name.as_bytes(), before)
}

#[test]
fn verify_finds_equal_trees_equal() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 8, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let before = (compare::snapshot(&source)?, compare::snapshot(&destination)?);
        let done = ferry.verify(&source, &destination, &[])?.exits(0)?;
        ensure!(done.process.stdout.is_empty(), "{}", done.process.text());
        compare::unmoved(&before.0, &compare::snapshot(&source)?)?;
        compare::unmoved(&before.1, &compare::snapshot(&destination)?)
    })
}

#[test]
fn verify_names_each_difference() -> Result<()> {
    within(180, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 8, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let at = |dir: &str| Place::open(&destination.join(dir));
        corrupt(&destination, "sizes", "1")?;
        corrupt(&destination, "sizes", "5242880")?;
        corrupt(&destination, "sparse", "hole only")?;
        at("times")?.time(b"file-0", (1, 2))?;
        at("times")?.time(b"dir-1", (1, 2))?;
        at("symlinks")?.time(b"time-0", (1, 2))?;
        at("symlinks")?.own(b"dangling", 5, 6)?;
        at("modes")?.mode(b"file-0777", 0o776)?;
        at("attributes")?.drop_xattr(b"file", "user.binary")?;
        at("attributes")?.xattr(b"directory", "user.surplus", b"")?;
        at("acls")?.drop_xattr(b"file", "system.posix_acl_access")?;
        at("nodes")?.unlink(b"null")?;
        at("nodes")?.node(b"null", FileType::CharacterDevice, 1, 9)?;
        at("links two")?.unlink(b"file again")?;
        at("names")?.file(b"surplus", b"")?;
        at("names")?.unlink(b"...")?;
        let done = ferry.verify(&source, &destination, &[])?.exits(4)?;
        let text = done.process.text();
        let paths = [
            "sizes/1",
            "sizes/5242880",
            "sparse/hole only",
            "times/file-0",
            "times/dir-1",
            "symlinks/time-0",
            "symlinks/dangling",
            "modes/file-0777",
            "attributes/file",
            "attributes/directory",
            "acls/file",
            "nodes/null",
            "links two/file again",
            "names/surplus",
            "names/...",
        ];
        for path in paths {
            ensure!(text.lines().any(|line| line.starts_with(&format!("{path}:"))), "{path} is not named:\n{text}");
        }
        let expected = compare::differences(&source, &destination, &[])?;
        for line in text.lines() {
            let known = expected.iter().any(|difference| line.starts_with(&difference.path));
            ensure!(known || line.starts_with("links ") || line.starts_with("zz"), "a difference that is none: {line}");
        }
        Ok(())
    })
}

#[test]
fn a_link_group_that_fell_apart_is_a_difference() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        std::fs::write(source.join("a"), "same")?;
        std::fs::hard_link(source.join("a"), source.join("b"))?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let at = Place::open(&destination)?;
        let (before, root) = (mtime(&at.stat(b"b")?), mtime(&at.stat(b".")?));
        at.unlink(b"b")?;
        at.file(b"b", b"same")?;
        at.time(b"b", before)?;
        at.time(b".", root)?;
        ferry.verify(&source, &destination, &[])?.exits(4)?.says(&["link"])?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn verify_overlooks_what_it_is_told_to() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        for tree in [&source, &destination] {
            std::fs::write(tree.join("file"), "f")?;
            Place::open(tree)?.time(b"file", (1_000_000_000, 0))?;
        }
        Place::open(&destination)?.own(b"file", 7, 7)?;
        Place::open(&destination)?.xattr(b"file", "user.x", b"y")?;
        std::fs::write(destination.join("extra"), "e")?;
        for tree in [&source, &destination] {
            Place::open(tree)?.time(b".", (1_000_000_000, 0))?;
        }
        let ferry = Ferry::new(scene)?;
        ferry.verify(&source, &destination, &["--no-owner", "--no-xattrs", "--ignore-extra"])?.exits(0)?;
        ferry.verify(&source, &destination, &["--no-owner", "--no-xattrs", "--exclude", "extra"])?.exits(0)?;
        for options in
            [&["--no-owner", "--no-xattrs"][..], &["--no-owner", "--ignore-extra"], &["--no-xattrs", "--ignore-extra"]]
        {
            ferry.verify(&source, &destination, options)?.exits(4)?;
        }
        Ok(())
    })
}

#[test]
fn verify_of_what_is_not_there_is_a_usage_error() -> Result<()> {
    within(60, |scene| {
        let done = Ferry::new(scene)?.verify(&scene.dir("source")?, &scene.path("missing"), &[])?.exits(2)?;
        done.says(&["missing"])
    })
}

#[test]
fn a_verified_run_reads_back_what_a_trusting_run_believes() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 9, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &["--verify"])?.exits(0)?;
        for name in ["1", "65537", "20971520"] {
            corrupt(&destination, "sizes", name)?;
        }
        let trusting = ferry.sync(&source, &destination, &[])?.exits(0)?;
        ensure!(trusting.report()?.bytes.trusted > 20 << 20, "{:?}", trusting.report()?.bytes);
        let verified = ferry.sync(&source, &destination, &["--verify"])?.exits(4)?;
        for name in ["sizes/1", "sizes/65537", "sizes/20971520"] {
            ensure!(verified.report()?.names(name), "{name} is not named: {:?}", verified.report()?.problems);
        }
        Ok(())
    })
}

#[test]
fn a_verified_run_over_the_network_is_clean_when_nothing_is_wrong() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 9, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        let (sent, received) = ferry.transfer(&ferry.keys()?, &source, &destination, &["--verify"])?;
        sent.exits(0)?;
        received.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn checksum_repairs_what_size_and_times_hide() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 9, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        for name in ["1", "65537", "20971520"] {
            corrupt(&destination, "sizes", name)?;
        }
        let done = ferry.sync(&source, &destination, &["--checksum"])?.exits(0)?;
        compare::equal(&source, &destination)?;
        let bytes = done.report()?.bytes;
        ensure!(bytes.trusted == 0 && bytes.literal < 10 << 20, "{bytes:?}");
        Ok(())
    })
}
