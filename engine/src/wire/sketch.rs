//! Sketch and Signatures: what a stretch between two places of different shift may have come from.
//!
//! A signature is opaque here; `delta` takes it apart before it is used.

use crate::types::{BatchId, EntryIndex, SegmentIndex, limits};

use super::attributes::FILE_SIZE_MAX;
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};
use super::need::{SEGMENT_MAX, index};

/// Bytes of one signature: its head, and twelve bytes for each block of 1 KiB.
const SIGNATURE_LEN_MAX: usize = 12 + 12 * (limits::SKETCH_LEN_MAX as usize / 1_024);

/// The sender asks for rsync signatures of parts of the basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// The segment of the source they are wanted for.
    pub segment: SegmentIndex,
    /// 1 to `SKETCHES_MAX` parts: offset, and length 1 to `SKETCH_LEN_MAX`.
    pub parts: Vec<(u64, u64)>,
}

/// The signatures asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// The batch.
    pub batch: BatchId,
    /// The entry.
    pub index: EntryIndex,
    /// The segment.
    pub segment: SegmentIndex,
    /// One a part, in the order asked; empty where the basis cannot be read.
    pub signatures: Vec<Vec<u8>>,
}

impl Sketch {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Sketch, 40 + self.parts.len() * 14);
        writer.uint(self.batch.0).uint(self.index.0).uint(self.segment.0).uint(self.parts.len() as u64);
        for (from, len) in &self.parts {
            writer.uint(*from).uint(*len);
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let segment = SegmentIndex(cursor.bounded("segment", 0, SEGMENT_MAX)?);
        let count = cursor.count("count of parts", limits::SKETCHES_MAX, 2)?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let from = cursor.bounded("offset of a part", 0, FILE_SIZE_MAX)?;
            let len = cursor.bounded("length of a part", 1, limits::SKETCH_LEN_MAX)?;
            from.checked_add(len).filter(|end| *end <= FILE_SIZE_MAX).ok_or(WireError::Crosses("a part"))?;
            parts.push((from, len));
        }
        cursor.finish()?;
        Ok(Self { batch, index, segment, parts })
    }
}

impl Signatures {
    pub(super) fn encode(&self) -> Vec<u8> {
        let len = self.signatures.iter().map(|signature| signature.len() + 4).sum::<usize>();
        let mut writer = FrameWriter::with_capacity(FrameKind::Signatures, 40 + len);
        writer.uint(self.batch.0).uint(self.index.0).uint(self.segment.0).uint(self.signatures.len() as u64);
        for signature in &self.signatures {
            writer.bytes(signature);
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let batch = BatchId(cursor.uint("batch")?);
        let index = index(&mut cursor)?;
        let segment = SegmentIndex(cursor.bounded("segment", 0, SEGMENT_MAX)?);
        let count = cursor.count("count of signatures", limits::SKETCHES_MAX, 1)?;
        let mut signatures = Vec::with_capacity(count);
        for _ in 0..count {
            signatures.push(cursor.bytes("signature", 0, SIGNATURE_LEN_MAX)?.to_vec());
        }
        cursor.finish()?;
        Ok(Self { batch, index, segment, signatures })
    }
}
