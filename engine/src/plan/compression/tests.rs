//! The course on lines of all kinds, played through without a clock: a thread, a link that takes frames in order, and no more
//! than a lane's credit between them.

use std::collections::VecDeque;

use super::*;
use crate::types::ZstdLevel;

const FRAME: u64 = limits::DATA_LEN_MAX as u64;

/// What a lane meets. Costs are nanoseconds a byte.
#[derive(Clone, Copy)]
struct World {
    /// A byte of content, to read and hash it.
    work: f64,
    /// A byte on the wire.
    link: f64,
    /// A byte of content, for the receiver to take it.
    receiver: f64,
    /// A byte of content, to compress it, and what is left of it: from plain's neighbour upwards.
    levels: [(f64, f64); 5],
}

/// Text like a log on one core of a server.
const TEXT: [(f64, f64); 5] = [(1.2, 0.205), (1.65, 0.14), (2.2, 0.139), (7.0, 0.137), (8.2, 0.136)];
/// Programs and libraries.
const PROGRAMS: [(f64, f64); 5] = [(2.2, 0.45), (3.1, 0.39), (6.3, 0.36), (12.0, 0.35), (20.0, 0.345)];
/// Noise.
const NOISE: [(f64, f64); 5] = [(0.3, 1.0), (0.5, 1.0), (0.6, 1.0), (1.0, 1.0), (1.2, 1.0)];

/// Nanoseconds a byte of a link of so many megabits, shared by two lanes.
const fn mbit(mbit: u32) -> f64 {
    16_000.0 / mbit as f64
}

/// A loopback, limited by what the receiver does with a byte.
const LOOPBACK: World = World { work: 0.7, link: 0.3, receiver: 1.5, levels: TEXT };

struct Lane {
    course: Compression,
    /// When the thread, the link and the receiver are free, in nanoseconds.
    now: f64,
    link_free: f64,
    receiver_free: f64,
    taken: VecDeque<f64>,
    wire: u64,
    content: u64,
    probes: u32,
}

impl Lane {
    fn new(asked: Compress) -> Self {
        let course = Compression::new(asked);
        let (now, link_free, receiver_free) = (0.0, 0.0, 0.0);
        Self { course, now, link_free, receiver_free, taken: VecDeque::new(), wire: 0, content: 0, probes: 0 }
    }

    fn frame(&mut self, world: &World) {
        let of = |level: i32| world.levels[RUNGS.iter().position(|rung| *rung == level).unwrap()];
        let bytes = FRAME as f64;
        let mut worked = world.work * bytes;
        let coding = match self.course.next_frame() {
            FrameCoding::Plain => None,
            FrameCoding::Compress(level) => Some(level),
            FrameCoding::Probe { level, sent } => {
                self.probes += 1;
                let (cost, left) = of(level);
                let took = Duration::from_nanos((cost * bytes) as u64);
                self.course.probed(&Probed { content: FRAME, wire: (left * bytes) as u64, took });
                worked += cost * bytes;
                sent
            }
        };
        let (cost, left) = coding.map_or((0.0, 1.0), of);
        worked += cost * bytes;
        self.now += worked;
        let before = self.now;
        // No more than the credit is under way.
        if self.taken.len() as u64 >= limits::LANE_CREDIT / FRAME {
            self.now = self.now.max(self.taken.pop_front().unwrap());
        }
        let waited = self.now - before;
        let wire = left * bytes;
        self.link_free = self.link_free.max(self.now) + wire * world.link;
        self.receiver_free = self.receiver_free.max(self.link_free) + bytes * world.receiver;
        self.taken.push_back(self.receiver_free);
        self.wire += wire as u64;
        self.content += FRAME;
        self.course.sent(&SentFrame {
            content: FRAME,
            wire: wire as u64,
            is_compressed: left < 1.0,
            worked: Duration::from_nanos(worked as u64),
            compressing: Duration::from_nanos((cost * bytes) as u64),
            waited: Duration::from_nanos(waited as u64),
        });
    }

    /// Sends so many MiB; nanoseconds a byte it took.
    fn send(&mut self, mib: u64, world: &World) -> f64 {
        let (begun, before) = (self.receiver_free, self.content);
        for _ in 0..mib * 4 {
            self.frame(world);
        }
        (self.receiver_free - begun) / (self.content - before) as f64
    }

    fn level(&self) -> Option<i32> {
        match &self.course {
            Compression::Measured(course) => level(course.rung),
            Compression::Fixed(FrameCoding::Compress(level)) => Some(*level),
            Compression::Fixed(_) => None,
        }
    }
}

fn slow(mb: u32, levels: [(f64, f64); 5]) -> World {
    World { work: 0.7, link: mbit(mb), receiver: 1.0, levels }
}

#[test]
fn what_was_asked_for_needs_no_measurement() {
    let zstd = Compress::Zstd(ZstdLevel::new(7).unwrap());
    assert_eq!(Compression::new(zstd).next_frame(), FrameCoding::Compress(7));
    assert_eq!(Compression::new(Compress::Off).next_frame(), FrameCoding::Plain);
    let mut lane = Lane::new(Compress::Off);
    lane.send(256, &slow(100, TEXT));
    assert_eq!((lane.wire, lane.probes), (lane.content, 0));
}

#[test]
fn a_gigabit_is_filled_with_compressed_text_several_times_over() {
    let world = slow(1_000, TEXT);
    let mut lane = Lane::new(Compress::Auto);
    let cost = lane.send(1_024, &world);
    assert!(cost < world.link / 5.0, "{cost} ns a byte, {} plain", world.link);
    assert!(lane.level().is_some());
}

#[test]
fn the_slower_the_link_the_harder_it_tries() {
    let level = |mb| {
        let mut lane = Lane::new(Compress::Auto);
        lane.send(2_048, &slow(mb, PROGRAMS));
        lane.level()
    };
    assert_eq!(level(10_000), None);
    assert_eq!(level(1_000), Some(1));
    assert_eq!(level(50), Some(3), "what follows saves hardly anything");
}

#[test]
fn a_fast_line_stays_plain_and_pays_next_to_nothing() {
    for (what, world) in [
        ("a receiver that waits for a disk", World { receiver: 5.0, ..LOOPBACK }),
        ("a busy loopback", LOOPBACK),
        ("a loopback with nothing else to do", World { receiver: 0.5, ..LOOPBACK }),
        ("noise", World { levels: NOISE, ..LOOPBACK }),
    ] {
        let plain = Lane::new(Compress::Off).send(4_096, &world);
        let mut lane = Lane::new(Compress::Auto);
        let cost = lane.send(4_096, &world);
        assert!(cost <= plain * 1.02, "{what}: {cost} ns a byte, {plain} plain");
        assert_eq!(lane.level(), None, "{what}");
    }
}

#[test]
fn noise_on_a_slow_link_is_probed_seldom_and_sent_plain() {
    let mut lane = Lane::new(Compress::Auto);
    lane.send(1_024, &slow(100, NOISE));
    assert_eq!(lane.wire, lane.content);
    assert!((1..100).contains(&lane.probes), "{} probes", lane.probes);
}

#[test]
fn text_after_noise_and_noise_after_text_are_both_noticed() {
    let mut lane = Lane::new(Compress::Auto);
    lane.send(512, &slow(1_000, NOISE));
    let before = lane.wire;
    lane.send(512, &slow(1_000, TEXT));
    assert!(lane.wire - before < 256 << 20, "{} MiB", (lane.wire - before) >> 20);
    lane.send(512, &slow(1_000, NOISE));
    let before = lane.wire;
    lane.send(512, &slow(1_000, TEXT));
    assert!(lane.wire - before < 256 << 20, "{} MiB", (lane.wire - before) >> 20);
}

#[test]
fn a_link_that_becomes_fast_is_left_plain_in_the_end() {
    let mut lane = Lane::new(Compress::Auto);
    lane.send(512, &slow(500, TEXT));
    assert!(lane.level().is_some());
    lane.send(16 * 1_024, &World { receiver: 0.5, ..LOOPBACK });
    assert_eq!(lane.level(), None);
}

#[test]
fn what_was_gained_and_is_gone_is_noticed_soon() {
    // The other lanes' traffic made the link look slow for a moment; what limits is the receiver.
    let mut lane = Lane::new(Compress::Auto);
    lane.send(128, &slow(1_000, TEXT));
    assert!(lane.level().is_some());
    lane.send(512, &World { receiver: 16.0, ..LOOPBACK });
    assert_eq!(lane.level(), None);
}

#[test]
fn to_see_whether_plain_would_do_costs_a_slow_link_little() {
    for mb in [20, 200, 1_000] {
        let world = slow(mb, TEXT);
        let mut lane = Lane::new(Compress::Auto);
        lane.send(256, &world);
        let cost = lane.send(16 * 1_024, &world);
        let least = (0.136 * world.link).max(2.35);
        assert!(cost < least * 1.12, "{mb} Mbit: {cost} ns a byte, {least} at the best");
    }
}

#[test]
fn on_a_very_slow_link_the_first_mebibytes_decide() {
    let mut lane = Lane::new(Compress::Auto);
    lane.send(32, &slow(8, TEXT));
    assert!(lane.wire < 16 << 20, "{} MiB", lane.wire >> 20);
}

#[test]
fn a_frame_of_nothing_is_no_measurement() {
    let mut course = Compression::new(Compress::Auto);
    let time = Duration::from_secs(1);
    let empty = SentFrame { content: 0, wire: 0, is_compressed: false, worked: time, compressing: time, waited: time };
    for _ in 0..100 {
        assert_eq!(course.sent(&empty), None);
    }
    course.probed(&Probed { content: 0, wire: 0, took: time });
    assert_eq!(course.next_frame(), FrameCoding::Plain);
}
