//! The two identities that a ticket's secret stands for.
//!
//! Both sides derive both Ed25519 keys, show a certificate for their own and believe the other's public key only. The
//! public keys cross the network encrypted, and from one of them the secret could be searched offline: it therefore
//! has 128 bits and comes from the system's random source (`ticket`).

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::Role;

/// What stands before the 32 bytes of an Ed25519 private key in PKCS#8 (RFC 8410, 7 and 10.3).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// One side's identity, and whom it believes.
pub(super) struct Pinned {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    /// SubjectPublicKeyInfo of the other side, DER.
    pub(super) peer: Vec<u8>,
}

/// Derives the identity of `role` and the key of its peer.
pub(super) fn derive(secret: &[u8; 16], role: Role) -> Result<Pinned, rcgen::Error> {
    let (own, own_pkcs8) = key_of(secret, role)?;
    let (peer, _) = key_of(secret, role.peer())?;
    let certificate = CertificateParams::new(Vec::<String>::new())?.self_signed(&own)?;
    Ok(Pinned {
        certificate: certificate.into(),
        key: PrivateKeyDer::Pkcs8(own_pkcs8),
        peer: peer.subject_public_key_info(),
    })
}

fn key_of(secret: &[u8; 16], role: Role) -> Result<(KeyPair, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let seed = match role {
        Role::Sender => blake3::derive_key("ferry 1 ticket sender key", secret),
        Role::Receiver => blake3::derive_key("ferry 1 ticket receiver key", secret),
    };
    let pkcs8 = PrivatePkcs8KeyDer::from([PKCS8_HEAD.as_slice(), seed.as_slice()].concat());
    Ok((KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)?, pkcs8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_expects_the_key_the_other_has() {
        let sender = derive(&[7; 16], Role::Sender).unwrap();
        let receiver = derive(&[7; 16], Role::Receiver).unwrap();
        assert_eq!(derive(&[7; 16], Role::Sender).unwrap().peer, sender.peer);
        assert_eq!(key_of(&[7; 16], Role::Receiver).unwrap().0.subject_public_key_info(), sender.peer);
        assert_ne!(sender.peer, receiver.peer);
        assert_ne!(derive(&[8; 16], Role::Sender).unwrap().peer, sender.peer);
    }
}
