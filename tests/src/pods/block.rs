//! The block path of 1.8: disk images of virtual machines and block devices, moved by `proxy` and `blockrsync` between two pods
//! without a securityContext. It refuses to restart containers: a test says when, and an operator would not see it.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::conf;
use super::container::{ContainerSpec, Device, Volume};
use super::image::Root;
use super::migration::{shared, stunnel_volumes};
use super::network::{Cluster, Node};
use super::objects::Certificate;
use super::operator::{self, Attempt};
use super::pod::{Pod, PodSpec};
use super::security::Security;
use super::version::Version;
use crate::ferry::HOST;
use crate::router::Router;
use crate::scene::Scene;

/// The emptyDir between the containers of a pod.
const SHARED: &str = "/usr/share/stunnel-communication";
/// How long a server may take to listen.
const READY_MAX: Duration = Duration::from_secs(30);
/// Where `proxy` and stunnel listen.
const PORTS: [u16; 2] = [2222, 6443];

/// A claim's volume on one side.
#[derive(Clone, Debug)]
pub enum Disk {
    /// `volumeMode: Block`: a device.
    Device(PathBuf),
    /// A virtual machine's: a directory with `disk.img`.
    Image(PathBuf),
}

/// A claim to be moved.
#[derive(Clone, Debug)]
pub struct BlockClaim {
    /// Its name.
    pub name: String,
    /// The source's volume.
    pub source: Disk,
    /// The destination's.
    pub destination: Disk,
}

impl Disk {
    /// The path inside, below a name made of the claim's.
    fn inside(&self, digest: &str) -> String {
        match self {
            Self::Device(_) => format!("/dev/{digest}"),
            Self::Image(_) => format!("/mnt/{digest}/disk.img"),
        }
    }

    /// Adds it to a container.
    fn add(&self, spec: &mut ContainerSpec, digest: &str) {
        match self {
            Self::Device(node) => spec.devices.push(Device { from: node.clone(), to: self.inside(digest) }),
            Self::Image(directory) => spec.volumes.push(Volume::writable(directory, &format!("/mnt/{digest}"))),
        }
    }

    /// The file or node on this machine.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Device(node) => node.clone(),
            Self::Image(directory) => directory.join("disk.img"),
        }
    }
}

impl BlockClaim {
    /// What the operator makes of a name, on one side: any digest will do, but not the same one on both.
    fn digest(&self, side: &str) -> String {
        blake3::hash(format!("{side}/{}", self.name).as_bytes())
            .to_hex()
            .as_str()
            .get(..32)
            .unwrap_or_default()
            .to_owned()
    }
}

/// A namespace's disks with the server's pod running.
#[derive(Debug)]
pub struct BlockMigration<'s, 'a> {
    scene: &'s Scene,
    image: &'a Root,
    security: Security,
    certificate: &'a Certificate,
    /// The destination's pod.
    pub server: Pod<'s>,
    /// The route.
    pub router: Router<'s>,
    node: Node<'s>,
}

impl<'s, 'a> BlockMigration<'s, 'a> {
    /// Starts the server's pod and the route.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start(
        scene: &'s Scene,
        image: &'a Root,
        security: Security,
        certificate: &'a Certificate,
        claims: &[BlockClaim],
    ) -> Result<Self> {
        let node = Node::new(scene)?;
        let spec = server_spec(scene, security, certificate, claims)?;
        let mut server = Pod::start(scene, &node, image, &spec)?;
        for port in PORTS {
            server.listens(port, READY_MAX)?;
        }
        let router = Router::on_node(scene, node.namespace(), SocketAddrV4::new(server.address(), 6443))?;
        Ok(Self { scene, image, security, certificate, server, router, node })
    }

    /// Starts a client's pod for `claim`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn client(&self, claim: &BlockClaim) -> Result<Pod<'s>> {
        let (scene, security, digest) = (self.scene, self.security, claim.digest("source"));
        let between = shared(scene, security, SHARED)?;
        let proxy = format!(
            "/proxy --source --target-address localhost --identifier {digest} --listen-port 9002 --target-port 6443 \
             --control-file {SHARED}/blockrsync-done"
        );
        let file = claim.source.inside(&digest);
        let copy = format!(
            "/blockrsync {file} --source --target-address localhost --port 9002 --zap-log-level 3 --block-size 131072"
        );
        let mut copying = container("blockrsync", bash(copy), vec![between.clone()], security);
        copying.env.push((format!("id-{digest}"), file));
        claim.source.add(&mut copying, &digest);
        let text = conf::stunnel_client(Version::V18, &format!("{HOST}:443"), None);
        let mut volumes = stunnel_volumes(scene, Version::V18, security, &text, self.certificate)?;
        volumes.push(between.clone());
        let waiting = bash(format!(
            "/bin/stunnel /etc/stunnel/stunnel.conf\nwhile true\ndo test -f {SHARED}/blockrsync-done\nif [ $? -eq 0 ]\n\
             then\nbreak\nfi\nsleep 1\ndone\nexit 0\n"
        ));
        let containers = vec![
            container("proxy", bash(proxy), vec![between], security),
            copying,
            container("stunnel", waiting, volumes, security),
        ];
        let hosts = vec![(HOST.to_owned(), Cluster::Source.node())];
        let spec = PodSpec { cluster: Cluster::Source, services: Vec::new(), hosts, containers };
        Pod::start(scene, &self.node, self.image, &spec)
    }

    /// One pod for `claim`, watched to its end.
    ///
    /// # Errors
    /// When it cannot be started or hangs; what the server printed is in the message.
    pub fn attempt(&mut self, claim: &BlockClaim, limit: Duration) -> Result<Attempt> {
        let mut pod = self.client(claim)?;
        let watched = operator::watch(&mut pod, "blockrsync", limit);
        watched.with_context(|| format!("server:\n{}", self.server.story()))
    }
}

fn server_spec(scene: &Scene, security: Security, certificate: &Certificate, claims: &[BlockClaim]) -> Result<PodSpec> {
    let between = shared(scene, security, SHARED)?;
    let identifiers: Vec<String> =
        claims.iter().map(|claim| format!("--identifier {}", claim.digest("source"))).collect();
    let line = format!(
        "/proxy --target --listen-port 2222 --blockrsync-path /blockrsync --control-file {SHARED}/blockrsync-done \
         --block-size 131072 {}",
        identifiers.join(" ")
    );
    let mut target = container("blockrsync", bash(line), vec![between], security);
    for claim in claims {
        let digest = claim.digest("destination");
        target.env.push((format!("id-{}", claim.digest("source")), claim.destination.inside(&digest)));
        claim.destination.add(&mut target, &digest);
    }
    let text = conf::stunnel_server(Version::V18);
    let volumes = stunnel_volumes(scene, Version::V18, security, &text, certificate)?;
    let stunnel = vec!["/bin/stunnel".to_owned(), "/etc/stunnel/stunnel.conf".to_owned()];
    let containers = vec![target, container("stunnel", stunnel, volumes, security)];
    Ok(PodSpec { cluster: Cluster::Destination, services: Vec::new(), hosts: Vec::new(), containers })
}

fn container(name: &'static str, command: Vec<String>, volumes: Vec<Volume>, security: Security) -> ContainerSpec {
    ContainerSpec { name, command, env: Vec::new(), volumes, devices: Vec::new(), security }
}

fn bash(line: String) -> Vec<String> {
    vec!["/bin/bash".to_owned(), "-c".to_owned(), line]
}

/// A directory with `disk.img` of this content, that the pods' user may write.
///
/// # Errors
/// When the disk refuses.
pub fn image(directory: &Path, content: &[u8], security: Security) -> Result<Disk> {
    std::fs::create_dir_all(directory)?;
    let file = directory.join("disk.img");
    std::fs::write(&file, content)?;
    for path in [directory, &file] {
        std::os::unix::fs::chown(path, Some(security.uid()), Some(security.gid()))?;
    }
    Ok(Disk::Image(directory.to_owned()))
}
