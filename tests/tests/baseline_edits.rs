//! Any change of attributes, links and places on both sides, judged by the strict comparator after each run with a ctime
//! baseline: scripts that nobody thought of. What is trusted has to be right, and a run that follows trusts everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::place::Place;
use ferry_tests::report::Entries;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::everything::acl;
use ferry_tests::trees::{self, Seed};
use ferry_tests::{Context, Result, ensure};
use rustix::fs::FileType;

/// Longer than a step of the kernel's clock and what is added to it.
const TICK: Duration = Duration::from_millis(60);
/// All content is alike: only attributes tell one file from another.
const MOMENT: (i64, u32) = (1_500_000_000, 7);
const NAMES: [&[u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"f"];

/// A tree in which every name has the same size and time.
fn build(root: &Path, seed: &mut Seed) -> Result<()> {
    std::fs::create_dir_all(root)?;
    for _ in 0..80 {
        let place = somewhere(root, seed)?;
        let Some(name) = seed.pick(&NAMES).copied().filter(|name| !place.has(name)) else { continue };
        add(root, &place, name, seed)?;
    }
    Ok(())
}

fn somewhere(root: &Path, seed: &mut Seed) -> Result<Place> {
    let mut place = Place::open(root)?;
    while !seed.once_in(3) {
        let mut names = place.names()?;
        names.retain(|name| is_dir(&place, name));
        let Some(name) = seed.pick(&names).cloned() else { break };
        place = place.child(&name)?;
    }
    Ok(place)
}

fn is_dir(place: &Place, name: &[u8]) -> bool {
    place.stat(name).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn add(root: &Path, place: &Place, name: &[u8], seed: &mut Seed) -> Result<()> {
    match seed.below(5) {
        0 | 1 => drop(place.dir(name)?),
        2 => {
            let other = somewhere(root, seed)?;
            let mut names = other.names()?;
            names.retain(|name| !is_dir(&other, name));
            if let Some(leader) = seed.pick(&names).cloned() {
                return other.link(&leader, place, name);
            }
        }
        3 => return place.symlink(name, b"t"),
        _ => {}
    }
    if !place.has(name) {
        drop(place.file(name, b"alike")?);
    }
    mark(place, name, seed)
}

/// Attributes that tell this one from others, and times that do not.
fn mark(place: &Place, name: &[u8], seed: &mut Seed) -> Result<()> {
    let is_link = place.stat(name).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
    if !is_link {
        match seed.below(5) {
            0 | 1 => place.xattr(name, "user.mark", &seed.number().to_le_bytes())?,
            2 => {
                place.xattr(name, "system.posix_acl_access", &acl(6, &[(u32::try_from(seed.below(9))?, 4)], 4, 6, 0))?
            }
            3 if is_dir(place, name) => {
                place.xattr(
                    name,
                    "system.posix_acl_default",
                    &acl(7, &[(u32::try_from(seed.below(9))?, 5)], 5, 7, 0),
                )?;
            }
            _ => place.mode(name, 0o700 + u32::try_from(seed.below(0o77))?)?,
        }
    }
    place.time(name, MOMENT)
}

/// One change: attributes, a name more or less, a place among others, two that change places.
fn change(root: &Path, seed: &mut Seed) -> Result<()> {
    let place = somewhere(root, seed)?;
    let Some(name) = seed.pick(&place.names()?).cloned() else { return Ok(()) };
    match seed.below(8) {
        0..=2 => mark(&place, &name, seed)?,
        3 => {
            let Some(new) = seed.pick(&NAMES).copied().filter(|new| !place.has(new)) else { return Ok(()) };
            add(root, &place, new, seed)?;
        }
        4 if !is_dir(&place, &name) => place.unlink(&name)?,
        5 => swap(&place, &name, seed)?,
        6 => {
            let to = somewhere(root, seed)?;
            let Some(new) = seed.pick(&NAMES).copied().filter(|new| !to.has(new)) else { return Ok(()) };
            // Into itself it does not go.
            let _ = place.rename(&name, &to, new);
        }
        _ => {
            let Some(new) = seed.pick(&NAMES).copied().filter(|new| !place.has(new)) else { return Ok(()) };
            place.rename(&name, &place, new)?;
        }
    }
    Ok(())
}

fn swap(place: &Place, one: &[u8], seed: &mut Seed) -> Result<()> {
    let Some(other) = seed.pick(&place.names()?).cloned().filter(|other| other != one) else { return Ok(()) };
    place.rename(one, place, b"between")?;
    place.rename(&other, place, one)?;
    place.rename(b"between", place, &other)
}

/// Directory times are alike too, so that nothing but ctimes tells where something was.
fn date(root: &Path) -> Result<()> {
    let mut pending: Vec<PathBuf> = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
        found.push(path);
    }
    found.iter().rev().try_for_each(|path| Place::open(path)?.time(b".", MOMENT))
}

/// A run that ends clean, with equal trees.
fn equal_run(ferry: &Ferry<'_>, [source, destination]: [&Path; 2], more: &[&str]) -> Result<Entries> {
    let entries = ferry.sync(source, destination, more)?.exits(0)?.report()?.entries;
    compare::equal(source, destination)?;
    Ok(entries)
}

fn scripts(scene: &Scene, first: u64, count: u64) -> Result<u64> {
    let (ferry, mut trusted) = (Ferry::new(scene)?, 0);
    for number in first..first + count {
        let mut seed = Seed::new(number);
        let root = scene.fresh("case", "");
        let [source, destination, state] = ["source", "destination", "state"].map(|name| root.join(name));
        build(&source, &mut seed)?;
        date(&source)?;
        let more = ["--delete", "--state", state.to_str().context("a path")?];
        for round in 0..7 {
            let told = || format!("seed {number}, round {round}");
            std::thread::sleep(TICK);
            trusted += equal_run(&ferry, [&source, &destination], &more).with_context(told)?.trusted_attributes;
            std::thread::sleep(TICK);
            let again = equal_run(&ferry, [&source, &destination], &more).with_context(told)?;
            ensure!(again.trusted_attributes == again.scanned, "{}: not all was trusted: {again:?}", told());
            ensure!(again.created + again.updated + again.deleted == 0, "{}: {again:?}", told());
            std::thread::sleep(TICK);
            for side in [&source, &destination] {
                // Sometimes one side only.
                if seed.once_in(3) {
                    continue;
                }
                for _ in 0..1 + seed.below(4) {
                    change(side, &mut seed)?;
                }
                if seed.once_in(2) {
                    date(side)?;
                }
            }
        }
        std::fs::remove_dir_all(root)?;
    }
    Ok(trusted)
}

#[test]
fn any_change_of_attributes_links_and_places_is_seen() -> Result<()> {
    within(300, |scene| {
        let trusted = scripts(scene, 100, 12)?;
        ensure!(trusted > 200, "hardly anything was trusted, so nothing was tried: {trusted}");
        Ok(())
    })
}

#[test]
fn random_trees_and_edits_leave_no_difference_with_a_baseline() -> Result<()> {
    within(300, |scene| {
        let (ferry, mut trusted) = (Ferry::new(scene)?, 0);
        for number in 3000..3006 {
            let mut seed = Seed::new(number);
            let [source, destination, state] =
                ["source", "destination", "state"].map(|name| scene.path(&format!("{name}-{number}")));
            trees::random(&source, &mut seed, 150)?;
            let more = ["--delete", "--state", state.to_str().context("a path")?];
            for round in 0..5 {
                let told = || format!("seed {number}, round {round}");
                std::thread::sleep(TICK);
                trusted += equal_run(&ferry, [&source, &destination], &more).with_context(told)?.trusted_attributes;
                std::thread::sleep(TICK);
                trees::edit(&source, &mut seed, 10)?;
            }
        }
        ensure!(trusted > 300, "hardly anything was trusted, so nothing was tried: {trusted}");
        Ok(())
    })
}
