//! A reading thread: takes work, reads files, hashes what it read, and writes frames to its own lane.
//!
//! One thread a lane, so that the operations of a segment stay in order. It decides nothing about what is sent.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::delta::{Piece, SegmentLeaves, content_digest, leaf_digests};
use crate::session::error::SessionError;
use crate::session::fate::{Ended, Fate, lock};
use crate::tunnel::Outbox;
use crate::types::{EntryIndex, LeafDigest, RelPath, SegmentIndex, Stage, limits};
use crate::volume::{Extent, Opened, SourceFile, Stability};
use crate::wire::{self, FileEnd, FileState, Message, PackItem, Run, RunKind};

use super::book::{SentBatch, SentFile};
use super::compare::{Compared, target};
pub(super) use super::content::Target;
use super::context::Sending;
use super::feed::{Answer, Asked, Feed, Parked};
use super::large::{LargeFile, Opening};
use super::shrink::{Load, Shrinker};
use super::work::{LaneCredit, Work};

/// One lane's reading thread.
pub struct Reader {
    pub sending: Arc<Sending>,
    pub feed: Arc<Feed>,
    pub lane: Outbox,
    pub credit: Arc<LaneCredit>,
    /// Reused: one segment, or the contents of one pack.
    pub buffer: Vec<u8>,
    /// Its own; locked for as long as a frame is made.
    pub shrinker: Mutex<Shrinker>,
}

/// Reading one stretch of a file failed: the file is void from here.
pub(super) struct Spoiled;

impl Reader {
    /// Works until the session ends.
    pub fn run(mut self) -> Result<(), Ended> {
        let sending = Arc::clone(&self.sending);
        loop {
            let work = sending.work.pop(&sending.fate)?;
            lock(&self.shrinker).resumed();
            match work {
                Work::Pack { batch, indexes } => self.pack(&batch, &indexes)?,
                Work::Compare { batch, index, leaves } => self.compare_small(&batch, index, &leaves)?,
                Work::Stretch { file, next, end } => {
                    if next + 1 < end {
                        sending.work.put_back(Work::Stretch { file: Arc::clone(&file), next: next + 1, end });
                    }
                    self.segment(&file, SegmentIndex(next), None)?;
                }
                Work::Parked { parked, answer } => self.answered(&parked, &answer)?,
                Work::Segment { file, segment, leaves } => self.segment(&file, segment, Some(&leaves))?,
            }
        }
    }

    fn fate(&self) -> &Fate {
        &self.sending.fate
    }

    fn pack(&mut self, batch: &SentBatch, indexes: &[EntryIndex]) -> Result<(), Ended> {
        let mut contents = std::mem::take(&mut self.buffer);
        contents.clear();
        let mut items = Vec::with_capacity(indexes.len());
        for file in indexes.iter().filter_map(|index| batch.file(*index)) {
            let item = self.read_small(batch, file, &mut contents);
            items.push((file.index, item));
        }
        let sent = self.send_pack(batch, &items, &contents);
        self.buffer = contents;
        sent
    }

    fn send_pack(&self, batch: &SentBatch, items: &[(EntryIndex, PackItem)], contents: &[u8]) -> Result<(), Ended> {
        let key = &self.sending.session_key;
        let (frame, compressed_to) = match lock(&self.shrinker).shrink(contents) {
            Some(short) => {
                let digest = |said: &[u8]| content_digest(key, said, contents);
                (wire::compressed_pack_frame(batch.id, items, short, digest), Some(short.len() as u64))
            }
            None => {
                let digest = |said: &[u8], held: &[u8]| content_digest(key, said, held);
                (wire::pack_frame(self.lane.spare(), batch.id, items, contents, digest), None)
            }
        };
        let content = contents.len() as u64;
        self.send_content(frame, &Load { content, literal: content, compressed_to })
    }

    /// Appends a small file's content; what else became of it is its item.
    fn read_small(&self, batch: &SentBatch, file: &SentFile, contents: &mut Vec<u8>) -> PackItem {
        let before = contents.len();
        let read = batch.dir.read_small(&file.name, &file.status, contents);
        let len = contents.len() - before;
        match read {
            Ok(Stability::AsScanned) => match u32::try_from(len) {
                Ok(len) => return PackItem::Whole(len),
                Err(_) => self.changed(batch, file, false),
            },
            Ok(Stability::Changed) => {
                if let Some(len) = self.read_as_found(batch, file, contents) {
                    self.changed(batch, file, true);
                    return PackItem::Whole(len);
                }
                self.changed(batch, file, false);
            }
            Ok(Stability::Vanished) => {
                contents.truncate(before);
                self.vanished();
                return PackItem::Vanished;
            }
            Err(error) => {
                contents.truncate(before);
                self.sending.problem(path(batch, file), Stage::Read, error.to_string());
                return PackItem::Unreadable;
            }
        }
        contents.truncate(before);
        PackItem::Changed
    }

    /// When no further pass follows: what a small file holds now, though it is not what was scanned. It arrives under the time
    /// that was scanned. A tick has passed since then, so every later write gives the source another one, and the next run
    /// looks at it again.
    fn read_as_found(&self, batch: &SentBatch, file: &SentFile, contents: &mut Vec<u8>) -> Option<u32> {
        if !self.sending.last_chance.load(Relaxed) {
            return None;
        }
        let before = contents.len();
        let room = limits::DATA_LEN_MAX.saturating_sub(before).min(limits::PACKED_FILE_LEN_MAX as usize);
        let found = batch.dir.read_as_found(&file.name, &file.status, room, contents).unwrap_or(false);
        if found { u32::try_from(contents.len() - before).ok() } else { None }
    }

    fn changed(&self, batch: &SentBatch, file: &SentFile, at_hand: bool) {
        self.sending.changed.push(
            path(batch, file),
            Stage::Read,
            "it changed while it was read; run again when it is quiet",
            at_hand,
        );
    }

    fn vanished(&self) {
        self.sending.tally.add(|t| &t.vanished, 1);
        self.sending.changed.vanished();
    }

    fn compare_small(&mut self, batch: &SentBatch, index: EntryIndex, leaves: &[LeafDigest]) -> Result<(), Ended> {
        let Some(file) = batch.file(index) else { return Ok(()) };
        let mut contents = std::mem::take(&mut self.buffer);
        contents.clear();
        let mut item = self.read_small(batch, file, &mut contents);
        if matches!(item, PackItem::Whole(_)) && leaf_digests(&self.sending.leaf_key, &contents) == leaves {
            self.sending.tally.add(|t| &t.copied, contents.len() as u64);
            contents.clear();
            item = PackItem::Same;
        }
        self.feed.answer(1);
        let sent = self.send_pack(batch, &[(index, item)], &contents);
        self.buffer = contents;
        sent
    }

    fn segment(
        &mut self,
        file: &Arc<LargeFile>,
        segment: SegmentIndex,
        leaves: Option<&SegmentLeaves>,
    ) -> Result<(), Ended> {
        let (start, len) = file.span(segment);
        let mut at = start;
        if let (false, Opening::Open(source)) = (file.is_spoiled(), file.opened(|| self.open(file))) {
            let done = match leaves {
                Some(leaves) => match self.compared_segment(file, source, segment, leaves, &mut at)? {
                    Ok(Compared::Parked) => return Ok(()),
                    Ok(Compared::Sent) => Ok(()),
                    Err(Spoiled) => Err(Spoiled),
                },
                // Its zeros are found by reading: a comparison with nothing, which never has to ask for pages.
                None if source.hides_holes() => {
                    self.compared_segment(file, source, segment, &SegmentLeaves::default(), &mut at)?.map(|_| ())
                }
                // Bytes were inserted before it: what the basis has at its end stands here.
                None if file.course().shift() != 0 => match self.shifted_rest(file, source, segment, &mut at)? {
                    Ok(Compared::Parked) => return Ok(()),
                    Ok(Compared::Sent) => Ok(()),
                    Err(Spoiled) => Err(Spoiled),
                },
                None => {
                    self.plain_segment(&target(file, segment, &[Piece::Literal(len)]), source, &mut at, start + len)?
                }
            };
            if let Err(Spoiled) = done {
                tracing::debug!(index = file.index.0, at, "the rest of a segment is void");
            }
        }
        if leaves.is_some() {
            self.feed.answer(file.compared.credit(segment.0));
        }
        self.cover(file, at, start + len, len)
    }

    /// What was not sent of a segment is void; then it is covered.
    pub(super) fn cover(&self, file: &LargeFile, at: u64, end: u64, len: u64) -> Result<(), Ended> {
        if at < end {
            let beside = file.course().is_beside();
            self.runs(&Target { file, beside }, at, &[Run { kind: RunKind::Void, len: end - at }])?;
        }
        self.sending.progress.bytes_done.fetch_add(len, Relaxed);
        match file.segment_covered() {
            Some(state) => self.end(file, state),
            None => Ok(()),
        }
    }

    fn shifted_rest(
        &mut self,
        file: &Arc<LargeFile>,
        source: &SourceFile,
        segment: SegmentIndex,
        at: &mut u64,
    ) -> Result<Result<Compared, Spoiled>, Ended> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.shifted_segment(file, (source, &mut buffer), segment, &SegmentLeaves::default(), at);
        self.buffer = buffer;
        result
    }

    /// What a parked segment waited for is here.
    fn answered(&mut self, parked: &Parked, answer: &Answer) -> Result<(), Ended> {
        self.resume(parked, |reader, source, buffer, at| match (&parked.asked, answer) {
            (Asked::Pages(leaves), Answer::Pages(pages)) => {
                reader.send_refined((parked, leaves), pages, (source, buffer), at)
            }
            (Asked::Signatures(windows), Answer::Signatures(signatures)) => {
                reader.send_patched((parked, windows), signatures, (source, buffer), at)
            }
            (Asked::Pages(_) | Asked::Signatures(_), _) => {
                let error = SessionError::Protocol("it answered something that was not asked".to_owned());
                reader.sending.fate.fail(error);
                Err(Ended)
            }
        })
    }

    fn end(&self, file: &LargeFile, state: FileState) -> Result<(), Ended> {
        match (state, file.file()) {
            (FileState::Changed, Some(of)) => self.changed(&file.batch, of, file.was_read()),
            (FileState::Vanished, _) => self.vanished(),
            (FileState::AsScanned | FileState::Unreadable, _) | (FileState::Changed, None) => {}
        }
        self.send(
            Message::FileEnd(FileEnd { batch: file.batch.id, index: file.index, state, size: file.size }).encode(),
        )
    }

    pub(super) fn open(&self, file: &LargeFile) -> Opening {
        let Some(of) = file.file() else { return Opening::Failed };
        match file.batch.dir.open_source_file(&of.name, &of.status) {
            Ok(Opened::File(source)) => return Opening::Open(source),
            // As much as it had when it was scanned is read; at its end it is found to have changed, and marked there.
            Ok(Opened::Changed(Some(source))) if self.sending.last_chance.load(Relaxed) => {
                return Opening::Open(source);
            }
            Ok(Opened::Changed(_)) => file.spoil(FileState::Changed),
            Ok(Opened::Vanished) => file.spoil(FileState::Vanished),
            Err(error) => {
                file.spoil(FileState::Unreadable);
                self.sending.problem(path(&file.batch, of), Stage::Read, error.to_string());
            }
        }
        Opening::Failed
    }

    /// Reads, or spoils the file: it became shorter, or cannot be read.
    pub(super) fn read(&self, file: &LargeFile, source: &SourceFile, into: &mut [u8], at: u64) -> Result<(), Spoiled> {
        match source.read_exact_at(into, at) {
            Ok(true) => Ok(()),
            Ok(false) => {
                file.spoil(FileState::Changed);
                Err(Spoiled)
            }
            Err(error) => {
                file.spoil(FileState::Unreadable);
                if let Some(of) = file.file() {
                    self.sending.problem(path(&file.batch, of), Stage::Read, error.to_string());
                }
                Err(Spoiled)
            }
        }
    }

    /// A segment of which the receiver has nothing: its extents, read straight into frames.
    fn plain_segment(
        &self,
        target: &Target<'_>,
        source: &SourceFile,
        at: &mut u64,
        end: u64,
    ) -> Result<Result<(), Spoiled>, Ended> {
        let file = target.file;
        while *at < end {
            let extent = match source.next_extent(*at, end) {
                Ok(extent) => extent,
                Err(error) => {
                    tracing::debug!(%error, "extents are unknown; reading on");
                    Extent::Data { len: end - *at }
                }
            };
            match extent {
                Extent::Hole { len } => {
                    self.runs(target, *at, &[Run { kind: RunKind::Hole, len }])?;
                    self.sending.tally.add(|t| &t.holes, len);
                    *at += len;
                }
                Extent::Data { len } => {
                    let extent_end = *at + len;
                    while *at < extent_end {
                        let len = (extent_end - *at).min(limits::DATA_LEN_MAX as u64);
                        match self.data(target, *at, len, |into| self.read(file, source, into, *at))? {
                            Ok(()) => *at += len,
                            Err(Spoiled) => return Ok(Err(Spoiled)),
                        }
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// Sends a frame of content.
    pub(super) fn send_content(&self, frame: Vec<u8>, load: &Load) -> Result<(), Ended> {
        self.waiting(|| self.credit.take(load.content, self.fate()))?;
        let tally = &self.sending.tally;
        tally.add(|t| &t.literal, load.literal);
        if let Some(bytes) = load.compressed_to {
            tally.add(|t| &t.compressed, load.literal);
            tally.add(|t| &t.compressed_to, bytes);
        }
        self.sending.progress.bytes_sent.fetch_add(load.literal, Relaxed);
        let wire = frame.len() as u64;
        self.send(frame)?;
        lock(&self.shrinker).sent(load, wire);
        Ok(())
    }

    pub(super) fn send(&self, frame: Vec<u8>) -> Result<(), Ended> {
        self.fate().check()?;
        self.waiting(|| self.lane.blocking_send(frame).map_err(|_| Ended))
    }

    /// Does what may have to wait for room to send, and takes the time.
    fn waiting(&self, what: impl FnOnce() -> Result<(), Ended>) -> Result<(), Ended> {
        let since = Instant::now();
        let done = what();
        let ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.sending.waited_ns.fetch_add(ns, Relaxed);
        lock(&self.shrinker).waited(since);
        done
    }
}

fn path(batch: &SentBatch, file: &SentFile) -> RelPath {
    batch.dir.path().join(&file.name)
}
