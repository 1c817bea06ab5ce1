//! Cases in which the destination is there and little changed: what issue after issue of a migration repeats.

use std::path::PathBuf;

use anyhow::Result;

use super::{Bar, Case, DELTA, INPLACE, Kind, Scale, Start, before_and_source, source};
use crate::contender::Targets;
use crate::data::{self, GIB, MIB, PAGE, Written};
use crate::rsync::ALL_ATTRIBUTES;
use crate::site::Site;

/// Bytes between two pieces of data in the sparse file: 20 GiB hold 200 pieces of 1 MiB.
const STRIDE: u64 = 20 * GIB / 200 / PAGE * PAGE;
/// Pages that change in the sparse file.
const SPARSE_PAGES: u64 = 50;

/// A file that grew, changed, was shifted or only touched.
pub(super) const FILES: [Case; 6] = [
    Case {
        name: "pages",
        what: "1 GiB file, 500 random 4 KiB pages changed",
        must: 2.5,
        aim: 3.5,
        wire: Bar::OfRsync { must: 1.0 / 4.0, aim: 1.0 / 6.0 },
        best: INPLACE,
        make: |site, scale| {
            before_and_source(site, scale.of(GIB, MIB), Written::SINCE)?;
            data::change_pages(&source(site), 2, scale.of(500, 4), PAGE, Written::SINCE)
        },
        ..DELTA
    },
    Case {
        name: "append",
        what: "1 GiB file, 64 MiB appended",
        must: 3.0,
        aim: 4.5,
        wire: Bar::Bytes(|scale| percent(102, tail(scale))),
        best: INPLACE,
        make: |site, scale| {
            before_and_source(site, scale.of(GIB, MIB), Written::SINCE)?;
            data::append(&source(site), 2, tail(scale), Written::SINCE)
        },
        ..DELTA
    },
    Case {
        name: "insert1",
        what: "1 GiB file, 19 bytes inserted at 1 MiB",
        wire: Bar::OfRsync { must: 1.0, aim: 1.0 },
        make: |site, scale| inserted(site, scale.of(GIB, 2 * MIB), &[scale.of(MIB, PAGE)]),
        ..DELTA
    },
    Case {
        name: "insert100",
        what: "1 GiB file, 19 bytes inserted at 100 places",
        wire: Bar::OfRsync { must: 1.0, aim: 1.0 },
        make: |site, scale| {
            let size = scale.of(GIB, 2 * MIB);
            let places: Vec<u64> = (1..=100).map(|place| size / 101 * place).collect();
            inserted(site, size, &places)
        },
        ..DELTA
    },
    Case {
        name: "touch",
        what: "1 GiB file, unchanged but for its mtime",
        must: 2.5,
        aim: 3.0,
        cached: Some(Targets { must: 4.0, aim: None }),
        wire: Bar::Bytes(|scale| scale.of(GIB, MIB) / 500),
        best: INPLACE,
        make: |site, scale| before_and_source(site, scale.of(GIB, MIB), Written::SINCE),
        ..DELTA
    },
    Case {
        name: "rename",
        what: "directory of 2 GiB (1024 files) renamed at the top, --delete",
        ferry: &["--delete"],
        rsync: &[ALL_ATTRIBUTES, "--delete"],
        must: 5.0,
        aim: 8.0,
        wire: Bar::Bytes(|scale| files(scale) * 2 * MIB / 100),
        room: 9 * GIB,
        make: |site, scale| {
            data::large_files(&site.before().join("old"), 1, files(scale), 2 * MIB)?;
            data::large_files(&site.source().join("new"), 1, files(scale), 2 * MIB)
        },
        ..DELTA
    },
];

/// Much that is empty, and a device.
pub(super) const VOLUMES: [Case; 3] = [
    Case {
        name: "sparse",
        what: "sparse file, 20 GiB apparent, 200 MiB data: first copy (rsync with --sparse: its default needs 20 GiB)",
        rsync: &[ALL_ATTRIBUTES, "--sparse"],
        start: Start::Empty,
        must: 20.0,
        aim: 50.0,
        wire: Bar::Bytes(|scale| percent(101, sparse_data(scale))),
        room: GIB,
        make: |site, scale| sparse(site.source().join("data"), scale, Written::BEFORE),
        ..DELTA
    },
    Case {
        name: "sparse-again",
        what: "the same file, 50 of its pages changed",
        rsync: &[ALL_ATTRIBUTES, "--sparse"],
        must: 20.0,
        aim: 50.0,
        // What changed, and 1 % of the data: a hundredth of two hundred KiB is less than one TLS session needs.
        wire: Bar::Bytes(|scale| scale.of(SPARSE_PAGES, 4) * PAGE + sparse_data(scale) / 100),
        best: Some(&[ALL_ATTRIBUTES, "--sparse", "--inplace"]),
        room: GIB,
        make: |site, scale| {
            sparse(source(site), scale, Written::SINCE)?;
            sparse(site.before().join("data"), scale, Written::BEFORE)?;
            data::change_pages(&source(site), 2, scale.of(SPARSE_PAGES, 4), STRIDE, Written::SINCE)
        },
        ..DELTA
    },
    Case {
        name: "device",
        what: "block device of 4 GiB (loop), 1 % of its pages changed at random",
        kind: Kind::Device,
        // A node was not written when its device was: without --ignore-times rsync may believe that nothing changed.
        rsync: &["--copy-devices", "--write-devices", "--inplace", "--no-whole-file", "--ignore-times"],
        must: 2.0,
        aim: 3.0,
        wire: Bar::OfRsync { must: 1.0 / 4.0, aim: 1.0 / 6.0 },
        room: 13 * GIB,
        make: |site, scale| {
            let size = scale.of(4 * GIB, MIB) / MIB * MIB;
            before_and_source(site, size, Written::BEFORE)?;
            data::change_pages(&source(site), 2, size / PAGE / 100, PAGE, Written::SINCE)
        },
        ..DELTA
    },
];

fn percent(percent: u64, bytes: u64) -> u64 {
    bytes / 100 * percent
}

/// Bytes that are appended.
fn tail(scale: Scale) -> u64 {
    scale.of(64 * MIB, PAGE)
}

/// Files in the directory that is renamed.
fn files(scale: Scale) -> u64 {
    scale.of(1024, 4)
}

fn sparse_size(scale: Scale) -> u64 {
    scale.of(20 * GIB, 2 * STRIDE)
}

/// Bytes in the sparse file that are no hole: a piece of data at each stride that has room for one.
fn sparse_data(scale: Scale) -> u64 {
    (sparse_size(scale) - MIB) / STRIDE * MIB + MIB
}

fn sparse(path: PathBuf, scale: Scale, written: Written) -> Result<()> {
    data::sparse_file(&path, 1, sparse_size(scale), STRIDE, written)
}

fn inserted(site: &Site, size: u64, places: &[u64]) -> Result<()> {
    let before = site.before().join("data");
    data::noise_file(&before, 1, size, Written::BEFORE)?;
    data::insert(&before, &source(site), places, Written::SINCE)
}
