//! `ferry demo`: the main job on its own data, in one process, over real mutual TLS through one port on loopback.
//!
//! ```text
//!  make a volume ─> keygen ─> copy ─> change it ─> copy the change ─> copy nothing ─> verify
//! ```
//! Works in a directory of its own only; ends with 0 when both trees are equal and the last copy had nothing to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};

use super::args::DemoArgs;
use super::console::Console;
use super::files::shown;
use super::job::{self, Failure};
use super::{demo_data, units};
use crate::session::{self, Progress, ReceiveRun, RunReport, SendRun, Stop, VerifyReport, VerifyRun, VolumeReport};
use crate::tunnel::{self, Acceptor, Connector, HostPort, Identity, Role, Target};
use crate::types::{Bounds, Compress, Options, Outcome, OwnerPolicy, StatePlace, VolumeName};

/// The name in the demo's certificate.
const HOST: &str = "localhost";
/// A free port that only this machine reaches.
const LISTEN: &str = "127.0.0.1:0";
/// Nothing on loopback takes longer to come up.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Shows it.
///
/// # Errors
/// The place is not usable, or a step did not do what it should.
pub fn run(args: &DemoArgs, console: &Arc<Console>) -> Result<Outcome, Failure> {
    let stage = Stage::make(args.dir.as_deref()).map_err(Failure::usage)?;
    let outcome = job::block_on(console, |stop| show(&stage, console, stop));
    if args.keep {
        console.say(&format!("kept: {}", shown(&stage.root)));
    } else {
        stage.clear().map_err(Failure::failed)?;
    }
    outcome
}

/// Where it is shown.
struct Stage {
    root: PathBuf,
    /// Whether the root was made here, and is to be removed too.
    made: bool,
}

impl Stage {
    fn make(dir: Option<&Path>) -> anyhow::Result<Self> {
        let root = match dir {
            Some(dir) => dir.to_owned(),
            None => std::env::temp_dir().join(format!("ferry-demo-{}", std::process::id())),
        };
        let made = !root.exists();
        if made {
            std::fs::create_dir(&root).with_context(|| format!("cannot make {}", shown(&root)))?;
        }
        let mut listing = std::fs::read_dir(&root).with_context(|| format!("cannot list {}", shown(&root)))?;
        ensure!(listing.next().is_none(), "{} is not empty; the demo needs a directory of its own", shown(&root));
        let stage = Self { root, made };
        std::fs::create_dir(stage.source()).with_context(|| format!("cannot write into {}", shown(&stage.root)))?;
        Ok(stage)
    }

    fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    fn destination(&self) -> PathBuf {
        self.root.join("destination")
    }

    fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    fn clear(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for part in [self.source(), self.destination(), self.keys()] {
            if !part.exists() {
                continue;
            }
            // Without privilege nothing can be removed from the read-only directory.
            let sealed = part.join("sealed");
            if sealed.exists() {
                let _ = std::fs::set_permissions(&sealed, std::fs::Permissions::from_mode(0o700));
            }
            std::fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", shown(&part)))?;
        }
        if self.made {
            std::fs::remove_dir(&self.root).with_context(|| format!("cannot remove {}", shown(&self.root)))?;
        }
        Ok(())
    }
}

async fn show(stage: &Stage, console: &Console, stop: Stop) -> Result<Outcome, Failure> {
    console.say("ferry demo: a volume crosses over mutual TLS on loopback, changes, crosses again, and is verified\n");
    console.say(
        "1. a small volume: 1,000 notes, a 24 MiB database, a sparse 256 MiB disk image, links, odd names, old times",
    );
    let failed = |error: std::io::Error| {
        Failure::failed(anyhow!(error).context(format!("cannot make the volume in {}", shown(&stage.root))))
    };
    demo_data::plant(&stage.source()).map_err(failed)?;

    console.say("2. keys for both sides, trusting nobody else        (ferry keygen keys)");
    tunnel::keygen(&stage.keys(), &[HOST.to_owned()], 1).map_err(Failure::failed)?;

    console.say("3. the first copy                                   (ferry receive ... ; ferry send ...)");
    let first = copy(stage, console, &stop).await?;
    console.say(&told(&first));

    console.say("4. an afternoon passes at the source:");
    for change in demo_data::CHANGES {
        console.say(&format!("     - {change}"));
    }
    demo_data::change(&stage.source()).map_err(failed)?;

    console.say("5. the second copy                                  (the same, with --delete)");
    let second = copy(stage, console, &stop).await?;
    console.say(&told(&second));

    console.say("6. the third copy, with nothing to do");
    let third = copy(stage, console, &stop).await?;
    console.say(&told(&third));
    let idle = |volume: &VolumeReport| {
        volume.bytes.literal == 0 && volume.entries.created + volume.entries.updated + volume.entries.deleted == 0
    };
    if !third.volumes.iter().all(idle) {
        return Err(Failure::failed(anyhow!("the third copy changed something, which it must not")));
    }

    console.say("7. both trees compared, every byte and attribute    (ferry verify source destination)");
    let report = verify(stage, stop).await?;
    let (entries, bytes) = (units::count(report.entries), units::bytes(report.bytes));
    match report.outcome {
        Outcome::Clean => console.say(&format!("     equal: {entries} entries, {bytes}\n\nferry demo: all is well")),
        other => console.say(&format!(
            "     {} in {entries} entries: {} differences, {} problems",
            super::summary::words(other),
            report.differences,
            report.problems.total()
        )),
    }
    Ok(report.outcome)
}

/// One run of a receiver and a sender, through one port.
async fn copy(stage: &Stage, console: &Console, stop: &Stop) -> Result<RunReport, Failure> {
    let identity = |role, name: &str| Identity::load(&stage.keys().join(name), role).map_err(Failure::failed);
    let volume = VolumeName::new("demo").map_err(Failure::failed)?;
    let acceptor = Acceptor::bind(LISTEN, identity(Role::Receiver, "receiver")?).map_err(Failure::failed)?;
    let address = acceptor.local_addr().context("cannot tell the port").map_err(Failure::failed)?;
    let target = Target {
        addresses: vec![HostPort::parse(&address.to_string()).map_err(Failure::failed)?],
        server_name: Some(HOST.to_owned()),
        proxy: None,
    };
    let connector = Connector::new(target, identity(Role::Sender, "sender")?).map_err(Failure::failed)?;
    let receiver = ReceiveRun {
        run: job::run_id()?,
        acceptor,
        volumes: vec![(volume.clone(), stage.destination())],
        bounds: Bounds::default(),
        state: StatePlace::None,
        once: true,
        idle_exit: Some(RETRY_FOR),
        ticket_expires: None,
    };
    let sender = SendRun {
        run: job::run_id()?,
        volumes: vec![(volume, stage.source())],
        options: Options { delete: true, ..Options::default() },
        chown: None,
        one_file_system: false,
        lanes: 2,
        lanes_max: 2,
        compress: Compress::Auto,
        retry_for: RETRY_FOR,
        bwlimit: None,
        connector,
        on_item: None,
    };
    let (sent, received) = tokio::join!(
        session::send(sender, Arc::new(Progress::default()), stop.clone()),
        session::receive(receiver, Arc::new(Progress::default()), stop.clone()),
    );
    for report in [&sent, &received] {
        if report.outcome != Outcome::Clean {
            let ending = super::report::Ending::of(report.clone(), super::report::Side::Sends);
            super::summary::lines(&ending, false).iter().for_each(|line| console.say(line));
            return Err(Failure { outcome: report.outcome, error: anyhow!("the demo's copy did not end clean") });
        }
    }
    Ok(sent)
}

/// What a copy did, in one line.
fn told(report: &RunReport) -> String {
    let ending = super::report::Ending::of(report.clone(), super::report::Side::Sends);
    let totals = ending.totals();
    let (entries, bytes) = (totals.entries, totals.bytes);
    let changed = [(entries.created, "created"), (entries.updated, "updated"), (entries.deleted, "deleted")];
    let changed: Vec<String> = changed
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", units::count(count)))
        .collect();
    format!(
        "     {} of {} entries in {}; {} of {} of content sent, {} on the wire",
        if changed.is_empty() { "no change".to_owned() } else { changed.join(", ") },
        units::count(entries.scanned),
        units::duration(report.elapsed),
        units::bytes(bytes.literal),
        units::bytes(bytes.total),
        units::bytes(report.wire.sent.saturating_add(report.wire.received)),
    )
}

async fn verify(stage: &Stage, stop: Stop) -> Result<VerifyReport, Failure> {
    let run = VerifyRun {
        source: stage.source(),
        destination: stage.destination(),
        excludes: Vec::new(),
        owner: OwnerPolicy::Keep,
        xattrs: true,
        ignore_extra: false,
    };
    // Comparing is file work: it blocks its thread.
    let work = tokio::task::spawn_blocking(move || {
        session::verify(
            &run,
            &mut |difference| tracing::error!(path = %difference.path, what = difference.what, "difference"),
            &Progress::default(),
            &stop,
        )
    });
    work.await.context("the comparison ended early").map_err(Failure::failed)
}
