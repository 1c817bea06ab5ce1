//! Whom we believe: a certificate of our authority with the right role, or exactly one public key or certificate.
//!
//! Three ways, never mixed in one connection. With an authority the chain, the dates, the name (client side) and the
//! role are checked; a certificate that names no role is refused, for it would be good for both. With a ticket the
//! peer's public key must be the derived one, and nothing else of its certificate matters. In a relay, where both sides hold
//! the same certificate, it must be that one to the last byte: then its dates, names and uses say nothing more, for whoever
//! gave both sides the pair meant it for this, and a clock that is wrong is no stranger. TLS 1.2 is refused.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore, SignatureScheme,
};

use super::certificate::{Role, is_self_issued, roles_of};
use super::provider::provider;

/// Believes servers that `roots` vouch for as receivers.
pub(super) fn receiver_by_authority(roots: Arc<RootCertStore>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let chain = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|cause| Error::General(cause.to_string()))?;
    Ok(Arc::new(ReceiverByAuthority { chain }))
}

/// Believes clients that `roots` vouch for as senders.
pub(super) fn sender_by_authority(roots: Arc<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let chain = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|cause| Error::General(cause.to_string()))?;
    Ok(Arc::new(SenderByAuthority { chain }))
}

/// Refuses a certificate that does not name `role`.
fn check_role(certificate: &CertificateDer<'_>, role: Role) -> Result<(), Error> {
    let roles = roles_of(certificate).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if roles.contains(role) { Ok(()) } else { Err(Error::InvalidCertificate(CertificateError::InvalidPurpose)) }
}

/// An authority of the same name with another key is another authority; the peer is to hear it so, for the alert of a
/// bad signature is also that of damage on the way.
fn authority_of_same_name(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => CertificateError::UnknownIssuer.into(),
        other => other,
    }
}

#[derive(Debug)]
struct ReceiverByAuthority {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ReceiverByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .chain
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(authority_of_same_name)?;
        check_role(end_entity, Role::Receiver)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct SenderByAuthority {
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for SenderByAuthority {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now).map_err(authority_of_same_name)?;
        check_role(end_entity, Role::Sender)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Believes one public key or one certificate, on either side.
#[derive(Debug)]
pub(super) struct Exactly {
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Expected {
    /// SubjectPublicKeyInfo, DER.
    Key(Vec<u8>),
    Certificate(CertificateDer<'static>),
}

impl Exactly {
    /// Believes the peer whose SubjectPublicKeyInfo is `expected`, byte for byte.
    pub(super) fn key(expected: Vec<u8>) -> Self {
        Self { expected: Expected::Key(expected), provider: provider() }
    }

    /// Believes the peer that shows `expected`, byte for byte, and holds its key.
    pub(super) fn certificate(expected: CertificateDer<'static>) -> Self {
        Self { expected: Expected::Certificate(expected), provider: provider() }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let other = || Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        match &self.expected {
            Expected::Key(key) => {
                let shown = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
                if shown.as_ref() == key.as_slice() { Ok(()) } else { other() }
            }
            Expected::Certificate(expected) if certificate == expected => Ok(()),
            // A shared certificate is never from an authority; what is comes from something that stands in between.
            Expected::Certificate(_) if !is_self_issued(certificate).unwrap_or(true) => {
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
            Expected::Certificate(_) => other(),
        }
    }

    /// More than the key's own, so that a peer of another kind gets as far as hearing that its key is the wrong one.
    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Exactly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
