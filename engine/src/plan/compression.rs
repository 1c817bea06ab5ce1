//! Whether the next frame of a lane is compressed, and how hard: decided by what the frames before it cost.
//!
//! ```text
//!  plain ──> -1 ──> 1 ──> 3 ──> 6 ──> 9      a rung up: the thread mostly waits, and a probe promises something
//!    <──────────<─────<─────<─────<          a rung down: it never waits; to plain: to see, now and then
//! ```
//! Every step is a trial: the frames under way are let go by, a window is measured, and the step is taken back when a byte of
//! content did not come cheaper. So a receiver or a disk that is slow, which also makes the thread wait, is not taken for a
//! slow link for long. A probe is one frame that is compressed and sent plain all the same.
//!
//! Pure: it is told how long things took, looks at no clock and compresses nothing. It knows one lane only: lanes share
//! their link, but each finds the same.

use std::time::Duration;

use crate::types::{Compress, limits};

/// What is tried, in order, beyond plain: on pieces of 256 KiB a higher level costs more than it saves on any link.
const RUNGS: [i32; 5] = [-1, 1, 3, 6, 9];

/// A window is measured over this much content and time at least: acknowledgements come a mebibyte at a time.
const WINDOW_LEN: u64 = 4 * 1_048_576;
const WINDOW_TIME: Duration = Duration::from_millis(50);
/// On a very slow link a window ends after this time, however little was sent beyond its least.
const WINDOW_TIME_MAX: Duration = Duration::from_millis(500);
const WINDOW_LEN_MIN: u64 = 1_048_576;

/// What goes by after a step before anything is measured: what a lane may have under way, and the frame at hand. When it
/// was acknowledged, all that is waited for was sent after the step.
const SETTLING_LEN: u64 = limits::LANE_CREDIT + 2 * limits::DATA_LEN_MAX as u64;

/// Shorter waits are the scheduler's.
const NOTABLE: Duration = Duration::from_millis(2);

/// The share of its time that a thread waits for room to send, from which on the link may be what limits it.
const MOSTLY_WAITS: f64 = 0.5;
/// The same while it compresses: there is time left to do more.
const OFTEN_WAITS: f64 = 0.2;
/// Below this it is the thread.
const HARDLY_WAITS: f64 = 0.1;

/// What a byte may cost at most of what it did, for the first step to pay: it takes work of both sides,
/// and on a busy machine what is measured sways.
const FIRST_STEP: f64 = 0.75;
/// The same for each further step.
const STEP: f64 = 0.97;

/// Windows until it is tried again after a probe that promised nothing, at most: a probe costs next to nothing.
const PROBE_PAUSE_MAX: u32 = 8;
/// The same after a trial that did not pay.
const TRIAL_PAUSE_MAX: u32 = 64;
/// The first time after which it is tried whether plain would do; each failure doubles it.
const PLAIN_AGAIN: Duration = Duration::from_secs(10);
/// On a slow link that is dear: it must have been compressed for so many times what it takes.
const PLAIN_PRICE: u32 = 50;
/// The same two where a byte costs nearly what it did plain: the first measurement may have been wrong.
const PLAIN_SOON: Duration = Duration::from_secs(2);
const PLAIN_PRICE_SOON: u32 = 5;
/// What is nearly.
const NEARLY: f64 = 0.95;

/// What to do with a frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCoding {
    /// Send it as it is.
    Plain,
    /// Compress it at this level, and send what is shorter.
    Compress(i32),
    /// Compress it at this level, tell how that went, and send it as it would have been at the other.
    Probe {
        /// The level to try.
        level: i32,
        /// The level it is sent with; `None` for plain.
        sent: Option<i32>,
    },
}

/// A frame of content that was sent.
#[derive(Clone, Copy, Debug)]
pub struct SentFrame {
    /// Bytes of content it stands for.
    pub content: u64,
    /// Bytes of it on the wire.
    pub wire: u64,
    /// Whether it was compressed.
    pub is_compressed: bool,
    /// Time since the frame before it, in which the thread read, hashed and compressed.
    pub worked: Duration,
    /// Of that, the time it compressed.
    pub compressing: Duration,
    /// Time it waited for room to send.
    pub waited: Duration,
}

/// A compression that was only tried.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// Bytes of content.
    pub content: u64,
    /// Bytes they would take; those of the content when it does not shrink.
    pub wire: u64,
    /// How long it took.
    pub took: Duration,
}

/// The course of one lane.
#[derive(Debug)]
pub enum Compression {
    /// Always the same.
    Fixed(FrameCoding),
    /// By measurement.
    Measured(Box<Course>),
}

/// Where a measured lane stands.
#[derive(Debug, Default)]
pub struct Course {
    /// 0 is plain, n the n-th of [`RUNGS`].
    rung: usize,
    /// What is measured now.
    window: Window,
    /// Content that still has to go by before that counts: it was sent before the last step, or waits behind what was.
    settling: u64,
    /// The thread had to wait once: what lies between it and the link is full, and is no longer taken for the link.
    has_waited: bool,
    /// The step that is on trial, if one is.
    trial: Option<Trial>,
    /// A probe is due, for this window.
    probe: Option<Window>,
    up: Patience,
    down: Patience,
    /// What a byte cost plain when that was last measured, the time since, and how long that is believed.
    plain_cost: f64,
    since_plain: Duration,
    plain_again: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    cost: f64,
}

/// Sums over some frames.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    content: u64,
    compressed: u64,
    wire: u64,
    worked: Duration,
    compressing: Duration,
    waited: Duration,
}

/// How many windows go by until something is tried again.
#[derive(Debug, Default)]
struct Patience {
    pause: u32,
    left: u32,
}

impl Compression {
    /// What was asked for, of a lane on which nothing was sent yet.
    #[must_use]
    pub fn new(asked: Compress) -> Self {
        match asked {
            Compress::Off => Self::Fixed(FrameCoding::Plain),
            Compress::Zstd(level) => Self::Fixed(FrameCoding::Compress(level.number().into())),
            Compress::Auto => Self::Measured(Box::default()),
        }
    }

    /// What to do with the next frame.
    #[must_use]
    pub fn next_frame(&self) -> FrameCoding {
        match self {
            Self::Fixed(coding) => *coding,
            Self::Measured(course) => course.next_frame(),
        }
    }

    /// How a probe went.
    pub fn probed(&mut self, probed: &Probed) {
        if let Self::Measured(course) = self {
            course.probed(probed);
        }
    }

    /// A frame was sent. The level from here on, if it is another one: `Some(None)` for plain.
    pub fn sent(&mut self, frame: &SentFrame) -> Option<Option<i32>> {
        let Self::Measured(course) = self else { return None };
        let before = course.rung;
        course.sent(frame);
        (course.rung != before).then(|| level(course.rung))
    }
}

impl Course {
    fn next_frame(&self) -> FrameCoding {
        let sent = level(self.rung);
        match (self.probe, level(self.rung + 1)) {
            (Some(_), Some(level)) => FrameCoding::Probe { level, sent },
            _ => sent.map_or(FrameCoding::Plain, FrameCoding::Compress),
        }
    }

    /// What the probe's frame promises for all: the thread's work with the new level, or the link's time for what is left of a
    /// byte, whichever is longer.
    fn probed(&mut self, probed: &Probed) {
        let Some(window) = self.probe.take() else { return };
        if probed.content == 0 {
            return;
        }
        let content = probed.content as f64;
        let work = window.work() + nanos(probed.took) / content;
        let link = window.link() * probed.wire as f64 / content;
        if probed.wire < probed.content && work.max(link) <= self.worth_a_step() * window.cost() {
            self.step(self.rung + 1, window.cost());
        } else {
            self.up.lengthen(PROBE_PAUSE_MAX);
        }
    }

    fn sent(&mut self, frame: &SentFrame) {
        self.since_plain += frame.worked + frame.waited;
        if !self.has_waited {
            self.has_waited = frame.waited >= NOTABLE;
            return;
        }
        if self.settling > 0 {
            self.settling = self.settling.saturating_sub(frame.content);
            return;
        }
        self.window.add(frame);
        // What is on trial is measured twice as long: a busy machine's scheduler takes turns of some milliseconds.
        if !self.window.is_full(if self.trial.is_some() { 2 * WINDOW_TIME } else { WINDOW_TIME }) {
            return;
        }
        let window = std::mem::take(&mut self.window);
        match self.trial.take() {
            Some(trial) => self.judge(trial, &window),
            None => self.consider(&window),
        }
    }

    /// Whether a step that was tried is kept.
    fn judge(&mut self, trial: Trial, window: &Window) {
        let up = self.rung > trial.from;
        let most = match (trial.from, self.rung) {
            (0, _) => FIRST_STEP,
            // As cheap as compressed is enough: it spares both sides the work.
            (_, 0) => 1.0,
            _ => STEP,
        };
        let pays = window.cost() <= most * trial.cost && (self.rung == 0 || window.shrinks());
        match (pays, up) {
            (true, true) => {
                self.up = Patience::default();
                self.down.lengthen(TRIAL_PAUSE_MAX);
            }
            (true, false) => {
                self.down = Patience::default();
                self.up.lengthen(TRIAL_PAUSE_MAX);
                self.plain_again = None;
            }
            (false, up) => {
                if up {
                    self.up.lengthen(TRIAL_PAUSE_MAX);
                } else if self.rung == 0 {
                    self.plain_cost = window.cost();
                    self.since_plain = Duration::ZERO;
                    self.plain_again = Some(2 * self.plain_again.unwrap_or(PLAIN_AGAIN));
                } else {
                    self.down.lengthen(TRIAL_PAUSE_MAX);
                }
                self.rung = trial.from;
                self.settling = SETTLING_LEN;
            }
        }
    }

    /// Whether a step should be tried after this window.
    fn consider(&mut self, window: &Window) {
        if self.rung > 0 && !window.shrinks() {
            // Content that does not shrink tells nothing of levels, and costs nothing but a glance a frame.
            return;
        }
        let (up, down) = (self.up.is_over(), self.down.is_over());
        let waits = window.waits();
        if self.rung > 0 && self.doubts_plain(window.cost()) {
            return self.step(0, window.cost());
        }
        if waits >= if self.rung == 0 { MOSTLY_WAITS } else { OFTEN_WAITS } && up && self.rung < RUNGS.len() {
            self.probe = Some(*window);
        } else if waits <= HARDLY_WAITS && self.rung > 1 && down {
            self.step(self.rung - 1, window.cost());
        }
    }

    /// Whether it is time to see again what plain costs, when a byte costs so much.
    fn doubts_plain(&self, cost: f64) -> bool {
        let nearly = cost >= NEARLY * self.plain_cost;
        let (least, times) = if nearly {
            (PLAIN_SOON, PLAIN_PRICE_SOON)
        } else {
            (self.plain_again.unwrap_or(PLAIN_AGAIN), PLAIN_PRICE)
        };
        let price = self.plain_cost * SETTLING_LEN as f64;
        self.since_plain >= least && nanos(self.since_plain) >= f64::from(times) * price
    }

    fn step(&mut self, to: usize, cost: f64) {
        if self.rung == 0 {
            self.plain_cost = cost;
            self.since_plain = Duration::ZERO;
        }
        self.trial = Some(Trial { from: self.rung, cost });
        self.rung = to;
        self.settling = SETTLING_LEN;
    }

    fn worth_a_step(&self) -> f64 {
        if self.rung == 0 { FIRST_STEP } else { STEP }
    }
}

/// The level of a rung; none for plain and beyond the last.
fn level(rung: usize) -> Option<i32> {
    rung.checked_sub(1).and_then(|n| RUNGS.get(n)).copied()
}

impl Window {
    fn add(&mut self, frame: &SentFrame) {
        self.content += frame.content;
        self.compressed += if frame.is_compressed { frame.content } else { 0 };
        self.wire += frame.wire;
        self.worked += frame.worked;
        self.compressing += frame.compressing;
        self.waited += frame.waited;
    }

    fn time(&self) -> Duration {
        self.worked + self.waited
    }

    fn is_full(&self, least: Duration) -> bool {
        let time = self.time();
        (time >= least && self.content >= WINDOW_LEN) || (time >= WINDOW_TIME_MAX && self.content >= WINDOW_LEN_MIN)
    }

    /// Nanoseconds a byte of content.
    fn cost(&self) -> f64 {
        nanos(self.time()) / self.content as f64
    }

    /// The same of the thread's work without compressing.
    fn work(&self) -> f64 {
        nanos(self.worked.saturating_sub(self.compressing)) / self.content as f64
    }

    /// Nanoseconds a byte on the wire, if it is the link that takes all the time.
    fn link(&self) -> f64 {
        nanos(self.time()) / self.wire as f64
    }

    /// The share of the time that was waited.
    fn waits(&self) -> f64 {
        nanos(self.waited) / nanos(self.time()).max(1.0)
    }

    /// Whether most content shrank.
    fn shrinks(&self) -> bool {
        self.compressed >= self.content / 2
    }
}

impl Patience {
    /// Another window went by.
    fn is_over(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    fn lengthen(&mut self, max: u32) {
        self.pause = (self.pause * 2).clamp(1, max.max(self.pause));
        self.left = self.pause + 1;
    }
}

fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}

#[cfg(test)]
mod tests;
