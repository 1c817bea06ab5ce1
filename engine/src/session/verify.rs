//! `ferry verify`: two trees (or two files or devices) side by side, strictly, by content; each difference is named. Changes nothing.
//!
//! Both trees are walked together, depth first, names in order. Content is read on both sides and compared byte by
//! byte: nothing is trusted.

mod single;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::plan::{Excludes, Merge, Step, XattrPolicy, xattr_changes};
use crate::types::{
    EntryKind, Escaped, Name, Outcome, OwnerPolicy, Problem, Problems, RelPath, SelinuxPolicy, Stage, Xattrs,
};
use crate::volume::{
    self, Dir, Identity, Listed, Listing, Opened, SourceFile, Status, Volume, XattrError, keeps_selinux,
};

use super::progress::{Phase, Progress};
use super::stop::Stop;

/// Bytes read at once on each side.
const CHUNK: usize = 1_048_576;

/// What `ferry verify` does.
#[derive(Clone, Debug)]
pub struct VerifyRun {
    /// The tree that is right.
    pub source: PathBuf,
    /// The tree that should be equal.
    pub destination: PathBuf,
    /// Gitignore patterns of what is not compared.
    pub excludes: Vec<String>,
    /// Whether owners are compared.
    pub owner: OwnerPolicy,
    /// Whether extended attributes are compared.
    pub xattrs: bool,
    /// What only the destination has is no difference.
    pub ignore_extra: bool,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: RelPath,
    /// What, as a sentence.
    pub what: String,
}

/// How a verification ended.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// Clean, Differences, Problems (something could not be compared), Usage, or a signal's outcome.
    pub outcome: Outcome,
    /// Differences named.
    pub differences: u64,
    /// Entries of the source compared.
    pub entries: u64,
    /// Bytes of content compared.
    pub bytes: u64,
    /// What could not be compared.
    pub problems: Problems,
}

/// Compares two trees; `on` is told each difference as it is found.
pub fn verify(run: &VerifyRun, on: &mut dyn FnMut(Difference), progress: &Progress, stop: &Stop) -> VerifyReport {
    progress.enter(Phase::Verifying);
    let mut report =
        VerifyReport { outcome: Outcome::Clean, differences: 0, entries: 0, bytes: 0, problems: Problems::default() };
    let opened = (|| {
        let source = Volume::open_source(&run.source).map_err(|e| (run.source.display().to_string(), e.to_string()))?;
        let destination = Volume::open_source(&run.destination)
            .map_err(|e| (run.destination.display().to_string(), e.to_string()))?;
        let excludes = Excludes::new(&run.excludes).map_err(|e| ("the exclude patterns".to_owned(), e.to_string()))?;
        match single::mismatch(source.shape(), destination.shape()) {
            Some(why) => Err(("these two volumes together".to_owned(), why)),
            None => Ok((source, destination, excludes)),
        }
    })();
    let (source, destination, excludes) = match opened {
        Ok(opened) => opened,
        Err((what, why)) => {
            report.problems.push(Problem::new(RelPath::root(), Stage::Verify, format!("cannot use {what}: {why}")));
            report.outcome = Outcome::Usage;
            return report;
        }
    };
    let xattrs = XattrPolicy { enabled: run.xattrs, selinux: keeps_selinux(SelinuxPolicy::Auto), no_setuid: false };
    let pair = Pair { run, source: &source, destination: &destination, excludes, xattrs, progress };
    Walk { pair: &pair, on, report: &mut report, links: Links::default(), buffers: Default::default() }.run(stop);
    progress.scan_complete.store(true, Relaxed);
    progress.enter(Phase::Done);
    report.outcome = match (stop.asked(), report.differences, report.problems.total()) {
        (Some(signal), _, _) => signal.outcome(),
        (None, 1.., _) => Outcome::Differences,
        (None, 0, 1..) => Outcome::Problems,
        (None, 0, 0) => Outcome::Clean,
    };
    report
}

/// The two trees and how they are compared.
struct Pair<'a> {
    run: &'a VerifyRun,
    source: &'a Volume,
    destination: &'a Volume,
    excludes: Excludes,
    xattrs: XattrPolicy,
    progress: &'a Progress,
}

struct Walk<'a> {
    pair: &'a Pair<'a>,
    on: &'a mut dyn FnMut(Difference),
    report: &'a mut VerifyReport,
    links: Links,
    buffers: [Vec<u8>; 2],
}

/// Inodes with several names: each side's must be the same names.
#[derive(Default)]
struct Links {
    there: HashMap<Identity, Identity>,
    here: HashMap<Identity, Identity>,
}

/// The names of a directory, one ahead.
struct Names {
    listing: Listing,
    ahead: VecDeque<Listed>,
}

type Both = (Arc<Dir>, Arc<Dir>);

impl Walk<'_> {
    fn run(&mut self, stop: &Stop) {
        if self.pair.source.shape().is_single() {
            return self.singles(self.pair.source, self.pair.destination);
        }
        let (a, b) = (Arc::clone(self.pair.source.root()), Arc::clone(self.pair.destination.root()));
        self.roots(&a, &b);
        let mut stack: Vec<Both> = vec![(a, b)];
        while let Some((a, b)) = stack.pop() {
            if stop.asked().is_some() {
                return;
            }
            if let Err(error) = self.directory(&a, &b, &mut stack, stop) {
                self.problem(a.path(), &error.to_string());
            }
        }
    }

    fn roots(&mut self, a: &Arc<Dir>, b: &Arc<Dir>) {
        let read = |dir: &Dir| -> Result<(Status, Xattrs), XattrError> {
            let status = dir.status().map_err(XattrError::Fs)?;
            let xattrs = if self.pair.xattrs.enabled {
                dir.xattrs(&|name| self.pair.xattrs.wants(name))?
            } else {
                Xattrs::default()
            };
            Ok((status, xattrs))
        };
        match (read(a), read(b)) {
            (Ok((there, want)), Ok((here, have))) => {
                self.attributes(&RelPath::root(), &there, &here, true);
                self.extended(&RelPath::root(), &want, &have);
            }
            (Err(error), _) | (_, Err(error)) => self.problem(RelPath::root(), &error.to_string()),
        }
    }

    fn directory(
        &mut self,
        a: &Arc<Dir>,
        b: &Arc<Dir>,
        stack: &mut Vec<Both>,
        stop: &Stop,
    ) -> Result<(), volume::Error> {
        let (mut there, mut here) = (Names::of(a)?, Names::of(b)?);
        while stop.asked().is_none() {
            let (one, other) = (there.peek()?, here.peek()?);
            let step = Merge::step(one, other);
            let name = match step {
                Step::End => break,
                Step::SourceOnly | Step::Both => one.cloned(),
                Step::DestOnly => other.cloned(),
            };
            let Some(name) = name else { break };
            match step {
                Step::End => {}
                Step::SourceOnly => {
                    there.pop();
                    if self.counts(self.pair.source, a, &name) {
                        self.differs(a.path().join(&name), "it is missing at the destination".to_owned());
                    }
                }
                Step::DestOnly => {
                    here.pop();
                    if !self.pair.run.ignore_extra && self.counts(self.pair.destination, b, &name) {
                        self.differs(b.path().join(&name), "the source does not have it".to_owned());
                    }
                }
                Step::Both => {
                    there.pop();
                    here.pop();
                    if self.counts(self.pair.source, a, &name) {
                        self.entry(a, b, &name, stack);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a name is one that is compared.
    fn counts(&self, volume: &Volume, dir: &Arc<Dir>, name: &Name) -> bool {
        if volume.skips(dir, name) {
            return false;
        }
        let excludes = &self.pair.excludes;
        let is_dir = || matches!(dir.status_of(name), Ok(Some(status)) if status.kind == EntryKind::Dir);
        excludes.is_empty() || !excludes.matches(&dir.path().join(name), is_dir())
    }

    fn entry(&mut self, a: &Arc<Dir>, b: &Arc<Dir>, name: &Name, stack: &mut Vec<Both>) {
        let path = a.path().join(name);
        self.report.entries += 1;
        self.pair.progress.entries_scanned.fetch_add(1, Relaxed);
        let result = (|| -> Result<(), String> {
            let (Some((there, want)), Some((here, have))) = (self.look(a, name)?, self.look(b, name)?) else {
                return Err("it went away while it was compared".to_owned());
            };
            if there.kind != here.kind {
                let what = format!("it is a {}, the source's a {}", here.kind.word(), there.kind.word());
                self.differs(path.clone(), what);
                return Ok(());
            }
            self.attributes(&path, &there, &here, there.kind != EntryKind::Symlink);
            self.extended(&path, &want, &have);
            if there.kind != EntryKind::Dir && !self.links.agree(&there, &here) {
                self.differs(path.clone(), "it is not linked to the same names as at the source".to_owned());
            }
            self.substance(a, b, name, &there, &here, &path, stack)
        })();
        self.pair.progress.entries_done.fetch_add(1, Relaxed);
        if let Err(cause) = result {
            self.problem(path, &cause);
        }
    }

    fn look(&self, dir: &Arc<Dir>, name: &Name) -> Result<Option<(Status, Xattrs)>, String> {
        let policy = &self.pair.xattrs;
        if policy.enabled {
            return dir.inspect(name, None, &|name| policy.wants(name)).map_err(|e| e.to_string());
        }
        let status = dir.status_of(name).map_err(|e| e.to_string())?;
        Ok(status.map(|status| (status, Xattrs::default())))
    }

    /// What only a kind has: content, target, numbers, entries.
    #[expect(clippy::too_many_arguments, reason = "two directories, one name in both, what both are, and the walk")]
    fn substance(
        &mut self,
        a: &Arc<Dir>,
        b: &Arc<Dir>,
        name: &Name,
        there: &Status,
        here: &Status,
        path: &RelPath,
        stack: &mut Vec<Both>,
    ) -> Result<(), String> {
        let text = |e: volume::Error| e.to_string();
        match there.kind {
            EntryKind::Dir => {
                let one = a.child(name, there.identity).map_err(text)?;
                let other = b.child(name, here.identity).map_err(text)?;
                stack.push((one, other));
            }
            EntryKind::Symlink => {
                let (want, have) = (a.target_of(name).map_err(text)?, b.target_of(name).map_err(text)?);
                if want != have {
                    let what = format!("it points to {}, the source's to {}", Escaped(&have), Escaped(&want));
                    self.differs(path.clone(), what);
                }
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                let (want, have) = (there.device, here.device);
                if want != have {
                    let what = format!(
                        "its device is {}:{}, the source's {}:{}",
                        have.major, have.minor, want.major, want.minor
                    );
                    self.differs(path.clone(), what);
                }
            }
            EntryKind::File => {
                self.pair.progress.bytes_total.fetch_add(there.size, Relaxed);
                let differs = if there.size == here.size {
                    self.content(&content_of(a, name, there)?, &content_of(b, name, here)?, there.size)?
                } else {
                    None
                };
                if let Some(at) = differs {
                    self.differs(path.clone(), format!("its content differs from byte {at} on"));
                }
                self.pair.progress.bytes_done.fetch_add(there.size, Relaxed);
            }
            EntryKind::Fifo | EntryKind::Socket => {}
        }
        Ok(())
    }

    fn attributes(&mut self, path: &RelPath, there: &Status, here: &Status, has_mode: bool) {
        if has_mode && there.mode != here.mode {
            self.differs(
                path.clone(),
                format!("its mode is {:04o}, the source's {:04o}", here.mode.bits(), there.mode.bits()),
            );
        }
        if self.pair.run.owner == OwnerPolicy::Keep && there.owner != here.owner {
            let what = format!(
                "its owner is {}:{}, the source's {}:{}",
                here.owner.uid(),
                here.owner.gid(),
                there.owner.uid(),
                there.owner.gid()
            );
            self.differs(path.clone(), what);
        }
        if there.mtime != here.mtime {
            self.differs(path.clone(), format!("its time is {}, the source's {}", here.mtime, there.mtime));
        }
        if there.kind == EntryKind::File && there.size != here.size {
            self.differs(path.clone(), format!("it has {} bytes, the source's {}", here.size, there.size));
        }
    }

    fn extended(&mut self, path: &RelPath, want: &Xattrs, have: &Xattrs) {
        let changes = xattr_changes(want, have);
        let set = changes.set.iter().map(|xattr| (xattr.name.as_ref(), "differs or is missing"));
        let surplus = changes.remove.iter().map(|name| (*name, "is too much"));
        let found: Vec<String> =
            set.chain(surplus).map(|(name, what)| format!("its attribute {} {what}", Escaped(name))).collect();
        for what in found {
            self.differs(path.clone(), what);
        }
    }

    /// The offset of the first of `size` bytes that differs.
    fn content(&mut self, one: &SourceFile, other: &SourceFile, size: u64) -> Result<Option<u64>, String> {
        let [left, right] = &mut self.buffers;
        let mut at = 0;
        while at < size {
            let len = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
            left.resize(len, 0);
            right.resize(len, 0);
            let whole = one.read_exact_at(left, at).map_err(|e| e.to_string())?
                && other.read_exact_at(right, at).map_err(|e| e.to_string())?;
            if !whole {
                return Err("it became shorter while it was compared".to_owned());
            }
            if left != right {
                let within = left.iter().zip(right.iter()).take_while(|(x, y)| x == y).count();
                return Ok(Some(at + within as u64));
            }
            at += len as u64;
            self.report.bytes += len as u64;
            self.pair.progress.bytes_verified.fetch_add(len as u64, Relaxed);
        }
        Ok(None)
    }

    fn differs(&mut self, path: RelPath, what: String) {
        self.report.differences += 1;
        (self.on)(Difference { path, what });
    }

    fn problem(&mut self, path: RelPath, cause: &str) {
        self.report.problems.push(Problem::new(path, Stage::Verify, cause));
    }
}

/// A file or device that is to be read.
fn content_of(dir: &Arc<Dir>, name: &Name, status: &Status) -> Result<SourceFile, String> {
    match dir.open_source_file(name, status) {
        Ok(Opened::File(file)) => Ok(file),
        Ok(Opened::Changed(_) | Opened::Vanished) => Err("it changed while it was compared".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Links {
    /// Whether these two inodes stand for each other, as far as seen.
    fn agree(&mut self, there: &Status, here: &Status) -> bool {
        if there.nlink <= 1 && here.nlink <= 1 {
            return true;
        }
        *self.there.entry(there.identity).or_insert(here.identity) == here.identity
            && *self.here.entry(here.identity).or_insert(there.identity) == there.identity
    }
}

impl Names {
    fn of(dir: &Arc<Dir>) -> Result<Self, volume::Error> {
        Ok(Self { listing: dir.listing()?, ahead: VecDeque::new() })
    }

    fn peek(&mut self) -> Result<Option<&Name>, volume::Error> {
        if self.ahead.is_empty() && !self.listing.is_exhausted() {
            self.ahead.extend(self.listing.next_chunk(1_024)?);
        }
        Ok(self.ahead.front().map(|listed| &listed.name))
    }

    fn pop(&mut self) {
        self.ahead.pop_front();
    }
}
