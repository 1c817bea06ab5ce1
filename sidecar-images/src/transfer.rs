//! What the transfer image holds: one static ferry under all the names that the operators call, a static bash for their wrappers,
//! licences, and the directories that pods mount over. It refuses everything else: no shell script, no passwd, no library.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::contents::{Contents, Entry};

/// Files the image is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// A static ferry.
    pub ferry: PathBuf,
    /// A static bash.
    pub bash: PathBuf,
    /// ferry's licence.
    pub licence: PathBuf,
}

/// Programs of the path that are ferry, and what calls them: `rsync`, `nc`, `touch` and `sleep` the wrappers of all versions,
/// `stunnel` all of them by `/bin/stunnel`. `sleep infinity` is what a stage pod runs that was given this image.
const NAMES: [&str; 5] = ["rsync", "stunnel", "nc", "touch", "sleep"];

/// Programs at the root: the block path of 1.8.
const NAMES_AT_ROOT: [&str; 2] = ["proxy", "blockrsync"];

/// Where pods mount something, or a runtime does. They are there so that a root that is read-only from the start has them; files
/// that are mounted one by one (`/etc/rsyncd.conf`) are made by the runtime.
const MOUNT_POINTS: [&str; 10] = [
    "dev",
    "etc/rsync-secret",
    "etc/stunnel/certs",
    "mnt",
    "proc",
    "sys",
    "usr/share/rsync",
    "usr/share/rsync-stunnel-mgmt",
    "usr/share/stunnel-communication",
    "var/run/secrets",
];

/// The licence that Debian's copyright file of bash points to.
const GPL: &str = "/usr/share/common-licenses/GPL-3";

/// How the image runs: as nobody unless a pod says otherwise. The number matters, for a pod that must not run as root cannot
/// check a name.
#[must_use]
pub fn configuration() -> Value {
    json!({
        "User": "65534:65534",
        "Env": ["PATH=/usr/bin:/bin"],
        "Cmd": ["/usr/bin/ferry", "help"],
        "WorkingDir": "/",
        "Labels": {
            "org.opencontainers.image.title": "ferry transfer",
            "org.opencontainers.image.description": "Drop-in transfer image for the Migration Toolkit for Containers",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": "Apache-2.0 AND GPL-3.0-or-later AND LGPL-2.1-or-later",
            "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
        },
    })
}

/// The image's root.
///
/// # Errors
/// When a part is missing, is not static, or comes without its licence.
pub fn contents(parts: &Parts) -> Result<Contents> {
    for program in [&parts.ferry, &parts.bash] {
        check_static(program)?;
    }
    let mut root = Contents::default();
    for point in MOUNT_POINTS {
        root.add(point, Entry::Directory)?;
    }
    root.add("bin", Entry::Link("usr/bin".to_owned()))?;
    root.add_program("usr/bin/ferry", &parts.ferry)?;
    for name in NAMES {
        root.add(&format!("usr/bin/{name}"), Entry::Link("ferry".to_owned()))?;
    }
    for name in NAMES_AT_ROOT {
        root.add(name, Entry::Link("usr/bin/ferry".to_owned()))?;
    }
    root.add_text("usr/share/doc/ferry/LICENSE", &parts.licence)?;
    add_bash(&mut root, &parts.bash)?;
    Ok(root)
}

fn add_bash(root: &mut Contents, bash: &Path) -> Result<()> {
    root.add_program("usr/bin/bash", bash)?;
    let licence = "install Debian's package bash-static, whose licence goes into the image";
    root.add_text("usr/share/doc/bash-static/copyright", Path::new("/usr/share/doc/bash-static/copyright"))
        .context(licence)?;
    root.add_text(GPL.trim_start_matches('/'), Path::new(GPL)).context(licence)?;
    root.add("usr/share/doc/bash-static/SOURCE", Entry::Text(source_of_bash()?.into_bytes()))
}

/// Where the source of this very bash is, and of the libraries that are linked into it.
fn source_of_bash() -> Result<String> {
    let format = "${source:Package} ${source:Version}\\n${Built-Using}";
    let asked = Command::new("dpkg-query")
        .args(["--show", "--showformat", format, "bash-static"])
        .output()
        .context("cannot run dpkg-query, which knows bash's version: build on Debian, or use the Containerfile")?;
    ensure!(asked.status.success(), "dpkg-query does not know bash-static: {}", String::from_utf8_lossy(&asked.stderr));
    let said = String::from_utf8(asked.stdout).context("dpkg-query printed no text")?;
    let (package, built_using) = said.split_once('\n').unwrap_or((said.as_str(), ""));
    let (name, version) = package.split_once(' ').context("dpkg-query gave no version of bash")?;
    Ok(format!(
        "/usr/bin/bash is Debian's bash-static, unchanged: source package {name} {version}, built using {built_using}.\n\
         The complete source is at https://snapshot.debian.org/package/{name}/{version}/ and by\n\
         apt-get source {name}={version}\n"
    ))
}

/// A program that needs a library or a loader would not start in an image that has none.
fn check_static(program: &Path) -> Result<()> {
    let bytes = std::fs::read(program).with_context(|| {
        format!(
            "cannot read {}: sidecar-images/build makes ferry, Debian's package bash-static has bash",
            program.display()
        )
    })?;
    ensure!(bytes.starts_with(b"\x7fELF"), "{} is no program", program.display());
    ensure!(interpreter(&bytes) == Some(false), "{} is not static: it asks for a loader", program.display());
    Ok(())
}

/// Whether a 64-bit little-endian ELF file asks for a loader (a program header of type `PT_INTERP`); nothing when it is cut off.
fn interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let word = |at: usize, len: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let table = usize::try_from(word(32, 8)?).ok()?;
    let (size, count) = (usize::try_from(word(54, 2)?).ok()?, usize::try_from(word(56, 2)?).ok()?);
    for number in 0..count {
        let at = table.checked_add(number.checked_mul(size)?)?;
        if word(at, 4)? == u64::from(PT_INTERP) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_told_from_a_static_one() -> Result<()> {
        // The test itself is linked the usual way.
        let own = std::fs::read(std::env::current_exe()?)?;
        assert_eq!(interpreter(&own), Some(true));
        assert_eq!(interpreter(&std::fs::read("/bin/bash-static")?), Some(false));
        assert_eq!(interpreter(own.get(..60).unwrap_or_default()), None);
        Ok(())
    }

    #[test]
    fn the_containerfile_makes_the_same_names_places_and_user() {
        let file = include_str!("../transfer/Containerfile");
        // Its base has touch and sleep of its own.
        let linked = file.split_once("for name in ").and_then(|(_, rest)| rest.split_once(';')).map(|(names, _)| names);
        assert_eq!(linked, Some("rsync stunnel nc"));
        for name in NAMES_AT_ROOT {
            assert!(file.contains(&format!("ln -s usr/bin/ferry /{name}")), "no /{name}");
        }
        let made_by_runtimes = ["dev", "mnt", "proc", "sys", "var/run/secrets"];
        for point in MOUNT_POINTS.iter().filter(|point| !made_by_runtimes.contains(point)) {
            assert!(file.contains(&format!(" /{point}")), "no /{point}");
        }
        let user = configuration().pointer("/User").and_then(Value::as_str).map(|user| format!("USER {user}\n"));
        assert!(user.is_some_and(|user| file.contains(&user)), "another user");
    }

    #[test]
    fn nobody_runs_it_and_by_number() {
        assert_eq!(configuration().pointer("/User").and_then(Value::as_str), Some("65534:65534"));
    }
}
