//! ConfigMaps and Secrets as the kubelet lays them out for a pod: a directory whose names are links through `..data`, modes as
//! asked, group-readable where an fsGroup is set; and the certificate that both sides share. It refuses to make more than files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::security::Security;
use crate::command::must;
use crate::scene::Scene;

/// A ConfigMap or Secret on a node.
#[derive(Clone, Debug)]
pub struct Object {
    directory: PathBuf,
}

impl Object {
    /// Lays out `files` (name and content) with this mode for a pod of this security.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn new(scene: &Scene, name: &str, mode: u32, security: Security, files: &[(&str, &str)]) -> Result<Self> {
        let directory = scene.fresh(name, "");
        let data = directory.join("..2026_11_25");
        std::fs::create_dir_all(&data)?;
        // As the kubelet does it: the group may read what its owner may.
        let mode = if security.fs_group().is_some() { mode | (mode & 0o400) >> 3 } else { mode };
        for (name, text) in files {
            let file = data.join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))?;
            std::os::unix::fs::chown(&file, Some(0), security.fs_group())?;
            std::os::unix::fs::symlink(Path::new("..data").join(name), directory.join(name))?;
        }
        std::os::unix::fs::symlink("..2026_11_25", directory.join("..data"))?;
        Ok(Self { directory })
    }

    /// The directory, for a mount of the whole.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file behind `name`, for a mount by `subPath`.
    ///
    /// # Errors
    /// When there is none.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::canonicalize(&path).with_context(|| format!("no {name} in {}", self.directory.display()))
    }
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// `tls.crt`, and `ca.crt` of 1.4 and 1.5.
    pub certificate: String,
    /// `tls.key`.
    pub key: String,
}

impl Certificate {
    /// The one of most tests, made once in this process: it takes seconds.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn shared(scene: &Scene) -> Result<Self> {
        static SHARED: Mutex<Option<Certificate>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = shared.as_ref() {
            return Ok(made.clone());
        }
        Ok(shared.insert(Self::new(scene)?).clone())
    }

    /// One as the operator makes it: RSA of 4096 bits, self-signed, an authority, no other name than its subject's.
    ///
    /// # Errors
    /// When openssl is missing.
    pub fn new(scene: &Scene) -> Result<Self> {
        let (certificate, key) = (scene.fresh("tls", ".crt"), scene.fresh("tls", ".key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", "3650", "-subj", "/CN=openshift.io"]);
        openssl
            .args(["-addext", "basicConstraints=critical,CA:TRUE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        must(scene, &mut openssl)?;
        Ok(Self { certificate: std::fs::read_to_string(certificate)?, key: std::fs::read_to_string(key)? })
    }
}
