//! Names of what a run makes beside an entry before it takes its place: `.ferry-<epoch>-<n>`.
//!
//! The epoch tells the leftovers of a dead session from what is in use. Only the exact form is recognised: what a run
//! removes must be what a run made.

use crate::types::{Epoch, Name};

const PREFIX: &str = ".ferry-";

/// The `n`-th temporary name of a session: `.ferry-`, the epoch in lower-case hex, `-`, `n` in decimal.
#[must_use]
pub fn temporary_name(epoch: Epoch, n: u64) -> Name {
    let text = format!("{PREFIX}{epoch}-{n}");
    #[expect(clippy::expect_used, reason = "at most 44 letters, digits, dots and dashes are always a name")]
    Name::new(text.as_bytes()).expect("a temporary name is a name")
}

/// The session that made `name`, when it is exactly a name that [`temporary_name`] makes.
#[must_use]
pub fn temporary_epoch(name: &Name) -> Option<Epoch> {
    let text = std::str::from_utf8(name.as_bytes()).ok()?;
    let (epoch, n) = text.strip_prefix(PREFIX)?.split_once('-')?;
    let epoch = Epoch(u64::from_str_radix(epoch, 16).ok()?);
    let n = n.parse().ok()?;
    (temporary_name(epoch, n) == *name).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_tells_its_session() {
        for (epoch, n) in [(0, 0), (0xbeef, 17), (u64::MAX, u64::MAX)] {
            assert_eq!(temporary_epoch(&temporary_name(Epoch(epoch), n)), Some(Epoch(epoch)));
        }
        assert_eq!(temporary_name(Epoch(0xbeef), 17).as_bytes(), b".ferry-beef-17");
    }

    #[test]
    fn what_only_looks_like_one_is_the_users() {
        let users = [
            ".ferry",
            ".ferry-",
            ".ferry-1",
            ".ferry-1-",
            ".ferry--1",
            ".ferry-BEEF-1",
            ".ferry-01-1",
            ".ferry-1-01",
            ".ferry-1-+1",
            ".ferry-+1-1",
            ".ferry-1-1~",
            ".ferry-1-1-1",
            "x.ferry-1-1",
            ".ferry-10000000000000000-1",
        ];
        for text in users {
            assert_eq!(temporary_epoch(&Name::new(text.as_bytes()).unwrap()), None, "{text}");
        }
        assert_eq!(temporary_epoch(&Name::new(b".ferry-1-\xff").unwrap()), None);
    }
}
