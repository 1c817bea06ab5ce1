//! The block path of 1.8 with our image: disk images and devices, as the image's user and as a random one, in pods without a
//! shell script of ours. Exit 0 means that the destination has the source's bytes.

use std::time::Duration;

use ferry_tests::command::until;
use ferry_tests::devices::Loop;
use ferry_tests::pods::block::{BlockClaim, BlockMigration, Disk, image};
use ferry_tests::pods::image::{Built, Root};
use ferry_tests::pods::objects::Certificate;
use ferry_tests::pods::operator;
use ferry_tests::pods::security::Security;
use ferry_tests::scene::within;
use ferry_tests::trees::Seed;
use ferry_tests::{Result, ensure};
use rustix::process::Signal;

/// How long one pod may take.
const SOON: Duration = Duration::from_secs(60);
/// The size of a disk: not a multiple of the block that the operator asks for.
const LEN: usize = (12 << 20) + 4096;

/// The size of a disk that takes long enough to be cut.
const LARGE: usize = 192 << 20;

/// A disk with a hole in its middle.
fn content(number: u64) -> Vec<u8> {
    let mut bytes = Seed::new(number).bytes(LEN);
    bytes.get_mut(4 << 20..7 << 20).into_iter().flatten().for_each(|byte| *byte = 0);
    bytes
}

/// An image and a device, behind one server.
fn moves_disks(security: Security) -> Result<()> {
    Built::get()?;
    within(150, move |scene| {
        let (root, certificate) = (Root::ours(scene)?, Certificate::shared(scene)?);
        let (first, second) = (content(1), content(2));
        let (from, to) = (Loop::with(scene, "from.img", &second)?, Loop::with(scene, "to.img", &vec![9; LEN])?);
        let claims = [
            BlockClaim {
                name: "machine".to_owned(),
                source: image(&scene.path("source"), &first, security)?,
                destination: image(&scene.path("destination"), &vec![0; LEN], security)?,
            },
            BlockClaim {
                name: "device".to_owned(),
                source: Disk::Device(from.node().to_owned()),
                destination: Disk::Device(to.node().to_owned()),
            },
        ];
        let mut migration = BlockMigration::start(scene, &root, security, &certificate, &claims)?;
        for claim in &claims {
            migration.attempt(claim, SOON)?.succeeded()?;
            let (here, there) = (std::fs::read(claim.source.path())?, std::fs::read(claim.destination.path())?);
            ensure!(here == there, "{} differs", claim.name);
        }
        Ok(())
    })
}

#[test]
fn disks_move_as_the_images_user() -> Result<()> {
    moves_disks(Security::Image)
}

#[test]
fn disks_move_as_a_random_user() -> Result<()> {
    moves_disks(Security::Restricted)
}

#[test]
fn a_connection_that_is_cut_costs_no_container() -> Result<()> {
    Built::get()?;
    within(150, |scene| {
        let security = Security::Image;
        let (root, certificate) = (Root::ours(scene)?, Certificate::shared(scene)?);
        let claim = BlockClaim {
            name: "machine".to_owned(),
            source: image(&scene.path("source"), &Seed::new(3).bytes(LARGE), security)?,
            destination: image(&scene.path("destination"), b"", security)?,
        };
        // As a blank volume comes: of its size, and nothing in it.
        std::fs::File::options().write(true).open(claim.destination.path())?.set_len(LARGE as u64)?;
        let mut migration = BlockMigration::start(scene, &root, security, &certificate, std::slice::from_ref(&claim))?;
        let mut pod = migration.client(&claim)?;
        until(SOON, "the first megabytes arrive", || {
            use std::os::unix::fs::MetadataExt;
            Ok(std::fs::metadata(claim.destination.path())?.blocks() > 8192)
        })?;
        // What the kubelet does when the server's stunnel is gone: start it again.
        let stunnel = migration.server.container("stunnel")?;
        stunnel.signal(Signal::KILL)?;
        until(SOON, "it is gone", || Ok(stunnel.exit()?.is_some()))?;
        stunnel.restart()?;
        operator::watch(&mut pod, "blockrsync", SOON)?.succeeded()?;
        let (here, there) = (std::fs::read(claim.source.path())?, std::fs::read(claim.destination.path())?);
        ensure!(here == there, "the disk differs");
        Ok(())
    })
}
