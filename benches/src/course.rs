//! One case, laid out: from where to where everybody copies, what the destination is before each run, what still has to reach
//! the disk after it, and what differs then. For devices these are nodes; for all else directories of the site.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ferry_tests::compare;

use crate::cases::{Case, Kind, Scale, Start};
use crate::contender::Keeps;
use crate::device::Device;
use crate::judge;
use crate::site::Site;

/// A case on its site.
#[derive(Debug)]
pub struct Course<'a> {
    site: &'a Site,
    case: &'a Case,
    /// Source and destination, when they are devices.
    devices: Option<[Device; 2]>,
}

/// How closely is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Names, sizes, times and contents.
    Quick,
    /// Every attribute too.
    Close,
}

impl<'a> Course<'a> {
    /// Makes the data and the first destination.
    ///
    /// # Errors
    /// When it cannot be written, or when the destination is equal to the source where it should not be, or the reverse: such
    /// a case measures nothing.
    pub fn lay(site: &'a Site, case: &'a Case, scale: Scale) -> Result<Self> {
        site.clear()?;
        case.make(site, scale)?;
        let mut course = Self { site, case, devices: None };
        match (case.start, case.kind) {
            (Start::Empty, _) => {}
            (Start::Equal, _) => site.fill_destination(&site.source())?,
            (Start::Before, Kind::Tree) => course.restore()?,
            (Start::Before, Kind::Device) => {
                site.fill_destination(&site.before())?;
                let device = |root: PathBuf| Device::over(&root.join("data"));
                course.devices = Some([device(site.source())?, device(site.destination())?]);
            }
        }
        match (case.start, course.difference(Look::Quick, Keeps::Everything)?) {
            (Start::Equal, None) | (Start::Empty | Start::Before, Some(_)) => Ok(course),
            (Start::Equal, Some(what)) => bail!("the destination is not equal at the start: {what}"),
            (Start::Empty | Start::Before, None) => bail!("the destination is equal at the start already"),
        }
    }

    /// What is copied.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.devices.as_ref().map_or_else(|| self.site.source(), |[source, _]| source.node().to_owned())
    }

    /// The case.
    #[must_use]
    pub fn case(&self) -> &'a Case {
        self.case
    }

    /// Bytes of all files of the source, holes included, each name of a file by itself.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn content_bytes(&self) -> Result<u64> {
        let (mut bytes, mut pending) = (0, vec![self.site.source()]);
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))? {
                let facts = entry.and_then(|entry| Ok((entry.metadata()?, entry.path())));
                match facts.with_context(|| format!("cannot look into {}", directory.display()))? {
                    (facts, path) if facts.is_dir() => pending.push(path),
                    (facts, _) if facts.is_file() => bytes += facts.len(),
                    _ => {}
                }
            }
        }
        Ok(bytes)
    }

    /// Where to.
    #[must_use]
    pub fn destination(&self) -> PathBuf {
        self.devices.as_ref().map_or_else(|| self.site.destination(), |[_, destination]| destination.node().to_owned())
    }

    /// What the destination is a copy of when a run begins, where it is one.
    #[must_use]
    pub fn origin(&self) -> PathBuf {
        match self.case.start {
            Start::Equal => self.site.source(),
            Start::Empty | Start::Before => self.site.before(),
        }
    }

    /// Puts the destination into the state a run begins with. Nothing of it is left to be written during the run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn restore(&self) -> Result<()> {
        match (self.case.start, &self.devices) {
            (Start::Empty, _) => self.site.empty_destination()?,
            (Start::Before, None) => self.site.fill_destination(&self.site.before())?,
            (Start::Before, Some([source, destination])) => {
                source.flush()?;
                destination.refill(&self.site.before().join("data"))?;
            }
            (Start::Equal, _) => {}
        }
        self.settle()
    }

    /// Waits until what was written to the destination is where it has to be: on the disk where the data lies on one (what
    /// `sync -f` does), in the image beneath a device. Nothing otherwise: a file in memory has arrived.
    ///
    /// # Errors
    /// When that fails.
    pub fn settle(&self) -> Result<()> {
        if let Some([_, destination]) = &self.devices {
            File::open(destination.node())?.sync_all().context("cannot sync the device")?;
        }
        self.site.settle()
    }

    /// What differs now, in words; nothing when the copy is right.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn difference(&self, look: Look, keeps: Keeps) -> Result<Option<String>> {
        if let Some([source, destination]) = &self.devices {
            return Ok(source.difference(destination)?.map(|at| format!("the devices differ from byte {at}")));
        }
        let (source, destination) = (self.site.source(), self.site.destination());
        match (look, keeps) {
            (Look::Close, Keeps::Everything) => close(&source, &destination),
            (Look::Quick, _) | (_, Keeps::Contents) => judge::difference(&source, &destination),
        }
    }
}

/// The first differences the tests' comparator finds; it shares no code with ferry.
fn close(source: &Path, destination: &Path) -> Result<Option<String>> {
    let found = compare::differences(source, destination, &[])?;
    let lines: Vec<String> = found.iter().take(5).map(ToString::to_string).collect();
    Ok((!lines.is_empty()).then(|| lines.join("; ")))
}

/// Fails unless there is room for the case.
///
/// # Errors
/// When there is not.
pub fn room(site: &Site, case: &Case, scale: Scale) -> Result<()> {
    let (room, free) = (scale.of(case.room, 0), site.free()?);
    ensure!(free >= room, "needs {} MiB and {} are free: use --scale or --dir", room >> 20, free >> 20);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_case_begins_as_it_says_and_again_after_a_run() {
        for case in cases::all() {
            let site = Site::scratch().unwrap();
            let course = Course::lay(&site, case, Scale::new(0.001).unwrap()).unwrap();
            let differs = || course.difference(Look::Quick, Keeps::Everything).unwrap();
            let before = differs();
            assert_eq!(before.is_none(), case.start == Start::Equal, "{}: {before:?}", case.name);
            if case.start == Start::Equal {
                continue;
            }
            match case.kind {
                Kind::Tree => site.fill_destination(&site.source()).unwrap(),
                Kind::Device => fs::write(course.destination(), fs::read(course.source()).unwrap()).unwrap(),
            }
            assert_eq!(course.difference(Look::Close, Keeps::Everything).unwrap(), None, "{}", case.name);
            course.restore().unwrap();
            assert_eq!(differs(), before, "{}", case.name);
        }
    }

    #[test]
    fn content_is_counted_through_all_directories() {
        let site = Site::scratch().unwrap();
        let bytes = |name, factor| {
            Course::lay(&site, Case::named(name).unwrap(), Scale::new(factor).unwrap())
                .unwrap()
                .content_bytes()
                .unwrap()
        };
        assert_eq!(bytes("big", 0.001), (2_u64 << 30) / 1000);
        assert_eq!(bytes("thousand", 0.02), 20 * 2048);
    }
}
