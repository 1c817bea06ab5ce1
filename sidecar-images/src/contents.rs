//! What is in an image's root: directories, files and links by path, in the order of their names, so that the layer has one order
//! only. Everything belongs to root and is writable by nobody else. It refuses a path twice, and one that leads out of the root.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// One entry of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory, mode 0755.
    Directory,
    /// A file that is only read, mode 0644.
    Text(Vec<u8>),
    /// A file that is run, mode 0755.
    Program(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
}

/// An image's root.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    entries: BTreeMap<String, Entry>,
}

impl Contents {
    /// Adds `entry` at `path` (relative to the root, without a leading slash) and the directories above it.
    ///
    /// # Errors
    /// When the path is taken, is not plain, or stands below something that is no directory.
    pub fn add(&mut self, path: &str, entry: Entry) -> Result<()> {
        let plain = path.split('/').all(|name| !name.is_empty() && name != "." && name != "..");
        ensure!(plain, "{path}: not a plain path below the image's root");
        for (slash, _) in path.match_indices('/') {
            let above = path.get(..slash).context("a path is cut at its slashes")?;
            let there = self.entries.entry(above.to_owned()).or_insert(Entry::Directory);
            ensure!(*there == Entry::Directory, "{path}: {above} is no directory");
        }
        let before = self.entries.insert(path.to_owned(), entry);
        ensure!(before.is_none_or(|before| before == Entry::Directory), "{path} is in the image twice");
        Ok(())
    }

    /// Adds the program at `file` as `path`.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Contents::add`].
    pub fn add_program(&mut self, path: &str, file: &Path) -> Result<()> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.add(path, Entry::Program(bytes))
    }

    /// Adds the text at `file` as `path`.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Contents::add`].
    pub fn add_text(&mut self, path: &str, file: &Path) -> Result<()> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.add(path, Entry::Text(bytes))
    }

    /// All entries, each directory before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_by_themselves_and_before_what_is_in_them() -> Result<()> {
        let mut contents = Contents::default();
        contents.add("usr/bin/ferry", Entry::Program(b"x".to_vec()))?;
        contents.add("usr/bin", Entry::Directory)?;
        contents.add("etc", Entry::Directory)?;
        let paths: Vec<&str> = contents.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["etc", "usr", "usr/bin", "usr/bin/ferry"]);
        Ok(())
    }

    #[test]
    fn what_is_no_plain_path_or_there_already_is_refused() -> Result<()> {
        let mut contents = Contents::default();
        contents.add("bin", Entry::Link("usr/bin".to_owned()))?;
        for path in ["", "/etc", "etc/", "a//b", "../etc", "a/./b", "bin/bash", "bin"] {
            assert!(contents.add(path, Entry::Directory).is_err(), "{path:?} was taken");
        }
        Ok(())
    }
}
