//! The frames of a large file's content: pieces as runs, data and deltas, each with the digest of what was read.

use std::convert::Infallible;

use crate::delta::{Piece, Window, content_digest, diff};
use crate::session::error::SessionError;
use crate::session::fate::{Ended, lock};
use crate::types::limits::DATA_LEN_MAX;
use crate::wire::{self, Coding, DataHead, Message, Run, RunKind, Runs};

use super::large::LargeFile;
use super::reader::Reader;
use super::shrink::Load;

/// The file that operations are for, and how the receiver must write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub file: &'a LargeFile,
    /// Beside its basis, which must stay as it is.
    pub beside: bool,
}

impl Reader {
    /// Sends pieces that lie one after the other from `at` on; `bytes` are what was read there, and are not looked at for
    /// pieces that need none.
    pub(super) fn send_pieces(
        &self,
        target: &Target<'_>,
        pieces: &[Piece],
        bytes: &[u8],
        at: &mut u64,
    ) -> Result<(), Ended> {
        let tally = &self.sending.tally;
        let mut rest = bytes;
        for piece in pieces {
            let len = piece.len();
            let (now, later) = rest.split_at_checked(usize::try_from(len).unwrap_or(0)).unwrap_or((rest, &[]));
            rest = later;
            match *piece {
                Piece::Copy(_) => {
                    self.runs(target, *at, &[Run { kind: RunKind::Copy, len }])?;
                    tally.add(|t| &t.copied, len);
                }
                Piece::Moved { from, .. } => {
                    self.runs(target, *at, &[Run { kind: RunKind::Moved { from }, len }])?;
                    tally.add(|t| &t.copied, len);
                }
                Piece::Zero(_) => {
                    self.runs(target, *at, &[Run { kind: RunKind::Hole, len }])?;
                    tally.add(|t| &t.holes, len);
                }
                Piece::Literal(_) => self.plain(target, *at, now)?,
            }
            *at += len;
        }
        Ok(())
    }

    /// Bytes as they are, in as many frames as they need.
    pub(super) fn plain(&self, target: &Target<'_>, at: u64, bytes: &[u8]) -> Result<(), Ended> {
        let mut at = at;
        for chunk in bytes.chunks(DATA_LEN_MAX) {
            self.chunk(&head(target, at, chunk.len() as u64), chunk)?;
            at += chunk.len() as u64;
        }
        Ok(())
    }

    /// One data frame of content that is here, compressed if that is in order and it shrinks.
    fn chunk(&self, head: &DataHead, content: &[u8]) -> Result<(), Ended> {
        let key = &self.sending.session_key;
        let (frame, compressed_to) = match lock(&self.shrinker).shrink(content) {
            Some(short) => {
                let digest = |said: &[u8]| content_digest(key, said, content);
                (wire::compressed_frame(head, short, digest), Some(short.len() as u64))
            }
            None => {
                let fill = |into: &mut [u8]| -> Result<(), Infallible> {
                    into.copy_from_slice(content);
                    Ok(())
                };
                let Ok(frame) =
                    wire::data_frame(self.lane.spare(), head, fill, |said, held| content_digest(key, said, held));
                (frame, None)
            }
        };
        let content = content.len() as u64;
        self.send_content(frame, &Load { content, literal: content, compressed_to })
    }

    /// One data frame whose content `fill` reads: straight into it when it is sent as it is.
    pub(super) fn data<E>(
        &self,
        target: &Target<'_>,
        offset: u64,
        len: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, Ended> {
        let key = &self.sending.session_key;
        let head = head(target, offset, len);
        if lock(&self.shrinker).is_plain() {
            let frame = wire::data_frame(self.lane.spare(), &head, fill, |said, held| content_digest(key, said, held));
            return match frame {
                Ok(frame) => {
                    self.send_content(frame, &Load { content: len, literal: len, compressed_to: None }).map(Ok)
                }
                Err(error) => Ok(Err(error)),
            };
        }
        let mut room = std::mem::take(&mut lock(&self.shrinker).room);
        room.resize(head.len as usize, 0);
        let sent = match fill(&mut room) {
            Ok(()) => self.chunk(&head, &room).map(Ok),
            Err(error) => Ok(Err(error)),
        };
        lock(&self.shrinker).room = room;
        sent
    }

    /// The bytes of a window, as what makes them from the basis when that is shorter; how many bytes that saved.
    pub(super) fn delta(
        &self,
        target: &Target<'_>,
        window: &Window,
        signature: &[u8],
        bytes: &[u8],
    ) -> Result<u64, Ended> {
        // What the receiver could not read has no signature.
        let delta = if signature.is_empty() { Ok(Vec::new()) } else { diff(signature, window.reach, bytes) };
        let delta = delta.map_err(|error| {
            self.sending.fate.fail(SessionError::Protocol(error.to_string()));
            Ended
        })?;
        if delta.is_empty() || delta.len() >= bytes.len() {
            return self.plain(target, window.at, bytes).map(|()| 0);
        }
        let key = &self.sending.session_key;
        let (len, sent) = (bytes.len() as u64, delta.len() as u64);
        let frame = wire::delta_frame(&head(target, window.at, len), (window.from, window.reach), &delta, |said| {
            content_digest(key, said, bytes)
        });
        self.sending.tally.add(|t| &t.copied, len - sent);
        let load = Load { content: len, literal: sent, compressed_to: None };
        self.send_content(frame, &load).map(|()| len - sent)
    }

    pub(super) fn runs(&self, target: &Target<'_>, offset: u64, runs: &[Run]) -> Result<(), Ended> {
        let Target { file, beside } = *target;
        self.send(
            Message::Runs(Runs { batch: file.batch.id, index: file.index, offset, runs: runs.to_vec(), beside })
                .encode(),
        )
    }
}

fn head(target: &Target<'_>, offset: u64, len: u64) -> DataHead {
    let Target { file, beside } = *target;
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    DataHead { batch: file.batch.id, index: file.index, offset, len, coding: Coding::Plain, beside }
}
