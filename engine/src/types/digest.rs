//! Digests and the keys they are made with. The hashing itself lives in `delta`.

use std::fmt;

/// A BLAKE3 digest, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// What is compared for one 64 KiB leaf: the first 16 bytes of its keyed BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafDigest(pub [u8; 16]);

/// A weak, keyed digest of a leaf's first `ANCHOR_LEN` bytes, which can be rolled: where the leaf may stand in another
/// file. Zero says nothing: the leaf is too short, or begins with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor(pub u32);

/// The key leaves of a session are hashed with, chosen by the receiver. No oracle survives the session.
#[derive(Clone, Copy)]
pub struct LeafKey(pub [u8; 32]);

/// The key that binds the digests of data frames to one session.
#[derive(Clone, Copy)]
pub struct SessionKey(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for LeafDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafKey(..)")
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
