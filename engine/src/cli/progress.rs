//! Progress while it runs: a bar, plain lines, or JSON lines. Shows what was counted and never a guess: no percent and no
//! time left before the scan is complete, and scanned, sent, trusted and verified are told apart.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::console::Console;
use super::flags::ProgressMode;
use super::report::Side;
use super::units;
use crate::session::{Estimate, Pace, Phase, Progress, Snapshot};
use crate::types::RunId;

/// Between two looks at the counters: a bar moves smoothly, the cost is nothing.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two JSON lines (house.md).
const JSON_EVERY: Duration = Duration::from_secs(2);
/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// A thread that shows progress until it is finished.
#[derive(Debug)]
pub struct Display {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// How it is shown, when it is.
enum Form {
    Bar(Box<ProgressBar>),
    Plain,
    Json(RunId),
}

/// Starts to show `progress`. A display that cannot start is said and the run goes on without.
pub fn show(
    mode: ProgressMode,
    side: Side,
    run: &RunId,
    progress: &Arc<Progress>,
    console: &Arc<Console>,
) -> Option<Display> {
    let form = match mode {
        ProgressMode::None => return None,
        ProgressMode::Json => Form::Json(run.clone()),
        ProgressMode::Plain => Form::Plain,
        ProgressMode::Bar => Form::Bar(Box::new(bar())),
        ProgressMode::Auto if console.is_terminal() => Form::Bar(Box::new(bar())),
        ProgressMode::Auto => Form::Plain,
    };
    if let Form::Bar(bar) = &form {
        console.attach((**bar).clone());
    }
    let (stop, stopped) = channel();
    let (progress, printer) = (Arc::clone(progress), Arc::clone(console));
    let thread = std::thread::Builder::new().name("progress".into()).spawn(move || {
        let mut shower = Shower::new(form, side, printer);
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
            shower.look(&progress.snapshot());
        }
        shower.last(&progress.snapshot());
    });
    match thread {
        Ok(thread) => Some(Display { stop, thread: Some(thread) }),
        Err(error) => {
            console.detach();
            console.say(&format!("ferry: progress cannot be shown: {error}"));
            None
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Both fail only when the thread is gone already.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the showing thread.
struct Shower {
    form: Form,
    side: Side,
    console: Arc<Console>,
    begun: Instant,
    shown_at: Duration,
    shown: Option<String>,
    estimate: Estimate,
}

impl Shower {
    fn new(form: Form, side: Side, console: Arc<Console>) -> Self {
        Self {
            form,
            side,
            console,
            begun: Instant::now(),
            shown_at: Duration::ZERO,
            shown: None,
            estimate: Estimate::default(),
        }
    }

    fn look(&mut self, snapshot: &Snapshot) {
        let now = self.begun.elapsed();
        let pace = self.estimate.observe(now, snapshot);
        let since = now.saturating_sub(self.shown_at);
        match &self.form {
            Form::Bar(bar) => draw(bar, snapshot, pace, self.side),
            // Without a volume there is nothing to tell: a receiver waits for its first sender.
            Form::Plain if since >= PLAIN_EVERY && snapshot.volume.is_some() => {
                self.shown_at = now;
                let line = plain_line(snapshot, pace, self.side);
                // An idle receiver or a silent network is said once, not every few seconds for hours.
                if self.shown.as_ref() != Some(&line) {
                    self.console.say(&line);
                    self.shown = Some(line);
                }
            }
            Form::Json(run) if since >= JSON_EVERY => {
                self.shown_at = now;
                // A reader that went away does not end the run.
                let _ = self.console.result(&json_line(run, snapshot, pace));
            }
            Form::Plain | Form::Json(_) => {}
        }
    }

    fn last(&mut self, snapshot: &Snapshot) {
        let pace = self.estimate.observe(self.begun.elapsed(), snapshot);
        match &self.form {
            Form::Bar(_) => self.console.detach(),
            Form::Json(run) => {
                let _ = self.console.result(&json_line(run, snapshot, pace));
            }
            Form::Plain => {}
        }
    }
}

fn bar() -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5))
}

fn draw(bar: &ProgressBar, snapshot: &Snapshot, pace: Pace, side: Side) {
    let counted = snapshot.scan_complete && snapshot.bytes_total > 0;
    let template = if counted { "[{bar:16}] {percent:>3} %  {wide_msg}" } else { "{spinner} {wide_msg}" };
    // Both templates are constants; a test draws them.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    if counted {
        bar.set_length(snapshot.bytes_total);
        bar.set_position(snapshot.bytes_done.min(snapshot.bytes_total));
    }
    bar.set_message(if counted { short_line(snapshot, pace) } else { plain_line(snapshot, pace, side) });
    bar.tick();
}

/// What stands beside a bar: a terminal may be 80 columns wide, so the most asked for comes first.
fn short_line(s: &Snapshot, pace: Pace) -> String {
    let mut parts = vec![format!("{} of {}", units::bytes(s.bytes_done), units::bytes(s.bytes_total))];
    if s.phase != Phase::Transferring {
        parts.insert(0, s.phase.word().to_owned());
    }
    if pace.sent_a_second > 0 {
        parts.push(format!("{}/s", units::bytes(pace.sent_a_second)));
    }
    if let Some(left) = pace.left.filter(|left| !left.is_zero()) {
        parts.push(format!("{} left", units::time_left(left)));
    }
    parts.extend(s.volume.as_ref().map(ToString::to_string));
    parts.push(format!("{} of {} entries", units::count(s.entries_done), units::count(s.entries_scanned)));
    parts.join(", ")
}

/// One line for people.
fn plain_line(s: &Snapshot, pace: Pace, side: Side) -> String {
    if s.phase == Phase::Waiting {
        return "waiting for a sender".to_owned();
    }
    let mut parts = Vec::new();
    let volume = s.volume.as_ref().map_or_else(String::new, |volume| format!("{volume}: "));
    parts.push(format!("{volume}{}", s.phase.word()));
    if s.scan_complete {
        parts.push(format!("{} of {} entries", units::count(s.entries_done), units::count(s.entries_scanned)));
        parts.push(format!("{} of {}", units::bytes(s.bytes_done), units::bytes(s.bytes_total)));
    } else if s.entries_scanned > 0 {
        parts.push(format!("{} entries scanned so far", units::count(s.entries_scanned)));
        parts.push(format!("{} done", units::bytes(s.bytes_done)));
    }
    if s.bytes_sent > 0 {
        parts.push(format!("{} {}", units::bytes(s.bytes_sent), side.moved()));
        parts.push(format!("{}/s", units::bytes(pace.sent_a_second)));
    }
    let unsent = s.bytes_done.saturating_sub(s.bytes_sent);
    for (amount, what) in [(unsent, "there already"), (s.bytes_verified, "compared by content")] {
        if amount > 0 {
            parts.push(format!("{} {what}", units::bytes(amount)));
        }
    }
    if let Some(left) = pace.left.filter(|left| !left.is_zero()) {
        parts.push(format!("{} left", units::time_left(left)));
    }
    if s.reconnects > 0 {
        parts.push(format!("{} reconnects", units::count(s.reconnects)));
    }
    parts.join(", ")
}

/// One record for programs, at most 1 KiB. Totals are what was scanned so far until `scan_complete`.
fn json_line(run: &RunId, s: &Snapshot, pace: Pace) -> String {
    json!({
        "run": run.as_str(),
        "volume": s.volume.as_ref().map(crate::types::VolumeName::as_str),
        "phase": s.phase.word(),
        "bytes": {
            "total": s.bytes_total,
            "done": s.bytes_done,
            "sent": s.bytes_sent,
            "verified": s.bytes_verified,
        },
        "entries": { "total": s.entries_scanned, "done": s.entries_done },
        "scan_complete": s.scan_complete,
        "rate": pace.sent_a_second,
        "eta_s": pace.left.map(|left| left.as_secs()),
        "reconnects": s.reconnects,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Phase;
    use crate::types::VolumeName;

    fn busiest() -> Snapshot {
        Snapshot {
            phase: Phase::Transferring,
            volume: Some(VolumeName::new(&"v".repeat(63)).unwrap()),
            entries_scanned: u64::MAX,
            entries_done: u64::MAX,
            bytes_total: u64::MAX,
            bytes_done: u64::MAX,
            bytes_sent: u64::MAX,
            bytes_verified: u64::MAX,
            reconnects: u64::MAX,
            scan_complete: true,
        }
    }

    #[test]
    fn the_longest_json_line_fits_a_kibibyte_and_has_the_promised_fields() {
        let pace = Pace { sent_a_second: u64::MAX, left: Some(Duration::from_secs(u64::MAX)) };
        let run = RunId::new(&"\"".repeat(64)).unwrap();
        let line = json_line(&run, &busiest(), pace);
        assert!(line.len() < 1024 && !line.contains('\n'), "{} bytes", line.len());
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["run"].as_str(), Some(run.as_str()));
        assert_eq!(record["phase"], "transferring");
        for (group, fields) in [("bytes", &["total", "done", "sent"][..]), ("entries", &["total", "done"])] {
            for field in fields {
                assert_eq!(record[group][field], u64::MAX, "{group}.{field}");
            }
        }
        assert_eq!((&record["rate"], &record["eta_s"]), (&json!(u64::MAX), &json!(u64::MAX)));
    }

    #[test]
    fn no_total_is_claimed_before_the_scan_is_complete() {
        let scanning = Snapshot {
            phase: Phase::Transferring,
            entries_scanned: 1_200,
            bytes_total: 5_000,
            bytes_done: 1_024,
            ..Snapshot::nothing()
        };
        let line = plain_line(&scanning, Pace { sent_a_second: 0, left: None }, Side::Sends);
        assert_eq!(line, "transferring, 1,200 entries scanned so far, 1.00 KiB done, 1.00 KiB there already");
        let complete = Snapshot { scan_complete: true, bytes_total: 2_048, bytes_sent: 1_024, ..scanning };
        let line = plain_line(&complete, Pace { sent_a_second: 0, left: Some(Duration::from_secs(61)) }, Side::Sends);
        assert_eq!(line, "transferring, 0 of 1,200 entries, 1.00 KiB of 2.00 KiB, 1.00 KiB sent, 0 B/s, 1m01s left");
    }

    #[test]
    fn both_templates_of_the_bar_are_understood() {
        assert!(ProgressStyle::with_template("[{bar:16}] {percent:>3} %  {wide_msg}").is_ok());
        assert!(ProgressStyle::with_template("{spinner} {wide_msg}").is_ok());
    }
}
