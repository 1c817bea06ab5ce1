//! Who we are and whom we believe: key files of an authority, or a ticket.
//!
//! A loaded identity fits its side, is within its dates, and its key belongs to its certificate; what is wrong with
//! it is said before the first connection. The modes of key files are not judged, for secrets are mounted 0440 and as
//! symbolic links. Nothing but key files is read, and keys are never shown.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::certificate::{Date, Role, roles_of, validity_of};
use super::pinned::{self, Pinned};
use super::provider::{client_config, provider, server_config};
use super::ticket::Ticket;
use super::verifier::{Exactly, receiver_by_authority, sender_by_authority};

/// The certificate and its chain.
pub(super) const CERTIFICATE_FILE: &str = "tls.crt";
/// The private key.
pub(super) const KEY_FILE: &str = "tls.key";
/// The authority the peer's certificate must come from.
pub(super) const AUTHORITY_FILE: &str = "ca.crt";
/// Bytes of a key file.
const FILE_LEN_MAX: u64 = 1_048_576;

/// A side's certificate, its key, and whom it believes.
pub struct Identity {
    role: Role,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    trust: Trust,
}

enum Trust {
    Authority(Arc<RootCertStore>),
    Key(Vec<u8>),
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read.
    #[error("cannot read {}: an identity is a directory with tls.crt, tls.key and ca.crt, as `ferry keygen` makes it", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file without what it is for.
    #[error("{} holds no usable {what} in PEM form: was another file put in its place?", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What the reader said, when it said something.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Certificate and key are of different pairs.
    #[error("the key in {} does not belong to the certificate beside it: copy both from the same identity", .0.display())]
    Mismatch(PathBuf),
    /// An identity for the other side.
    #[error("the certificate in {} is not for a {wanted}: use the directory {wanted} that `ferry keygen` made, not {}", .path.display(), .wanted.peer())]
    Role {
        /// The certificate.
        path: PathBuf,
        /// The side it was to be used on.
        wanted: Role,
    },
    /// An identity used on the other side.
    #[error("this identity is for a {identity}, and was given to a {}", .identity.peer())]
    WrongSide {
        /// The side it is for.
        identity: Role,
    },
    /// Too late.
    #[error("the certificate in {} expired on {expired}, and the clock here says {now}: make new identities with `ferry keygen`, or set the clock", .path.display())]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// Its last second.
        expired: Date,
        /// The time here.
        now: Date,
    },
    /// Too early.
    #[error("the certificate in {} is valid from {from} only, and the clock here says {now}: check the clocks here and where it was made", .path.display())]
    NotYetValid {
        /// The certificate.
        path: PathBuf,
        /// Its first second.
        from: Date,
        /// The time here.
        now: Date,
    },
    /// Keys could not be derived from a ticket.
    #[error("cannot derive keys from the ticket")]
    Derive(#[source] rcgen::Error),
    /// The TLS library refuses it.
    #[error("the identity cannot be used for TLS")]
    Tls(#[source] rustls::Error),
}

impl Identity {
    /// Reads `tls.crt`, `tls.key` and `ca.crt` in `dir`, following symbolic links, and checks that they are for
    /// `role`, belong together and are within their dates.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what to do.
    pub fn load(dir: &Path, role: Role) -> Result<Self, IdentityError> {
        Self::load_at(dir, role, SystemTime::now())
    }

    /// [`Self::load`] at a given time.
    pub(super) fn load_at(dir: &Path, role: Role, now: SystemTime) -> Result<Self, IdentityError> {
        let certificate_path = dir.join(CERTIFICATE_FILE);
        let chain = certificates(&certificate_path)?;
        let key_path = dir.join(KEY_FILE);
        let key = private_key(&key_path)?;
        let trust = Trust::Authority(Arc::new(authority(&dir.join(AUTHORITY_FILE))?));
        let own = chain.first().ok_or_else(|| nothing_in(&certificate_path))?;
        check_own(own, &certificate_path, role, now)?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()) {
            Ok(_) => Ok(Self { role, chain, key, trust }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(IdentityError::Mismatch(key_path)),
            Err(cause) => {
                Err(IdentityError::Content { path: key_path, what: "private key", source: Some(cause.into()) })
            }
        }
    }

    /// The identity of `role` that a ticket stands for; it believes the other identity of the same ticket only.
    ///
    /// # Errors
    /// [`IdentityError::Derive`] when the cryptographic library fails.
    pub fn from_ticket(ticket: &Ticket, role: Role) -> Result<Self, IdentityError> {
        let Pinned { certificate, key, peer } = pinned::derive(ticket.secret(), role).map_err(IdentityError::Derive)?;
        Ok(Self { role, chain: vec![certificate], key, trust: Trust::Key(peer) })
    }

    /// The side it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// This side's trust and role with the other side's certificate and key, which no loading would allow.
    #[cfg(test)]
    pub(super) fn with_certificate_of(self, other: &Self) -> Self {
        Self { chain: other.chain.clone(), key: other.key.clone_key(), ..self }
    }

    pub(super) fn client_config(&self) -> Result<ClientConfig, IdentityError> {
        if self.role != Role::Sender {
            return Err(IdentityError::WrongSide { identity: self.role });
        }
        let verifier = match &self.trust {
            Trust::Authority(roots) => receiver_by_authority(Arc::clone(roots)).map_err(IdentityError::Tls)?,
            Trust::Key(key) => Arc::new(Exactly::key(key.clone())),
        };
        client_config(verifier, self.chain.clone(), self.key.clone_key()).map_err(IdentityError::Tls)
    }

    pub(super) fn server_config(&self) -> Result<ServerConfig, IdentityError> {
        if self.role != Role::Receiver {
            return Err(IdentityError::WrongSide { identity: self.role });
        }
        let verifier = match &self.trust {
            Trust::Authority(roots) => sender_by_authority(Arc::clone(roots)).map_err(IdentityError::Tls)?,
            Trust::Key(key) => Arc::new(Exactly::key(key.clone())),
        };
        server_config(verifier, self.chain.clone(), self.key.clone_key()).map_err(IdentityError::Tls)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("role", &self.role).finish_non_exhaustive()
    }
}

/// Seconds since 1970, negative before it.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
    }
}

fn check_own(own: &CertificateDer<'_>, path: &Path, role: Role, now: SystemTime) -> Result<(), IdentityError> {
    let unreadable = |cause: x509_parser::error::X509Error| content(path, "certificate", cause);
    if !roles_of(own).map_err(unreadable)?.contains(role) {
        return Err(IdentityError::Role { path: path.to_owned(), wanted: role });
    }
    let validity = validity_of(own).map_err(unreadable)?;
    let (path, now) = (path.to_owned(), unix_seconds(now));
    if now > validity.not_after {
        return Err(IdentityError::Expired { path, expired: Date(validity.not_after), now: Date(now) });
    }
    if now < validity.not_before {
        return Err(IdentityError::NotYetValid { path, from: Date(validity.not_before), now: Date(now) });
    }
    Ok(())
}

fn authority(path: &Path) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|cause| content(path, "authority certificate", cause))?;
    }
    Ok(roots)
}

/// The first private key of a PEM file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|cause| content(path, "private key", cause))
}

/// All certificates of a PEM file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read(path)?;
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(nothing_in(path)),
        Ok(all) => Ok(all),
        Err(cause) => Err(content(path, "certificate", cause)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let read = || {
        let mut text = Vec::new();
        File::open(path)?.take(FILE_LEN_MAX).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

/// A file without any certificate.
fn nothing_in(path: &Path) -> IdentityError {
    IdentityError::Content { path: path.to_owned(), what: "certificate", source: None }
}

fn content<E>(path: &Path, what: &'static str, cause: E) -> IdentityError
where
    E: std::error::Error + Send + Sync + 'static,
{
    IdentityError::Content { path: path.to_owned(), what, source: Some(cause.into()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::keygen::keygen;
    use super::super::scratch::Scratch;
    use super::*;

    fn keys() -> Scratch {
        let dir = Scratch::new();
        keygen(dir.path(), &[], 30).unwrap();
        dir
    }

    #[test]
    fn an_identity_of_the_other_side_is_refused_with_a_sentence() {
        let dir = keys();
        let refused = Identity::load(&dir.path().join("receiver"), Role::Sender).unwrap_err();
        assert!(matches!(refused, IdentityError::Role { wanted: Role::Sender, .. }));
        assert!(refused.to_string().contains("is not for a sender"), "{refused}");
    }

    #[test]
    fn an_identity_out_of_its_dates_is_refused_with_the_date() {
        let dir = keys();
        let own = dir.path().join("sender");
        let day = Duration::from_secs(86_400);
        let late = Identity::load_at(&own, Role::Sender, SystemTime::now() + 31 * day).unwrap_err();
        assert!(matches!(late, IdentityError::Expired { .. }), "{late}");
        let early = Identity::load_at(&own, Role::Sender, SystemTime::now() - day).unwrap_err();
        assert!(matches!(early, IdentityError::NotYetValid { .. }), "{early}");
        assert!(Identity::load_at(&own, Role::Sender, SystemTime::now() - Duration::from_secs(500)).is_ok());
    }

    #[test]
    fn missing_empty_and_foreign_files_are_named() {
        let dir = keys();
        let own = dir.path().join("sender");
        fs::copy(dir.path().join("receiver/tls.key"), own.join(KEY_FILE)).unwrap();
        assert!(
            matches!(Identity::load(&own, Role::Sender), Err(IdentityError::Mismatch(path)) if path.ends_with(KEY_FILE))
        );
        fs::write(own.join(KEY_FILE), "").unwrap();
        assert!(
            matches!(Identity::load(&own, Role::Sender), Err(IdentityError::Content { path, .. }) if path.ends_with(KEY_FILE))
        );
        fs::write(own.join(AUTHORITY_FILE), "not pem").unwrap();
        fs::remove_file(own.join(CERTIFICATE_FILE)).unwrap();
        assert!(
            matches!(Identity::load(&own, Role::Sender), Err(IdentityError::Read { path, .. }) if path.ends_with(CERTIFICATE_FILE))
        );
    }

    #[test]
    fn key_files_may_be_links_and_readable_by_the_group() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = keys();
        let mount = dir.path().join("mount");
        fs::create_dir(&mount).unwrap();
        for file in [CERTIFICATE_FILE, KEY_FILE, AUTHORITY_FILE] {
            let real = dir.path().join("sender").join(file);
            fs::set_permissions(&real, fs::Permissions::from_mode(0o444)).unwrap();
            symlink(real, mount.join(file)).unwrap();
        }
        assert!(Identity::load(&mount, Role::Sender).is_ok());
    }
}
