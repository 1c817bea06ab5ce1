//! The frames of a large file's content: pieces as runs, data and deltas, each with the digest of what was read.

use crate::delta::{Piece, Window, content_digest, diff};
use crate::session::error::SessionError;
use crate::session::fate::Ended;
use crate::types::limits::DATA_LEN_MAX;
use crate::wire::{self, Coding, DataHead, Message, Run, RunKind, Runs};

use super::large::LargeFile;
use super::reader::Reader;

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
            let sent: Result<(), std::convert::Infallible> = self.data(target, at, chunk.len() as u64, |into| {
                into.copy_from_slice(chunk);
                Ok(())
            })?;
            let Ok(()) = sent;
            at += chunk.len() as u64;
        }
        Ok(())
    }

    /// One data frame whose content `fill` reads straight into it.
    pub(super) fn data<E>(
        &self,
        target: &Target<'_>,
        offset: u64,
        len: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, Ended> {
        let key = &self.sending.session_key;
        let head = head(target, offset, len);
        match wire::data_frame(self.lane.spare(), &head, fill, |said, held| content_digest(key, said, held)) {
            Ok(frame) => self.send_content(frame, len, len).map(Ok),
            Err(error) => Ok(Err(error)),
        }
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
        self.send_content(frame, len, sent).map(|()| len - sent)
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
