//! A pod: containers that share a network, and its phase as the kubelet tells it. It refuses restarts by itself: a test says when.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::container::{Container, ContainerSpec, Sandbox};
use super::image::Root;
use super::network::{Cluster, Node, PodNetwork};
use crate::command::{LOOK, tail};
use crate::ports;
use crate::scene::Scene;

/// What the kubelet says of a pod whose containers are not restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// At least one container runs.
    Running,
    /// All ended with 0.
    Succeeded,
    /// All ended, one of them with something else.
    Failed,
}

/// A pod to be started.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// Where.
    pub cluster: Cluster,
    /// Addresses of services that it is behind.
    pub services: Vec<Ipv4Addr>,
    /// Names and addresses for its `/etc/hosts`.
    pub hosts: Vec<(String, Ipv4Addr)>,
    /// What runs in it.
    pub containers: Vec<ContainerSpec>,
}

/// A pod that was started; everything of it ends when it is dropped.
#[derive(Debug)]
pub struct Pod<'s> {
    /// Its containers, in the order of the specification. They end before the network does.
    pub containers: Vec<Container<'s>>,
    network: PodNetwork<'s>,
    begun: Instant,
}

impl<'s> Pod<'s> {
    /// Starts `spec` on `node`, every container from `root`.
    ///
    /// # Errors
    /// When a container cannot be started.
    pub fn start(scene: &'s Scene, node: &Node<'s>, root: &Root, spec: &PodSpec) -> Result<Self> {
        let network = node.pod(spec.cluster, &spec.services)?;
        let sandbox = Sandbox { network: network.namespace.path(), etc: etc(scene, spec)? };
        let mut pod = Self { containers: Vec::new(), network, begun: Instant::now() };
        for container in &spec.containers {
            let started = Container::start(scene, root, &sandbox, container);
            pod.containers.push(started.with_context(|| format!("container {}", container.name))?);
        }
        Ok(pod)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.network.address
    }

    /// The process that keeps its network.
    #[must_use]
    pub fn network(&self) -> u32 {
        self.network.namespace.keeper()
    }

    /// `command` in its network, from outside its containers.
    #[must_use]
    pub fn enter(&self, command: &Command) -> Command {
        self.network.namespace.enter(command)
    }

    /// The container of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn container(&mut self, name: &str) -> Result<&mut Container<'s>> {
        self.containers
            .iter_mut()
            .find(|container| container.name == name)
            .with_context(|| format!("no container {name}"))
    }

    /// Its phase now.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn phase(&mut self) -> Result<Phase> {
        let mut failed = false;
        for container in &mut self.containers {
            match container.exit()? {
                None => return Ok(Phase::Running),
                Some(code) => failed |= code != 0,
            }
        }
        Ok(if failed { Phase::Failed } else { Phase::Succeeded })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it has not within `limit`; what its containers printed is in the message.
    pub fn wait(&mut self, limit: Duration) -> Result<Phase> {
        let begun = Instant::now();
        loop {
            match self.phase()? {
                Phase::Running if begun.elapsed() > limit => {
                    bail!("a pod still runs after {limit:?}:\n{}", self.story())
                }
                Phase::Running => std::thread::sleep(LOOK),
                ended => return Ok(ended),
            }
        }
    }

    /// Waits until somebody in it listens on `port`.
    ///
    /// # Errors
    /// When nobody does within `limit`, or a container ends.
    pub fn listens(&mut self, port: u16, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while !ports::is_listening_where(self.network(), port) {
            if begun.elapsed() > limit || self.has_ended_container()? {
                bail!("nobody in the pod listens on {port}:\n{}", self.story());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn has_ended_container(&mut self) -> Result<bool> {
        let mut ended = false;
        for container in &mut self.containers {
            ended |= container.exit()?.is_some();
        }
        Ok(ended)
    }

    /// How long ago it was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What each container printed and how it ended, for a message.
    pub fn story(&mut self) -> String {
        let mut story = String::new();
        for container in &mut self.containers {
            let exit = container.exit().ok().flatten().map_or("running".to_owned(), |code| format!("exit {code}"));
            let log = container.log().unwrap_or_default();
            let termination = container.termination().unwrap_or_default();
            story += &format!("--- {} ({exit}):\n{}\n", container.name, tail(&log));
            if !termination.is_empty() {
                story += &format!("--- {} left: {termination}\n", container.name);
            }
        }
        story
    }
}

/// The files of `/etc` that the kubelet makes.
fn etc(scene: &Scene, spec: &PodSpec) -> Result<PathBuf> {
    let etc = scene.fresh("etc", "");
    std::fs::create_dir(&etc)?;
    let mut hosts = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in &spec.hosts {
        hosts += &format!("{address}\t{name}\n");
    }
    std::fs::write(etc.join("hosts"), hosts)?;
    // Nobody answers there: names come from the file above.
    std::fs::write(etc.join("resolv.conf"), "nameserver 10.90.0.53\noptions ndots:5 timeout:1 attempts:1\n")?;
    std::fs::write(etc.join("hostname"), "pod\n")?;
    Ok(etc)
}
