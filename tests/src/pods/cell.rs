//! One cell of the matrix: a version, an image on either side, claims with volumes of their own. It refuses to judge: it sets up.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::image::Root;
use super::migration::{Claim, Migration, Plan};
use super::objects::Certificate;
use super::tree;
use super::version::Version;
use crate::scene::Scene;

/// What a cell's pods start from and what they move.
#[derive(Clone, Debug)]
pub struct Cell {
    version: Version,
    source: Root,
    destination: Root,
    certificate: Certificate,
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

    /// Both sides with this image and claims of these names, all volumes empty.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn empty(scene: &Scene, version: Version, image: &Root, names: &[&str]) -> Result<Self> {
        let at = |side: &str, name: &str| scene.fresh(&format!("{side}-{name}"), "");
        let claim = |name: &&str| Claim {
            name: (*name).to_owned(),
            source: at("source", name),
            destination: at("destination", name),
        };
        Ok(Self {
            version,
            source: image.clone(),
            destination: image.clone(),
            certificate: Certificate::shared(scene)?,
            claims: names.iter().map(claim).collect(),
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
        if let Some(claim) = self.claims.first_mut() {
            destination.clone_into(&mut claim.destination);
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
        let nowhere = || Claim { name: String::new(), source: PathBuf::new(), destination: PathBuf::new() };
        self.claims.first().cloned().unwrap_or_else(nowhere)
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
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
