//! Which paths are not ours: gitignore patterns, anchored at the volume's root.
//!
//! Patterns come from the sender in its hello, so they are hostile at the receiver: their number, length and nesting are
//! bounded before they are compiled. A walk goes down from the root and never enters what is excluded, so a path is
//! matched alone, not with its parents.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::types::{Escaped, RelPath, limits};

/// Alternatives (`{a,b}`) of one pattern: the compiler of patterns descends into each, on the stack.
const BRACES_MAX: usize = 64;

/// Why patterns cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ExcludeError {
    /// One of them is no pattern.
    #[error("the exclude pattern {} cannot be used; correct it", Escaped(pattern.as_bytes()))]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        cause: ignore::Error,
    },
    /// One of them has more alternatives than anybody needs.
    #[error("an exclude pattern has {braces} opening braces, more than {BRACES_MAX}; use several patterns")]
    Nested {
        /// Opening braces in it.
        braces: usize,
    },
    /// Too many, or too long together.
    #[error(
        "{count} exclude patterns of {bytes} bytes are more than {} or {} bytes; use fewer",
        limits::EXCLUDES_MAX,
        limits::EXCLUDES_LEN_MAX
    )]
    TooMany {
        /// Patterns.
        count: usize,
        /// Bytes of all of them.
        bytes: usize,
    },
    /// Each is a pattern, all together are too large to be compiled.
    #[error("the exclude patterns are too large together; use fewer or simpler ones")]
    TooLarge(#[source] ignore::Error),
}

/// Compiled patterns, in order: the last one that matches decides, and `!` takes back.
pub struct Excludes(Gitignore);

impl Excludes {
    /// Compiles `patterns`: at most `EXCLUDES_MAX`, of at most `EXCLUDES_LEN_MAX` bytes together.
    ///
    /// # Errors
    /// [`ExcludeError`] when there are too many, or one is wrong.
    pub fn new(patterns: &[String]) -> Result<Self, ExcludeError> {
        let (count, bytes) = (patterns.len(), patterns.iter().map(String::len).sum());
        if count > limits::EXCLUDES_MAX || bytes > limits::EXCLUDES_LEN_MAX {
            return Err(ExcludeError::TooMany { count, bytes });
        }
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            let braces = pattern.bytes().filter(|byte| *byte == b'{').count();
            if braces > BRACES_MAX {
                return Err(ExcludeError::Nested { braces });
            }
            builder
                .add_line(None, pattern)
                .map_err(|cause| ExcludeError::Pattern { pattern: pattern.clone(), cause })?;
        }
        builder.build().map(Self).map_err(ExcludeError::TooLarge)
    }

    /// No patterns: nothing is excluded.
    #[must_use]
    pub fn none() -> Self {
        Self(Gitignore::empty())
    }

    /// True when nothing can be excluded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `path` itself is excluded. Its parents are taken not to be: the walk did not enter what is.
    #[must_use]
    pub fn matches(&self, path: &RelPath, is_dir: bool) -> bool {
        !self.is_empty() && self.0.matched(Path::new(OsStr::from_bytes(path.as_bytes())), is_dir).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(patterns: &[&str]) -> Excludes {
        Excludes::new(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn file(path: &[u8]) -> RelPath {
        RelPath::from_bytes(path).unwrap()
    }

    /// Pattern, path, whether it is a directory, whether it is excluded.
    const TABLE: [(&str, &str, bool, bool); 14] = [
        ("*.tmp", "a.tmp", false, true),
        ("*.tmp", "d/e/a.tmp", false, true),
        ("*.tmp", "a.tmp.txt", false, false),
        ("/cache", "cache", true, true),
        ("/cache", "d/cache", true, false),
        ("cache/", "d/cache", true, true),
        ("cache/", "d/cache", false, false),
        ("d/*.log", "d/a.log", false, true),
        ("d/*.log", "x/d/a.log", false, false),
        ("**/d/*.log", "x/d/a.log", false, true),
        ("logs/**", "logs", true, false),
        ("logs/**", "logs/a/b", false, true),
        ("# a comment", "# a comment", false, false),
        (".ferry", ".ferry", true, true),
    ];

    #[test]
    fn the_table_of_patterns() {
        for (pattern, path, is_dir, excluded) in TABLE {
            assert_eq!(excludes(&[pattern]).matches(&file(path.as_bytes()), is_dir), excluded, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let all_but_one = excludes(&["*.log", "!keep.log"]);
        assert!(all_but_one.matches(&file(b"a.log"), false));
        assert!(!all_but_one.matches(&file(b"d/keep.log"), false));
    }

    #[test]
    fn names_that_are_no_text_match_like_others() {
        let excludes = excludes(&["*.tmp"]);
        assert!(excludes.matches(&file(b"\xff\xfe.tmp"), false));
        assert!(excludes.matches(&file(b"\xff/a\n.tmp"), false));
        assert!(!excludes.matches(&file(b"\xff.txt"), false));
    }

    #[test]
    fn the_root_is_never_excluded_by_a_name() {
        assert!(!excludes(&["a", "/a", "**/a"]).matches(&RelPath::root(), true));
        assert!(!Excludes::none().matches(&file(b"a"), false));
    }

    #[test]
    fn a_wrong_pattern_is_named() {
        let wrong = Excludes::new(&["ok".into(), "a{b".into()]);
        assert!(matches!(wrong, Err(ExcludeError::Pattern { pattern, .. }) if pattern == "a{b"));
    }

    #[test]
    fn hostile_patterns_end_in_an_error_not_in_the_stack() {
        let nested = "{".repeat(100_000) + &"}".repeat(100_000);
        assert!(matches!(Excludes::new(&[nested]), Err(ExcludeError::Nested { braces: 100_000 })));
        let deep = "{".repeat(BRACES_MAX) + "a" + &"}".repeat(BRACES_MAX);
        assert!(Excludes::new(&[deep]).is_ok());
        let many = vec!["a".to_owned(); limits::EXCLUDES_MAX + 1];
        assert!(matches!(Excludes::new(&many), Err(ExcludeError::TooMany { .. })));
        let long = vec!["a".repeat(limits::EXCLUDES_LEN_MAX + 1)];
        assert!(matches!(Excludes::new(&long), Err(ExcludeError::TooMany { .. })));
    }
}
