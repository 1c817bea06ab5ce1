//! A problem: one path whose content or entry is missing at the destination, recorded while the run goes on.

use super::{RelPath, limits};

/// Where in the flow a problem was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Listing a directory or reading an entry's attributes at the source.
    Scan,
    /// Reading content at the source.
    Read,
    /// Listing or comparing at the destination.
    Compare,
    /// Creating an entry or writing content at the destination.
    Write,
    /// Setting attributes at the destination.
    Attributes,
    /// Making a hard link at the destination.
    Link,
    /// Removing what the source does not have.
    Delete,
    /// Reading back and comparing.
    Verify,
}

impl Stage {
    /// All stages, in the order of their wire numbers.
    pub const ALL: [Self; 8] =
        [Self::Scan, Self::Read, Self::Compare, Self::Write, Self::Attributes, Self::Link, Self::Delete, Self::Verify];

    /// The word used in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Read => "read",
            Self::Compare => "compare",
            Self::Write => "write",
            Self::Attributes => "attributes",
            Self::Link => "link",
            Self::Delete => "delete",
            Self::Verify => "verify",
        }
    }
}

/// One path, where it went wrong and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path below the volume's root.
    pub path: RelPath,
    /// Where in the flow.
    pub stage: Stage,
    /// What failed and what to do, as a sentence.
    pub cause: String,
}

impl Problem {
    /// A problem, its sentence cut to what fits the wire.
    #[must_use]
    pub fn new(path: RelPath, stage: Stage, cause: impl Into<String>) -> Self {
        let mut cause = cause.into();
        if cause.len() > limits::PROBLEM_TEXT_LEN_MAX {
            let mut end = limits::PROBLEM_TEXT_LEN_MAX;
            while !cause.is_char_boundary(end) {
                end -= 1;
            }
            cause.truncate(end);
        }
        Self { path, stage, cause }
    }
}

/// Problems of a run: the first ones in full, the rest counted.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    kept: Vec<Problem>,
    total: u64,
}

impl Problems {
    /// Records one.
    pub fn push(&mut self, problem: Problem) {
        self.total = self.total.saturating_add(1);
        if self.kept.len() < limits::PROBLEMS_KEPT_MAX {
            self.kept.push(problem);
        }
    }

    /// Adds problems that were only counted elsewhere.
    pub fn add_uncounted(&mut self, count: u64) {
        self.total = self.total.saturating_add(count);
    }

    /// Those kept in full.
    #[must_use]
    pub fn kept(&self) -> &[Problem] {
        &self.kept
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}
