//! Cases of a first copy, and of a second one that finds nothing to do.

use std::fs;

use anyhow::Result;

use super::{Bar, Case, DELTA, INPLACE, Play, Scale, Start, source};
use crate::contender::Targets;
use crate::data::{self, GIB, MIB, Written};
use crate::owed::Owed;
use crate::rsync::{ALL_ATTRIBUTES, PLAIN};
use crate::site::Site;
use crate::trees;

/// Many files, and large ones.
pub(super) const COPIES: [Case; 8] = [
    Case {
        name: "small",
        what: "100 k files around 4 KiB in 1 k directories: first copy",
        beside: &[("tar", 1.0)],
        make: small,
        ..COPY
    },
    Case {
        name: "nochange",
        what: "the same files, nothing changed, extended attributes and ACLs compared",
        must: 3.0,
        aim: 4.5,
        cached: Some(Targets { must: 4.0, aim: Some(6.0) }),
        make: small,
        ..AGAIN
    },
    Case {
        name: "nochange-plain",
        what: "the same files, nothing changed, without extended attributes and ACLs on either side",
        ferry: &["--no-xattrs"],
        rsync: &[PLAIN],
        make: small,
        ..AGAIN
    },
    Case {
        name: "big",
        what: "2 GiB incompressible file: first copy",
        best: INPLACE,
        beside: &[("cp", 0.5)],
        owed: &[Owed::Cpu { must: 0.55, aim: 0.45 }],
        make: big,
        ..COPY
    },
    Case {
        name: "checksum",
        what: "2 GiB file, nothing changed, --checksum",
        ferry: &["--checksum"],
        rsync: &[ALL_ATTRIBUTES, "--checksum"],
        make: big,
        ..AGAIN
    },
    Case {
        name: "mixed",
        what: "10 k entries as in a home directory, 1.8 GB: first copy; no target but to be faster",
        must: 1.0,
        aim: 2.0,
        make: |site, scale| trees::home(&site.source(), 1, scale.of(10_000, 200)),
        ..COPY
    },
    Case {
        name: "tiny",
        what: "1 M files of 1 to 200 bytes, ten deep: first copy",
        play: Play::WhenNamed,
        owed: RESIDENT,
        room: 11 * GIB,
        make: tiny,
        ..COPY
    },
    Case {
        name: "tiny-nochange",
        what: "the same files, nothing changed",
        play: Play::WhenNamed,
        owed: RESIDENT,
        must: 3.0,
        aim: 5.0,
        room: 11 * GIB,
        make: tiny,
        ..AGAIN
    },
];

/// What a side may hold of a million files.
const RESIDENT: &[Owed] = &[Owed::Resident { must_mib: 64.0 }];

pub(super) const COPY: Case = Case { start: Start::Empty, must: 2.0, aim: 2.5, wire: Bar::None, ..DELTA };
const AGAIN: Case = Case { start: Start::Equal, must: 2.0, aim: 3.0, wire: Bar::None, ..DELTA };

fn small(site: &Site, scale: Scale) -> Result<()> {
    fs::create_dir_all(site.source().join("files"))?;
    data::small_files(&site.source().join("files"), 1, scale.of(100_000, 200))
}

fn tiny(site: &Site, scale: Scale) -> Result<()> {
    trees::tiny_files(&site.source(), 1, scale.of(1_000_000, 1000))
}

pub(super) fn big(site: &Site, scale: Scale) -> Result<()> {
    data::noise_file(&source(site), 1, scale.of(2 * GIB, MIB), Written::BEFORE)
}
