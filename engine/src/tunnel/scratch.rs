//! A directory of one test, removed with it. Only in tests.

use std::path::{Path, PathBuf};

use super::provider::random_bytes;

pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let random = u64::from_ne_bytes(random_bytes().unwrap());
        let path = std::env::temp_dir().join(format!("ferry-tunnel-{random:016x}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
