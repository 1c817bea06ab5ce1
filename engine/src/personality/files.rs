//! The files the programs of this room are given that are no volume: configuration and secrets to read, the log that a
//! pod's end is read from, and what `touch` touches.
//!
//! Reads bounded amounts. Makes no file but where `touch` is asked to.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use crate::types::Escaped;

/// Bytes of a file of configuration, secrets or patterns: what is longer is something else.
pub const INPUT_LEN_MAX: u64 = 1_048_576;
/// Bytes of a pod's last words: Kubernetes keeps 4096.
pub const LAST_WORDS_LEN_MAX: usize = 4_000;
/// Where Kubernetes reads them.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("cannot {verb} {path}: {source}; check the path and its permissions")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file, escaped.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// It is longer than [`INPUT_LEN_MAX`].
    #[error("{0} is larger than 1 MiB, which no such file is; check the path")]
    TooLong(String),
    /// It is no UTF-8.
    #[error("{0} is no UTF-8 text; correct the file")]
    NotText(String),
    /// Others may read a secret.
    #[error("{0} may be read by others; take that from them (chmod o-rwx)")]
    Exposed(String),
    /// Somebody else may exchange a secret.
    #[error("{path} belongs to uid {owner}, neither to root nor to uid {ours}; chown it")]
    Foreign {
        /// The file, escaped.
        path: String,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        ours: u32,
    },
}

/// A path for messages.
#[must_use]
pub fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_bytes()).to_string()
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = shown(path);
    move |source| FileError::Io { verb, path, source }
}

/// The text of a file of at most [`INPUT_LEN_MAX`] bytes.
///
/// # Errors
/// [`FileError`]: it cannot be read, is too long, or no text.
pub fn read(path: &Path) -> Result<String, FileError> {
    text(File::open(path).map_err(failed("read", path))?, path)
}

/// The text of a file that holds passwords: refused where others may read it, or where it belongs to neither us nor
/// root. A group may read it, for that is how Kubernetes hands a secret to a user that is not root.
///
/// # Errors
/// [`FileError`]: as [`read`], and [`FileError::Exposed`], [`FileError::Foreign`].
pub fn read_secret(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(failed("read", path))?;
    // Of the open file, so that nobody exchanges it in between.
    let found = file.metadata().map_err(failed("look at", path))?;
    if found.mode() & 0o007 != 0 {
        return Err(FileError::Exposed(shown(path)));
    }
    let ours = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != ours {
        return Err(FileError::Foreign { path: shown(path), owner: found.uid(), ours });
    }
    text(file, path)
}

fn text(file: File, path: &Path) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    file.take(INPUT_LEN_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > INPUT_LEN_MAX {
        return Err(FileError::TooLong(shown(path)));
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText(shown(path)))
}

/// Writes a pod's last words to `log`, when it is there: nothing is made, for outside a pod there is none. A log that
/// cannot be written is nobody's concern; the same words stand on standard output.
pub fn last_words(log: &Path, text: &str) {
    let mut end = text.len().min(LAST_WORDS_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // Never waits for a reader, should it be a pipe.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    if let Ok(mut file) = OpenOptions::new().write(true).truncate(true).custom_flags(nonblock).open(log) {
        let _ = file.write_all(text.get(..end).unwrap_or_default().as_bytes());
    }
}

/// Makes a file where there is none, and sets its times to now.
///
/// # Errors
/// [`FileError::Io`].
pub fn touch(path: &Path) -> Result<(), FileError> {
    let now = SystemTime::now();
    let times = FileTimes::new().set_accessed(now).set_modified(now);
    // A directory is opened for reading; so is a file that must not be written, whose times its owner may set.
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .or_else(|error| File::open(path).map_err(|_| error));
    opened.and_then(|file| file.set_times(times)).map_err(failed("touch", path))
}

/// Makes a file that says that something is done, and the directories above it.
///
/// # Errors
/// [`FileError::Io`].
pub fn mark(path: &Path) -> Result<(), FileError> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above).map_err(failed("make the directory", above))?;
    }
    touch(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch(name: &str, content: &str, mode: u32) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ferry-personality-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_secret_that_others_may_read_is_none() {
        for (mode, fine) in [(0o600, true), (0o640, true), (0o400, true), (0o644, false), (0o602, false)] {
            let path = scratch(&format!("secret-{mode:o}"), "root:pw", mode);
            let read = read_secret(&path);
            assert_eq!(read.is_ok(), fine, "{mode:o}: {read:?}");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(FileError::TooLong(_))));
    }

    #[test]
    fn last_words_replace_others_are_bounded_and_make_no_file() {
        let path = scratch("last-words", &"old ".repeat(2_000), 0o600);
        last_words(&path, "short");
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        last_words(&path, &"é".repeat(4_000));
        assert_eq!(std::fs::read(&path).unwrap().len(), LAST_WORDS_LEN_MAX);
        std::fs::remove_file(&path).unwrap();
        last_words(&path, "nowhere");
        assert!(!path.exists());
    }
}
