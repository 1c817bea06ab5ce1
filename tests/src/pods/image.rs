//! Roots that containers start from: the image under test, built by the one command and unpacked by an independent tool, and a
//! stand-in for the stock image made of this machine's programs and their libraries. It refuses to guess: what is missing is a
//! failure that says how to get it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::command::{must, run};
use crate::scene::Scene;

/// How long the one command may take when everything has to be compiled.
const BUILD_MAX: Duration = Duration::from_secs(1800);
/// Programs of the stock image, by where they are in it and what they are called here.
const STOCK: [(&str, &str); 6] = [
    ("usr/bin/bash", "bash"),
    ("usr/bin/rsync", "rsync"),
    ("usr/bin/stunnel", "stunnel4"),
    ("usr/bin/nc", "nc"),
    ("usr/bin/touch", "touch"),
    ("usr/bin/sleep", "sleep"),
];

/// An image's root on this machine.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    variable: String,
}

/// The image as the one command wrote it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The OCI layout.
    pub layout: PathBuf,
    /// The archive.
    pub archive: PathBuf,
}

impl Root {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the image sets as `PATH`.
    #[must_use]
    pub fn path_variable(&self) -> &str {
        &self.variable
    }

    /// Stock parts: bash, rsync, stunnel, nc and two of coreutils, with the libraries they are linked with.
    ///
    /// # Errors
    /// When one is missing.
    pub fn stock(scene: &Scene) -> Result<Self> {
        let path = scene.path("stock");
        if !path.exists() {
            for name in ["usr/bin", "usr/lib", "usr/lib64", "etc", "mnt", "proc", "sys", "dev"] {
                std::fs::create_dir_all(path.join(name))?;
            }
            for name in ["bin", "lib", "lib64"] {
                std::os::unix::fs::symlink(format!("usr/{name}"), path.join(name))?;
            }
            // The stock daemon asks for names of users.
            std::fs::write(path.join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n")?;
            std::fs::write(path.join("etc/group"), "root:x:0:\n")?;
            let mut libraries = BTreeSet::new();
            for (to, name) in STOCK {
                let from = find(name)?;
                std::fs::copy(&from, path.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
                libraries.extend(linked(scene, &from)?);
            }
            // The C library loads it when a thread ends.
            libraries.insert(find_library(&libraries, "libgcc_s.so.1")?);
            for library in libraries {
                copy_library(&library, &path)?;
            }
        }
        Ok(Self { path, variable: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned() })
    }

    /// The image under test, unpacked by umoci.
    ///
    /// # Errors
    /// When it cannot be built or unpacked.
    pub fn ours(scene: &Scene) -> Result<Self> {
        let bundle = scene.path("ours");
        let built = Built::get()?;
        if !bundle.exists() {
            built.unpack(scene, &bundle)?;
        }
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
        let env = config.pointer("/process/env").and_then(serde_json::Value::as_array).into_iter().flatten();
        let variable = env.filter_map(|each| each.as_str()?.strip_prefix("PATH=")).next();
        let variable = variable.context("the image sets no PATH")?.to_owned();
        Ok(Self { path: bundle.join("rootfs"), variable })
    }
}

impl Built {
    /// Builds the image once in this process, with the profile of the tests. Call it before a deadline runs: the first time on a
    /// machine it compiles everything.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn get() -> Result<&'static Self> {
        static BUILT: OnceLock<std::result::Result<Built, String>> = OnceLock::new();
        BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))).as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// Unpacks it as a bundle, `rootfs` below `to`.
    ///
    /// # Errors
    /// When umoci refuses it.
    pub fn unpack(&self, scene: &Scene, to: &Path) -> Result<()> {
        // umoci takes a tag, and no full reference.
        let plain = scene.fresh("layout", "");
        let mut copy = Command::new("skopeo");
        copy.args(["--insecure-policy", "copy", "--quiet"]);
        copy.arg(format!("oci-archive:{}", self.archive.display())).arg(format!("oci:{}:transfer", plain.display()));
        must(scene, &mut copy)?;
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--image"]).arg(format!("{}:transfer", plain.display())).arg(to);
        must(scene, &mut unpack).map(drop)
    }
}

/// The checkout.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn build() -> Result<Built> {
    let out = checkout().join("target/images");
    let begun = Instant::now();
    let mut command = Command::new(checkout().join("sidecar-images/build"));
    command.arg("transfer").arg("--out").arg(&out).env("FERRY_PROFILE", "dev");
    // What cargo sets for a test is not for the cargo it calls.
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("CARGO_PKG_")) {
        command.env_remove(key);
    }
    let done = command.output().context("cannot run sidecar-images/build")?;
    ensure!(done.status.success(), "sidecar-images/build failed: {}", String::from_utf8_lossy(&done.stderr));
    ensure!(begun.elapsed() < BUILD_MAX, "sidecar-images/build took {:?}", begun.elapsed());
    Ok(Built { layout: out.join("transfer"), archive: out.join("transfer.tar") })
}

fn find(name: &str) -> Result<PathBuf> {
    let dirs = ["/usr/bin", "/bin", "/usr/sbin"].map(|dir| Path::new(dir).join(name));
    let found = dirs.iter().find(|path| path.exists());
    let found = found.with_context(|| format!("{name} is missing: .ci/packages says which package has it"))?;
    std::fs::canonicalize(found).with_context(|| format!("cannot resolve {}", found.display()))
}

/// The libraries a program is linked with, the loader among them, as `ldd` lists them: `NAME => PATH (…)` or `PATH (…)`.
fn linked(scene: &Scene, program: &Path) -> Result<Vec<PathBuf>> {
    let said = run(scene, Command::new("ldd").arg(program), Duration::from_secs(10))?.text();
    ensure!(!said.contains("not found"), "{} misses a library:\n{said}", program.display());
    let paths = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// A library that lies beside the others.
fn find_library(others: &BTreeSet<PathBuf>, name: &str) -> Result<PathBuf> {
    let found = others.iter().map(|other| other.with_file_name(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} is missing"))
}

/// Copies a library to where the loader looks for it.
fn copy_library(library: &Path, root: &Path) -> Result<()> {
    // Programs of this machine name libraries with and without /usr.
    let below = library.strip_prefix("/usr").or_else(|_| library.strip_prefix("/"))?;
    let to = root.join("usr").join(below);
    if let Some(above) = to.parent() {
        std::fs::create_dir_all(above)?;
    }
    std::fs::copy(library, &to).with_context(|| format!("cannot copy {}", library.display())).map(drop)
}
