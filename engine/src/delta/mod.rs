//! What of a file's bytes differs from another copy, decided over slices: leaves, their digests, and runs.
//!
//! Pure: no disk, no socket, no clock. Refuses to see anything larger than a segment at once.

mod digests;
mod segment;
mod state;

pub use digests::{content_digest, leaf_digest, leaf_digests, session_key};
pub use segment::{Basis, Piece, compare_hole, compare_pages, compare_segment};
pub use state::{FileLeaves, FileRecord, FileStamp, State, StateError, leaves_of, read_state, write_state};
