//! The proof that a client knows a module's password, without saying it.
//!
//! A digest, under a key made of the password, of what both sides drew and of what is asked for. The daemon proves
//! nothing: whoever only connects would learn something to guess six letters from. Who the daemon is, the tunnel around
//! the port has found out.

use std::fmt;

use super::lines::Request;

/// Bytes of a password.
const PASSWORD_LEN_MAX: usize = 1_024;

/// A password of a module's user. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// 1 to 1,024 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=PASSWORD_LEN_MAX).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// The proof for a request, against the daemon's nonce.
    pub(super) fn proof(&self, request: &Request, nonce: &[u8; 16]) -> blake3::Hash {
        let key = blake3::derive_key("ferry 1 port password", &self.0);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&request.nonce).update(nonce);
        for text in [request.module.as_str(), &request.user] {
            // Neither holds a zero, so no two pairs read alike.
            hasher.update(text.as_bytes()).update(&[0]);
        }
        hasher.finalize()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::Module;
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_request_and_one_password() {
        let request = Request { module: Module::new("ab").unwrap(), user: "c".into(), nonce: [1; 16] };
        let (right, wrong) = (Password::new(b"secret").unwrap(), Password::new(b"secrets").unwrap());
        let proof = right.proof(&request, &[2; 16]);
        assert_eq!(proof, right.proof(&request, &[2; 16]));
        let shifted = Request { module: Module::new("a").unwrap(), user: "bc".into(), ..request.clone() };
        let again = Request { nonce: [3; 16], ..request.clone() };
        for other in [
            wrong.proof(&request, &[2; 16]),
            right.proof(&request, &[3; 16]),
            right.proof(&shifted, &[2; 16]),
            right.proof(&again, &[2; 16]),
        ] {
            assert_ne!(proof, other);
        }
        assert_eq!(Password::new(b""), None);
        assert_eq!(format!("{right:?}"), "Password");
    }
}
