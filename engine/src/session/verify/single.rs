//! `ferry verify` of two single volumes: files or block devices, byte by byte; attributes only where both are files.

use std::sync::Arc;

use super::{Walk, content_of};
use crate::types::{EntryKind, Name, RelPath, Shape};
use crate::volume::{Dir, Status, Volume};

impl Walk<'_> {
    /// Compares what two single volumes are. A device may be larger than its source.
    pub(super) fn singles(&mut self, a: &Volume, b: &Volume) {
        let (Some(one), Some(other)) = (a.single(), b.single()) else { return };
        let path = RelPath::root().join(one.name());
        self.report.entries += 1;
        if let Err(cause) = self.pair_of_singles((a.root(), one.name()), (b.root(), other.name()), &path) {
            self.problem(path, &cause);
        }
    }

    fn pair_of_singles(&mut self, a: (&Arc<Dir>, &Name), b: (&Arc<Dir>, &Name), path: &RelPath) -> Result<(), String> {
        let measure = |(dir, name): (&Arc<Dir>, &Name)| match dir.content_status(name) {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it went away while it was compared".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let (there, here) = (measure(a)?, measure(b)?);
        let both_files = there.kind == EntryKind::File && here.kind == EntryKind::File;
        if both_files {
            self.attributes(path, &there, &here, true);
            if let (Some((_, want)), Some((_, have))) = (self.look(a.0, a.1)?, self.look(b.0, b.1)?) {
                self.extended(path, &want, &have);
            }
        } else {
            self.sizes(path, &there, &here);
        }
        if there.size == here.size || (here.kind == EntryKind::BlockDevice && here.size > there.size) {
            let (one, other) = (content_of(a.0, a.1, &there)?, content_of(b.0, b.1, &here)?);
            if let Some(at) = self.content(&one, &other, there.size)? {
                self.differs(path.clone(), format!("its content differs from byte {at} on"));
            }
        }
        Ok(())
    }

    fn sizes(&mut self, path: &RelPath, there: &Status, here: &Status) {
        let longer_device = here.kind == EntryKind::BlockDevice && here.size > there.size;
        if there.size != here.size && !longer_device {
            self.differs(path.clone(), format!("it has {} bytes, the source's {}", here.size, there.size));
        }
    }
}

/// Why two volumes cannot be compared: one is a tree, the other is not.
pub(super) fn mismatch(source: Shape, destination: Shape) -> Option<String> {
    (source.is_single() != destination.is_single())
        .then(|| format!("one is {}, the other {}; name two that are alike", source.words(), destination.words()))
}
