//! The ctime baseline: what did not change since a clean run, on neither side, has its extended attributes looked at on
//! neither side, and what did is never missed: not when directories change places, not when a clock was set, not after a kill.

use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::{Done, Ferry, SOON};
use ferry_tests::mounts::{Image, Kind, Mount};
use ferry_tests::place::Place;
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::everything::acl;
use ferry_tests::trees::{self, Limits, Seed};
use ferry_tests::{Context, Result, ensure};

/// Longer than a step of the kernel's clock and what is added to it: what was written before is old afterwards.
const TICK: Duration = Duration::from_millis(60);
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Two trees that are equal, copied with state.
struct Pair<'s> {
    scene: &'s Scene,
    ferry: Ferry<'s>,
    source: PathBuf,
    destination: PathBuf,
    state: PathBuf,
}

impl<'s> Pair<'s> {
    /// A small tree with attributes of all kinds.
    fn new(scene: &'s Scene) -> Result<Self> {
        Self::of(scene, small)
    }

    fn of(scene: &'s Scene, build: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        let (ferry, source) = (Ferry::new(scene)?, scene.path("source"));
        let pair = Self { scene, ferry, source, destination: scene.path("destination"), state: scene.path("state") };
        build(&pair.source)?;
        pair.sync(&[])?;
        Ok(pair)
    }

    fn run(&self, more: &[&str]) -> Result<Done> {
        std::thread::sleep(TICK);
        let more = [&["--state", self.state.to_str().context("a path")?], more].concat();
        self.ferry.sync(&self.source, &self.destination, &more)
    }

    /// A clean run after which both sides are equal, one entry of the report for the next question.
    fn sync(&self, more: &[&str]) -> Result<Report> {
        let done = self.run(more)?.exits(0)?;
        compare::equal(&self.source, &self.destination).with_context(|| format!("after a run with {more:?}"))?;
        Ok(done.report()?.clone())
    }

    /// A run that takes everything as it was.
    fn trusts_all(&self, more: &[&str]) -> Result<()> {
        let entries = self.sync(more)?.entries;
        ensure!(entries.trusted_attributes == entries.scanned, "not all was trusted: {entries:?}");
        Ok(())
    }

    /// A run that looks at everything.
    fn trusts_nothing(&self, more: &[&str]) -> Result<()> {
        let entries = self.sync(more)?.entries;
        ensure!(entries.trusted_attributes == 0, "something was trusted with {more:?}: {entries:?}");
        Ok(())
    }

    fn at(&self, path: &str) -> (PathBuf, PathBuf) {
        (self.source.join(path), self.destination.join(path))
    }

    fn baseline(&self) -> Option<PathBuf> {
        let mut found = std::fs::read_dir(&self.state).ok()?.flatten().map(|entry| entry.path());
        found.find(|path| path.extension().is_some_and(|end| end == "baseline"))
    }
}

/// Three directories of eight files each, with attributes, links and a special file.
fn small(root: &Path) -> Result<()> {
    for name in ["a/one", "a/two", "b"] {
        std::fs::create_dir_all(root.join(name))?;
        let place = Place::open(&root.join(name))?;
        for number in 0..8 {
            let file = format!("file {number}").into_bytes();
            drop(place.file(&file, b"12345")?);
            place.time(&file, (1_500_000_000, number))?;
            place.xattr(&file, "user.where", format!("{name} {number}").as_bytes())?;
        }
        place.xattr(b"file 0", ACCESS, &acl(6, &[(1234, 7)], 4, 7, 0))?;
    }
    let root = Place::open(root)?;
    let two = root.child(b"a")?.child(b"two")?;
    two.link(b"file 1", &root, b"first of two")?;
    root.symlink(b"link", b"nowhere")?;
    root.node(b"pipe", rustix_fifo(), 0, 0)?;
    root.child(b"a")?.xattr(b"one", DEFAULT, &acl(7, &[(1000, 5)], 5, 7, 0))?;
    // Directories are as alike as what is in them.
    for (place, name) in [(&root.child(b"a")?, &b"one"[..]), (&root.child(b"a")?, b"two"), (&root, b"b"), (&root, b"a")]
    {
        place.time(name, (1_500_000_000, 9))?;
    }
    Ok(())
}

fn rustix_fifo() -> rustix::fs::FileType {
    rustix::fs::FileType::Fifo
}

fn set(path: &Path, key: &str, value: &[u8]) -> Result<()> {
    let name = path.file_name().context("a name")?;
    Place::open(path.parent().context("a parent")?)?.xattr(name.as_encoded_bytes(), key, value)
}

#[test]
fn a_second_run_reads_no_extended_attributes_on_either_side() -> Result<()> {
    within(120, |scene| {
        let pair = Pair::of(scene, |source| trees::everything(source, 12, Limits::PATH))?;
        let log = scene.fresh("trace", ".log");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "signal=none", "-e"]);
        command.arg("trace=listxattr,llistxattr,flistxattr,getxattr,lgetxattr,fgetxattr,execve").arg("-o").arg(&log);
        command.arg("--").arg(pair.ferry.binary()).arg("sync").arg(&pair.source).arg(&pair.destination);
        command.arg("--state").arg(&pair.state);
        std::thread::sleep(TICK);
        let entries = pair.ferry.start(command)?.finish(SOON)?.exits(0)?.report()?.entries;
        let text = std::fs::read_to_string(log)?;
        ensure!(text.contains("execve("), "the trace holds nothing");
        // The two roots themselves, and their labels where there are labels.
        let calls: Vec<&str> = text.lines().filter(|line| line.contains("xattr(")).collect();
        ensure!(calls.len() <= 12 && entries.scanned > 100, "{} calls: {calls:?}", calls.len());
        ensure!(entries.trusted_attributes == entries.scanned, "{entries:?}");
        compare::equal(&pair.source, &pair.destination)
    })
}

#[test]
fn a_run_that_changes_nothing_writes_no_baseline() -> Result<()> {
    within(60, |scene| {
        let pair = Pair::new(scene)?;
        let before = compare::snapshot(&pair.state)?;
        pair.trusts_all(&[])?;
        compare::unmoved(&before, &compare::snapshot(&pair.state)?)
    })
}

#[test]
fn ext4_xfs_and_btrfs_tell_what_did_not_change() -> Result<()> {
    within(240, |scene| {
        for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
            let [one, other] =
                ["one", "other"].map(|side| Image::new(scene, &format!("{side} {kind:?}"), kind, 400 << 20));
            let (one, other, state) = (one?, other?, scene.fresh("state", ""));
            let (source, destination) = (one.path().join("volume"), other.path().join("volume"));
            small(&source)?;
            let (ferry, more) = (Ferry::new(scene)?, ["--state", state.to_str().context("a path")?]);
            for round in 0..4 {
                std::thread::sleep(TICK);
                let entries = ferry.sync(&source, &destination, &more)?.exits(0)?.report()?.entries;
                compare::equal(&source, &destination).with_context(|| format!("{kind:?}, round {round}"))?;
                let expected = [0, entries.scanned, entries.scanned - 2, entries.scanned][round];
                ensure!(entries.trusted_attributes == expected, "{kind:?}, round {round}: {entries:?}");
                if round == 1 {
                    set(&source.join("b/file 2"), "user.where", b"elsewhere")?;
                    set(&source.join("b/file 3"), ACCESS, &acl(6, &[(9, 7)], 4, 7, 0))?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn what_changed_at_the_source_is_seen_and_the_rest_is_trusted() -> Result<()> {
    within(120, |scene| {
        let pair = Pair::new(scene)?;
        type Change = fn(&Path) -> Result<()>;
        let changes: [(&str, Change, u64); 11] = [
            ("content below a default ACL", |s| Ok(std::fs::write(s.join("a/one/file 2"), "longer content")?), 1),
            ("an attribute", |s| set(&s.join("b/file 1"), "user.where", b"new"), 1),
            ("an attribute removed", |s| Place::open(&s.join("b"))?.drop_xattr(b"file 2", "user.where"), 1),
            ("an ACL", |s| set(&s.join("b/file 3"), ACCESS, &acl(6, &[(7, 7)], 4, 7, 0)), 1),
            ("a default ACL", |s| set(&s.join("a/two"), DEFAULT, &acl(7, &[(7, 5)], 5, 7, 0)), 1),
            ("no default ACL", |s| Place::open(&s.join("a"))?.drop_xattr(b"one", DEFAULT), 1),
            ("a mode", |s| Place::open(&s.join("b"))?.mode(b"file 4", 0o400), 1),
            ("an owner", |s| Ok(chown(s.join("b/file 5"), Some(77), Some(78))?), 1),
            ("a link's owner", |s| Place::open(s)?.own(b"link", 79, 80), 1),
            ("an attribute of a linked file", |s| set(&s.join("first of two"), "user.where", b"both"), 2),
            ("an attribute of the root", |s| set(s, "user.root", b"r"), 0),
        ];
        for (what, change, looked) in changes {
            change(&pair.source)?;
            let entries = pair.sync(&[]).context(what)?.entries;
            ensure!(entries.trusted_attributes == entries.scanned - looked, "{what}: {entries:?}");
            pair.trusts_all(&[]).context(what)?;
        }
        Ok(())
    })
}

#[test]
fn what_changed_at_the_destination_is_seen_and_repaired() -> Result<()> {
    within(120, |scene| {
        let pair = Pair::new(scene)?;
        type Change = fn(&Path) -> Result<()>;
        let changes: [(&str, Change); 11] = [
            ("an attribute", |d| set(&d.join("b/file 1"), "user.where", b"new")),
            ("an attribute more", |d| set(&d.join("b/file 1"), "user.more", b"new")),
            ("an attribute of a directory", |d| set(&d.join("a/one"), "user.more", b"new")),
            ("an ACL", |d| set(&d.join("b/file 3"), ACCESS, &acl(6, &[(7, 7)], 4, 7, 0))),
            ("no default ACL", |d| Place::open(&d.join("a"))?.drop_xattr(b"one", DEFAULT)),
            ("a mode", |d| Place::open(&d.join("b"))?.mode(b"file 4", 0o400)),
            ("a file gone", |d| Ok(std::fs::remove_file(d.join("a/one/file 0"))?)),
            ("a directory gone", |d| Ok(std::fs::remove_dir_all(d.join("a"))?)),
            ("another kind", |d| {
                std::fs::remove_file(d.join("b/file 6"))?;
                Ok(symlink("nowhere", d.join("b/file 6"))?)
            }),
            ("a file for a directory", |d| {
                std::fs::remove_dir_all(d.join("a/one"))?;
                Ok(std::fs::write(d.join("a/one"), "x")?)
            }),
            ("a default ACL where a file is missing", |d| {
                set(&d.join("b"), DEFAULT, &acl(7, &[(7, 5)], 5, 7, 0))?;
                Ok(std::fs::remove_file(d.join("b/file 7"))?)
            }),
        ];
        for (what, change) in changes {
            change(&pair.destination)?;
            pair.sync(&[]).context(what)?;
            pair.trusts_all(&[]).context(what)?;
        }
        Ok(())
    })
}

#[test]
fn what_is_new_beside_what_was_not_looked_at_inherits_nothing() -> Result<()> {
    within(60, |scene| {
        // The directory with the default ACL is not looked at, for it changes only in times that are put back.
        let pair = Pair::new(scene)?;
        let (ours, theirs) = pair.at("a/one");
        std::fs::remove_file(theirs.join("file 0"))?;
        std::fs::write(ours.join("file 1"), "changed")?;
        let entries = pair.sync(&[])?.entries;
        ensure!(entries.created == 1 && entries.updated >= 1, "{entries:?}");
        pair.trusts_all(&[])
    })
}

/// Directories that change places: what is in them keeps its ctime, and looks the same but for its attributes.
#[test]
fn a_directory_that_moved_is_not_taken_for_the_one_that_stood_there() -> Result<()> {
    within(120, |scene| {
        let pair = Pair::new(scene)?;
        let swap = |root: &Path, one: &str, other: &str| -> Result<()> {
            std::fs::rename(root.join(one), root.join("between"))?;
            std::fs::rename(root.join(other), root.join(one))?;
            Ok(std::fs::rename(root.join("between"), root.join(other))?)
        };
        for more in [&[][..], &["--delete"]] {
            for (one, other) in [("a/one", "a/two"), ("a/one", "b"), ("a", "b")] {
                // There and back at the source, then once at the destination.
                for side in [&pair.source, &pair.source, &pair.destination] {
                    swap(side, one, other)?;
                    let delete = if more.is_empty() && one == "a" { &["--delete"] } else { more };
                    pair.sync(delete).with_context(|| format!("{one} and {other} in {}", side.display()))?;
                    pair.trusts_all(&[])?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn a_directory_that_moved_at_the_destination_proves_nothing_of_what_is_in_it() -> Result<()> {
    // At the source both got a new file, so both are looked at themselves; what else is in them is not.
    within(60, |scene| {
        let pair = Pair::of(scene, |source| {
            for name in ["x", "y"] {
                std::fs::create_dir_all(source.join(name))?;
                let place = Place::open(&source.join(name))?;
                drop(place.file(b"alike", b"12345")?);
                place.time(b"alike", (1_500_000_000, 5))?;
                place.xattr(b"alike", "user.where", name.as_bytes())?;
            }
            Ok(())
        })?;
        for name in ["x", "y"] {
            std::fs::write(pair.source.join(name).join("new"), name)?;
        }
        for (from, to) in [("x", "z"), ("y", "x"), ("z", "y")] {
            std::fs::rename(pair.destination.join(from), pair.destination.join(to))?;
        }
        pair.sync(&[])?;
        pair.trusts_all(&[])
    })
}

#[test]
fn a_renamed_directory_converges_in_one_run_with_its_attributes() -> Result<()> {
    within(120, |scene| {
        let pair = Pair::new(scene)?;
        let large = Seed::new(1).bytes(300_000);
        std::fs::write(pair.source.join("a/two/large"), &large)?;
        set(&pair.source.join("a/two/large"), "user.where", b"moves")?;
        pair.sync(&[])?;
        std::fs::rename(pair.source.join("a/two"), pair.source.join("a/new"))?;
        let report = pair.sync(&["--delete"])?;
        ensure!(report.bytes.literal < 100_000, "the large file was sent again: {:?}", report.bytes);
        pair.trusts_all(&[])?;
        std::fs::rename(pair.source.join("a/new"), pair.source.join("moved"))?;
        pair.run(&[])?.exits(0)?;
        let more = [Aspect::Below(b"a/new".to_vec()), Aspect::Extra];
        let left = compare::differences(&pair.source, &pair.destination, &more)?;
        // The old names stay, and so does the link of one of them.
        ensure!(left.iter().all(|difference| difference.what.contains("link")), "{left:?}");
        pair.sync(&["--delete"])?;
        pair.trusts_all(&[])
    })
}

#[test]
fn what_is_mounted_over_a_name_is_looked_at() -> Result<()> {
    within(60, |scene| {
        for at_source in [true, false] {
            let root = scene.fresh("case", "");
            let (ferry, source, destination) = (Ferry::new(scene)?, root.join("source"), root.join("destination"));
            let (state, elsewhere) = (root.join("state"), root.join("elsewhere"));
            small(&source)?;
            small(&elsewhere)?;
            let run = || -> Result<u64> {
                std::thread::sleep(TICK);
                let more = ["--state", state.to_str().context("a path")?];
                let report = ferry.sync(&source, &destination, &more)?.exits(0)?.report()?.clone();
                compare::equal(&source, &destination)?;
                Ok(report.entries.trusted_attributes)
            };
            run()?;
            ensure!(run()? > 0, "nothing was trusted");
            let side = if at_source { &source } else { &destination };
            // The same file system, the same names, sizes and times, and none of it changed.
            let mounts = [("a/one", "b"), ("a/two/file 5", "a/one/file 5")]
                .map(|(from, over)| Mount::bind(&elsewhere.join(from), &side.join(over)));
            ensure!(mounts.iter().all(Result::is_ok), "a mount was refused: {mounts:?}");
            // What this run brings lands on what is mounted, and goes away with it.
            set(&source.join("b/file 2"), "user.where", b"while mounted")?;
            run()?;
            drop(mounts);
            run()?;
        }
        Ok(())
    })
}

#[test]
fn a_lost_and_found_that_became_the_volumes_own_is_looked_at() -> Result<()> {
    within(60, |scene| {
        let mount = Mount::tmpfs(&scene.path("source"), 10 << 20)?;
        let alike = |root: &Path, mark: &[u8]| -> Result<()> {
            std::fs::create_dir_all(root.join("lost+found"))?;
            let inner = Place::open(&root.join("lost+found"))?;
            drop(inner.file(b"alike", b"12345")?);
            inner.time(b"alike", (1_500_000_000, 5))?;
            inner.xattr(b"alike", "user.where", mark)
        };
        alike(mount.path(), b"source")?;
        alike(&scene.path("destination"), b"destination")?;
        let pair = Pair {
            scene,
            ferry: Ferry::new(scene)?,
            source: mount.path().to_owned(),
            destination: scene.path("destination"),
            state: scene.path("state"),
        };
        pair.run(&[])?.exits(0)?;
        chown(mount.path().join("lost+found"), Some(7), Some(7))?;
        pair.sync(&[])?;
        pair.trusts_all(&[])
    })
}

#[test]
fn another_view_of_the_source_or_of_the_destination_trusts_nothing() -> Result<()> {
    within(120, |scene| {
        let pair = Pair::new(scene)?;
        for more in [&["--checksum"][..], &["--verify"], &["--one-file-system"], &["--selinux", "skip"]] {
            pair.trusts_nothing(more).with_context(|| format!("{more:?}"))?;
            // Each is a view of its own, with a baseline of its own.
            let again = pair.sync(more)?.entries;
            let checks = matches!(more, ["--checksum"] | ["--verify"]);
            ensure!((again.trusted_attributes == 0) == checks, "{more:?}: {again:?}");
            pair.sync(&[])?;
            pair.trusts_all(&[])?;
        }
        for more in [&["--exclude", "nothing"][..], &["--chown", "0:0"], &["--no-owner"], &["--no-xattrs"]] {
            let first = pair.run(more)?.exits(0)?.report()?.entries;
            ensure!(first.trusted_attributes == 0, "{more:?}: {first:?}");
            pair.sync(&[])?;
            pair.trusts_all(&[])?;
        }
        Ok(())
    })
}

#[test]
fn another_source_trusts_nothing() -> Result<()> {
    within(60, |scene| {
        let pair = Pair::new(scene)?;
        let other = scene.path("other source");
        small(&other)?;
        set(&other.join("b/file 1"), "user.where", b"other")?;
        std::thread::sleep(TICK);
        let more = ["--state", pair.state.to_str().context("a path")?];
        let entries = pair.ferry.sync(&other, &pair.destination, &more)?.exits(0)?.report()?.entries;
        ensure!(entries.trusted_attributes == 0, "{entries:?}");
        compare::equal(&other, &pair.destination)?;
        // And the first one finds what the second has changed.
        pair.trusts_nothing(&[])
    })
}

#[test]
fn a_damaged_baseline_is_said_and_not_used() -> Result<()> {
    within(60, |scene| {
        let pair = Pair::new(scene)?;
        let file = pair.baseline().context("no baseline")?;
        let good = std::fs::read(&file)?;
        let mut flipped = good.clone();
        if let Some(byte) = flipped.get_mut(90) {
            *byte ^= 1;
        }
        for bad in [flipped, good.iter().take(99).copied().collect(), Vec::new(), vec![b'x'; 100_000]] {
            std::fs::write(&file, bad)?;
            let done = pair.run(&[])?.exits(0)?;
            done.says(&["it is damaged"])?;
            ensure!(done.report()?.entries.trusted_attributes == 0, "a bad baseline was used");
            pair.trusts_all(&[])?;
        }
        Ok(())
    })
}

#[test]
fn a_clock_that_was_set_disables_the_baseline() -> Result<()> {
    within(60, |scene| {
        let pair = Pair::new(scene)?;
        // For who runs a thousand seconds later by the other clock, the wall clock was set back by as much.
        for (shift, trusts) in [(0, true), (1_000, false), (-1_000, false)] {
            let mut command = Command::new("unshare");
            command.args(["--time", "--fork", &format!("--boottime={shift}"), "--"]).arg(pair.ferry.binary());
            command.arg("sync").arg(&pair.source).arg(&pair.destination).arg("--state").arg(&pair.state);
            std::thread::sleep(TICK);
            let entries = pair.ferry.start(command)?.finish(SOON)?.exits(0)?.report()?.entries;
            ensure!((entries.trusted_attributes == entries.scanned) == trusts, "{shift}: {entries:?}");
            ensure!(trusts || entries.trusted_attributes == 0, "{shift}: {entries:?}");
            pair.sync(&[])?;
        }
        Ok(())
    })
}

#[test]
fn only_a_clean_run_leaves_a_baseline() -> Result<()> {
    within(60, |scene| {
        let (ferry, source, destination) = (Ferry::new(scene)?, scene.path("source"), scene.path("destination"));
        small(&source)?;
        let state = scene.path("state");
        let kept = || std::fs::read_dir(&state).is_ok_and(|mut found| found.next().is_some());
        let run = |more: &[&str], exit: i32| -> Result<()> {
            let more = [&["--state", state.to_str().context("a path")?], more].concat();
            ferry.sync(&source, &destination, &more)?.exits(exit)?;
            ensure!(!kept(), "a baseline was kept after a run with {more:?} that ended with {exit}");
            Ok(())
        };
        run(&["--dry-run"], 0)?;
        run(&["--no-xattrs"], 0)?;
        std::fs::write(source.join(".ferry"), "no state of ours")?;
        run(&[], 3)?;
        std::fs::remove_file(source.join(".ferry"))?;
        // Loss, accepted or not: a time that no file system keeps exactly is none on tmpfs, a device without privilege is.
        ferry.sync(&source, &destination, &["--delete"])?.exits(0)?;
        Place::open(&source)?.node(b"device", rustix::fs::FileType::CharacterDevice, 1, 3)?;
        let (keys, volumes) = (ferry.keys()?, [("data", destination.as_path())]);
        let more = ["--once", "--no-devices", "--state", state.to_str().context("a path")?];
        for accepted in [&[][..], &["--accept-loss", "devices"]] {
            let receiver = ferry.receive(&keys, &volumes, &more)?;
            let sent = ferry.send(&keys, receiver.port, &[("data", &source)], accepted)?.finish(SOON)?;
            sent.exits(if accepted.is_empty() { 3 } else { 0 })?;
            receiver.run.finish(SOON)?;
            ensure!(!kept(), "a baseline was kept after loss");
        }
        Ok(())
    })
}

#[test]
fn over_the_network_both_sides_say_what_was_trusted() -> Result<()> {
    within(60, |scene| {
        let (ferry, source, destination) = (Ferry::new(scene)?, scene.path("source"), scene.path("destination"));
        small(&source)?;
        let keys = ferry.keys()?;
        for round in 0..3 {
            std::thread::sleep(TICK);
            let receiver = ferry.receive(&keys, &[("data", &destination)], &["--once", "--state", "volume"])?;
            let sent = ferry.send(&keys, receiver.port, &[("data", &source)], &["--delete"])?.finish(SOON)?.exits(0)?;
            let received = receiver.run.finish(SOON)?.exits(0)?;
            compare::equal_but(&source, &destination, &[Aspect::Top(".ferry")])?;
            let (ours, theirs) = (sent.report()?.entries, received.report()?.entries);
            ensure!(ours.trusted_attributes == theirs.trusted_attributes, "{ours:?} and {theirs:?}");
            ensure!((ours.trusted_attributes == ours.scanned) == (round > 0), "round {round}: {ours:?}");
            ensure!(round == 0 || ours.trusted_attributes > 0, "round {round}: {ours:?}");
        }
        Ok(())
    })
}

#[test]
fn an_attribute_changed_while_a_run_is_under_way_is_seen_by_the_next() -> Result<()> {
    within(120, |scene| {
        let (ferry, source, destination) = (Ferry::new(scene)?, scene.path("source"), scene.path("destination"));
        small(&source)?;
        std::fs::write(source.join("large"), Seed::new(3).bytes(6 << 20))?;
        let state = scene.path("state");
        let pair = Pair { scene, ferry, source, destination, state };
        for round in 0..3_u8 {
            let mut command = pair.ferry.command("sync");
            command.arg(&pair.source).arg(&pair.destination).arg("--state").arg(&pair.state);
            command.args(["--bwlimit", "4M"]);
            let mut run = pair.ferry.start(command)?;
            std::thread::sleep(Duration::from_millis(300 + 200 * u64::from(round)));
            ensure!(run.process.is_running()?, "the run was over at once");
            set(&pair.source.join("a/one/file 3"), "user.where", &[round])?;
            set(&pair.source.join("b"), "user.where", &[round])?;
            run.finish(SOON)?.exits(0)?;
            pair.sync(&[]).with_context(|| format!("round {round}"))?;
            pair.trusts_all(&[])?;
            std::fs::write(pair.source.join("large"), Seed::new(u64::from(round)).bytes(6 << 20))?;
        }
        Ok(())
    })
}

#[test]
fn a_killed_run_leaves_no_baseline_that_lies() -> Result<()> {
    within(240, |scene| {
        let pair = Pair::new(scene)?;
        let (mut seed, mut met) = (Seed::new(5), 0);
        for round in 0..8_u8 {
            for side in [&pair.source, &pair.destination] {
                let name = format!("b/file {}", seed.below(8));
                set(&side.join(name), "user.where", &[round])?;
            }
            std::fs::write(pair.source.join("large"), seed.bytes(3 << 20))?;
            std::fs::rename(pair.source.join("a/one"), pair.source.join("a/between"))?;
            std::fs::rename(pair.source.join("a/two"), pair.source.join("a/one"))?;
            std::fs::rename(pair.source.join("a/between"), pair.source.join("a/two"))?;
            let mut command = pair.ferry.command("sync");
            command.arg(&pair.source).arg(&pair.destination).arg("--state").arg(&pair.state);
            command.args(["--bwlimit", "4M", "--delete"]);
            let mut run = pair.ferry.start(command)?;
            std::thread::sleep(Duration::from_millis(20 + seed.below(700)));
            met += u32::from(run.process.is_running()?);
            run.process.kill()?;
            pair.sync(&[]).with_context(|| format!("round {round}"))?;
            pair.trusts_all(&[])?;
        }
        ensure!(met >= 4, "only {met} of 8 runs were met under way");
        let left = pair.scene.path("destination").join("between");
        ensure!(!left.exists(), "something was left");
        Ok(())
    })
}
