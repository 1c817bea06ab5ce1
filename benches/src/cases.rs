//! The cases: what changed between source and destination, which options each contender gets for it, and which ratio ferry owes.
//! One table; nothing is tuned here for anybody: data is noise, and best flags are those that were fastest when tried.

mod copies;
mod deltas;
mod lines;

use std::path::PathBuf;

use anyhow::Result;

use crate::contender::Targets;
use crate::data::{self, GIB, Written};
use crate::line::Line;
use crate::owed::Owed;
use crate::rsync::ALL_ATTRIBUTES;
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

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tree of files.
    Tree,
    /// One block device, to another of the same size.
    Device,
}

/// When a case is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Unless other cases are named.
    ByDefault,
    /// When it is named only: it takes long.
    WhenNamed,
}

/// Whether the times of rsync+stunnel and of ferry are a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// Their ratio is owed.
    Judged,
    /// Something else is; times are only shown.
    Shown,
}

/// What ferry may put on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Nothing is said about it.
    None,
    /// At most this share of what rsync's default options send.
    OfRsync {
        /// The share that is owed.
        must: f64,
        /// The share that is aimed at.
        aim: f64,
    },
    /// At most these bytes.
    Bytes(fn(Scale) -> u64),
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, at full scale.
    pub what: &'static str,
    /// What is copied.
    pub kind: Kind,
    /// When it is played.
    pub play: Play,
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
    /// Whether these two count.
    pub race: Race,
    /// The ratios that are owed against other contenders, by their names on the command line.
    pub beside: &'static [(&'static str, f64)],
    /// What is owed besides.
    pub owed: &'static [Owed],
    /// The line it is played over, unless another is asked for.
    pub line: Line,
    /// The ratios that are owed when the receiver remembers an earlier run, where that helps.
    pub cached: Option<Targets>,
    /// What ferry may put on the wire.
    pub wire: Bar,
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

/// All cases, in the order of the table.
#[must_use]
pub fn all() -> Vec<&'static Case> {
    deltas::FILES.iter().chain(&deltas::VOLUMES).chain(&copies::COPIES).chain(&lines::LINES).collect()
}

/// Those that are played when none is named.
#[must_use]
pub fn by_default() -> Vec<&'static Case> {
    all().into_iter().filter(|case| case.play == Play::ByDefault).collect()
}

/// What most delta cases have in common; no case by itself.
const DELTA: Case = Case {
    name: "",
    what: "",
    kind: Kind::Tree,
    play: Play::ByDefault,
    ferry: &[],
    rsync: DEFAULT,
    best: None,
    start: Start::Before,
    must: 1.2,
    aim: 1.6,
    race: Race::Judged,
    beside: &[],
    owed: &[],
    line: Line::FREE,
    cached: None,
    wire: Bar::None,
    room: 5 * GIB,
    make: |_, _| Ok(()),
};

impl Case {
    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        all().into_iter().find(|case| case.name == name)
    }

    /// Makes its data on an empty site. All directories get whole seconds, a day apart on both sides: rsync compares their times
    /// by the second, and two made in the same second would be left unequal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make(&self, site: &Site, scale: Scale) -> Result<()> {
        (self.make)(site, scale)?;
        data::date_directories(&site.before(), Written::BEFORE)?;
        data::date_directories(&site.source(), Written::SINCE)
    }
}

fn source(site: &Site) -> PathBuf {
    site.source().join("data")
}

fn before_and_source(site: &Site, size: u64, written: Written) -> Result<()> {
    let before = site.before().join("data");
    data::noise_file(&before, 1, size, Written::BEFORE)?;
    data::copy(&before, &source(site), written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;

    const TINY: Scale = Scale(0.001);

    #[test]
    fn every_case_makes_the_same_data_each_time() {
        for case in all() {
            let [one, two] = [Site::scratch().unwrap(), Site::scratch().unwrap()];
            case.make(&one, TINY).unwrap();
            case.make(&two, TINY).unwrap();
            assert!(std::fs::read_dir(one.source()).unwrap().next().is_some(), "{}", case.name);
            assert_eq!(judge::difference(&one.source(), &two.source()).unwrap(), None, "{}", case.name);
            assert_eq!(judge::difference(&one.before(), &two.before()).unwrap(), None, "{}", case.name);
        }
    }

    #[test]
    fn names_are_found_and_unique() {
        for case in all() {
            assert_eq!(Case::named(case.name).unwrap().what, case.what);
            assert!(case.must >= 1.0 && case.aim >= case.must, "{}", case.name);
            assert!(case.beside.iter().all(|(id, _)| crate::contenders::IDS.contains(id)), "{}", case.name);
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
