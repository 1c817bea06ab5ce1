//! Names, paths inside a volume, and volume names: bytes that were checked once.
//!
//! A [`Name`] is one component and can never climb or descend; a [`RelPath`] exists only to be shown to people and
//! matched against patterns. No system call is ever given a `RelPath`: the `volume` room works with
//! (held directory descriptor, `Name`).

use std::fmt;

use super::limits::{NAME_LEN_MAX, VOLUME_NAME_LEN_MAX};

/// One directory entry's name: 1 to 255 bytes, not `.` or `..`, without `/` and NUL. Not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why bytes are not a [`Name`] or a [`VolumeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("a name is empty")]
    Empty,
    /// More bytes than the bound.
    #[error("a name has {0} bytes, more than allowed")]
    TooLong(usize),
    /// `.` or `..`.
    #[error("a name is a dot entry")]
    Dots,
    /// `/`, NUL, or for volume names anything outside the permitted letters.
    #[error("a name holds the byte 0x{0:02x}, which is not allowed there")]
    Byte(u8),
}

impl Name {
    /// Checks `bytes` and keeps a copy.
    ///
    /// # Errors
    /// [`NameError`] names the rule that was broken.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        match bytes {
            [] => return Err(NameError::Empty),
            b"." | b".." => return Err(NameError::Dots),
            _ => {}
        }
        if bytes.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong(bytes.len()));
        }
        if let Some(&bad) = bytes.iter().find(|b| matches!(b, b'/' | 0)) {
            return Err(NameError::Byte(bad));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.0))
    }
}

/// A path below a volume's root, for people and patterns: names joined by `/`, empty for the root itself.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A path from its names, outermost first.
    #[must_use]
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a Name>) -> Self {
        let mut path = Self::root();
        for name in names {
            path.push(name);
        }
        path
    }

    /// A path that arrived as bytes; it is shown, never opened, so any bytes without NUL will do.
    ///
    /// # Errors
    /// [`NameError::Byte`] when it holds NUL.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.contains(&0) {
            return Err(NameError::Byte(0));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Goes down by one name.
    pub fn push(&mut self, name: &Name) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    /// This path and one name more.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut longer = self.clone();
        longer.push(name);
        longer
    }

    /// The bytes, names joined by `/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the volume's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        write!(f, "{}", Escaped(&self.0))
    }
}

/// Bytes shown so that no terminal or log can be steered by them: valid UTF-8 stays, control characters, C1 codes,
/// direction overrides, backslashes and bytes that are no UTF-8 become `\xNN` (a backslash becomes `\\`).
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_control() || is_format_control(c) => {
                        let mut bytes = [0; 4];
                        for byte in c.encode_utf8(&mut bytes).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters that reorder or hide text: bidirectional controls, zero-width marks, line and paragraph separators.
fn is_format_control(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The name a receiver serves a volume under: 1 to 63 of `a-z A-Z 0-9 . _ -`, not starting with a dot or a dash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VolumeName(Box<str>);

impl VolumeName {
    /// Checks `text` and keeps a copy.
    ///
    /// # Errors
    /// [`NameError`] names the rule that was broken.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        match bytes.first() {
            None => return Err(NameError::Empty),
            Some(&first @ (b'.' | b'-')) => return Err(NameError::Byte(first)),
            Some(_) => {}
        }
        if bytes.len() > VOLUME_NAME_LEN_MAX {
            return Err(NameError::TooLong(bytes.len()));
        }
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        match bytes.iter().find(|b| !allowed(b)) {
            Some(&bad) => Err(NameError::Byte(bad)),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_climb_descend_or_be_empty() {
        assert_eq!(Name::new(b"").unwrap_err(), NameError::Empty);
        assert_eq!(Name::new(b"..").unwrap_err(), NameError::Dots);
        assert_eq!(Name::new(b"a/b").unwrap_err(), NameError::Byte(b'/'));
        assert_eq!(Name::new(b"a\0").unwrap_err(), NameError::Byte(0));
        assert_eq!(Name::new(&[b'x'; 256]).unwrap_err(), NameError::TooLong(256));
        assert!(Name::new(&[0xff; 255]).is_ok());
        assert!(Name::new(b"...").is_ok());
    }

    #[test]
    fn escaping_leaves_nothing_that_steers_a_terminal() {
        let hostile = b"a\x1b[31m\n\xff\xc2\x9b\xe2\x80\xae\\z";
        assert_eq!(Escaped(hostile).to_string(), "a\\x1b[31m\\x0a\\xff\\xc2\\x9b\\xe2\\x80\\xae\\\\z");
    }

    #[test]
    fn volume_names_are_plain_words() {
        assert!(VolumeName::new("data-1.x_Y").is_ok());
        assert!(VolumeName::new("-data").is_err());
        assert!(VolumeName::new("a b").is_err());
        assert!(VolumeName::new(&"v".repeat(64)).is_err());
    }

    #[test]
    fn paths_join_names() {
        let a = Name::new(b"a").unwrap();
        let b = Name::new(b"b").unwrap();
        assert_eq!(RelPath::root().join(&a).join(&b).as_bytes(), b"a/b");
        assert_eq!(RelPath::root().to_string(), ".");
    }
}
