//! An image on disk: an OCI layout (a directory that skopeo and umoci read) and the same as one tar (an archive that podman and
//! `ctr import` load). It refuses to replace a directory that holds no layout.
//!
//! ```text
//! NAME/oci-layout      NAME/index.json -> blobs/sha256/MANIFEST -> blobs/sha256/{CONFIGURATION, LAYER}
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tar::EntryType;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::contents::Contents;
use crate::layer::{self, digest, header};

/// An image, not yet written. It has one layer and runs on `linux/amd64`.
#[derive(Clone, Debug)]
pub struct Image {
    /// The full name and tag that the index gives it. An importer that finds none makes one up.
    pub reference: String,
    /// The time of everything in it, in seconds since 1970.
    pub epoch: u64,
    /// The `config` of its configuration: user, environment, command, labels.
    pub configuration: Value,
    /// Its root.
    pub contents: Contents,
}

/// An image that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The manifest's digest: the image's identity.
    pub digest: String,
    /// The directory.
    pub layout: PathBuf,
    /// The tar.
    pub archive: PathBuf,
    /// The length of the tar in bytes.
    pub archive_len: u64,
}

/// Files of the layout by their path below it, in the order of names.
type Files = Vec<(String, Vec<u8>)>;

/// Writes `image` as `out/name` and `out/name.tar`, in place of an earlier one.
///
/// # Errors
/// When something else stands there, or the disk refuses.
pub fn write(image: &Image, out: &Path, name: &str) -> Result<Written> {
    let (digest, files) = files(image)?;
    let (layout, archive) = (out.join(name), out.join(format!("{name}.tar")));
    clear(&layout)?;
    for (path, bytes) in &files {
        let path = layout.join(path);
        let above = path.parent().context("every file of a layout is below it")?;
        std::fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let bytes = pack(&files, image.epoch)?;
    std::fs::write(&archive, &bytes).with_context(|| format!("cannot write {}", archive.display()))?;
    Ok(Written { digest, layout, archive, archive_len: u64::try_from(bytes.len())? })
}

/// Removes an earlier layout.
fn clear(layout: &Path) -> Result<()> {
    if !layout.exists() {
        return Ok(());
    }
    if !layout.join("oci-layout").is_file() {
        bail!("{} exists and is no image layout: choose another --out or remove it", layout.display());
    }
    std::fs::remove_dir_all(layout).with_context(|| format!("cannot remove the earlier {}", layout.display()))
}

/// The manifest's digest and all files.
fn files(image: &Image) -> Result<(String, Files)> {
    check_reference(&image.reference)?;
    let layer = layer::pack(&image.contents, image.epoch)?;
    let created = OffsetDateTime::from_unix_timestamp(i64::try_from(image.epoch)?)?.format(&Rfc3339)?;
    let configuration = serde_json::to_vec(&json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": image.configuration,
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
        "history": [{ "created": created, "created_by": "ferry-images" }],
    }))?;
    let described =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &configuration),
        "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", &layer.bytes)],
    }))?;
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&manifest),
            "size": manifest.len(),
            "platform": { "architecture": "amd64", "os": "linux" },
            "annotations": { "org.opencontainers.image.ref.name": image.reference },
        }],
    }))?;
    let identity = digest(&manifest);
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index),
    ];
    for blob in [manifest, configuration, layer.bytes] {
        let name = digest(&blob);
        let name = name.strip_prefix("sha256:").context("digests are sha256")?;
        files.push((format!("blobs/sha256/{name}"), blob));
    }
    files.sort();
    Ok((identity, files))
}

/// A registry's host, a path and a tag: what `docker pull` takes without guessing.
fn check_reference(reference: &str) -> Result<()> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-:/".contains(&byte);
    let (path, tag) = reference.rsplit_once(':').unwrap_or_default();
    let full = path.contains('/') && !tag.is_empty() && !tag.contains('/') && !path.split('/').any(str::is_empty);
    let tag_fine = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    ensure!(
        full && tag_fine && path.bytes().all(fine),
        "{reference}: a reference is HOST/NAME:TAG, for instance registry.example.com/migration/ferry-transfer:1"
    );
    Ok(())
}

/// The layout as one tar, directories before what is in them.
fn pack(files: &Files, epoch: u64) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for directory in ["blobs/", "blobs/sha256/"] {
        tar.append_data(&mut header(EntryType::Directory, 0o755, 0, epoch)?, directory, &[][..])?;
    }
    for (path, bytes) in files {
        tar.append_data(&mut header(EntryType::Regular, 0o644, bytes.len(), epoch)?, path, bytes.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::check_reference;

    #[test]
    fn only_full_references_are_taken() {
        for fine in ["localhost/ferry-transfer:0.1.0", "10.77.0.1:5000/a/b_c:V1", "quay.io/x/y:latest"] {
            assert!(check_reference(fine).is_ok(), "{fine}");
        }
        for bad in ["", "ferry", "ferry:1", "a/b", "a/b:", "a//b:1", "localhost:5000/b", "Host/b:1", "a/b:1 2", "/b:1"]
        {
            assert!(check_reference(bad).is_err(), "{bad}");
        }
    }
}
