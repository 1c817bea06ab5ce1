//! The pods with stock parts: that the harness is right, and what stock makes of a tree. What ours makes is held against it.

use std::time::Duration;

use ferry_tests::pods::client::Options;
use ferry_tests::pods::image::Root;
use ferry_tests::pods::migration::{Claim, Migration, Plan};
use ferry_tests::pods::objects::Certificate;
use ferry_tests::pods::version::Version;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Result, compare, ensure, trees};

fn copies(scene: &Scene, version: Version) -> Result<()> {
    let stock = Root::stock(scene)?;
    let certificate = Certificate::new(scene)?;
    let claim = Claim { name: "data".to_owned(), source: scene.path("source"), destination: scene.path("destination") };
    trees::small_files(&claim.source, 50, 5)?;
    let claims = [claim.clone()];
    let plan = Plan { version, source: &stock, destination: &stock, claims: &claims, certificate: &certificate };
    let mut migration = Migration::start(scene, plan)?;
    let attempt = migration.attempt(&claim, &Options::default(), Duration::from_secs(40))?;
    attempt.succeeded()?;
    compare::equal_but(&claim.source, &claim.destination, &[compare::Aspect::Root])?;
    ensure!(attempt.exit == 0, "{attempt:?}");
    Ok(())
}

#[test]
fn stock_1_4() -> Result<()> {
    within(60, |scene| copies(scene, Version::V14))
}

#[test]
fn stock_1_5() -> Result<()> {
    within(60, |scene| copies(scene, Version::V15))
}

#[test]
fn stock_1_7() -> Result<()> {
    within(60, |scene| copies(scene, Version::V17))
}

#[test]
fn stock_1_7_restricted() -> Result<()> {
    within(60, |scene| copies(scene, Version::V17Restricted))
}

#[test]
fn stock_1_8() -> Result<()> {
    within(60, |scene| copies(scene, Version::V18))
}
