//! What is measured, row by row, and what a row holds.
//!
//! Values only: `table` shows them to people, `record` to programs.

use super::clock::Spent;
use super::limit::{self, Judgement, Machine, Raw, Work};
use super::place::{Place, Scale};
use crate::cli::units;

/// What is measured, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The large file into an empty place.
    LargeFirst,
    /// The large file again, one page in a hundred changed.
    LargePages,
    /// The large file again, its time changed and its content not.
    LargeTouched,
    /// The small files into an empty place.
    SmallFirst,
    /// The small files again, nothing changed.
    SmallAgain,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of content.
    Bytes,
    /// Files.
    Files,
}

/// A run that was measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which.
    pub case: Case,
    /// What it went through, in its unit.
    pub amount: u64,
    /// What it took.
    pub spent: Spent,
    /// What it did.
    pub work: Work,
}

/// Everything there is to tell, as far as it came.
#[derive(Debug)]
pub struct Figures {
    /// How much was measured with.
    pub scale: Scale,
    /// What it ran on.
    pub machine: Machine,
    /// Data connections of a run.
    pub lanes: u8,
    /// Bytes of all small files.
    pub small_bytes: u64,
    /// The parts by themselves; `None` until they were measured.
    pub raw: Option<Raw>,
    /// The runs so far.
    pub rows: Vec<Row>,
    /// Where it happened.
    pub site: Site,
}

/// Where it happened, for people and programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// The directory, escaped; empty until there was one.
    pub path: String,
    /// The file system's type.
    pub file_system: Option<String>,
    /// Whether that is memory.
    pub is_memory: bool,
    /// What it lies on, in words.
    pub words: String,
}

impl Site {
    /// That of a place.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self {
            path: crate::cli::files::shown(place.root()),
            file_system: place.file_system().map(str::to_owned),
            is_memory: place.is_memory(),
            words: place.lies_on(),
        }
    }
}

impl Case {
    /// All of them, in this order.
    pub const ALL: [Self; 5] =
        [Self::LargeFirst, Self::LargePages, Self::LargeTouched, Self::SmallFirst, Self::SmallAgain];

    /// What programs call it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::LargeFirst => "large-first",
            Self::LargePages => "large-pages",
            Self::LargeTouched => "large-touched",
            Self::SmallFirst => "small-first",
            Self::SmallAgain => "small-again",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn words(self, scale: Scale) -> String {
        let (size, files) = (units::bytes(scale.size), units::count(scale.files));
        match self {
            Self::LargeFirst => format!("first copy, one file of {size}"),
            Self::LargePages => "again, 1 % of its pages changed".to_owned(),
            Self::LargeTouched => "again, only its time changed".to_owned(),
            Self::SmallFirst => format!("first copy, {files} small files"),
            Self::SmallAgain => "again, nothing changed".to_owned(),
        }
    }

    /// What its figure counts.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::LargeFirst | Self::LargePages | Self::LargeTouched => Unit::Bytes,
            Self::SmallFirst | Self::SmallAgain => Unit::Files,
        }
    }
}

impl Unit {
    /// A rate in words: `812 MiB/s`, `21,234 files/s`.
    #[must_use]
    pub fn rate(self, a_second: f64) -> String {
        match self {
            Self::Bytes => format!("{}/s", units::bytes(a_second as u64)),
            Self::Files => format!("{} files/s", units::count(a_second as u64)),
        }
    }

    /// What programs call it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Files => "files",
        }
    }
}

impl Row {
    /// Bytes or files a second.
    #[must_use]
    pub fn a_second(&self) -> f64 {
        limit::Rate { amount: self.amount, spent: self.spent }.a_second()
    }
}

impl Figures {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(scale: Scale, cores: usize, lanes: u8) -> Self {
        let machine = Machine { cores, others: None };
        Self { scale, machine, lanes, small_bytes: 0, raw: None, rows: Vec::new(), site: Site::default() }
    }

    /// What limits a row; `None` before the raw rates were measured.
    #[must_use]
    pub fn judged(&self, row: &Row) -> Option<Judgement> {
        self.raw.map(|raw| limit::judge(row.spent, row.work, &raw, self.machine))
    }

    /// The parts by themselves, with their key, words, unit and rate.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String, Unit, limit::Rate)> {
        let Some(raw) = self.raw else { return Vec::new() };
        let connections =
            if self.lanes == 1 { "1 connection".to_owned() } else { format!("{} connections", self.lanes) };
        let mut parts = vec![("read", "read the page cache".to_owned(), Unit::Bytes, raw.read)];
        parts.extend(raw.fetch.map(|rate| ("fetch", "read the disk".to_owned(), Unit::Bytes, rate)));
        parts.push(("hash", "BLAKE3, one core".to_owned(), Unit::Bytes, raw.hash));
        parts.push(("tls", format!("TLS on loopback, {connections}"), Unit::Bytes, raw.tls));
        parts.push(("write", "write and sync one file".to_owned(), Unit::Bytes, raw.write));
        parts.push(("make", "make and sync small files".to_owned(), Unit::Files, raw.make));
        parts
    }
}

/// Figures of round numbers: two cores, all cases at half the rate of [`limit::raw_for_tests`].
#[cfg(test)]
pub fn figures_for_tests() -> Figures {
    use std::time::Duration;
    let mut figures = Figures::new(Scale { size: 512 << 20, files: 10_000 }, 2, 2);
    figures.raw = Some(limit::raw_for_tests());
    figures.site = Site {
        path: "/tmp/ferry-bench-0".to_owned(),
        file_system: Some("ext4".to_owned()),
        is_memory: false,
        words: "on ext4".to_owned(),
    };
    let spent =
        Spent { wall: Duration::from_millis(2_000), cpu: Duration::from_millis(3_900), machine: Some(1.0), fetched: 0 };
    figures.rows = Case::ALL
        .map(|case| {
            let amount = if case.unit() == Unit::Bytes { 1_000 } else { 100 };
            let work = Work { read: amount, hashed: 2 * amount, sent: 1_500, ..Work::default() };
            Row { case, amount, spent, work }
        })
        .to_vec();
    figures
}
