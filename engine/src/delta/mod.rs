//! What of a file's bytes differs from another copy, decided over slices: leaves, their digests, and runs.
//!
//! Pure: no disk, no socket, no clock. Refuses to see anything larger than a segment at once.

mod align;
mod anchor;
mod baseline;
mod compress;
mod digests;
mod known;
mod segment;
mod sketch;
mod state;

pub use align::{Aligned, Search, Shift, Surroundings, align};
pub use anchor::Anchors;
pub use baseline::{BASELINE_LEN, Baseline};
pub use compress::{Compressor, DecompressError, Decompressor};
pub use digests::{content_digest, leaf_digest, leaf_digests, session_key};
pub use known::{Known, SegmentLeaves};
pub use segment::{Basis, Piece, compare_hole, compare_hole_onto, compare_onto, compare_pages, compare_segment};
pub use sketch::{SketchError, Window, dense_windows, diff, patch, sketch, windows};
pub use state::{FileLeaves, FileRecord, FileStamp, LeafRecord, State, StateError, leaves_of, read_state, write_state};
