//! One cell of the matrix: a version, an image on either side, claims with volumes of their own. It refuses to judge: it sets up.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::image::Root;
use super::migration::{Claim, Migration, Plan};
use super::objects::Certificate;
use super::tree;
use super::version::Version;
use crate::command::until;
use crate::scene::Scene;

/// What a cell's pods start from and what they move.
#[derive(Clone, Debug)]
pub struct Cell {
    version: Version,
    source: Root,
    destination: Root,
    certificate: Certificate,
    first: Claim,
    /// All of them, the first one among them.
    claims: Vec<Claim>,
}

impl Cell {
    /// Both sides with this image, one claim `data` with an application's tree and an empty destination.
    ///
    /// # Errors
    /// When the tree cannot be made.
    pub fn new(scene: &Scene, version: Version, image: &Root) -> Result<Self> {
        let cell = Self::empty(scene, version, image, &["data"])?;
        tree::application(&cell.claim().source, version.security())?;
        Ok(cell)
    }

    /// Both sides with this image, one claim `data` of `count` files that take their time under a bound of bandwidth.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn slow(scene: &Scene, version: Version, image: &Root, count: usize) -> Result<Self> {
        let cell = Self::empty(scene, version, image, &["data"])?;
        tree::alike_nothing(&cell.claim().source, count, version.security())?;
        Ok(cell)
    }

    /// Both sides with this image and claims of these names, all volumes empty.
    ///
    /// # Errors
    /// When the certificate cannot be made or there is no name.
    pub fn empty(scene: &Scene, version: Version, image: &Root, names: &[&str]) -> Result<Self> {
        let at = |side: &str, name: &str| scene.fresh(&format!("{side}-{name}"), "");
        let claim = |name: &&str| Claim {
            name: (*name).to_owned(),
            source: at("source", name),
            destination: at("destination", name),
        };
        let claims: Vec<Claim> = names.iter().map(claim).collect();
        Ok(Self {
            version,
            source: image.clone(),
            destination: image.clone(),
            certificate: Certificate::shared(scene)?,
            first: claims.first().context("a cell has a claim at least")?.clone(),
            claims,
        })
    }

    /// The same with other images.
    #[must_use]
    pub fn with_images(self, source: &Root, destination: &Root) -> Self {
        Self { source: source.clone(), destination: destination.clone(), ..self }
    }

    /// The same with the first claim's destination here.
    #[must_use]
    pub fn to(mut self, destination: &Path) -> Self {
        destination.clone_into(&mut self.first.destination);
        if let Some(claim) = self.claims.first_mut() {
            *claim = self.first.clone();
        }
        self
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its first claim.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.first.clone()
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Names and inodes of files directly in the first claim's destination that look finished: the source's size and time.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn finished(&self) -> Result<Vec<(OsString, u64)>> {
        let Claim { source, destination, .. } = self.claim();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&destination)? {
            let entry = entry?;
            let both = (entry.metadata(), std::fs::metadata(source.join(entry.file_name())));
            if let (Ok(here), Ok(there)) = both
                && here.len() == there.len()
                && here.modified()? == there.modified()?
            {
                found.push((entry.file_name(), here.ino()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Waits until `count` files look finished.
    ///
    /// # Errors
    /// When they do not within a minute.
    pub fn await_finished(&self, count: usize) -> Result<()> {
        until(Duration::from_secs(60), &format!("{count} files arrive"), || Ok(self.finished()?.len() >= count))
    }

    /// Starts the server, the route, and what else stands before the first client.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start<'s, 'a>(&'a self, scene: &'s Scene) -> Result<Migration<'s, 'a>> {
        Migration::start(
            scene,
            Plan {
                version: self.version,
                source: &self.source,
                destination: &self.destination,
                claims: &self.claims,
                certificate: &self.certificate,
            },
        )
    }
}
