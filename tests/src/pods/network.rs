//! Networks of a test's own: a node with a bridge for each of two clusters, and a namespace for each pod. Nothing of it is named
//! outside: a process that only waits keeps each namespace, and what is in it vanishes with that process, however the test
//! ends. It refuses to forward between the clusters: the only way from one to the other is a router on the node.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command::{Running, must, until};
use crate::scene::Scene;

/// How long a namespace may take to be there.
const MADE_MAX: Duration = Duration::from_secs(10);
/// The first address of a pod; those below are the node's and services'.
const FIRST_POD: u8 = 10;
/// Pods a node takes at most, which is more than any test needs.
const PODS_MAX: u8 = 100;

/// One of the two clusters of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// Where the data is.
    Source,
    /// Where it goes.
    Destination,
}

impl Cluster {
    /// Its bridge.
    fn bridge(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// The bridge's own hardware address. Without one it takes the lowest of its ports', so that each pod that comes or goes
    /// may make all others send to an address that is gone, for half a minute.
    fn hardware(self) -> &'static str {
        match self {
            Self::Source => "02:00:0a:5a:01:01",
            Self::Destination => "02:00:0a:5a:02:01",
        }
    }

    /// An address in it.
    #[must_use]
    pub fn address(self, last: u8) -> Ipv4Addr {
        match self {
            Self::Source => Ipv4Addr::new(10, 90, 1, last),
            Self::Destination => Ipv4Addr::new(10, 90, 2, last),
        }
    }

    /// The node's address in it.
    #[must_use]
    pub fn node(self) -> Ipv4Addr {
        self.address(1)
    }
}

/// A network namespace, gone when dropped.
#[derive(Debug)]
pub struct Namespace<'s> {
    scene: &'s Scene,
    keeper: Running<'s>,
}

impl<'s> Namespace<'s> {
    /// A fresh one, with its loopback up.
    ///
    /// # Errors
    /// When the kernel refuses or a tool is missing.
    pub fn new(scene: &'s Scene) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"]);
        let keeper = Running::start(scene, &mut command)?;
        let ours = std::fs::read_link("/proc/self/ns/net")?;
        let theirs = PathBuf::from(format!("/proc/{}/ns/net", keeper.pid()));
        until(MADE_MAX, "a network namespace of its own", || {
            Ok(std::fs::read_link(&theirs).is_ok_and(|there| there != ours))
        })?;
        let namespace = Self { scene, keeper };
        namespace.batch("link set lo up\n")?;
        Ok(namespace)
    }

    /// The process that keeps it: its tables are below `/proc/PID/net`.
    #[must_use]
    pub fn keeper(&self) -> u32 {
        self.keeper.pid()
    }

    /// The file that names it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.keeper.pid()))
    }

    /// `command` inside it, keeping arguments and changes of environment.
    #[must_use]
    pub fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", self.path().display())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(key, value);
            }
        }
        inside
    }

    /// Runs lines of `ip` inside it.
    fn batch(&self, lines: &str) -> Result<()> {
        let file = self.scene.fresh("network", ".ip");
        std::fs::write(&file, lines)?;
        let mut ip = Command::new("ip");
        ip.arg("-batch").arg(&file);
        must(self.scene, &mut self.enter(&ip)).with_context(|| format!("in a network of the test:\n{lines}")).map(drop)
    }
}

/// The machine between the clusters.
#[derive(Debug)]
pub struct Node<'s> {
    scene: &'s Scene,
    namespace: Namespace<'s>,
    pods: AtomicU8,
}

/// A pod's network.
#[derive(Debug)]
pub struct PodNetwork<'s> {
    /// Its namespace, with `eth0` and a loopback.
    pub namespace: Namespace<'s>,
    /// The pod's address.
    pub address: Ipv4Addr,
}

impl<'s> Node<'s> {
    /// A node with its two bridges.
    ///
    /// # Errors
    /// When the kernel refuses or a tool is missing.
    pub fn new(scene: &'s Scene) -> Result<Self> {
        let namespace = Namespace::new(scene)?;
        let mut lines = String::new();
        for cluster in [Cluster::Source, Cluster::Destination] {
            let (bridge, node, hardware) = (cluster.bridge(), cluster.node(), cluster.hardware());
            lines += &format!(
                "link add {bridge} address {hardware} type bridge\naddr add {node}/24 dev {bridge}\nlink set {bridge} up\n"
            );
        }
        namespace.batch(&lines)?;
        // A machine that forwards would hand that on to its namespaces.
        let mut off = Command::new("sh");
        off.args(["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]);
        must(scene, &mut namespace.enter(&off))?;
        Ok(Self { scene, namespace, pods: AtomicU8::new(0) })
    }

    /// The node's own network, where its router runs.
    #[must_use]
    pub fn namespace(&self) -> &Namespace<'s> {
        &self.namespace
    }

    /// A network for one more pod of `cluster`, reached by the addresses of `services` too.
    ///
    /// # Errors
    /// When the node is full or the kernel refuses.
    pub fn pod(&self, cluster: Cluster, services: &[Ipv4Addr]) -> Result<PodNetwork<'s>> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        ensure!(number < PODS_MAX, "a test starts more than {PODS_MAX} pods");
        let namespace = Namespace::new(self.scene)?;
        let (bridge, keeper) = (cluster.bridge(), namespace.keeper());
        self.namespace.batch(&format!(
            "link add pod{number} type veth peer name eth0 netns {keeper}\nlink set pod{number} master {bridge}\n\
             link set pod{number} up\n"
        ))?;
        let address = cluster.address(FIRST_POD + number);
        let mut lines = format!("addr add {address}/24 dev eth0\nlink set eth0 up\n");
        for service in services {
            lines += &format!("addr add {service}/32 dev eth0\n");
        }
        lines += &format!("route add default via {}\n", cluster.node());
        namespace.batch(&lines)?;
        Ok(PodNetwork { namespace, address })
    }
}
