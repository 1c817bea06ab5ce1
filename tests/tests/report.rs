//! What a run says about itself: the report, the termination log, progress, exit codes on signals, dry runs, help, and that
//! no name in a volume can steer a terminal.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::place::Place;
use ferry_tests::scene::within;
use ferry_tests::trees::{self, Limits};
use ferry_tests::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

/// Names that would colour, ring, overwrite or reverse.
const HOSTILE: [&[u8]; 5] =
    [b"\x1b[31mred", b"bell\x07", b"two\nlines", b"back\r", "\u{202e}reversed\u{9b}31m".as_bytes()];

/// Nothing that steers a terminal, but line ends.
fn harmless(text: &[u8]) -> Result<()> {
    let text = String::from_utf8(text.to_vec()).context("not UTF-8")?;
    let bad =
        text.chars().find(|c| (c.is_control() && !"\n\r\t".contains(*c)) || ('\u{202a}'..='\u{202e}').contains(c));
    let raw = text.contains("back\r") || text.contains("two\nlines");
    ensure!(bad.is_none() && !raw, "{bad:?} is in the output:\n{}", text.escape_debug());
    Ok(())
}

#[test]
fn the_report_tells_what_happened() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 500, 5)?;
        Place::open(&source)?.sparse(b"sparse", 10 << 20, &[(0, &[7; 70_000])])?;
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let (sent, received) = ferry.transfer(&keys, &source, &destination, &["--run", "nightly-7"])?;
        let (sent, received) = (sent.exits(0)?, received.exits(0)?);
        let report = sent.report()?;
        ensure!(report.outcome == "clean" && report.exit == 0 && report.run == "nightly-7", "{report:?}");
        ensure!(
            report.volumes.len() == 1 && report.volumes.iter().all(|v| v.name == "data" && v.outcome == "clean"),
            "{report:?}"
        );
        ensure!(report.entries.scanned >= 506 && report.entries.created >= 506, "{:?}", report.entries);
        ensure!(report.entries.updated <= 1 && report.entries.deleted == 0, "{:?}", report.entries);
        let bytes = report.bytes;
        ensure!(bytes.total > 10 << 20 && bytes.literal >= 70_000 && bytes.literal < 1 << 20, "{bytes:?}");
        ensure!(bytes.holes >= 9 << 20 && bytes.trusted == 0 && bytes.copied == 0, "{bytes:?}");
        ensure!(report.wire.sent > bytes.literal && report.wire.received > 0, "{:?}", report.wire);
        ensure!(report.wire.connections >= 2 && report.wire.reconnects == 0, "{:?}", report.wire);
        ensure!(report.elapsed_ms > 0 && report.problems_total == 0 && report.problems.is_empty(), "{report:?}");
        ensure!(
            received.report()?.outcome == "clean" && received.report()?.entries.created >= 506,
            "{:?}",
            received.report()?
        );
        Ok(())
    })
}

#[test]
fn a_report_keeps_a_thousand_problems_and_counts_all() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        for number in 0..1200 {
            // A full directory where a file should go, and no --delete: a problem each.
            std::fs::write(source.join(format!("entry-{number:04}")), "f")?;
            std::fs::create_dir_all(destination.join(format!("entry-{number:04}/full")))?;
        }
        let log = scene.path("termination");
        std::fs::write(&log, "")?;
        let options = ["--termination-log", &log.to_string_lossy()];
        let done = Ferry::new(scene)?.sync(&source, &destination, &options)?.exits(3)?;
        let report = done.report()?;
        ensure!(
            report.problems.len() == 1000 && report.problems_total == 1200,
            "{} of {}",
            report.problems.len(),
            report.problems_total
        );
        ensure!(
            report.problems.iter().all(|problem| !problem.stage.is_empty() && !problem.cause.is_empty()),
            "no cause"
        );
        let bytes = std::fs::read(&log)?;
        ensure!(bytes.len() <= 4000, "the termination log has {} bytes", bytes.len());
        let object: Value = serde_json::from_slice(&bytes).context("the termination log is no JSON object")?;
        ensure!(object.get("exit") == Some(&Value::from(3)), "{object}");
        Ok(())
    })
}

#[test]
fn a_run_that_never_began_has_a_report_and_a_termination_log_too() -> Result<()> {
    within(60, |scene| {
        let log = scene.path("termination");
        std::fs::write(&log, "")?;
        let options = ["--termination-log", &log.to_string_lossy()];
        let done = Ferry::new(scene)?.sync(&scene.path("missing"), &scene.path("destination"), &options)?.exits(2)?;
        ensure!(done.report()?.outcome == "usage" && done.report()?.exit == 2, "{:?}", done.report()?);
        let object: Value = serde_json::from_slice(&std::fs::read(&log)?)?;
        ensure!(object.get("exit") == Some(&Value::from(2)), "{object}");
        Ok(())
    })
}

#[test]
fn progress_as_json_is_one_short_line_every_two_seconds() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        Place::open(&source)?.file(b"big", &trees::Seed::new(1).bytes(7 << 20))?;
        let options = ["--progress", "json", "--bwlimit", "1M", "--run", "shown"];
        let done = Ferry::new(scene)?.sync(&source, &destination, &options)?.exits(0)?;
        let text = done.process.text();
        ensure!(text.lines().count() >= 3, "only {} lines in seven seconds:\n{text}", text.lines().count());
        for line in text.lines() {
            ensure!(line.len() <= 1024, "a line of {} bytes", line.len());
            let object: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
            ensure!(object.get("run") == Some(&Value::from("shown")), "{line}");
            for path in [
                "/volume",
                "/phase",
                "/bytes/total",
                "/bytes/done",
                "/bytes/sent",
                "/entries/total",
                "/entries/done",
                "/rate",
                "/eta_s",
            ] {
                ensure!(object.pointer(path).is_some(), "{path} is missing: {line}");
            }
        }
        Ok(())
    })
}

#[test]
fn signals_end_a_run_cleanly_with_a_report() -> Result<()> {
    within(90, |scene| {
        let source = scene.dir("source")?;
        Place::open(&source)?.file(b"big", &trees::Seed::new(1).bytes(20 << 20))?;
        let ferry = Ferry::new(scene)?;
        for (signal, exit, word) in [(Signal::INT, 130, "interrupted"), (Signal::TERM, 143, "terminated")] {
            let mut command = ferry.command("sync");
            command.arg(&source).arg(scene.path("destination")).args(["--bwlimit", "1M"]);
            let run = ferry.start(command)?;
            std::thread::sleep(Duration::from_millis(800));
            run.process.signal(signal)?;
            let done = run.finish(Duration::from_secs(10))?.exits(exit)?;
            ensure!(done.report()?.outcome == word && done.report()?.exit == exit, "{:?}", done.report()?);
        }
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &scene.path("other"))], &[])?;
        receiver.run.process.signal(Signal::TERM)?;
        let done = receiver.run.finish(Duration::from_secs(10))?.exits(143)?;
        done.report().map(drop)
    })
}

#[test]
fn a_dry_run_itemises_and_touches_nothing() -> Result<()> {
    within(120, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::everything(&source, 6, Limits::PATH)?;
        let ferry = Ferry::new(scene)?;
        ferry.sync(&source, &destination, &[])?.exits(0)?;
        let place = Place::open(&source.join("sizes"))?;
        place.file(b"created", b"c")?;
        place.edit(b"65536")?.set_len(70_000)?;
        place.mode(b"4095", 0o600)?;
        place.unlink(b"1")?;
        let before = (compare::snapshot(&source)?, compare::snapshot(&destination)?);
        let keys = ferry.keys()?;
        let options = ["--dry-run", "--delete"];
        let local = ferry.sync(&source, &destination, &options)?.exits(0)?;
        // A dry run completes nothing: `--once` would wait on.
        let receiver = ferry.receive(&keys, &[("data", &destination)], &[])?;
        let remote = ferry.send(&keys, receiver.port, &[("data", &source)], &options)?.finish(SOON)?.exits(0)?;
        drop(receiver);
        compare::unmoved(&before.0, &compare::snapshot(&source)?).context("at the source")?;
        compare::unmoved(&before.1, &compare::snapshot(&destination)?).context("at the destination")?;
        for done in [local, remote] {
            let text = done.process.text();
            for path in ["sizes/created", "sizes/65536", "sizes/4095", "sizes/1"] {
                ensure!(text.lines().any(|line| line.ends_with(path)), "{path} is not itemised:\n{text}");
            }
            ensure!(text.lines().count() <= 6, "more than what changed is itemised:\n{text}");
        }
        let missing = scene.path("never made");
        ferry.sync(&source, &missing, &["--dry-run"])?.exits(0)?;
        ensure!(!missing.exists(), "a dry run made the destination");
        Ok(())
    })
}

#[test]
fn no_name_steers_a_terminal() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.dir("source")?, scene.dir("destination")?);
        for name in HOSTILE {
            Place::open(&source)?.file(name, b"f")?;
            Place::open(&destination)?.dir(name)?.file(b"in the way", b"")?;
        }
        let ferry = Ferry::new(scene)?;
        let outputs = [
            ferry.sync(&source, &destination, &["-v", "--progress", "plain"])?.exits(3)?,
            ferry.sync(&source, &destination, &["--progress", "json"])?.exits(3)?,
            ferry.sync(&source, &destination, &["--dry-run", "--delete"])?.exits(0)?,
            ferry.verify(&source, &destination, &[])?.exits(4)?,
        ];
        for done in outputs {
            harmless(&done.process.stdout)?;
            harmless(done.process.stderr.as_bytes())?;
        }
        Ok(())
    })
}

fn help(ferry: &Ferry<'_>, subcommand: &str) -> Result<String> {
    Ok(ferry.plain(&[OsStr::new(subcommand), OsStr::new("--help")])?.exits(0)?.process.text())
}

#[test]
fn help_knows_every_option_and_every_exit_code() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let shared = "--delete --dry-run --checksum --verify --exclude --exclude-from --delete-excluded --one-file-system --bwlimit \
                      --no-owner --chown --no-xattrs --selinux --root-attrs --accept-loss --allow-empty-source --max-delete --connections --compress";
        let output = "--progress --report --termination-log --run --verbose";
        let expected = [
            ("keygen", "--host --days".to_owned()),
            (
                "receive",
                format!("--listen --identity --volume --once --idle-exit --offer --advertise --expires {output}"),
            ),
            (
                "send",
                format!(
                    "--to --identity --server-name --proxy --retry-for --volume --ticket-file --ticket {shared} {output}"
                ),
            ),
            ("sync", format!("{shared} {output}")),
            ("verify", "--exclude --no-owner --no-xattrs --ignore-extra".to_owned()),
            ("bench", "--size --files --dir --report".to_owned()),
        ];
        for (subcommand, options) in expected {
            let text = help(&ferry, subcommand)?;
            let known: Vec<&str> = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
            for option in options.split_ascii_whitespace() {
                ensure!(known.contains(&option), "`ferry {subcommand} --help` does not know {option}:\n{text}");
            }
        }
        let text = ferry.plain(&["--help".as_ref()])?.exits(0)?.process.text();
        for word in ["keygen", "receive", "send", "sync", "verify", "demo", "bench", "143"] {
            ensure!(text.contains(word), "`ferry --help` does not mention {word}:\n{text}");
        }
        Ok(())
    })
}

#[test]
fn completions_and_a_man_page_are_generated() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        for shell in ["bash", "zsh", "fish"] {
            let text = ferry.plain(&["completions".as_ref(), shell.as_ref()])?.exits(0)?.process.text();
            ensure!(text.contains("ferry") && text.contains("allow-empty-source"), "{shell}: {text}");
        }
        let page = ferry.plain(&["man".as_ref()])?.exits(0)?.process.text();
        ensure!(page.contains(".TH ferry"), "{page}");
        ensure!(ferry.plain(&["--version".as_ref()])?.exits(0)?.process.text().starts_with("ferry "), "no version");
        Ok(())
    })
}

#[test]
fn words_nobody_knows_are_usage_errors() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let source = scene.dir("source")?;
        let missing = Path::new("destination");
        for line in [
            &["sync", "--no-such-option"][..],
            &["no-such-command"],
            &["sync", "--bwlimit", "fast"],
            &["sync", "--compress", "zstd:20"],
            &["sync", "--chown", "me"],
            &["sync", "--accept-loss", "everything"],
            &["sync", "--progress", "loud"],
            &["send", "--to", "127.0.0.1:1", "--volume", "novalue"],
            &["receive", "--listen", "nowhere", "--volume", "a=/tmp"],
            &["receive", "--volume", "../a=/tmp"],
            &[],
        ] {
            let mut words: Vec<&OsStr> = line.iter().map(OsStr::new).collect();
            match line.first() {
                Some(&"sync") => words.extend([source.as_os_str(), missing.as_os_str()]),
                Some(_) => {}
                None => words.push(OsStr::new("--also-no-option")),
            }
            let done = ferry.plain(&words)?.exits(2).with_context(|| format!("{line:?}"))?;
            ensure!(!done.process.stderr.is_empty(), "{line:?}: not a word");
        }
        Ok(())
    })
}

#[test]
fn the_demo_runs_and_explains_itself() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let mut command = ferry.command("demo");
        command.env("TMPDIR", scene.root());
        let done = ferry_tests::command::run(scene, &mut command, SOON)?;
        ensure!(done.exit == 0, "exit {}: {}", done.exit, done.stderr);
        let said = done.text() + &done.stderr;
        ensure!(said.lines().count() >= 5 && said.contains("verif"), "{said}");
        Ok(())
    })
}
