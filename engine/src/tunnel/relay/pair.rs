//! The certificate and key that both ends of a relay hold: what each shows, and all it believes.
//!
//! Read from two PEM files. The certificate is not judged: it may be an authority's own, name no host and be out of its
//! dates, for it is believed by its bytes alone and because its key signs the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};

use super::super::address::AddressError;
use super::super::identity::{IdentityError, certificates, private_key};
use super::super::provider::{client_config, server_config};
use super::super::verifier::Exactly;

/// The shared certificate and its key.
pub struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    path: PathBuf,
}

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file could not be read.
    #[error("cannot read {}: is the Secret mounted there?", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file without what it is for.
    #[error("{} holds no usable {what} in PEM form: was another file mounted there?", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A host that cannot be sent as a server name.
    #[error("cannot connect there")]
    Name(#[source] AddressError),
    /// The library cannot use the two together.
    #[error("the key does not fit the certificate in {}: both must come from the same Secret", .path.display())]
    Mismatch {
        /// The certificate.
        path: PathBuf,
        /// What the library said.
        source: rustls::Error,
    },
}

impl Pair {
    /// Reads both files, which may be the same one, following links. Their modes are not judged.
    ///
    /// # Errors
    /// [`PairError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, PairError> {
        let chain = certificates(certificate).map_err(|cause| unreadable(cause, certificate, "certificate"))?;
        let private = private_key(key).map_err(|cause| unreadable(cause, key, "private key"))?;
        Ok(Self { chain, key: private, path: certificate.to_owned() })
    }

    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, PairError> {
        let config = client_config(Arc::new(self.believed()?), self.chain.clone(), self.key.clone_key());
        config.map(Arc::new).map_err(|source| self.mismatch(source))
    }

    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, PairError> {
        let config = server_config(Arc::new(self.believed()?), self.chain.clone(), self.key.clone_key());
        config.map(Arc::new).map_err(|source| self.mismatch(source))
    }

    fn believed(&self) -> Result<Exactly, PairError> {
        let own = self.chain.first().cloned();
        own.map(Exactly::certificate).ok_or(PairError::Content { path: self.path.clone(), what: "certificate" })
    }

    fn mismatch(&self, source: rustls::Error) -> PairError {
        PairError::Mismatch { path: self.path.clone(), source }
    }
}

fn unreadable(cause: IdentityError, path: &Path, what: &'static str) -> PairError {
    let path = path.to_owned();
    match cause {
        IdentityError::Read { source, .. } => PairError::Read { path, source },
        _ => PairError::Content { path, what },
    }
}
