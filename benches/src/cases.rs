//! The cases: what changed between source and destination, which options each contender gets for it, and which ratio ferry owes.
//! One table; nothing is tuned here for anybody: data is noise, and best flags are those that were fastest when tried.

use std::fs;

use anyhow::Result;

use crate::data::{self, GIB, MIB, PAGE, Written};
use crate::rsync::{ALL_ATTRIBUTES, PLAIN};
use crate::site::Site;

/// What the destination is when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// An empty directory, each time.
    Empty,
    /// A copy of what the case made in `before`, each time.
    Before,
    /// A copy of the source, made once: a run changes nothing, and that is checked.
    Equal,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, at full scale.
    pub what: &'static str,
    /// ferry's options.
    pub ferry: &'static [&'static str],
    /// rsync's default options.
    pub rsync: &'static [&'static str],
    /// rsync's best options, where they differ.
    pub best: Option<&'static [&'static str]>,
    /// What a run begins with.
    pub start: Start,
    /// rsync's time divided by ferry's: what is owed, and what is aimed at.
    pub must: f64,
    /// What is aimed at.
    pub aim: f64,
    /// Bytes needed at full scale: all three trees, and what a contender writes beside.
    pub room: u64,
    /// Makes the source, and `before` where it counts.
    make: fn(&Site, Scale) -> Result<()>,
}

/// A factor that shrinks sizes and counts, above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Scale(f64);

impl Scale {
    /// Nothing shrinks.
    pub const FULL: Self = Self(1.0);

    /// This factor.
    #[must_use]
    pub fn new(factor: f64) -> Option<Self> {
        (factor > 0.0 && factor <= 1.0).then_some(Self(factor))
    }

    /// The factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0
    }

    /// A count or size, shrunk, at least `least`.
    #[must_use]
    pub fn of(self, full: u64, least: u64) -> u64 {
        ((full as f64 * self.0) as u64).max(least)
    }
}

const DEFAULT: &[&str] = &[ALL_ATTRIBUTES];
const INPLACE: Option<&[&str]> = Some(&[ALL_ATTRIBUTES, "--inplace"]);
/// Bytes between two pieces of data in the sparse file: 20 GiB hold 200 pieces of 1 MiB.
const STRIDE: u64 = 20 * GIB / 200 / PAGE * PAGE;

/// All cases, in the order of the table.
pub const CASES: [Case; 13] = [
    Case {
        name: "pages",
        what: "1 GiB file, 500 random 4 KiB pages changed",
        must: 2.5,
        aim: 3.5,
        best: INPLACE,
        make: |site, scale| {
            before_and_source(site, scale.of(GIB, MIB), Written::SINCE)?;
            data::change_pages(&source(site), 2, scale.of(500, 4), PAGE, Written::SINCE)
        },
        ..DELTA
    },
    Case {
        name: "append",
        what: "1 GiB file, 64 MiB appended",
        must: 3.0,
        aim: 4.5,
        best: INPLACE,
        make: |site, scale| {
            before_and_source(site, scale.of(GIB, MIB), Written::SINCE)?;
            data::append(&source(site), 2, scale.of(64 * MIB, PAGE), Written::SINCE)
        },
        ..DELTA
    },
    Case {
        name: "insert1",
        what: "1 GiB file, 19 bytes inserted at 1 MiB",
        make: |site, scale| inserted(site, scale.of(GIB, 2 * MIB), &[scale.of(MIB, PAGE)]),
        ..DELTA
    },
    Case {
        name: "insert100",
        what: "1 GiB file, 19 bytes inserted at 100 places",
        make: |site, scale| {
            let size = scale.of(GIB, 2 * MIB);
            let places: Vec<u64> = (1..=100).map(|place| size / 101 * place).collect();
            inserted(site, size, &places)
        },
        ..DELTA
    },
    Case {
        name: "touch",
        what: "1 GiB file, unchanged but for its mtime",
        must: 2.5,
        aim: 3.0,
        best: INPLACE,
        make: |site, scale| before_and_source(site, scale.of(GIB, MIB), Written::SINCE),
        ..DELTA
    },
    Case {
        name: "rename",
        what: "directory of 2 GiB (1024 files) renamed at the top, --delete",
        ferry: &["--delete"],
        rsync: &[ALL_ATTRIBUTES, "--delete"],
        must: 5.0,
        aim: 8.0,
        room: 9 * GIB,
        make: |site, scale| {
            let count = scale.of(1024, 4);
            data::large_files(&site.before().join("old"), 1, count, 2 * MIB)?;
            data::large_files(&site.source().join("new"), 1, count, 2 * MIB)
        },
        ..DELTA
    },
    Case {
        name: "sparse",
        what: "sparse file, 20 GiB apparent, 200 MiB data: first copy (rsync with --sparse: its default needs 20 GiB)",
        rsync: &[ALL_ATTRIBUTES, "--sparse"],
        start: Start::Empty,
        must: 20.0,
        aim: 50.0,
        room: GIB,
        make: |site, scale| sparse(site, scale, Written::BEFORE),
        ..DELTA
    },
    Case {
        name: "sparse-again",
        what: "the same file, 50 of its pages changed",
        rsync: &[ALL_ATTRIBUTES, "--sparse"],
        must: 20.0,
        aim: 50.0,
        best: Some(&[ALL_ATTRIBUTES, "--sparse", "--inplace"]),
        room: GIB,
        make: |site, scale| {
            sparse(site, scale, Written::SINCE)?;
            let before = site.before().join("data");
            data::sparse_file(&before, 1, scale.of(20 * GIB, 2 * STRIDE), STRIDE, Written::BEFORE)?;
            data::change_pages(&source(site), 2, scale.of(50, 4), STRIDE, Written::SINCE)
        },
        ..DELTA
    },
    Case {
        name: "small",
        what: "100 k files around 4 KiB in 1 k directories: first copy",
        start: Start::Empty,
        must: 2.0,
        aim: 2.5,
        make: small,
        ..DELTA
    },
    Case {
        name: "nochange",
        what: "the same files, nothing changed, extended attributes and ACLs compared",
        start: Start::Equal,
        must: 3.0,
        aim: 4.5,
        make: small,
        ..DELTA
    },
    Case {
        name: "nochange-plain",
        what: "the same files, nothing changed, without extended attributes and ACLs on either side",
        ferry: &["--no-xattrs"],
        rsync: &[PLAIN],
        start: Start::Equal,
        must: 2.0,
        aim: 3.0,
        make: small,
        ..DELTA
    },
    Case {
        name: "big",
        what: "2 GiB incompressible file: first copy",
        best: INPLACE,
        start: Start::Empty,
        must: 2.0,
        aim: 2.5,
        room: 5 * GIB,
        make: |site, scale| data::noise_file(&source(site), 1, scale.of(2 * GIB, MIB), Written::BEFORE),
        ..DELTA
    },
    Case {
        name: "checksum",
        what: "2 GiB file, nothing changed, --checksum",
        ferry: &["--checksum"],
        rsync: &[ALL_ATTRIBUTES, "--checksum"],
        start: Start::Equal,
        must: 2.0,
        aim: 3.0,
        room: 5 * GIB,
        make: |site, scale| data::noise_file(&source(site), 1, scale.of(2 * GIB, MIB), Written::BEFORE),
        ..DELTA
    },
];

/// What most delta cases have in common; no case by itself.
const DELTA: Case = Case {
    name: "",
    what: "",
    ferry: &[],
    rsync: DEFAULT,
    best: None,
    start: Start::Before,
    must: 1.2,
    aim: 1.6,
    room: 5 * GIB,
    make: |_, _| Ok(()),
};

impl Case {
    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Makes its data on an empty site. Both roots get whole seconds, a day apart: rsync compares directories' times by the
    /// second, and roots of one second would be left unequal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make(&self, site: &Site, scale: Scale) -> Result<()> {
        (self.make)(site, scale)?;
        data::date(&site.before(), Written::BEFORE)?;
        data::date(&site.source(), Written::SINCE)
    }

    /// Puts the destination into the state a run begins with; `first` when none has been made yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn restore(&self, site: &Site, first: bool) -> Result<()> {
        match self.start {
            Start::Empty => site.empty_destination(),
            Start::Before => site.fill_destination(&site.before()),
            Start::Equal if first => site.fill_destination(&site.source()),
            Start::Equal => Ok(()),
        }
    }
}

fn source(site: &Site) -> std::path::PathBuf {
    site.source().join("data")
}

fn before_and_source(site: &Site, size: u64, written: Written) -> Result<()> {
    let before = site.before().join("data");
    data::noise_file(&before, 1, size, Written::BEFORE)?;
    data::copy(&before, &source(site), written)
}

fn inserted(site: &Site, size: u64, places: &[u64]) -> Result<()> {
    let before = site.before().join("data");
    data::noise_file(&before, 1, size, Written::BEFORE)?;
    data::insert(&before, &source(site), places, Written::SINCE)
}

fn sparse(site: &Site, scale: Scale, written: Written) -> Result<()> {
    data::sparse_file(&source(site), 1, scale.of(20 * GIB, 2 * STRIDE), STRIDE, written)
}

fn small(site: &Site, scale: Scale) -> Result<()> {
    fs::create_dir_all(site.source().join("files"))?;
    data::small_files(&site.source().join("files"), 1, scale.of(100_000, 200))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;

    const TINY: Scale = Scale(0.001);

    /// Every file below `root` with its contents and time; a sparse file by its size alone.
    fn contents(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let (mut found, mut dirs) = (BTreeMap::new(), vec![root.to_owned()]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let (path, facts) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
                if facts.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let bytes = if facts.len() > GIB / 16 { vec![] } else { fs::read(&path).unwrap() };
                found.insert(path.strip_prefix(root).unwrap().to_owned(), (bytes, facts.modified().unwrap()));
            }
        }
        found
    }

    #[test]
    fn every_case_makes_the_same_data_each_time() {
        for case in CASES {
            let [one, two] = [Site::scratch().unwrap(), Site::scratch().unwrap()];
            case.make(&one, TINY).unwrap();
            case.make(&two, TINY).unwrap();
            let source = contents(&one.source());
            assert!(!source.is_empty(), "{}", case.name);
            assert!(source == contents(&two.source()), "{} differs", case.name);
            assert!(contents(&one.before()) == contents(&two.before()), "{} differs before", case.name);
        }
    }

    #[test]
    fn every_run_begins_as_the_case_says() {
        for case in CASES {
            let site = Site::scratch().unwrap();
            case.make(&site, TINY).unwrap();
            case.restore(&site, true).unwrap();
            let (source, destination) = (contents(&site.source()), contents(&site.destination()));
            assert_eq!(source == destination, case.start == Start::Equal, "{}", case.name);
            assert_eq!(destination.is_empty(), case.start == Start::Empty, "{}", case.name);
            if case.start == Start::Before {
                fs::write(site.destination().join("data-of-a-run"), "x").unwrap();
                case.restore(&site, false).unwrap();
                assert!(destination == contents(&site.destination()), "{}", case.name);
            }
        }
    }

    #[test]
    fn names_are_found_and_unique() {
        for case in CASES {
            assert_eq!(Case::named(case.name).unwrap().what, case.what);
            assert!(case.must > 1.0 && case.aim >= case.must, "{}", case.name);
        }
        assert!(Case::named("").is_none());
    }

    #[test]
    fn a_scale_shrinks_and_never_grows() {
        assert_eq!(Scale::new(0.5).unwrap().of(100, 1), 50);
        assert_eq!(Scale::new(0.001).unwrap().of(100, 4), 4);
        assert!([0.0, -1.0, 1.5, f64::NAN].into_iter().all(|factor| Scale::new(factor).is_none()));
    }
}
