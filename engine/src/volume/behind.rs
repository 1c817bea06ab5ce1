//! Behind the writing of new content: what was written starts on its way to disk, and what has got there leaves memory.
//!
//! ```text
//!   gone from memory  |  on its way  | being written
//!   ------------------+--------------+--------------->  offset
//!                     end - KEPT_LEN  end
//! ```
//!
//! The kernel by itself begins when a tenth of memory waits, which is after the last byte of most files: the disk idles
//! first and everything waits for it then. And each page it keeps is one more page to be found; on a virtual machine
//! that gave its free memory back this costs many times the copy into it (DESIGN.md, 2026-11-25). Pages that are let go are used
//! again at once.
//!
//! It is advice only, and changes nothing of what is promised: it syncs nothing, hides no error from a later sync, and touches no
//! content that was there before, which somebody may be using.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use rustix::fs::Advice;

use crate::types::limits::SEGMENT_LEN;

/// How much behind a write stays in memory at least: what several lanes write at the same time, and what is on its way.
const KEPT_LEN: u64 = 2 * SEGMENT_LEN;
/// How far behind a write is looked for what can go: where the disk is slower, the rest stays until the end.
const LOOKED_LEN: u64 = 8 * SEGMENT_LEN;

/// After a write from new content that ended at `end`. Content before `from` was there before.
pub(super) fn follow(file: &OwnedFd, from: u64, end: u64) {
    if end.is_multiple_of(SEGMENT_LEN) {
        advise(file, from.max(end.saturating_sub(SEGMENT_LEN)), end);
        advise(file, from.max(end.saturating_sub(LOOKED_LEN)), end.saturating_sub(KEPT_LEN));
    }
}

/// After everything from `from` to `end` was synced. Small content stays.
pub(super) fn let_go(file: &OwnedFd, from: u64, end: u64) {
    if end.saturating_sub(from) > KEPT_LEN {
        advise(file, from, end);
    }
}

/// Dirty pages start to be written, clean ones are dropped. A file system in memory does neither.
fn advise(file: &OwnedFd, from: u64, end: u64) {
    if let Some(len) = NonZeroU64::new(end.saturating_sub(from)) {
        // Nothing depends on it: an error of the disk is told by the sync.
        let _ = rustix::fs::fadvise(file, from, Some(len), Advice::DontNeed);
    }
}
