//! `--delete` mirrors, and its guards hold: an empty source, a bound on deletions, a directory that could not be read,
//! excluded names, a mount point in the way. Type changes need no guard.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::{Done, Ferry, SOON};
use ferry_tests::mounts::Mount;
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::{Context, Result, ensure, trees, unprivileged};
use rustix::fs::FileType;

/// A destination with a hundred files and a source with half of them.
fn halves(source: &Path, destination: &Path) -> Result<()> {
    trees::small_files(destination, 100, 4)?;
    trees::small_files(source, 100, 4)?;
    for dir in 0..2 {
        std::fs::remove_dir_all(source.join(format!("dir-{dir:05}")))?;
    }
    Ok(())
}

#[test]
fn without_delete_nothing_goes() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        halves(&source, &destination)?;
        let done = Ferry::new(scene)?.sync(&source, &destination, &[])?.exits(0)?;
        ensure!(done.report()?.entries.deleted == 0, "{:?}", done.report()?.entries);
        ensure!(destination.join("dir-00000/file-0000000").exists(), "a file went");
        compare::equal_but(&source, &destination, &[Aspect::Extra])
    })
}

#[test]
fn delete_mirrors_over_the_network_and_counts() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        halves(&source, &destination)?;
        let ferry = Ferry::new(scene)?;
        let (sent, received) = ferry.transfer(&ferry.keys()?, &source, &destination, &["--delete"])?;
        received.exits(0)?;
        let sent = sent.exits(0)?;
        ensure!(sent.report()?.entries.deleted == 52, "{:?}", sent.report()?.entries);
        compare::equal(&source, &destination)
    })
}

fn halts(done: Done, destination: &Path, before: &[(Vec<u8>, compare::Still)]) -> Result<()> {
    let done = done.exits(5)?;
    ensure!(done.report()?.entries.deleted == 0, "{:?}", done.report()?.entries);
    let after = compare::snapshot(destination)?;
    let kept = before.iter().all(|(path, _)| after.iter().any(|(other, _)| path == other));
    ensure!(kept, "something was deleted: {} entries became {}", before.len(), after.len());
    Ok(())
}

#[test]
fn an_empty_source_halts_unless_allowed() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        trees::small_files(&destination, 20, 2)?;
        let ferry = Ferry::new(scene)?;
        let before = compare::snapshot(&destination)?;
        let done = ferry.sync(&source, &destination, &["--delete"])?;
        done.says(&["empty", "mounted"])?;
        halts(done, &destination, &before)?;
        let keys = ferry.keys()?;
        halts(ferry.transfer(&keys, &source, &destination, &["--delete"])?.0, &destination, &before)?;
        ferry.sync(&source, &destination, &["--delete", "--allow-empty-source"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn an_empty_source_into_an_empty_destination_is_a_clean_run() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        Ferry::new(scene)?.sync(&source, &destination, &["--delete"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn one_deletion_too_many_halts_before_the_first() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        halves(&source, &destination)?;
        let before = compare::snapshot(&destination)?;
        let ferry = Ferry::new(scene)?;
        let done = ferry.sync(&source, &destination, &["--delete", "--max-delete", "51"])?;
        done.says(&["max-delete", "51"])?;
        halts(done, &destination, &before)?;
        ferry.sync(&source, &destination, &["--delete", "--max-delete", "52"])?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn what_stands_below_an_unreadable_source_directory_is_kept() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (unprivileged::dir(scene, "source")?, unprivileged::dir(scene, "destination")?);
        for tree in [&source, &destination] {
            std::fs::create_dir(tree.join("secret"))?;
            std::fs::write(tree.join("secret/kept"), "k")?;
            std::fs::write(tree.join("plain"), "p")?;
        }
        std::fs::write(destination.join("extra"), "goes")?;
        std::fs::write(destination.join("secret/extra"), "kept: nobody knows")?;
        unprivileged::own_all(&destination)?;
        unprivileged::own_all(&source)?;
        std::os::unix::fs::chown(source.join("secret"), Some(0), Some(0))?;
        std::fs::set_permissions(source.join("secret"), std::fs::Permissions::from_mode(0o700))?;
        let ferry = Ferry::new(scene)?;
        let mut command = std::process::Command::new(unprivileged::runnable(scene, ferry.binary())?);
        command.arg("sync").arg(&source).arg(&destination).args(["--delete", "--accept-loss", "ownership"]);
        let done = ferry_tests::command::run(scene, &mut unprivileged::command(&command), SOON)?;
        ensure!(done.exit == 3, "exit {}: {}", done.exit, done.stderr);
        ensure!(
            destination.join("secret/kept").exists() && destination.join("secret/extra").exists(),
            "deleted unseen"
        );
        Ok(())
    })
}

type Make = fn(&Place) -> Result<()>;

/// Makes one entry of each kind under the same name; directories are not empty.
const KINDS: [(&str, Make); 7] = [
    ("file", |at| at.file(b"entry", b"content").map(drop)),
    ("directory", |at| at.dir(b"entry")?.dir(b"sub")?.file(b"below", b"b").map(drop)),
    ("symlink", |at| at.symlink(b"entry", b"/etc/hostname")),
    ("fifo", |at| at.node(b"entry", FileType::Fifo, 0, 0)),
    ("socket", |at| at.node(b"entry", FileType::Socket, 0, 0)),
    ("character device", |at| at.node(b"entry", FileType::CharacterDevice, 1, 3)),
    ("block device", |at| at.node(b"entry", FileType::BlockDevice, 7, 99)),
];

#[test]
fn any_kind_becomes_any_other_kind() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (Place::open(&scene.dir("source")?)?, Place::open(&scene.dir("destination")?)?);
        for (from, make_old) in KINDS {
            for (to, make_new) in KINDS {
                let name = format!("{from} to {to}");
                make_new(&source.dir(name.as_bytes())?)?;
                make_old(&destination.dir(name.as_bytes())?)?;
            }
        }
        Ferry::new(scene)?.sync(&scene.path("source"), &scene.path("destination"), &["--delete"])?.exits(0)?;
        compare::equal(&scene.path("source"), &scene.path("destination"))
    })
}

#[test]
fn without_delete_a_full_directory_in_the_way_is_a_problem_and_stays() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        std::fs::write(source.join("entry"), "a file")?;
        std::fs::write(source.join("other"), "another")?;
        std::fs::create_dir(destination.join("entry"))?;
        std::fs::write(destination.join("entry/precious"), "p")?;
        let done = Ferry::new(scene)?.sync(&source, &destination, &[])?.exits(3)?;
        ensure!(done.report()?.names("entry"), "{:?}", done.report()?.problems);
        ensure!(destination.join("entry/precious").exists(), "it was deleted without --delete");
        ensure!(destination.join("other").exists(), "the run did not go on");
        Ok(())
    })
}

#[test]
fn excluded_names_are_neither_sent_nor_deleted_unless_asked() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        let ferry = Ferry::new(scene)?;
        for tree in [&source, &destination] {
            std::fs::create_dir_all(tree.join("cache/deep"))?;
            std::fs::create_dir_all(tree.join("sub"))?;
        }
        for name in ["a.log", "sub/b.log", "cache/deep/c", "sub/kept"] {
            std::fs::write(source.join(name), "source")?;
        }
        for name in ["old.log", "cache/deep/old", "extra"] {
            std::fs::write(destination.join(name), "destination")?;
        }
        let patterns = scene.path("patterns");
        std::fs::write(&patterns, "# a comment\n/cache/\n")?;
        let from = patterns.to_string_lossy().into_owned();
        let options = ["--delete", "--exclude", "*.log", "--exclude-from", &from];
        ferry.sync(&source, &destination, &options)?.exits(0)?;
        let has = |name: &str| destination.join(name).exists();
        ensure!(!has("a.log") && !has("sub/b.log") && !has("cache/deep/c"), "excluded names were sent");
        ensure!(has("old.log") && has("cache/deep/old"), "excluded names were deleted");
        ensure!(has("sub/kept") && !has("extra"), "the rest was not mirrored");
        ferry.sync(&source, &destination, &[&options[..], &["--delete-excluded"]].concat())?.exits(0)?;
        ensure!(!has("old.log") && !has("cache/deep/old") && has("sub/kept"), "--delete-excluded did not delete");
        Ok(())
    })
}

#[test]
fn a_mount_point_inside_the_destination_is_never_deleted() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        std::fs::write(source.join("file"), "f")?;
        let other = Mount::tmpfs(&destination.join("extra/mounted"), 1 << 20)?;
        std::fs::write(other.path().join("precious"), "p")?;
        std::fs::write(destination.join("gone"), "g")?;
        let done = Ferry::new(scene)?.sync(&source, &destination, &["--delete"])?.exits(3)?;
        ensure!(other.path().join("precious").exists(), "another file system was deleted");
        ensure!(!destination.join("gone").exists(), "the rest was not mirrored");
        let problems = &done.report()?.problems;
        ensure!(problems.iter().any(|problem| problem.path.starts_with("extra")), "{problems:?}");
        std::fs::read(other.path().join("precious")).context("gone").map(drop)
    })
}

#[test]
fn nothing_outside_the_destination_is_written_through_a_link() -> Result<()> {
    within(60, |scene| {
        let (source, destination, outside) = (scene.dir("source")?, scene.dir("destination")?, scene.dir("outside")?);
        std::fs::write(outside.join("file"), "not yours")?;
        std::fs::create_dir(source.join("dir"))?;
        std::fs::write(source.join("dir/file"), "new content")?;
        std::fs::write(source.join("linked"), "new content of the linked")?;
        std::os::unix::fs::symlink(&outside, destination.join("dir"))?;
        std::fs::hard_link(outside.join("file"), destination.join("linked"))?;
        Ferry::new(scene)?.sync(&source, &destination, &["--delete"])?.exits(0)?;
        compare::equal(&source, &destination)?;
        ensure!(std::fs::read(outside.join("file"))? == b"not yours", "a file outside was written");
        ensure!(Place::open(&outside)?.names()?.len() == 1, "a file outside was made");
        Ok(())
    })
}
