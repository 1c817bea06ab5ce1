//! Cases that are about what lies between the two sides: a delay, a bandwidth, one for each connection, and a bound that was
//! asked for. Each has its own line, unless the whole contest is played over another.

use std::num::NonZeroU32;

use super::copies::{COPY, big};
use super::{Case, Play, Race, source};
use crate::data::{self, GIB, MIB, Written};
use crate::line::Line;
use crate::owed::Owed;
use crate::prose::Prose;
use crate::rsync::ALL_ATTRIBUTES;
use crate::trees;

/// Lines of their own.
pub(super) const LINES: [Case; 5] = [
    Case {
        name: "compressible",
        what: "2 GiB file of text like a log: first copy at 1 Gbit/s",
        best: Some(&[ALL_ATTRIBUTES, "--compress"]),
        must: 3.0,
        aim: 8.0,
        line: Line { mbit: NonZeroU32::new(1000), ..Line::FREE },
        make: |site, scale| {
            trees::text_file(&source(site), &mut Prose::new(1), scale.of(2 * GIB, MIB), Written::BEFORE)
        },
        ..COPY
    },
    Case {
        name: "thousand",
        what: "1000 files of 2 KiB: first copy at 50 ms there and back",
        must: 2.5,
        aim: 5.0,
        owed: &[Owed::Trips { must: 10.0 }],
        line: Line { rtt_ms: 50, ..Line::FREE },
        make: |site, scale| data::large_files(&site.source(), 1, scale.of(1000, 10), 2048),
        ..COPY
    },
    Case {
        name: "connections",
        what: "2 GiB incompressible file: first copy at 1 Gbit/s and 100 ms, each connection bounded to a quarter of that",
        play: Play::WhenNamed,
        // As many as the quarters need; the default is as many as there are processors.
        ferry: &["--connections", "4"],
        race: Race::Shown,
        owed: &[Owed::Share { must: 0.9 }],
        line: Line { rtt_ms: 100, mbit: NonZeroU32::new(1000), connection_mbit: NonZeroU32::new(250) },
        make: big,
        ..COPY
    },
    Case {
        name: "pace10",
        what: "200 MB incompressible file: first copy, bounded to 10 MB/s",
        play: Play::WhenNamed,
        ferry: &["--bwlimit", "10MB"],
        rsync: &[ALL_ATTRIBUTES, "--bwlimit=10MB"],
        race: Race::Shown,
        owed: &[pace(10e6)],
        make: |site, scale| data::noise_file(&source(site), 1, scale.of(200_000_000, MIB), Written::BEFORE),
        ..COPY
    },
    Case {
        name: "pace100",
        what: "2 GB incompressible file: first copy, bounded to 100 MB/s",
        play: Play::WhenNamed,
        ferry: &["--bwlimit", "100MB"],
        rsync: &[ALL_ATTRIBUTES, "--bwlimit=100MB"],
        race: Race::Shown,
        owed: &[pace(100e6)],
        make: |site, scale| data::noise_file(&source(site), 1, scale.of(2_000_000_000, MIB), Written::BEFORE),
        ..COPY
    },
];

const fn pace(bytes_a_second: f64) -> Owed {
    Owed::Pace { bytes_a_second, mean_percent: 3.0, second_percent: 10.0 }
}
