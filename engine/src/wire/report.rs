//! The receiver's last word: how the session ended and what was done. It is sent after the disk has everything.

use crate::types::{BytesCount, LossCounts, LossKind, Outcome};

use super::TEXT_LEN_MAX;
use super::control::place;
use super::cursor::Cursor;
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};

/// How a session ended, as the receiver saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In one word.
    pub outcome: Outcome,
    /// For people, at most 1024 bytes.
    pub text: String,
    /// Entries made.
    pub created: u64,
    /// Entries changed.
    pub updated: u64,
    /// Entries removed.
    pub deleted: u64,
    /// Content bytes: written (`literal`), copied, holes and trusted. The other figures do not travel and arrive as 0.
    pub bytes: BytesCount,
    /// Problems the receiver met, those not sent in full included.
    pub problems_total: u64,
    /// What was lost by rule.
    pub loss: LossCounts,
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Report, 256);
        writer.uint(place(&Outcome::ALL, self.outcome)).text(&self.text, TEXT_LEN_MAX);
        let BytesCount { literal, copied, holes, trusted, total: _, compressed: _, compressed_to: _ } = self.bytes;
        let figures = [self.created, self.updated, self.deleted, literal, copied, holes, trusted, self.problems_total];
        for figure in figures {
            writer.uint(figure);
        }
        writer.uint(self.loss.iter().count() as u64);
        for (kind, count) in self.loss.iter() {
            writer.uint(place(&LossKind::ALL, kind)).uint(count);
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let outcome = cursor.choice("outcome", &Outcome::ALL)?;
        let text = cursor.text("text", TEXT_LEN_MAX)?.to_owned();
        let (created, updated) = (cursor.uint("created")?, cursor.uint("updated")?);
        let deleted = cursor.uint("deleted")?;
        let bytes = BytesCount {
            literal: cursor.uint("bytes written")?,
            copied: cursor.uint("bytes copied")?,
            holes: cursor.uint("bytes of holes")?,
            trusted: cursor.uint("bytes trusted")?,
            ..BytesCount::default()
        };
        let problems_total = cursor.uint("problems")?;
        let loss = loss(&mut cursor)?;
        cursor.finish()?;
        Ok(Self { outcome, text, created, updated, deleted, bytes, problems_total, loss })
    }
}

fn loss(cursor: &mut Cursor<'_>) -> Result<LossCounts, WireError> {
    let mut counts = LossCounts::default();
    let mut before = None;
    for _ in 0..cursor.count("count of losses", LossKind::ALL.len(), 2)? {
        let kind = cursor.choice("kind of loss", &LossKind::ALL)?;
        if before.replace(kind).is_some_and(|before| before >= kind) {
            return Err(WireError::Order("kind of loss"));
        }
        counts.add(kind, cursor.bounded("count of a loss", 1, u64::MAX)?);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn each_figure_has_its_own_place() {
        let report = sample::report();
        let frame = Frame::new(report.encode()[4..].to_vec()).unwrap();
        assert_eq!(Report::decode(&frame), Ok(report));
    }

    #[test]
    fn a_kind_of_loss_comes_once() {
        let with = |losses: &[u8]| {
            let body = [&[0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], losses].concat();
            Report::decode(&Frame::new(body).unwrap())
        };
        assert!(with(&[2, 0, 1, 1, 1]).is_ok());
        assert_eq!(with(&[2, 1, 1, 1, 1]), Err(WireError::Order("kind of loss")));
        assert!(matches!(with(&[1, 0, 0]), Err(WireError::Bound { field: "count of a loss", .. })));
    }
}
