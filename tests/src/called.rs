//! The binary under test by other names: links to it, as an image has them. It refuses to build it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{Finished, Running, run};
use crate::ferry::Ferry;
use crate::scene::Scene;

/// How long one run may take, unless it says otherwise.
pub const SOON: Duration = Duration::from_secs(60);

/// A directory of names.
#[derive(Debug)]
pub struct Called<'s> {
    scene: &'s Scene,
    dir: PathBuf,
}

impl<'s> Called<'s> {
    /// Makes the names on this scene.
    ///
    /// # Errors
    /// When the binary is missing or a link cannot be made.
    pub fn new(scene: &'s Scene) -> Result<Self> {
        let dir = scene.fresh("bin", "");
        std::fs::create_dir(&dir)?;
        let ferry = Ferry::new(scene)?;
        for name in ["rsync", "nc", "touch", "sleep"] {
            std::os::unix::fs::symlink(ferry.binary(), dir.join(name)).context("cannot link the binary")?;
        }
        Ok(Self { scene, dir })
    }

    /// The path of a name.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A command by that name.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.env_remove("RSYNC_PASSWORD").env_remove("FERRY_LOG");
        command
    }

    /// Runs a name with arguments to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    pub fn run(&self, name: &str, args: &[&str]) -> Result<Finished> {
        run(self.scene, self.command(name).args(args), SOON)
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, command: &mut Command) -> Result<Running<'s>> {
        Running::start(self.scene, command)
    }

    /// `rsync OPTIONS SOURCE/ DESTINATION/`, to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    pub fn rsync(&self, options: &[&str], source: &Path, destination: &Path) -> Result<Finished> {
        copy(self.scene, &mut self.command("rsync"), options, source, destination)
    }
}

/// The real rsync on the same operands, to its end.
///
/// # Errors
/// When it cannot be started or takes too long.
pub fn stock(scene: &Scene, options: &[&str], source: &Path, destination: &Path) -> Result<Finished> {
    copy(scene, &mut Command::new("/usr/bin/rsync"), options, source, destination)
}

fn copy(scene: &Scene, command: &mut Command, options: &[&str], source: &Path, destination: &Path) -> Result<Finished> {
    let slash = |path: &Path| format!("{}/", path.display());
    command.args(options).arg(slash(source)).arg(slash(destination));
    run(scene, command, SOON)
}
