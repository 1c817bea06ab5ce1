//! One container: an image's root under an overlay of its own, started by runc with a pod's network, mounts and limits. What it
//! prints goes to one file, both streams, as the kubelet keeps it. It refuses to wait without a limit and ends only what it
//! started.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::image::Root;
use super::security::Security;
use crate::command::{LOOK, must, tail};
use crate::scene::Scene;

/// How long the runtime may take to start a container.
const STARTED_MAX: Duration = Duration::from_secs(20);
/// How long a container may take to be gone once its first process was killed.
const KILLED_MAX: Duration = Duration::from_secs(10);
/// The operator's default limits: one processor, one GiB.
const MEMORY_MAX: u64 = 1 << 30;
const CPU: (u64, u64) = (100_000, 100_000);

/// Something of the node's shown inside.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The file or directory on the node.
    pub from: PathBuf,
    /// Where it is inside.
    pub to: String,
    /// Whether it may be written there.
    pub writable: bool,
}

impl Volume {
    /// A directory that may be written.
    #[must_use]
    pub fn writable(from: &Path, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), writable: true }
    }

    /// A file or directory that is only read, as configuration and secrets are.
    #[must_use]
    pub fn read_only(from: &Path, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), writable: false }
    }
}

/// A block device shown inside, as `volumeDevices` has it.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its node here.
    pub from: PathBuf,
    /// Its node inside. It belongs to the container's user, as a runtime does it that is told to
    /// (`device_ownership_from_security_context`).
    pub to: String,
}

/// A container as a pod's specification has it.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Its name in the pod.
    pub name: &'static str,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Environment beside the image's own.
    pub env: Vec<(String, String)>,
    /// Mounts beside those that every container has.
    pub volumes: Vec<Volume>,
    /// Block devices.
    pub devices: Vec<Device>,
    /// What it is allowed.
    pub security: Security,
}

/// A container that was started.
#[derive(Debug)]
pub struct Container<'s> {
    scene: &'s Scene,
    /// Its name in the pod.
    pub name: &'static str,
    id: String,
    bundle: PathBuf,
    runtime: Child,
    pid: u32,
    exit: Option<i32>,
    begun: Instant,
    ended: Option<Duration>,
}

/// What every container of one pod shares.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The file that names the network namespace.
    pub network: PathBuf,
    /// `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname`: one file each, in this directory.
    pub etc: PathBuf,
}

impl<'s> Container<'s> {
    /// Starts `spec` from `root` and waits until its first process is there.
    ///
    /// # Errors
    /// When the runtime refuses; what it said is in the message.
    pub fn start(scene: &'s Scene, root: &Root, sandbox: &Sandbox, spec: &ContainerSpec) -> Result<Self> {
        let bundle = scene.fresh(spec.name, "");
        for name in ["upper", "work", "rootfs"] {
            std::fs::create_dir_all(bundle.join(name))?;
        }
        overlay(scene, root.path(), &bundle)?;
        let termination = bundle.join("termination-log");
        File::create(&termination)?;
        std::fs::set_permissions(&termination, std::fs::Permissions::from_mode(0o666))?;
        let id = bundle.file_name().context("a bundle has a name")?.to_string_lossy().into_owned();
        let id = format!("ferry-tests-{}-{id}", std::process::id());
        let config = configuration(&id, root, sandbox, spec, &termination)?;
        std::fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
        let runtime = launch(scene, &bundle, &id)?;
        let mut container = Self {
            scene,
            name: spec.name,
            id,
            bundle,
            runtime,
            pid: 0,
            exit: None,
            begun: Instant::now(),
            ended: None,
        };
        scene.watch(container.runtime.id());
        container.await_start()?;
        Ok(container)
    }

    /// Starts it again after its end, as the kubelet does under `restartPolicy: Always`.
    ///
    /// # Errors
    /// When it still runs or the runtime refuses.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.exit()?.is_some(), "{} still runs", self.name);
        std::fs::remove_file(self.bundle.join("pid"))?;
        self.runtime = launch(self.scene, &self.bundle, &self.id)?;
        (self.exit, self.ended, self.begun) = (None, None, Instant::now());
        self.scene.watch(self.runtime.id());
        self.await_start()
    }

    fn await_start(&mut self) -> Result<()> {
        let file = self.bundle.join("pid");
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(pid) = text.trim().parse() {
                self.pid = pid;
                self.scene.watch(pid);
                return Ok(());
            }
            if self.exit()?.is_some() || self.begun.elapsed() > STARTED_MAX {
                let said = std::fs::read_to_string(self.bundle.join("runtime-log")).unwrap_or_default();
                bail!("the runtime did not start {}: {} {}", self.name, tail(&said), tail(&self.log()?));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Its exit code, once it has ended; 128 and the signal's number when a signal ended it.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn exit(&mut self) -> Result<Option<i32>> {
        if self.exit.is_none()
            && let Some(status) = self.runtime.try_wait()?
        {
            self.ended(status);
        }
        Ok(self.exit)
    }

    fn ended(&mut self, status: ExitStatus) {
        self.exit = Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        self.ended = Some(self.begun.elapsed());
        self.scene.forget(self.runtime.id());
        self.scene.forget(self.pid);
    }

    /// How long it ran, or has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ended.unwrap_or_else(|| self.begun.elapsed())
    }

    /// The node's number of its first process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends its first process a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.exit()?.is_none(), "{} has ended already: {}", self.name, tail(&self.log()?));
        signal_to(self.pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// The node's numbers of processes in it whose command line holds `word`, the first process aside: what its shell started.
    ///
    /// # Errors
    /// When the runtime does not know them.
    pub fn processes(&self, word: &str) -> Result<Vec<u32>> {
        let said = must(self.scene, runtime(self.scene).args(["ps", "--format", "json", &self.id]))?;
        let all: Vec<u32> = serde_json::from_slice(&said.stdout).context("runc ps printed no list")?;
        let found = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(word)
        };
        Ok(all.into_iter().filter(|pid| *pid != self.pid).filter(found).collect())
    }

    /// All it printed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(self.bundle.join("log"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What it wrote to its termination log: the last 4096 bytes, as the kubelet keeps it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn termination(&self) -> Result<String> {
        let bytes = std::fs::read(self.bundle.join("termination-log"))?;
        let start = bytes.len().saturating_sub(4096);
        Ok(String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned())
    }

    /// What it wrote into its root, below the mounts: paths, without the directories that the runtime made for mounts.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn written(&self) -> Result<Vec<PathBuf>> {
        let upper = self.bundle.join("upper");
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(&upper).min_depth(1) {
            let entry = entry?;
            // A mount point that the runtime had to make is an empty file or a directory.
            if entry.file_type().is_file() && entry.metadata()?.len() > 0 {
                found.push(entry.path().strip_prefix(&upper)?.to_owned());
            }
        }
        Ok(found)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.exit() {
            let _ = signal_to(self.pid, Signal::KILL);
            let begun = Instant::now();
            while let Ok(None) = self.exit() {
                if begun.elapsed() > KILLED_MAX {
                    let _ = self.runtime.kill();
                    break;
                }
                std::thread::sleep(LOOK);
            }
            let _ = self.runtime.wait();
            self.scene.forget(self.runtime.id());
        }
        // It removes what it started by itself, unless it was killed.
        let _ = runtime(self.scene).args(["delete", "--force", &self.id]).stderr(Stdio::null()).status();
        let _ = rustix::mount::unmount(self.bundle.join("rootfs"), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Sends a process of the test's a signal.
///
/// # Errors
/// When it is gone.
pub fn signal_to(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw).context("no such process")?;
    Ok(kill_process(pid, signal)?)
}

fn runtime(scene: &Scene) -> Command {
    let mut command = Command::new("runc");
    command.arg("--root").arg(scene.path("runc"));
    command
}

fn launch(scene: &Scene, bundle: &Path, id: &str) -> Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(bundle.join("log"))?;
    let mut command = runtime(scene);
    // What the runtime itself has to say is not the container's.
    command.arg("--log").arg(bundle.join("runtime-log"));
    command.arg("run").arg("--bundle").arg(bundle).arg("--pid-file").arg(bundle.join("pid")).arg(id);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("cannot start runc: is it installed?")
}

/// The image below, everything this container writes above.
fn overlay(scene: &Scene, lower: &Path, bundle: &Path) -> Result<()> {
    let part = |name: &str| bundle.join(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), part("upper"), part("work"));
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "-o", &options, "ferry-tests", &part("rootfs")]);
    must(scene, &mut mount).context("cannot lay a container's root over its image").map(drop)
}

/// The runtime's specification.
fn configuration(id: &str, root: &Root, sandbox: &Sandbox, spec: &ContainerSpec, termination: &Path) -> Result<Value> {
    let (mut process, seccomp) = spec.security.process()?;
    let mut env = vec![format!("PATH={}", root.path_variable()), "HOSTNAME=pod".to_owned()];
    env.push("KUBERNETES_SERVICE_HOST=10.96.0.1".to_owned());
    env.extend(spec.env.iter().map(|(key, value)| format!("{key}={value}")));
    let fields = process.as_object_mut().context("a process is an object")?;
    fields.insert("args".to_owned(), json!(spec.command));
    fields.insert("env".to_owned(), json!(env));
    fields.insert("cwd".to_owned(), json!("/"));
    fields.insert("terminal".to_owned(), json!(false));
    let mut mounts = every_mount();
    for name in ["hosts", "resolv.conf", "hostname"] {
        mounts.push(bind(&Volume::writable(&sandbox.etc.join(name), &format!("/etc/{name}"))));
    }
    mounts.push(bind(&Volume::writable(termination, "/dev/termination-log")));
    mounts.extend(spec.volumes.iter().map(bind));
    let (devices, allowed) = devices(spec)?;
    let mut linux = json!({
        "namespaces": [
            { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
            { "type": "network", "path": sandbox.network },
        ],
        "cgroupsPath": format!("/{id}"),
        "devices": devices,
        "resources": {
            "devices": allowed,
            "memory": { "limit": MEMORY_MAX },
            "cpu": { "quota": CPU.0, "period": CPU.1 },
        },
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if let (Some(profile), Some(linux)) = (seccomp, linux.as_object_mut()) {
        linux.insert("seccomp".to_owned(), profile);
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": { "path": "rootfs", "readonly": spec.security.root_read_only() },
        "hostname": "pod",
        "mounts": mounts,
        "linux": linux,
    }))
}

/// The nodes to be made, and the rules that let them be used: everything else is closed but the runtime's own.
fn devices(spec: &ContainerSpec) -> Result<(Vec<Value>, Vec<Value>)> {
    let (mut made, mut allowed) = (Vec::new(), vec![json!({ "allow": false, "access": "rwm" })]);
    for Device { from, to } in &spec.devices {
        let number = std::fs::metadata(from).with_context(|| format!("no device {}", from.display()))?.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let (uid, gid) = (spec.security.uid(), spec.security.gid());
        made.push(json!({
            "path": to, "type": "b", "major": major, "minor": minor, "fileMode": 0o660, "uid": uid, "gid": gid,
        }));
        allowed.push(json!({ "allow": true, "type": "b", "major": major, "minor": minor, "access": "rwm" }));
    }
    Ok((made, allowed))
}

/// What the runtime mounts in every container.
fn every_mount() -> Vec<Value> {
    let mount = |kind: &str, to: &str, options: &[&str]| json!({ "type": kind, "source": kind, "destination": to, "options": options });
    vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}

fn bind(volume: &Volume) -> Value {
    let access = if volume.writable { "rw" } else { "ro" };
    json!({ "type": "bind", "source": volume.from, "destination": volume.to, "options": ["rbind", "rprivate", access] })
}
