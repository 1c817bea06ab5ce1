//! Loop devices over images on the scene, so in memory. A device that cannot be had is a failure, never a skip.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::must;
use crate::scene::Scene;

/// A loop device, detached when dropped.
#[derive(Debug)]
pub struct Loop {
    node: PathBuf,
    /// What the kernel had counted when it was made: numbers of devices are used again, and their figures go on.
    counted: u64,
}

impl Loop {
    /// A device over a new image `name` with this content; its length must be whole sectors.
    ///
    /// # Errors
    /// When no device is free.
    pub fn with(scene: &Scene, name: &str, content: &[u8]) -> Result<Self> {
        ensure!(content.len().is_multiple_of(512), "a device has whole sectors");
        let image = scene.path(name);
        std::fs::write(&image, content)?;
        let made = must(scene, Command::new("losetup").args(["--show", "--find"]).arg(&image))?;
        let mut device = Self { node: PathBuf::from(made.text().trim()), counted: 0 };
        device.counted = device.sectors_counted()?;
        Ok(device)
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// All it holds, read through the node.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn content(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.node).with_context(|| format!("cannot read {}", self.node.display()))
    }

    /// Sectors that were written or discarded since it was made, as the kernel counts them.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn sectors_changed(&self) -> Result<u64> {
        Ok(self.sectors_counted()?.saturating_sub(self.counted))
    }

    fn sectors_counted(&self) -> Result<u64> {
        let name = self.node.file_name().context("a node has a name")?.to_string_lossy().into_owned();
        let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let figures: Vec<u64> = stat.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let at = |index: usize| figures.get(index).copied().context("too few figures");
        Ok(at(6)? + at(13)?)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.node).status();
    }
}
