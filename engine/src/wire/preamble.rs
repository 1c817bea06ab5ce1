//! The first bytes of every connection, in both directions, for ever: the magic and the versions a side speaks.
//!
//! This file does not change when the protocol does, but for [`VERSIONS`].

/// Bytes of a preamble.
pub const PREAMBLE_LEN: usize = 12;

/// Lowest and highest version spoken here.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Line ends that break when something treats the connection as text, and a NUL that no text protocol opens with.
const MAGIC: [u8; 8] = *b"ferry\0\r\n";

/// Why two sides have nothing to say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreambleError {
    /// The magic is missing: something else listens there.
    #[error("the peer does not speak ferry's protocol; check the address and the port")]
    NotFerry,
    /// No version in common.
    #[error(
        "the peer speaks versions {} to {} of the protocol and this side {} to {}; update the older one",
        theirs.0, theirs.1, ours.0, ours.1
    )]
    Versions {
        /// Lowest and highest of the peer.
        theirs: (u16, u16),
        /// Lowest and highest here.
        ours: (u16, u16),
    },
}

/// Our preamble.
#[must_use]
pub fn preamble() -> [u8; PREAMBLE_LEN] {
    written(VERSIONS)
}

/// The version of the connection: the smaller of the two highest.
///
/// # Errors
/// [`PreambleError`] when the peer is something else or no version is spoken by both.
pub fn agree(theirs: [u8; PREAMBLE_LEN]) -> Result<u16, PreambleError> {
    let [m0, m1, m2, m3, m4, m5, m6, m7, low0, low1, high0, high1] = theirs;
    if [m0, m1, m2, m3, m4, m5, m6, m7] != MAGIC {
        return Err(PreambleError::NotFerry);
    }
    let theirs = (u16::from_be_bytes([low0, low1]), u16::from_be_bytes([high0, high1]));
    let version = theirs.1.min(VERSIONS.1);
    if version < theirs.0.max(VERSIONS.0) {
        return Err(PreambleError::Versions { theirs, ours: VERSIONS });
    }
    Ok(version)
}

fn written((low, high): (u16, u16)) -> [u8; PREAMBLE_LEN] {
    let [m0, m1, m2, m3, m4, m5, m6, m7] = MAGIC;
    let ([low0, low1], [high0, high1]) = (low.to_be_bytes(), high.to_be_bytes());
    [m0, m1, m2, m3, m4, m5, m6, m7, low0, low1, high0, high1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preamble_is_these_bytes_for_ever() {
        assert_eq!(preamble(), *b"ferry\0\r\n\0\x01\0\x01");
        assert_eq!(agree(preamble()), Ok(1));
    }

    #[test]
    fn newer_peers_that_still_speak_ours_are_met_at_ours() {
        assert_eq!(agree(written((1, 7))), Ok(1));
    }

    #[test]
    fn without_a_common_version_both_ranges_are_said() {
        for theirs in [(2, 7), (0, 0), (5, 3)] {
            assert_eq!(agree(written(theirs)), Err(PreambleError::Versions { theirs, ours: (1, 1) }));
        }
    }

    #[test]
    fn another_protocol_is_recognised_as_such() {
        assert_eq!(agree(*b"HTTP/1.1 400"), Err(PreambleError::NotFerry));
    }
}
