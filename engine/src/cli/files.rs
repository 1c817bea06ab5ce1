//! The files a person names on the command line that are no volume: reports to write, tickets and patterns to read.
//!
//! Outputs are opened before the work begins, so that a path that cannot be written ends the run at once and not after
//! hours. Nothing here touches a volume's contents: that is `volume` alone.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::types::Escaped;

/// Bytes of a ticket file or a file of patterns that are read at most.
pub const INPUT_LEN_MAX: u64 = 1_048_576;

/// Why a file named on the command line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened, made or read.
    #[error("cannot {verb} {path} ({remedy})")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file, escaped.
        path: String,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// It is a directory, a pipe, a socket or a block device.
    #[error("cannot write {path}: it is {kind}; name a regular file")]
    Kind {
        /// The file, escaped.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// It is longer than [`INPUT_LEN_MAX`].
    #[error("{path} is larger than 1 MiB, which no ticket or list of patterns is")]
    TooLong {
        /// The file, escaped.
        path: String,
    },
    /// It is no UTF-8.
    #[error("{path} is no UTF-8 text")]
    NotText {
        /// The file, escaped.
        path: String,
    },
}

/// Where the report goes: beside its name first, under its name only when it is whole.
#[derive(Debug)]
pub enum ReportFile {
    /// A regular file, or none yet: a new one takes its name.
    Replaced {
        /// The name.
        target: PathBuf,
        /// What the user's umask leaves of the file's mode; the run itself has none.
        mode: u32,
    },
    /// A device or a link: it is written and never replaced.
    Written(InPlaceFile),
}

/// A file written in place, because a rename would not reach the mount it is (`/dev/termination-log`).
#[derive(Debug)]
pub struct InPlaceFile {
    file: File,
    path: PathBuf,
    /// It is our own standard output or error: what is in it already stays.
    appended: bool,
}

/// A path for messages.
#[must_use]
pub fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_bytes()).to_string()
}

fn failed(verb: &'static str, path: &Path, remedy: &'static str) -> impl FnOnce(io::Error) -> FileError {
    let path = shown(path);
    move |source| FileError::Io { verb, path, source, remedy }
}

/// The path from the root, whatever the working directory becomes later.
///
/// # Errors
/// [`FileError::Io`] for an empty path or a working directory that is gone.
pub fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    std::path::absolute(path).map_err(failed("use", path, "give a path to a file"))
}

/// The text of a small file.
///
/// # Errors
/// [`FileError`]: it cannot be read, is longer than [`INPUT_LEN_MAX`], or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let path = absolute(path)?;
    let remedy = "check the path and its permissions";
    let file = File::open(&path).map_err(failed("read", &path, remedy))?;
    let mut bytes = Vec::new();
    file.take(INPUT_LEN_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", &path, remedy))?;
    if bytes.len() as u64 > INPUT_LEN_MAX {
        return Err(FileError::TooLong { path: shown(&path) });
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText { path: shown(&path) })
}

impl ReportFile {
    /// Opens the place of a report: makes a file beside `path` and removes it again, so that a run that is killed leaves
    /// nothing. `path` itself is not touched yet.
    ///
    /// # Errors
    /// [`FileError`]: the directory is missing or not writable, or `path` is something a report cannot replace.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let target = absolute(path)?;
        let remedy = "--report needs a directory that exists and may be written";
        match std::fs::symlink_metadata(&target) {
            Ok(found) if !found.is_file() => return InPlaceFile::open(&target).map(Self::Written),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("write", &target, remedy)(error));
            }
            Ok(_) | Err(_) => {}
        }
        let probe = beside(&target);
        let mode = make(&probe, 0o644).and_then(|file| file.metadata()).map_err(failed("write", &target, remedy))?;
        std::fs::remove_file(&probe).map_err(failed("write", &target, remedy))?;
        Ok(Self::Replaced { target, mode: mode.mode() & 0o777 })
    }

    /// Whether it is our own standard output or error, where other lines would stand between.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Written(InPlaceFile { appended: true, .. }))
    }

    /// Writes the whole report and gives it its name.
    ///
    /// # Errors
    /// What the system said; the file under the name is then the old one or none.
    pub fn commit(self, bytes: &[u8]) -> Result<(), FileError> {
        let (target, mode) = match self {
            Self::Written(file) => return file.commit(bytes),
            Self::Replaced { target, mode } => (target, mode),
        };
        let beside = beside(&target);
        let written = make(&beside, mode).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()?;
            std::fs::rename(&beside, &target)
        });
        written.map_err(|error| {
            // What is left of it is of no use, and perhaps never came to be.
            let _ = std::fs::remove_file(&beside);
            failed("write", &target, "the report of this run is lost")(error)
        })
    }
}

/// The hidden name beside a report until it is whole.
fn beside(target: &Path) -> PathBuf {
    let mut hidden = OsString::from(".");
    hidden.push(target.file_name().unwrap_or_default());
    hidden.push(format!(".{}.partial", std::process::id()));
    target.with_file_name(hidden)
}

/// A new file; what a killed process of the same number left under this name goes away, and no link is followed.
fn make(path: &Path, mode: u32) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

impl InPlaceFile {
    /// Opens `path` for writing, making it when missing; its contents stay until [`Self::commit`].
    ///
    /// # Errors
    /// [`FileError`]: not writable, or something that is no file to write text into.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let path = absolute(path)?;
        if let Ok(found) = std::fs::metadata(&path) {
            if let Some(file) = own_stream(&found) {
                return Ok(Self { file, path, appended: true });
            }
            let kind = found.file_type();
            let wrong = match () {
                () if kind.is_dir() => Some("a directory"),
                // Opening a pipe waits for its reader; a run must not hang on its own log.
                () if kind.is_fifo() => Some("a pipe"),
                () if kind.is_socket() => Some("a socket"),
                () if kind.is_block_device() => Some("a block device"),
                () => None,
            };
            if let Some(kind) = wrong {
                return Err(FileError::Kind { path: shown(&path), kind });
            }
        }
        let remedy = "it needs a directory that exists and a file that may be written";
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(failed("write", &path, remedy))?;
        Ok(Self { file, path, appended: false })
    }

    /// Replaces the file's contents.
    ///
    /// # Errors
    /// What the system said.
    pub fn commit(mut self, bytes: &[u8]) -> Result<(), FileError> {
        let written = if self.appended { self.file.write_all(bytes) } else { replace_contents(&mut self.file, bytes) };
        written.map_err(failed("write", &self.path, "the record of this run is lost"))
    }
}

/// Standard output or error of this process, when that is what a path such as `/dev/stdout` leads to. It is open
/// already, so that even a pipe does not make us wait for its reader.
fn own_stream(found: &std::fs::Metadata) -> Option<File> {
    let (out, err) = (io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned());
    let same = |file: &File| file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()));
    [out, err].into_iter().flatten().map(File::from).find(same)
}

fn replace_contents(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
        file.rewind()?;
    }
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ferry-files-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    fn names(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_report_appears_whole_and_leaves_nothing_beside_it() {
        let dir = scratch("whole");
        let path = dir.join("report.json");
        std::fs::write(&path, "old").unwrap();
        let report = ReportFile::open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&dir), 1);
        report.commit(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(&dir), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_report_that_cannot_be_written_is_said_when_it_is_opened() {
        let dir = scratch("unwritable");
        let missing = ReportFile::open(&dir.join("no/such/report.json")).unwrap_err().to_string();
        assert!(missing.contains("no/such/report.json") && missing.contains("--report"), "{missing}");
        let directory = ReportFile::open(&dir).unwrap_err().to_string();
        assert!(directory.contains("it is a directory"), "{directory}");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_device_is_written_and_never_replaced() {
        ReportFile::open(Path::new("/dev/null")).unwrap().commit(b"gone").unwrap();
        let kind = std::fs::symlink_metadata("/dev/null").unwrap().file_type();
        assert!(kind.is_char_device());
    }

    #[test]
    fn a_termination_log_keeps_its_inode() {
        let dir = scratch("in-place");
        let path = dir.join("log");
        std::fs::write(&path, "something longer than the new text").unwrap();
        let before = std::fs::metadata(&path).unwrap().ino();
        InPlaceFile::open(&path).unwrap().commit(b"short").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn an_endless_input_is_not_read_to_its_end() {
        let error = read_text(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(error, FileError::TooLong { .. }), "{error}");
    }
}
