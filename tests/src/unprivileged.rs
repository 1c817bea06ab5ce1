//! Commands as a cluster runs them: a large arbitrary user id in group 0, no capabilities, no passwd entry. It refuses to
//! keep anything of root but the files it is given.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::scene::Scene;

/// The user id, of the kind a cluster assigns to a namespace.
pub const UID: u32 = 1_000_680_000;

/// `command` as that user, keeping its arguments and changes of environment.
#[must_use]
pub fn command(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args([&format!("--reuid={UID}"), "--regid=0", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
    wrapped.args(["--no-new-privs", "--"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    wrapped
}

/// A copy of `binary` on the scene that everybody may run: a build directory is often closed to others.
///
/// # Errors
/// When it cannot be copied.
pub fn runnable(scene: &Scene, binary: &Path) -> Result<PathBuf> {
    let copy = scene.path("ferry");
    if copy.exists() {
        // It may be running.
        return Ok(copy);
    }
    std::fs::copy(binary, &copy).with_context(|| format!("cannot copy {}", binary.display()))?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// Makes the directory `name` on the scene, owned by that user.
///
/// # Errors
/// When it cannot be made.
pub fn dir(scene: &Scene, name: &str) -> Result<PathBuf> {
    let path = scene.dir(name)?;
    std::os::unix::fs::chown(&path, Some(UID), Some(0))?;
    Ok(path)
}

/// Hands everything below `path` to that user.
///
/// # Errors
/// When it cannot be changed.
pub fn own_all(path: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(path) {
        std::os::unix::fs::lchown(entry?.path(), Some(UID), Some(0))?;
    }
    Ok(())
}
