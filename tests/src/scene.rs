//! Where a test happens: a tmpfs of its own, a deadline, and an end that leaves nothing behind, no process, no mount, no
//! file. It refuses to run without root instead of skipping what it could not do.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// What a test that passed its deadline gets to notice that its processes are gone.
const AFTERMATH: Duration = Duration::from_secs(10);

static NEXT: AtomicU32 = AtomicU32::new(0);
static SWEPT: Once = Once::new();

/// One test's ground.
#[derive(Debug)]
pub struct Scene {
    root: PathBuf,
    running: Mutex<Vec<u32>>,
    named: AtomicU32,
}

/// Runs `test` on a fresh scene and fails when it takes longer than `seconds`.
///
/// # Errors
/// What `test` returned, or that the deadline passed, or that there is no root.
pub fn within(seconds: u64, test: impl FnOnce(&Scene) -> Result<()> + Send + 'static) -> Result<()> {
    let scene = Arc::new(Scene::new()?);
    let (done, ended) = channel();
    let inner = Arc::clone(&scene);
    let thread = std::thread::spawn(move || {
        let outcome = test(&inner);
        // The receiver is gone only when the deadline has passed and been reported.
        let _ = done.send(());
        outcome
    });
    let late = matches!(ended.recv_timeout(Duration::from_secs(seconds)), Err(RecvTimeoutError::Timeout));
    if late {
        scene.kill_all();
        let _ = ended.recv_timeout(AFTERMATH);
    }
    if late && !thread.is_finished() {
        // The thread holds on to the scene and never ends: what it left is cleared away beneath it.
        scene.clear();
        bail!("the deadline of {seconds} s passed, and the test hangs on");
    }
    let said = join(thread);
    match said {
        Err(error) if late => Err(error.context(format!("the deadline of {seconds} s passed"))),
        _ if late => bail!("the deadline of {seconds} s passed"),
        said => said,
    }
}

fn join(thread: std::thread::JoinHandle<Result<()>>) -> Result<()> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Scene {
    fn new() -> Result<Self> {
        ensure!(geteuid().is_root(), "these tests need root (owners, devices, mounts): run them as root");
        SWEPT.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("ferry-tests-{}-{number}", std::process::id()));
        std::fs::create_dir(&root).with_context(|| format!("cannot make {}", root.display()))?;
        rustix::mount::mount(
            "ferry-tests",
            &root,
            "tmpfs",
            MountFlags::empty(),
            Some(c"mode=0755,size=90%,nr_inodes=0"),
        )
        .with_context(|| format!("cannot mount a tmpfs on {}", root.display()))?;
        Ok(Self { root, running: Mutex::default(), named: AtomicU32::new(0) })
    }

    /// A path on the scene; nothing is made.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A path nobody was given before: `name`, a number, `end`.
    #[must_use]
    pub fn fresh(&self, name: &str, end: &str) -> PathBuf {
        self.root.join(format!("{name}-{}{end}", self.named.fetch_add(1, Ordering::Relaxed)))
    }

    /// Makes the directory `name`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// The scene's own directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Remembers a process that must not outlive the test.
    pub fn watch(&self, pid: u32) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// Forgets a process that was waited for, before its number is used again.
    pub fn forget(&self, pid: u32) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != pid);
    }

    fn kill_all(&self) {
        for pid in self.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Scene {
    fn clear(&self) {
        self.kill_all();
        for mount in mounts_below(&self.root).into_iter().rev() {
            let _ = rustix::mount::unmount(&mount, UnmountFlags::DETACH);
        }
        let _ = std::fs::remove_dir(&self.root);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Clears away what test runs that were killed left behind: their scenes hold memory.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("ferry-tests-").and_then(|rest| rest.split('-').next()) else { continue };
        if !pid.is_empty() && !Path::new("/proc").join(pid).exists() {
            Scene { root: entry.path(), running: Mutex::default(), named: AtomicU32::new(0) }.clear();
            // It clears once more when dropped, which finds nothing.
        }
    }
}

/// Mount points at and below `root`, in the order they were mounted.
fn mounts_below(root: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(root)).collect()
}
