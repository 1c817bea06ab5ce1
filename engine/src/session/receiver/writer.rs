//! A lane's writing thread: takes the frames of its lane, checks their digests, and puts content where the plan says.
//!
//! It never decides what is written where: the generator did. It acknowledges what it has taken to disk.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::delta::{Decompressor, content_digest};
use crate::session::error::SessionError;
use crate::session::extent::Compared;
use crate::session::fate::{Ended, Fate, LOOK_AGAIN, lock};
use crate::tunnel::{Outbox, Spare};
use crate::types::limits::{LANE_ACK_EVERY, LANE_CREDIT};
use crate::types::{BatchId, EntryIndex, Name, RelPath, Stage};
use crate::volume::{self, FileWriter, Status};
use crate::wire::{Coding, DataView, FileEnd, FileState, Frame, FrameKind, Message, PackItem, PackView, RunKind, Runs};

use super::arriving::{Arriving, End};
use super::basis::Job;
use super::batches::{How, OpenBatch, Place, Plan, basis_of, status_of};
use super::collected::Origin;
use super::context::Receiving;
use super::links::Failure;

/// Frames of a lane that are not yet written; bounded by the lane's credit.
#[derive(Debug)]
pub struct LaneQueue {
    state: Mutex<Queue>,
    more: Arc<Condvar>,
    /// Memory of frames that were written, for those that come.
    pub spare: Spare,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
}

pub(super) const WRONG_DIGEST: &str = "content arrived with a wrong digest";

/// What frames may weigh beyond the content they carry: heads, runs, ends.
const OVERHEAD_MAX: usize = 8 * 1_048_576;

impl LaneQueue {
    /// No frames yet.
    pub fn new(fate: &Fate) -> Self {
        Self { state: Mutex::default(), more: fate.bell(), spare: Spare::default() }
    }

    /// Adds a frame. `false` when the peer sent more than its credit.
    pub fn push(&self, frame: Frame) -> bool {
        let mut queue = lock(&self.state);
        queue.bytes += frame.len();
        let within = queue.bytes as u64 <= LANE_CREDIT + OVERHEAD_MAX as u64;
        queue.frames.push_back(frame);
        drop(queue);
        self.more.notify_one();
        within
    }

    fn pop(&self, receiving: &Receiving) -> Result<Frame, Ended> {
        let mut queue = lock(&self.state);
        loop {
            receiving.fate.check()?;
            if let Some(frame) = queue.frames.pop_front() {
                queue.bytes -= frame.len();
                return Ok(frame);
            }
            queue = match self.more.wait_timeout(queue, LOOK_AGAIN) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    fn is_empty(&self) -> bool {
        lock(&self.state).frames.is_empty()
    }
}

/// One lane's writing thread.
pub struct Writer {
    pub receiving: Arc<Receiving>,
    pub queue: Arc<LaneQueue>,
    pub lane: Outbox,
    pub taken: u64,
    pub acknowledged: u64,
}

impl Writer {
    /// Works until the session ends.
    pub fn run(mut self) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let mut decompressor = Decompressor::default();
        loop {
            let frame = self.queue.pop(&receiving)?;
            match frame.kind() {
                FrameKind::Pack => self.pack(&frame, &mut decompressor)?,
                FrameKind::Data => self.data(&frame, &mut decompressor)?,
                FrameKind::Runs | FrameKind::FileEnd => self.small(&frame)?,
                _ => return Err(receiving.broke("it sent a message on a data connection that does not belong there")),
            }
            self.queue.spare.keep(frame.into_buffer());
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        let due = self.taken - self.acknowledged;
        if due >= LANE_ACK_EVERY || (due > 0 && self.queue.is_empty()) {
            self.acknowledged = self.taken;
            // A lane that is gone says so when it is read.
            let _ = self.lane.post(Message::Ack(self.taken).encode());
        }
    }

    fn wire_error(&self, error: crate::wire::WireError) -> Ended {
        self.receiving.fate.fail(SessionError::Wire(error));
        Ended
    }

    fn open_batch(&self, id: BatchId) -> Result<Arc<OpenBatch>, Ended> {
        let batch = self.receiving.batches.await_open(id, &self.receiving.fate)?;
        batch.ok_or_else(|| self.receiving.broke("it sent content for a batch that awaits none"))
    }

    fn pack(&mut self, frame: &Frame, decompressor: &mut Decompressor) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let view = PackView::parse(frame).map_err(|e| self.wire_error(e))?;
        let contents = receiving.unpacked(&view, decompressor)?;
        if content_digest(&receiving.session_key, view.covered, contents) != view.digest {
            return Err(receiving.broke(WRONG_DIGEST));
        }
        receiving.charge(view.len)?;
        receiving.came_compressed(view.coding, view.len, view.contents);
        let batch = self.open_batch(view.batch)?;
        let mut rest = contents;
        let mut settled = 0;
        for (index, item) in &view.items {
            let Some(plan) = batch.take(*index) else {
                return Err(receiving.broke("it sent content for an entry that awaits none"));
            };
            let content = match item {
                PackItem::Whole(len) => {
                    let (content, later) = rest.split_at_checked(*len as usize).unwrap_or((rest, &[]));
                    rest = later;
                    content
                }
                PackItem::Changed | PackItem::Vanished | PackItem::Unreadable | PackItem::Same => &[],
            };
            self.packed(&batch, *plan, item, content)?;
            settled += 1;
        }
        receiving.settled(&batch, settled);
        self.taken += view.len;
        Ok(())
    }

    /// One small file, whole or otherwise.
    fn packed(&self, batch: &OpenBatch, plan: Plan, item: &PackItem, content: &[u8]) -> Result<(), Ended> {
        let receiving = &self.receiving;
        if let Some(compared) = compared(&plan) {
            receiving.basis.answered(compared.credit(0));
        }
        if matches!(item, PackItem::Changed | PackItem::Vanished | PackItem::Unreadable) {
            receiving.incomplete.store(true, Relaxed);
        }
        match item {
            PackItem::Whole(_) if matches!(plan.how, How::Compare(_)) => {
                receiving.say_content_differs(batch, &plan.entry);
                Ok(())
            }
            PackItem::Whole(_) if matches!(plan.how, How::Discard) => Ok(()),
            PackItem::Whole(_) => receiving.write_packed(batch, plan, content),
            PackItem::Same => receiving.content_is_same(batch, plan),
            // What cannot be compared was told by the sender; nothing waits for it.
            PackItem::Changed | PackItem::Vanished | PackItem::Unreadable if matches!(plan.how, How::Compare(_)) => {
                Ok(())
            }
            PackItem::Changed | PackItem::Vanished | PackItem::Unreadable => {
                receiving.file_failed(plan.entry.link, Failure::Problem)
            }
        }
    }

    /// The large file a frame speaks of, opened by the first one.
    fn arriving(&self, batch: &OpenBatch, index: EntryIndex) -> Result<Arc<Arriving>, Ended> {
        let receiving = &self.receiving;
        let mut fatal = None;
        let arriving = batch.arriving(index, |plan| {
            let leaves = receiving.collector(&plan);
            let opened = match plan.how {
                How::Rebuild(_) => return Arriving::deferred(plan).collecting(leaves),
                How::Compare(_) | How::Discard => Ok(None),
                _ => self.open(batch, &plan).map(Some),
            };
            match opened {
                Ok(writer) => Arriving::new(plan, writer, false).collecting(leaves),
                Err(error) => {
                    let path = batch.place.dir.path().join(&plan.entry.name);
                    fatal = receiving.failed(path, Stage::Write, error).err();
                    Arriving::new(plan, None, true)
                }
            }
        });
        match (arriving, fatal) {
            (_, Some(ended)) => Err(ended),
            (Some(arriving), None) => Ok(arriving),
            (None, None) => Err(receiving.broke("it sent content for an entry that awaits none")),
        }
    }

    fn open(&self, batch: &OpenBatch, plan: &Plan) -> Result<FileWriter, volume::Error> {
        let place = &batch.place;
        let name = &plan.entry.name;
        place.touch();
        match &plan.how {
            How::Create => FileWriter::create(&place.dir, name),
            How::CreateAlike(standing) => {
                let basis = (&*standing.place.dir, &standing.name, &standing.status);
                match FileWriter::create_alike(&place.dir, name, basis) {
                    // What may not be read was not compared either: everything comes.
                    Err(error) if error.is_privilege() => FileWriter::create(&place.dir, name),
                    opened => opened,
                }
            }
            How::InPlace(status) => {
                if let Some(device) = self.receiving.volume.block_device() {
                    return FileWriter::device(&place.dir, device);
                }
                match FileWriter::in_place(&place.dir, name, status, plan.entry.mtime)? {
                    Some(writer) => Ok(writer),
                    None => self.rebuild(place, name, status),
                }
            }
            How::Rebuild(status) => self.rebuild(place, name, status),
            How::CreateBeside | How::Replace | How::Compare(_) | How::Discard => {
                FileWriter::temporary(&place.dir, &self.receiving.temporary(), None)
            }
        }
    }

    pub(super) fn rebuild(&self, place: &Place, name: &Name, basis: &Status) -> Result<FileWriter, volume::Error> {
        match FileWriter::temporary(&place.dir, &self.receiving.temporary(), Some((name, basis))) {
            // What may not be read was not compared either: everything comes.
            Err(error) if error.is_privilege() => FileWriter::temporary(&place.dir, &self.receiving.temporary(), None),
            opened => opened,
        }
    }

    fn data(&mut self, frame: &Frame, decompressor: &mut Decompressor) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let view = DataView::parse(frame).map_err(|e| self.wire_error(e))?;
        let (len, offset) = (u64::from(view.head.len), view.head.offset);
        receiving.charge(len)?;
        let batch = self.open_batch(view.head.batch)?;
        let arriving = self.arriving(&batch, view.head.index)?;
        if view.head.beside {
            self.turn(&batch, &arriving)?
        } else {
            self.begin(&batch, &arriving)?
        }
        let content = self.content(&arriving, &view, decompressor)?;
        if let Some(content) = &content {
            receiving.collect(&arriving, offset, len, &Origin::Bytes(content));
        }
        let covered = self.apply(&batch, &arriving, offset, len, |writer| {
            content.as_ref().map_or(Ok(()), |content| writer.write_at(content, offset))
        })?;
        if covered.is_some() {
            forget_sent(receiving.basis.job(view.head.batch, view.head.index).as_deref(), covered);
        }
        match arriving.plan.how {
            How::Compare(_) => arriving.differs(),
            How::Discard => {}
            How::Create
            | How::CreateAlike(_)
            | How::CreateBeside
            | How::InPlace(_)
            | How::Rebuild(_)
            | How::Replace => {
                let literal = match view.head.coding {
                    Coding::Plain | Coding::Zstd => len,
                    Coding::Delta { .. } => view.payload.len() as u64,
                };
                receiving.came_compressed(view.head.coding, len, view.payload);
                receiving.tally.add(|t| &t.literal, literal);
                receiving.tally.add(|t| &t.copied, len - literal);
            }
        }
        self.taken += len;
        self.finish_if_complete(&batch, view.head.index, &arriving)
    }

    /// Something differs: a file that was only compared so far is written from here on.
    pub(super) fn begin(&self, batch: &OpenBatch, arriving: &Arriving) -> Result<(), Ended> {
        let How::Rebuild(status) = &arriving.plan.how else { return Ok(()) };
        let begun = arriving.begin(|stretches| {
            batch.place.touch();
            let writer = self.rebuild(&batch.place, &arriving.plan.entry.name, status)?;
            for (offset, len) in stretches {
                writer.copy_from_basis(*offset, *len)?;
            }
            Ok::<_, volume::Error>(writer)
        });
        begun.or_else(|error| {
            arriving.fail();
            self.receiving.failed(path(batch, &arriving.plan), Stage::Write, error)
        })
    }

    /// Does one operation, and counts what it covers.
    fn apply(
        &self,
        batch: &OpenBatch,
        arriving: &Arriving,
        offset: u64,
        len: u64,
        operation: impl FnOnce(&FileWriter) -> Result<(), volume::Error>,
    ) -> Result<Option<u64>, Ended> {
        let receiving = &self.receiving;
        // Held until it is covered: a file that turns must know everything that was written.
        let writer = arriving.writer.read().unwrap_or_else(PoisonError::into_inner);
        if !arriving.has_failed()
            && let Err(error) = writer.as_ref().map_or(Ok(()), operation)
        {
            arriving.fail();
            receiving.failed(path(batch, &arriving.plan), Stage::Write, error)?;
        }
        let covered = arriving
            .cover(offset, len)
            .map_err(|_| receiving.broke("the operations of a file's segment have a gap or an overlap"))?;
        drop(writer);
        if let (Some(segment), Some(compared)) = (covered, compared(&arriving.plan)) {
            receiving.basis.answered(compared.credit(segment));
        }
        Ok(covered)
    }

    fn small(&mut self, frame: &Frame) -> Result<(), Ended> {
        match Message::decode(frame).map_err(|e| self.wire_error(e))? {
            Message::Runs(runs) => self.runs(&runs),
            Message::FileEnd(end) => self.file_end(&end),
            _ => Err(self.receiving.broke("a message on a data connection does not belong there")),
        }
    }

    fn runs(&mut self, runs: &Runs) -> Result<(), Ended> {
        let receiving = Arc::clone(&self.receiving);
        let batch = self.open_batch(runs.batch)?;
        let arriving = self.arriving(&batch, runs.index)?;
        let basis_len = basis_of(&arriving.plan.how).map(|(_, len)| len);
        if runs.beside && !matches!(arriving.plan.how, How::Rebuild(_)) {
            self.turn(&batch, &arriving)?;
        }
        let job = receiving.basis.job(runs.batch, runs.index);
        let trusted = job.as_ref().is_some_and(|job| job.cached.is_some());
        let mut offset = runs.offset;
        for run in &runs.runs {
            let end = offset.checked_add(run.len).ok_or_else(|| receiving.broke("a run ends beyond all bounds"))?;
            let len = run.len;
            let deferred = run.kind == RunKind::Copy && arriving.defer(offset, len);
            if matches!(run.kind, RunKind::Hole | RunKind::Moved { .. }) {
                self.begin(&batch, &arriving)?;
                if matches!(arriving.plan.how, How::Compare(_)) {
                    // Zeros that the sender did not call equal: something else is here.
                    arriving.differs();
                }
            }
            let operation = |writer: &FileWriter| match run.kind {
                RunKind::Copy if deferred => Ok(()),
                RunKind::Copy => writer.copy_from_basis(offset, len),
                RunKind::Moved { from } => writer.move_from_basis(from, offset, len),
                RunKind::Hole => writer.hole(offset, len),
                RunKind::Void => Ok(()),
            };
            receiving.progress.bytes_done.fetch_add(len, Relaxed);
            match run.kind {
                RunKind::Copy if basis_len.is_none() => {
                    return Err(receiving.broke("it copies from a basis that is not there"));
                }
                RunKind::Moved { from } if basis_len.is_none_or(|basis| from.saturating_add(len) > basis) => {
                    return Err(receiving.broke("it copies what the basis does not have"));
                }
                // What was not read is what remains after everything was counted.
                RunKind::Copy | RunKind::Moved { .. } if trusted => {}
                RunKind::Copy | RunKind::Moved { .. } => receiving.tally.add(|t| &t.copied, len),
                RunKind::Hole => receiving.tally.add(|t| &t.holes, len),
                RunKind::Void => arriving.fail(),
            }
            match run.kind {
                RunKind::Copy => receiving.collect(&arriving, offset, len, &Origin::Basis(job.as_deref())),
                RunKind::Hole => receiving.collect(&arriving, offset, len, &Origin::Zeros),
                // It stood elsewhere: read again when the file is whole.
                RunKind::Moved { .. } => receiving.collect(&arriving, offset, len, &Origin::Basis(None)),
                RunKind::Void => {}
            }
            let covered = self.apply(&batch, &arriving, offset, len, operation)?;
            forget_sent(job.as_deref(), covered);
            offset = end;
        }
        self.finish_if_complete(&batch, runs.index, &arriving)
    }

    fn file_end(&mut self, end: &FileEnd) -> Result<(), Ended> {
        let batch = self.open_batch(end.batch)?;
        let arriving = self.arriving(&batch, end.index)?;
        let size = arriving.plan.entry.size();
        if !arriving.ended(end.state) || (end.state == FileState::AsScanned && end.size != size) {
            return Err(self.receiving.broke("a file ended twice, or with another size than announced"));
        }
        if end.state != FileState::AsScanned {
            self.receiving.incomplete.store(true, Relaxed);
        }
        self.finish_if_complete(&batch, end.index, &arriving)
    }

    fn finish_if_complete(&self, batch: &OpenBatch, index: EntryIndex, arriving: &Arriving) -> Result<(), Ended> {
        let Some(end) = arriving.complete() else { return Ok(()) };
        if let (How::Rebuild(status), true) = (&arriving.plan.how, !end.failed)
            && status.size != arriving.plan.entry.size()
        {
            self.begin(batch, arriving)?;
        }
        let receiving = &self.receiving;
        batch.settle(index);
        receiving.basis.forget(batch.id, index);
        let writer = arriving.writer.write().unwrap_or_else(PoisonError::into_inner).take();
        let same = arriving.is_deferred();
        let leaves = lock(&arriving.leaves).take();
        self.finish(batch, &arriving.plan, writer, end, same)?;
        if let Some(leaves) = leaves {
            match end {
                End { state: FileState::AsScanned, failed: false, .. } => {
                    receiving.remember(&batch.place, &arriving.plan.entry, leaves);
                }
                _ => receiving.cache.let_go(leaves.held()),
            }
        }
        receiving.settled(batch, 1);
        Ok(())
    }

    /// The file's last step. `same`: nothing differed from its basis.
    fn finish(
        &self,
        batch: &OpenBatch,
        plan: &Plan,
        writer: Option<FileWriter>,
        end: End,
        same: bool,
    ) -> Result<(), Ended> {
        let receiving = &self.receiving;
        if let How::Compare(_) = plan.how {
            if end.differs && end.state == FileState::AsScanned {
                receiving.say_content_differs(batch, &plan.entry);
            }
            return Ok(());
        }
        let whole = end.state == FileState::AsScanned && !end.failed;
        match writer {
            None if whole && same => receiving.keep_or_break(&batch.place, plan),
            Some(writer) if whole && writer.is_untouched() && is_as_long(plan) => {
                writer.abandon();
                receiving.keep_or_break(&batch.place, plan)
            }
            Some(writer) if whole => receiving.finish_file(batch, plan, writer),
            Some(writer) => {
                if let Err(error) = writer.leave_unfinished(&plan.entry.name, plan.entry.mtime) {
                    receiving.failed(path(batch, plan), Stage::Write, error)?;
                }
                receiving.file_failed(plan.entry.link, Failure::Problem)
            }
            None => receiving.file_failed(plan.entry.link, Failure::Problem),
        }
    }
}

/// Whether what stands there has the source's length already.
fn is_as_long(plan: &Plan) -> bool {
    status_of(&plan.how).is_some_and(|status| status.size == plan.entry.size())
}

/// A segment is answered: what was said of it is not needed any more.
fn forget_sent(job: Option<&Job>, covered: Option<u64>) {
    if let (Some(job), Some(segment)) = (job, covered) {
        lock(&job.sent).remove(&segment);
    }
}

/// What is compared of a file; whether its basis is movable plays no part in what is answered.
fn compared(plan: &Plan) -> Option<Compared> {
    let (_, basis_len) = basis_of(&plan.how)?;
    Some(Compared { source_len: plan.entry.size(), basis_len, movable: false })
}

pub(super) fn path(batch: &OpenBatch, plan: &Plan) -> RelPath {
    batch.place.dir.path().join(&plan.entry.name)
}
