//! One namespace's migration as the operator sets it up: the server pod with every claim, the route, and the pods of the clients,
//! for any version and any image on either side. It refuses to judge what comes of it: `operator` watches, tests decide.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::client::{self, Options};
use super::conf::{self, HttpProxy, Module};
use super::container::{ContainerSpec, Volume};
use super::image::Root;
use super::network::{Cluster, Node};
use super::objects::{Certificate, Object};
use super::operator::{self, Attempt};
use super::pod::{Pod, PodSpec};
use super::security::Security;
use super::version::Version;
use crate::ferry::HOST;
use crate::router::Router;
use crate::scene::Scene;

/// The namespace on both sides.
const NAMESPACE: &str = "app";
/// The port of the route.
const ROUTE_PORT: u16 = 443;
/// The last number of 1.4's Service in the source cluster.
const SERVICE: u8 = 5;
/// Six letters, as the operator makes them.
pub const PASSWORD: &str = "QwErTy";
/// How long a server may take to listen.
const READY_MAX: Duration = Duration::from_secs(30);

/// A claim with its volume on either side.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// The source's volume.
    pub source: PathBuf,
    /// The destination's.
    pub destination: PathBuf,
}

impl Claim {
    /// What the operator calls it in paths and modules: a digest of the name. Which digest is nobody's business.
    #[must_use]
    pub fn digest(&self) -> String {
        blake3::hash(self.name.as_bytes()).to_hex().as_str().get(..32).unwrap_or_default().to_owned()
    }

    /// Where it is mounted on either side.
    fn mounted(&self) -> String {
        format!("/mnt/{NAMESPACE}/{}", self.digest())
    }
}

/// What is set up.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The operator's version.
    pub version: Version,
    /// The image of the source cluster.
    pub source: &'a Root,
    /// The image of the destination cluster.
    pub destination: &'a Root,
    /// All claims.
    pub claims: &'a [Claim],
    /// What both sides hold.
    pub certificate: &'a Certificate,
}

/// A namespace whose server pod runs.
#[derive(Debug)]
pub struct Migration<'s, 'a> {
    scene: &'s Scene,
    plan: Plan<'a>,
    /// The destination's pod.
    pub server: Pod<'s>,
    /// 1.4's stunnel pod at the source.
    pub tunnel: Option<Pod<'s>>,
    /// The route.
    pub router: Router<'s>,
    /// What the client's stunnel holds, where it is not the plan's.
    pub client_certificate: Option<Certificate>,
    /// The password in the client's environment.
    pub password: String,
    /// A proxy on the way out.
    pub proxy: Option<HttpProxy>,
    /// What the route's name resolves to in the source cluster.
    pub route: Ipv4Addr,
    node: Node<'s>,
}

impl<'s, 'a> Migration<'s, 'a> {
    /// Starts the server pod and the route, and for 1.4 the source's stunnel pod.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start(scene: &'s Scene, plan: Plan<'a>) -> Result<Self> {
        let node = Node::new(scene)?;
        let version = plan.version;
        for claim in plan.claims {
            prepare(&claim.source, version)?;
            prepare(&claim.destination, version)?;
        }
        let mut server = Pod::start(scene, &node, plan.destination, &server_spec(scene, &plan)?)?;
        server.listens(version.daemon_port(), READY_MAX)?;
        server.listens(version.stunnel_port(), READY_MAX)?;
        let backend = SocketAddrV4::new(server.address(), version.stunnel_port());
        let router = Router::on_node(scene, node.namespace(), backend)?;
        let mut migration = Self {
            scene,
            plan,
            server,
            tunnel: None,
            router,
            client_certificate: None,
            password: PASSWORD.to_owned(),
            proxy: None,
            route: Cluster::Source.node(),
            node,
        };
        migration.start_tunnel()?;
        Ok(migration)
    }

    /// 1.4's stunnel pod, started anew: with another certificate, for instance. Nothing in other versions.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_tunnel(&mut self) -> Result<()> {
        self.tunnel = None;
        if self.plan.version != Version::V14 {
            return Ok(());
        }
        let stunnel = self.client_stunnel(Vec::new())?;
        let services = vec![Cluster::Source.address(SERVICE)];
        let mut pod = self.start_pod(Cluster::Source, services, vec![stunnel])?;
        pod.listens(self.plan.version.stunnel_port(), READY_MAX)?;
        self.tunnel = Some(pod);
        Ok(())
    }

    /// Starts a client pod for `claim`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn client(&self, claim: &Claim, options: &Options) -> Result<Pod<'s>> {
        let version = self.plan.version;
        let host = match version {
            Version::V14 => Cluster::Source.address(SERVICE).to_string(),
            _ => "localhost".to_owned(),
        };
        let line = client::rsync(version, options, &claim.mounted(), &host, &claim.digest());
        let mut volumes = vec![Volume::writable(&claim.source, &claim.mounted())];
        let shared = version.shared_directory().map(|point| self.shared(point)).transpose()?;
        volumes.extend(shared.clone());
        let rsync = ContainerSpec {
            name: version.client_container(),
            command: client::rsync_container(version, &line),
            env: vec![("RSYNC_PASSWORD".to_owned(), self.password.clone())],
            volumes,
            devices: Vec::new(),
            security: version.security(),
        };
        let mut containers = vec![rsync];
        if version != Version::V14 {
            containers.push(self.client_stunnel(shared.into_iter().collect())?);
        }
        self.start_pod(Cluster::Source, Vec::new(), containers)
    }

    /// One claim with at most `attempts` pods, each watched to its end.
    ///
    /// # Errors
    /// When a pod cannot be started or hangs.
    pub fn copy(&self, claim: &Claim, options: &Options, attempts: u32, each: Duration) -> Result<Vec<Attempt>> {
        let container = self.plan.version.client_container();
        operator::operate(container, attempts, each, |_| self.client(claim, options))
    }

    /// The only attempt at one claim.
    ///
    /// # Errors
    /// When the pod cannot be started or hangs; what the server printed is in the message.
    pub fn attempt(&mut self, claim: &Claim, options: &Options, limit: Duration) -> Result<Attempt> {
        let mut attempts = self.copy(claim, options, 1, limit);
        if attempts.is_err() {
            attempts = attempts.with_context(|| format!("server:\n{}", self.server.story()));
        }
        attempts?.pop().context("one attempt was asked for")
    }

    fn start_pod(&self, cluster: Cluster, services: Vec<Ipv4Addr>, containers: Vec<ContainerSpec>) -> Result<Pod<'s>> {
        let hosts = vec![(HOST.to_owned(), self.route)];
        Pod::start(self.scene, &self.node, self.plan.source, &PodSpec { cluster, services, hosts, containers })
    }

    /// An emptyDir between two containers.
    fn shared(&self, point: &str) -> Result<Volume> {
        shared(self.scene, self.plan.version.security(), point)
    }

    fn client_stunnel(&self, shared: Vec<Volume>) -> Result<ContainerSpec> {
        let version = self.plan.version;
        let text = conf::stunnel_client(version, &format!("{HOST}:{ROUTE_PORT}"), self.proxy.as_ref());
        let certificate = self.client_certificate.as_ref().unwrap_or(self.plan.certificate);
        let mut volumes = stunnel_volumes(self.scene, version, version.security(), &text, certificate)?;
        volumes.extend(shared);
        Ok(ContainerSpec {
            name: "stunnel",
            command: client::stunnel_container(version),
            env: Vec::new(),
            volumes,
            devices: Vec::new(),
            security: version.security(),
        })
    }
}

/// The destination's pod.
fn server_spec(scene: &Scene, plan: &Plan<'_>) -> Result<PodSpec> {
    let version = plan.version;
    let security = version.security();
    let module = |claim: &Claim| Module {
        name: claim.digest(),
        claim: format!("{NAMESPACE}/{}", claim.name),
        path: claim.mounted(),
    };
    let modules: Vec<Module> = plan.claims.iter().map(module).collect();
    let text = conf::rsyncd(version, &modules);
    let config = Object::new(scene, "rsyncd", 0o644, security, &[("rsyncd.conf", &text)])?;
    let line = format!("root:{PASSWORD}");
    let secret = Object::new(scene, "secret", 0o600, security, &[("rsyncd.secrets", &line)])?;
    let mut volumes = vec![Volume::read_only(&config.file("rsyncd.conf")?, "/etc/rsyncd.conf")];
    volumes.push(if version.is_old() {
        Volume::read_only(&secret.file("rsyncd.secrets")?, "/etc/rsyncd.secrets")
    } else {
        Volume::read_only(secret.directory(), "/etc/rsync-secret")
    });
    volumes.extend(plan.claims.iter().map(|claim| Volume::writable(&claim.destination, &claim.mounted())));
    let env = if version.is_old() { vec![("SSH_PUBLIC_KEY".to_owned(), String::new())] } else { Vec::new() };
    let rsync = ContainerSpec {
        name: version.daemon_container(),
        command: client::daemon(version),
        env,
        volumes,
        devices: Vec::new(),
        security,
    };
    let stunnel = ContainerSpec {
        name: "stunnel",
        command: client::stunnel(),
        env: Vec::new(),
        volumes: stunnel_volumes(scene, version, security, &conf::stunnel_server(version), plan.certificate)?,
        devices: Vec::new(),
        security,
    };
    let containers = vec![rsync, stunnel];
    Ok(PodSpec { cluster: Cluster::Destination, services: Vec::new(), hosts: Vec::new(), containers })
}

/// An emptyDir, open to all, as the kubelet makes it.
pub(super) fn shared(scene: &Scene, security: Security, point: &str) -> Result<Volume> {
    let directory = scene.fresh("shared", "");
    std::fs::create_dir(&directory)?;
    own(&directory, 0o777, security)?;
    Ok(Volume::writable(&directory, point))
}

/// What a container of stunnel mounts.
pub(super) fn stunnel_volumes(
    scene: &Scene,
    version: Version,
    security: Security,
    text: &str,
    certificate: &Certificate,
) -> Result<Vec<Volume>> {
    let config = Object::new(scene, "stunnel-config", 0o644, security, &[("stunnel.conf", text)])?;
    let Certificate { certificate, key } = certificate;
    let mut files = vec![("tls.crt", certificate.as_str()), ("tls.key", key.as_str())];
    if version.is_old() {
        files.push(("ca.crt", certificate.as_str()));
    }
    let certs = Object::new(scene, "stunnel-certs", 0o644, security, &files)?;
    Ok(vec![
        Volume::read_only(&config.file("stunnel.conf")?, "/etc/stunnel/stunnel.conf"),
        Volume::read_only(certs.directory(), "/etc/stunnel/certs"),
    ])
}

/// Makes a claim's volume when it is not there and hands its root to the pods' group, as the kubelet does once for an fsGroup.
fn prepare(volume: &Path, version: Version) -> Result<()> {
    std::fs::create_dir_all(volume).with_context(|| format!("cannot make {}", volume.display()))?;
    if version.security().fs_group().is_some() { own(volume, 0o2775, version.security()) } else { Ok(()) }
}

fn own(directory: &Path, mode: u32, security: Security) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::os::unix::fs::chown(directory, Some(0), security.fs_group())?;
    Ok(std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode))?)
}
