//! The one entry of a volume that is a block device: always compared in full, never trusted (engine-rules 23).

use std::sync::Arc;

use crate::session::fate::Ended;
use crate::types::Entry;
use crate::volume::{BlockDevice, Status};

use super::super::batches::{How, OpenBatch, Slot};
use super::super::context::PassMode;
use super::InBatch;

impl InBatch<'_> {
    /// Asks for what of the source differs from the device. Of a larger device only what the source covers counts, so
    /// that the last leaf of both ends at the same byte.
    pub(super) fn device(&mut self, batch: &Arc<OpenBatch>, entry: Entry, device: &BlockDevice) -> Result<Slot, Ended> {
        let (room, size) = (device.status().size, entry.size());
        if size > room {
            return Err(self.receiving.device_too_small(room, size));
        }
        if size == 0 {
            return Ok(Slot::Settled);
        }
        let status = Status { size, nlink: 1, ..*device.status() };
        let how = match self.receiving.mode() {
            PassMode::Transfer => How::InPlace(status),
            PassMode::DryRun | PassMode::Verify | PassMode::Clear => How::Compare(status),
        };
        Ok(self.compare_with(batch, entry, &status, how))
    }
}
