//! Cases of a first copy, and of a second one that finds nothing to do.

use std::fs;

use anyhow::Result;

use super::{Bar, Case, DELTA, INPLACE, Scale, Start, source};
use crate::data::{self, GIB, MIB, Written};
use crate::rsync::{ALL_ATTRIBUTES, PLAIN};
use crate::site::Site;

/// Many files, and large ones.
pub(super) const COPIES: [Case; 5] = [
    Case { name: "small", what: "100 k files around 4 KiB in 1 k directories: first copy", make: small, ..COPY },
    Case {
        name: "nochange",
        what: "the same files, nothing changed, extended attributes and ACLs compared",
        must: 3.0,
        aim: 4.5,
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
    Case { name: "big", what: "2 GiB incompressible file: first copy", best: INPLACE, make: big, ..COPY },
    Case {
        name: "checksum",
        what: "2 GiB file, nothing changed, --checksum",
        ferry: &["--checksum"],
        rsync: &[ALL_ATTRIBUTES, "--checksum"],
        make: big,
        ..AGAIN
    },
];

const COPY: Case = Case { start: Start::Empty, must: 2.0, aim: 2.5, wire: Bar::None, ..DELTA };
const AGAIN: Case = Case { start: Start::Equal, must: 2.0, aim: 3.0, wire: Bar::None, ..DELTA };

fn small(site: &Site, scale: Scale) -> Result<()> {
    fs::create_dir_all(site.source().join("files"))?;
    data::small_files(&site.source().join("files"), 1, scale.of(100_000, 200))
}

fn big(site: &Site, scale: Scale) -> Result<()> {
    data::noise_file(&source(site), 1, scale.of(2 * GIB, MIB), Written::BEFORE)
}
