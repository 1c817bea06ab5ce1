//! BLAKE3 in the three places it is used: leaves that are compared, frames that are checked, the key that binds them.
//!
//! A leaf is hashed on its own, its offset playing no part: the same bytes have the same digest anywhere in any file,
//! which is what makes moved and shifted data recognisable (engine-study 2.6). BLAKE3's own tree is not used for that,
//! because its chunk counters depend on the offset.

use crate::types::{Digest, Epoch, LeafDigest, LeafKey, SessionKey, limits::LEAF_LEN};

/// The digest of one leaf: the first 16 bytes of keyed BLAKE3.
#[must_use]
pub fn leaf_digest(key: &LeafKey, leaf: &[u8]) -> LeafDigest {
    let full = blake3::keyed_hash(&key.0, leaf);
    let mut first = [0; 16];
    first.iter_mut().zip(full.as_bytes()).for_each(|(to, from)| *to = *from);
    LeafDigest(first)
}

/// The digests of all leaves of `bytes`, which starts at a leaf's start; the last leaf may be short.
#[must_use]
pub fn leaf_digests(key: &LeafKey, bytes: &[u8]) -> Vec<LeafDigest> {
    bytes.chunks(LEAF_LEN).map(|leaf| leaf_digest(key, leaf)).collect()
}

/// The digest a data frame carries: over what the frame says and what it holds, bound to the session.
#[must_use]
pub fn content_digest(key: &SessionKey, said: &[u8], held: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(said);
    hasher.update(held);
    Digest(*hasher.finalize().as_bytes())
}

/// The session's key from both nonces and the epoch (PROTOCOL.md 4).
#[must_use]
pub fn session_key(sender: &[u8; 16], receiver: &[u8; 16], epoch: Epoch) -> SessionKey {
    let mut hasher = blake3::Hasher::new_derive_key("ferry 1 session");
    hasher.update(sender);
    hasher.update(receiver);
    hasher.update(&epoch.0.to_be_bytes());
    SessionKey(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_has_the_same_digest_wherever_it_stands() {
        let key = LeafKey([7; 32]);
        let mut bytes = vec![1_u8; LEAF_LEN];
        bytes.extend(vec![2; LEAF_LEN]);
        bytes.extend(vec![1; LEAF_LEN]);
        bytes.extend([1, 2, 3]);
        let digests = leaf_digests(&key, &bytes);
        assert_eq!(digests.len(), 4);
        assert_eq!(digests[0], digests[2]);
        assert_ne!(digests[0], digests[1]);
        assert_ne!(leaf_digest(&LeafKey([8; 32]), &[1, 2, 3]), digests[3]);
    }

    #[test]
    fn a_content_digest_depends_on_head_content_and_session() {
        let key = session_key(&[1; 16], &[2; 16], Epoch(3));
        let digest = content_digest(&key, b"head", b"content");
        assert_eq!(digest, content_digest(&key, b"head", b"content"));
        assert_ne!(digest, content_digest(&key, b"Head", b"content"));
        assert_ne!(digest, content_digest(&session_key(&[1; 16], &[2; 16], Epoch(4)), b"head", b"content"));
    }
}
