//! Contents that come compressed: refused unless it was agreed, and unfolded to exactly what was announced.
//!
//! What the digest says of them is for who uses them.

use crate::delta::Decompressor;
use crate::session::fate::Ended;
use crate::wire::{Coding, PackView};

use super::context::{PassMode, Receiving};

impl Receiving {
    /// The `len` bytes that a compressed payload holds; the wire has bounded `len`.
    pub fn decompressed<'a>(
        &self,
        decompressor: &'a mut Decompressor,
        payload: &[u8],
        len: u64,
    ) -> Result<&'a [u8], Ended> {
        if !self.takes_compressed {
            return Err(self.broke("it sent compressed content, which was not agreed"));
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        decompressor.decompress(payload, len).map_err(|error| self.broke(&error.to_string()))
    }

    /// The plain contents of a pack.
    pub fn unpacked<'a>(&self, view: &PackView<'a>, decompressor: &'a mut Decompressor) -> Result<&'a [u8], Ended> {
        match view.coding {
            Coding::Plain => Ok(view.contents),
            Coding::Zstd => self.decompressed(decompressor, view.contents, view.len),
            Coding::Delta { .. } => Err(self.broke("it sent a pack as a delta")),
        }
    }

    /// Counts content that came compressed and is used.
    pub fn came_compressed(&self, coding: Coding, len: u64, payload: &[u8]) {
        if coding == Coding::Zstd && self.mode() == PassMode::Transfer {
            self.tally.add(|t| &t.compressed, len);
            self.tally.add(|t| &t.compressed_to, payload.len() as u64);
        }
    }
}
