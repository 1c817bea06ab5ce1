//! `ferry keygen`: puts a fresh pair of identities into a directory.
//!
//! The layout is that of a Kubernetes TLS secret with its authority, so that
//! `kubectl create secret generic NAME --from-file=DIR/receiver` is all that is left to do. Nothing is ever
//! overwritten, and a failure leaves nothing behind: both identities are made in a temporary directory beside their
//! places and renamed into them. This file and `identity` are the only ones of the room that touch a disk, and only
//! for key files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::address::{AddressError, Host};
use super::certificate::Role;
use super::identity::{AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE};
use super::issue::{Issued, Request, issue};
use super::provider::random_bytes;

/// Days a pair of identities may be valid: ten years.
const DAYS_MAX: u32 = 3_650;
/// Hosts in one certificate.
const HOSTS_MAX: usize = 64;
/// How far two clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(600);

/// Why no identities were made. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// Something is there already.
    #[error("{} exists, and keys are never overwritten: remove it or choose another directory", .0.display())]
    Exists(PathBuf),
    /// A host that cannot be in a certificate.
    #[error("cannot make a certificate for this host")]
    Host(#[source] AddressError),
    /// More hosts than a certificate should hold.
    #[error("a certificate holds at most {HOSTS_MAX} hosts, not {0}")]
    Hosts(usize),
    /// A validity out of bounds.
    #[error("a certificate is valid for 1 to {DAYS_MAX} days, not {0}")]
    Days(u32),
    /// A file or directory.
    #[error("cannot write {}", .path.display())]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
    /// No randomness, or the certificate could not be made.
    #[error("cannot make keys and certificates")]
    Issue(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Makes `DIR/receiver` and `DIR/sender`, directories of mode 0700 with `tls.crt`, `tls.key` and `ca.crt` of mode
/// 0600. The receiver's certificate names `hosts`, localhost, 127.0.0.1 and ::1; both are valid from 10 minutes ago
/// for `days` days. `dir` is made when it is missing.
///
/// # Errors
/// [`KeygenError`]; nothing is left behind then but perhaps `dir` itself, empty.
pub fn keygen(dir: &Path, hosts: &[String], days: u32) -> Result<(), KeygenError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(KeygenError::Days(days));
    }
    if hosts.len() > HOSTS_MAX {
        return Err(KeygenError::Hosts(hosts.len()));
    }
    let hosts: Vec<Host> =
        hosts.iter().map(|host| Host::parse(host)).collect::<Result<_, _>>().map_err(KeygenError::Host)?;
    let (receiver, sender) = (dir.join(Role::Receiver.to_string()), dir.join(Role::Sender.to_string()));
    refuse_existing(&receiver)?;
    refuse_existing(&sender)?;

    let serial = random_bytes().ok_or_else(|| KeygenError::Issue("the system has no random bytes".into()))?;
    let serial = u64::from_ne_bytes(serial);
    let now = SystemTime::now();
    let not_after = now + Duration::from_secs(u64::from(days) * 86_400);
    let request = Request { hosts: &hosts, not_before: now - CLOCK_SKEW, not_after, serial };
    let pair = issue(&request).map_err(|cause| KeygenError::Issue(cause.into()))?;

    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
    let unfinished = Unfinished::make(dir.join(format!(".ferry-keygen-{serial:016x}")))?;
    let made_receiver = write_identity(&unfinished.0, "receiver", &pair.receiver)?;
    let made_sender = write_identity(&unfinished.0, "sender", &pair.sender)?;
    rename_new(&made_receiver, &receiver)?;
    if let Err(cause) = rename_new(&made_sender, &sender) {
        // Half a pair is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_dir_all(&receiver);
        return Err(cause);
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeygenError {
    let path = path.to_owned();
    |source| KeygenError::Write { path, source }
}

fn refuse_existing(path: &Path) -> Result<(), KeygenError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(KeygenError::Exists(path.to_owned())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(at(path)(cause)),
    }
}

/// A rename that replaces nothing: a directory in the way that appeared meanwhile would have to be empty.
fn rename_new(from: &Path, to: &Path) -> Result<(), KeygenError> {
    refuse_existing(to)?;
    fs::rename(from, to).map_err(at(to))
}

/// The temporary directory; removed with what is in it when dropped.
struct Unfinished(PathBuf);

impl Unfinished {
    fn make(path: PathBuf) -> Result<Self, KeygenError> {
        DirBuilder::new().mode(0o700).create(&path).map_err(at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes one identity into a new directory below `parent` and returns it.
pub(super) fn write_identity(parent: &Path, name: &str, issued: &Issued) -> Result<PathBuf, KeygenError> {
    let dir = parent.join(name);
    DirBuilder::new().mode(0o700).create(&dir).map_err(at(&dir))?;
    let files = [(CERTIFICATE_FILE, &issued.certificate), (KEY_FILE, &issued.key), (AUTHORITY_FILE, &issued.authority)];
    for (name, text) in files {
        let path = dir.join(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(at(&path))?;
    }
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(at(&dir))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::identity::Identity;
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn the_files_load_on_their_side_and_are_private() {
        let dir = Scratch::new();
        let keys = dir.path().join("new/keys");
        keygen(&keys, &["Route.Example.com".to_owned(), "10.1.2.3".to_owned()], 30).unwrap();
        for role in [Role::Receiver, Role::Sender] {
            let own = keys.join(role.to_string());
            Identity::load(&own, role).unwrap();
            for file in [CERTIFICATE_FILE, KEY_FILE, AUTHORITY_FILE] {
                assert_eq!(fs::metadata(own.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
            }
            assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn keys_are_never_overwritten() {
        let dir = Scratch::new();
        keygen(dir.path(), &[], 1).unwrap();
        let before = fs::read(dir.path().join("sender/tls.key")).unwrap();
        fs::remove_dir_all(dir.path().join("receiver")).unwrap();
        assert!(matches!(keygen(dir.path(), &[], 1), Err(KeygenError::Exists(path)) if path.ends_with("sender")));
        assert_eq!(fs::read(dir.path().join("sender/tls.key")).unwrap(), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn hosts_and_days_are_checked_before_anything_is_made() {
        let dir = Scratch::new();
        let keys = dir.path().join("keys");
        assert!(matches!(keygen(&keys, &["a b".to_owned()], 30), Err(KeygenError::Host(_))));
        assert!(matches!(keygen(&keys, &[], 0), Err(KeygenError::Days(0))));
        assert!(matches!(keygen(&keys, &[], u32::MAX), Err(KeygenError::Days(u32::MAX))));
        assert!(!keys.exists());
    }
}
