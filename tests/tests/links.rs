//! Hard links of large files in a second run: patched in place with all their names when all are known, never through a name
//! that is anywhere else, and every change of the groups themselves arrives.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::Ferry;
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::Seed;
use ferry_tests::{Context, Result, ensure};

/// A file of so many bytes with these names below `source`.
fn group(source: &Path, names: &[&str], seed: u64, len: usize) -> Result<()> {
    for name in names {
        if let Some(parent) = source.join(name).parent() {
            std::fs::create_dir_all(parent)?;
        }
    }
    let [first, others @ ..] = names else { return Ok(()) };
    std::fs::write(source.join(first), Seed::new(seed).bytes(len))?;
    for name in others {
        std::fs::hard_link(source.join(first), source.join(name))?;
    }
    Ok(())
}

/// Changes three pages of the file.
fn edit(file: &Path, seed: u64) -> Result<()> {
    let mut seed = Seed::new(seed);
    let file = std::fs::File::options().write(true).open(file)?;
    let len = file.metadata()?.len();
    for _ in 0..3 {
        file.write_all_at(&seed.bytes(4096), seed.below(len / 4096) * 4096)?;
    }
    Ok(())
}

fn inode(path: &Path) -> Result<u64> {
    Ok(std::fs::symlink_metadata(path)?.ino())
}

/// Makes the volume equal; then once more, which must change nothing. The report of the first.
fn converges(scene: &Scene, source: &Path, destination: &Path, more: &[&str]) -> Result<Report> {
    let ferry = Ferry::new(scene)?;
    let done = ferry.sync(source, destination, more)?.exits(0)?;
    compare::equal_but(source, destination, &[Aspect::Extra])?;
    let before = compare::snapshot(destination)?;
    ferry.sync(source, destination, more)?.exits(0)?;
    compare::unmoved(&before, &compare::snapshot(destination)?)?;
    Ok(done.report()?.clone())
}

const LEN: usize = 6 << 20;

#[test]
fn a_group_whose_names_are_all_known_is_patched_in_place() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        group(&source, &["a", "sub/b", "c"], 1, LEN)?;
        converges(scene, &source, &destination, &[])?;
        let before = inode(&destination.join("a"))?;
        edit(&source.join("c"), 2)?;
        // A name that is still to be made does not stand in the way.
        std::fs::hard_link(source.join("a"), source.join("sub/new"))?;
        let report = converges(scene, &source, &destination, &[])?;
        ensure!(inode(&destination.join("a"))? == before, "the group has a new inode");
        ensure!(report.bytes.literal <= 3 * 4096, "{} bytes were sent", report.bytes.literal);
        ensure!(report.entries.updated == 2, "the file and a directory, not {} entries", report.entries.updated);
        Ok(())
    })
}

#[test]
fn attributes_of_a_group_whose_names_are_all_known_change_without_a_copy() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        group(&source, &["a", "b"], 3, LEN)?;
        group(&source, &["touched", "touched too"], 4, LEN)?;
        converges(scene, &source, &destination, &[])?;
        let before = [inode(&destination.join("a"))?, inode(&destination.join("touched"))?];
        std::fs::set_permissions(source.join("a"), PermissionsExt::from_mode(0o640))?;
        std::os::unix::fs::chown(source.join("a"), Some(7), Some(8))?;
        std::fs::File::open(source.join("touched"))?.set_modified(std::time::SystemTime::now())?;
        let report = converges(scene, &source, &destination, &[])?;
        ensure!(before == [inode(&destination.join("a"))?, inode(&destination.join("touched"))?], "a new inode");
        ensure!(report.bytes.literal == 0, "{} bytes were sent", report.bytes.literal);
        Ok(())
    })
}

#[test]
fn nothing_is_written_through_a_name_outside_the_volume_or_outside_the_group() -> Result<()> {
    within(120, |scene| {
        let (source, destination, outside) = (scene.dir("source")?, scene.path("destination"), scene.dir("outside")?);
        for name in ["1", "2", "3"] {
            group(&source, &[&format!("{name}a"), &format!("{name}b")], 5, LEN)?;
        }
        converges(scene, &source, &destination, &[])?;
        let old = std::fs::read(source.join("1a"))?;
        std::fs::hard_link(destination.join("1b"), outside.join("file"))?;
        std::fs::hard_link(destination.join("2b"), destination.join("extra"))?;
        // As many links as the group has names, but not the same ones.
        std::fs::remove_file(destination.join("3b"))?;
        std::fs::hard_link(destination.join("3a"), outside.join("another"))?;
        for name in ["1a", "2a", "3a"] {
            edit(&source.join(name), 6)?;
        }
        let report = converges(scene, &source, &destination, &[])?;
        for kept in [outside.join("file"), outside.join("another"), destination.join("extra")] {
            ensure!(std::fs::read(&kept)? == old, "{} was changed through a link", kept.display());
        }
        ensure!(report.bytes.literal <= 9 * 4096, "{} bytes were sent", report.bytes.literal);
        edit(&source.join("2a"), 7)?;
        std::fs::hard_link(destination.join("2a"), destination.join("in 2 too"))?;
        converges(scene, &source, &destination, &["--delete"])?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_group_is_replaced_where_replacing_was_asked_for_or_it_carries_privilege() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        group(&source, &["a", "b"], 8, LEN)?;
        group(&source, &["setuid", "setuid too"], 9, LEN)?;
        std::fs::set_permissions(source.join("setuid"), PermissionsExt::from_mode(0o4755))?;
        converges(scene, &source, &destination, &[])?;
        let before = [inode(&destination.join("a"))?, inode(&destination.join("setuid"))?];
        edit(&source.join("setuid"), 10)?;
        std::fs::set_permissions(source.join("setuid"), PermissionsExt::from_mode(0o4755))?;
        let dry = Ferry::new(scene)?.sync(&source, &destination, &["--dry-run"])?.exits(0)?;
        ensure!(dry.process.text().contains("setuid"), "the dry run does not say it: {}", dry.process.text());
        converges(scene, &source, &destination, &[])?;
        ensure!(inode(&destination.join("setuid"))? != before[1], "a setuid file was patched in place");
        edit(&source.join("a"), 11)?;
        converges(scene, &source, &destination, &["--atomic", "--verify"])?;
        ensure!(inode(&destination.join("a"))? != before[0], "--atomic patched in place");
        Ok(())
    })
}

/// Breaks `name` away from its group: a copy of its own, with the same time.
fn alone(file: &Path) -> Result<()> {
    let (content, time) = (std::fs::read(file)?, std::fs::metadata(file)?.modified()?);
    std::fs::remove_file(file)?;
    std::fs::write(file, content)?;
    Ok(std::fs::File::options().write(true).open(file)?.set_modified(time)?)
}

fn relinked(from: &Path, to: &Path) -> Result<()> {
    std::fs::remove_file(to)?;
    Ok(std::fs::hard_link(from, to)?)
}

#[test]
fn changed_link_groups_all_converge() -> Result<()> {
    within(240, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let at = |name: &str| source.join(name);
        group(&source, &["a", "b", "c"], 12, LEN)?;
        group(&source, &["d", "e"], 13, LEN)?;
        converges(scene, &source, &destination, &["--delete"])?;
        // A name leaves its group, the rest is changed; it is changed too; it comes back; two groups exchange names;
        // they become one; that falls into pieces of the same content.
        let steps: [&dyn Fn() -> Result<()>; 7] = [
            &|| alone(&at("b")).and_then(|()| edit(&at("a"), 14)),
            &|| edit(&at("b"), 15).and_then(|()| alone(&at("a"))),
            &|| relinked(&at("a"), &at("b")).and_then(|()| edit(&at("b"), 16)),
            &|| {
                let (one, two) = (at("a"), at("d"));
                edit(&one, 17)?;
                edit(&two, 18)?;
                relinked(&two, &at("b"))?;
                relinked(&one, &at("e"))
            },
            &|| ["b", "c", "d", "e"].iter().try_for_each(|name| relinked(&at("a"), &at(name))),
            &|| edit(&at("d"), 19).and_then(|()| alone(&at("a"))).and_then(|()| edit(&at("a"), 20)),
            &|| ["b", "c", "d", "e"].iter().try_for_each(|name| alone(&at(name))),
        ];
        for step in steps {
            step()?;
            converges(scene, &source, &destination, &["--delete"])?;
        }
        compare::equal(&source, &destination)
    })
}

#[test]
fn random_changes_of_groups_and_of_their_files_converge() -> Result<()> {
    within(240, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let names = ["a", "b", "c/d", "c/e", "f", "g"];
        let mut seed = Seed::new(21);
        std::fs::create_dir_all(source.join("c"))?;
        for round in 0..14 {
            for _ in 0..4 {
                let [one, two] = [0; 2].map(|_| source.join(seed.pick(&names).copied().unwrap_or("a")));
                match seed.below(5) {
                    _ if !one.exists() => std::fs::write(&one, seed.bytes(4 << 20))?,
                    0 if one != two => {
                        drop(std::fs::remove_file(&two));
                        std::fs::hard_link(&one, &two)?;
                    }
                    1 => alone(&one)?,
                    2 => std::fs::remove_file(&one)?,
                    _ => edit(&one, round)?,
                }
            }
            let more: &[&str] = if seed.once_in(3) { &["--delete", "--checksum"] } else { &["--delete"] };
            converges(scene, &source, &destination, more)?;
            compare::equal(&source, &destination)?;
        }
        Ok(())
    })
}

#[test]
fn a_name_that_was_not_looked_at_is_held_against_a_leader_that_was() -> Result<()> {
    // With a ctime baseline: new files in two directories one above the other make all in the lower one be looked at, the
    // group's leader too. Its other name is not, and is another file at the destination.
    within(60, |scene| {
        let (ferry, source, destination) = (Ferry::new(scene)?, scene.path("source"), scene.path("destination"));
        let state = scene.path("state");
        std::fs::create_dir_all(source.join("a/one"))?;
        std::fs::create_dir_all(source.join("b"))?;
        std::fs::write(source.join("a/one/name"), "12345")?;
        std::fs::hard_link(source.join("a/one/name"), source.join("b/name"))?;
        for round in 0..2 {
            std::thread::sleep(std::time::Duration::from_millis(60));
            let more = ["--state", state.to_str().context("a path")?];
            let entries = ferry.sync(&source, &destination, &more)?.exits(0)?.report()?.entries;
            compare::equal(&source, &destination).with_context(|| format!("round {round}"))?;
            ensure!(round == 0 || entries.scanned == 8, "{entries:?}");
            let theirs = destination.join("b/name");
            let modified = std::fs::metadata(&theirs)?.modified()?;
            for dir in ["a", "a/one", "b"] {
                std::fs::write(source.join(dir).join("new"), "new")?;
            }
            std::fs::remove_file(&theirs)?;
            std::fs::write(&theirs, "12345")?;
            std::fs::File::open(&theirs)?.set_modified(modified)?;
        }
        Ok(())
    })
}
