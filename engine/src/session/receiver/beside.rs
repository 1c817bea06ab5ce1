//! Content that comes from another offset of the basis: the file is written beside it, and what was written in place before
//! is taken over.
//!
//! The first operation that says so turns a file, on whatever lane it comes. What a delta makes is checked like every other
//! content; one that makes something else is never used, and the file is compared again in another pass without deltas.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;

use crate::delta::{content_digest, patch};
use crate::session::fate::Ended;
use crate::types::{Entry, Stage, limits};
use crate::volume::Status;
use crate::wire::{Coding, DataView};

use super::arriving::Arriving;
use super::batches::{How, OpenBatch};
use super::context::{PassMode, Receiving};
use super::writer::{Writer, path};

/// Free bytes that are left alone when room for a second copy is looked for.
const ROOM_LEFT_MIN: u64 = 64 * 1_048_576;

impl Writer {
    /// Makes sure that the basis stays as it is from here on.
    pub(super) fn turn(&self, batch: &OpenBatch, arriving: &Arriving) -> Result<(), Ended> {
        let How::InPlace(status) = &arriving.plan.how else {
            return match arriving.plan.how {
                How::Rebuild(_) => self.begin(batch, arriving),
                _ => Err(self.receiving.broke("it moves content within a file that has no movable basis")),
            };
        };
        if arriving.has_failed() {
            return Ok(());
        }
        let turned = arriving.turn(|written| {
            batch.place.touch();
            let name = &arriving.plan.entry.name;
            // What was patched in place so far bears our mark, not the time it was seen with.
            let now = batch.place.dir.status_of(name)?.filter(|now| now.identity == status.identity);
            let writer = self.rebuild(&batch.place, name, &now.unwrap_or(*status))?;
            for (offset, len) in written {
                writer.take_over(offset, len)?;
            }
            tracing::debug!(name = %arriving.plan.entry.name, "content moved within the file; it is written beside");
            Ok(writer)
        });
        turned.or_else(|error| {
            arriving.fail();
            self.receiving.failed(path(batch, &arriving.plan), Stage::Write, error)
        })
    }

    /// The plain content of a data frame, checked; nothing when it cannot be made, and the file has failed then.
    pub(super) fn content<'a>(&self, arriving: &Arriving, view: &DataView<'a>) -> Result<Option<Cow<'a, [u8]>>, Ended> {
        let receiving = &self.receiving;
        let matches = |content: &[u8]| content_digest(&receiving.session_key, view.covered, content) == view.digest;
        match view.head.coding {
            Coding::Plain if matches(view.payload) => Ok(Some(Cow::Borrowed(view.payload))),
            Coding::Plain => Err(receiving.broke("content arrived with a wrong digest")),
            Coding::Zstd => Err(receiving.broke("it sent compressed content, which was not agreed")),
            Coding::Delta { .. } if arriving.has_failed() => Ok(None),
            Coding::Delta { from, reach } => {
                let window = arriving.read_basis(from, reach);
                let made = window.and_then(|window| patch(&window, view.payload, view.head.len as usize).ok());
                if let Some(made) = made.filter(|made| matches(made)) {
                    return Ok(Some(Cow::Owned(made)));
                }
                tracing::debug!(name = %arriving.plan.entry.name, "a delta made something else; comparing again without");
                arriving.fail();
                receiving.mistrusts_deltas.store(true, Relaxed);
                receiving.compares_again.store(true, Relaxed);
                Ok(None)
            }
        }
    }
}

impl Receiving {
    /// Whether pieces of a file may come from other offsets of its basis: it is written beside then, which needs room for a
    /// second copy, and cuts it off from its other names.
    pub fn may_move(&self, entry: &Entry, basis: &Status, how: &How) -> bool {
        let may = self.mode() == PassMode::Transfer
            && entry.size() > limits::PACKED_FILE_LEN_MAX
            && !self.mistrusts_deltas.load(Relaxed);
        match how {
            How::Rebuild(_) => may,
            How::InPlace(_) => {
                let alone = self.single.is_none() && basis.nlink == 1;
                may && alone && self.has_room_for(entry)
            }
            // One that is alike has the same length already.
            How::Create | How::CreateAlike(_) | How::CreateBeside | How::Replace | How::Compare(_) | How::Discard => {
                false
            }
        }
    }

    fn has_room_for(&self, entry: &Entry) -> bool {
        let needed = entry.size().saturating_add(ROOM_LEFT_MIN);
        let has = self.volume.free().is_ok_and(|free| free.bytes >= needed);
        if !has && !self.told_of_room.swap(true, Relaxed) {
            let note = "large files are changed where they are, for want of room for a second copy of them; bytes \
                        inserted into them are not recognised, and what follows them is sent again";
            tracing::info!("{note}");
            self.tally.note(note);
        }
        has
    }
}
