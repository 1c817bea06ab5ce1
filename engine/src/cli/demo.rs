//! `ferry demo`: the main job on its own data, in one process, over real mutual TLS through one port on loopback.
//!
//! ```text
//!  make a volume ─> keygen ─> copy ─> change it ─> copy the change ─> copy nothing ─> verify
//! ```
//! Works in a directory of its own only; ends with 0 when both trees are equal and the last copy had nothing to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};

use super::args::DemoArgs;
use super::console::Console;
use super::files::shown;
use super::job::{self, Failure};
use super::loopback::{self, Crossing, Route};
use super::{demo_data, units, verify};
use crate::session::{RunReport, Stop, VolumeReport};
use crate::types::{Outcome, VolumeName};

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
    loopback::keys(&stage.keys())?;

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
    let report = verify::strictly(stage.source(), stage.destination(), stop).await?;
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
    let crossing = Crossing {
        volume: VolumeName::new("demo").map_err(Failure::failed)?,
        source: stage.source(),
        destination: stage.destination(),
        delete: true,
        lanes: 2,
    };
    Route::open(&stage.keys())?.copy(crossing, console, stop).await
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
