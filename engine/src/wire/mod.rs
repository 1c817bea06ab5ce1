//! The wire: `PROTOCOL.md` in Rust, bytes to values and back.
//!
//! ```text
//!  stream > frame_len > Frame > Message::decode        values of `types`, all bounds checked
//!                             > DataView, PackView     contents, lent out where they were received
//!  Message::encode, BatchEncoder, data_frame, pack_frame > whole frames
//! ```
//!
//! This room opens no socket, hashes nothing and keeps no state between frames: whether a message is in its place is
//! for the session to judge. Bytes from a peer are hostile here. Every count is held against the bytes that are left
//! before room is made for it, and no message nests. Values that are sent are trusted to be within their bounds, but for
//! texts for people, which are cut.

mod attributes;
mod batch;
mod contents;
mod control;
mod cursor;
mod entry;
mod error;
mod frame;
#[cfg(test)]
mod golden;
mod hello;
#[cfg(test)]
mod hostile;
mod need;
mod preamble;
mod report;
#[cfg(test)]
mod sample;
mod sketch;
pub mod varint;

use crate::types::{BatchId, Moment, Outcome, Problem};

pub use batch::{Batch, BatchEncoder, ListEnd, REPEATED_LEN_MAX};
pub use contents::{
    Coding, DataHead, DataView, FileEnd, FileState, PackItem, PackView, RUNS_MAX, Run, RunKind, Runs, compressed_frame,
    compressed_pack_frame, data_frame, delta_frame, pack_frame,
};
pub use control::{Item, ItemChange, Pass, PassEnd, PassKind, RootEntry};
pub use error::WireError;
pub use frame::{Frame, FrameKind, PREFIX_LEN, frame_len};
pub use hello::{FEATURE_BASELINE, FEATURE_ZSTD, Hello, LaneHello, NOTES_MAX, Refuse, RefuseReason, Welcome};
pub use need::{Ask, Have, Leaves, Need, NeedItem, Pages};
pub use preamble::{PREAMBLE_LEN, PreambleError, VERSIONS, agree, preamble};
pub use report::Report;
pub use sketch::{Signatures, Sketch};

/// Bytes of a text for people, where no other bound is given. Longer ones are cut when they are sent.
pub const TEXT_LEN_MAX: usize = 1_024;

/// The name of the one entry of a volume that is a single file or device. Each side has its own name for it.
pub const SINGLE_NAME: &[u8] = b"content";

/// A message of the protocol, but for Pack and Data, which have views of their own.
#[derive(Clone, Debug)]
pub enum Message {
    /// The sender opens a session.
    Hello(Hello),
    /// The receiver accepts it.
    Welcome(Welcome),
    /// The receiver refuses a session or a data connection.
    Refuse(Refuse),
    /// A data connection names its session.
    LaneHello(LaneHello),
    /// The receiver accepts the data connection.
    LaneWelcome,
    /// Somebody is there.
    Ping,
    /// The last frame of a connection that ends before its time.
    Abort {
        /// How the session ended for the side that says so.
        outcome: Outcome,
        /// Why, for people.
        text: String,
    },
    /// A pass over the source begins.
    Pass(Pass),
    /// Entries of a directory.
    Batch(Batch),
    /// All entries of the pass were sent.
    PassEnd(PassEnd),
    /// No further pass: sync and report.
    Finish {
        /// Problems the sender met, those not sent in full included.
        problems: u64,
        /// When the last transfer pass began, if the receiver asked for it and nothing was odd in the pass.
        listed: Option<Moment>,
    },
    /// The report was received.
    Goodbye,
    /// A path and what went wrong with it.
    Problem(Problem),
    /// Dry run: what would be done.
    Item(Item),
    /// Which contents of a batch are wanted.
    Need(Need),
    /// Digests of a segment of the basis.
    Leaves(Leaves),
    /// Pages of which leaves are wanted.
    Ask(Ask),
    /// Digests of the pages of leaves that differ.
    Pages(Pages),
    /// Signatures of parts of the basis are wanted.
    Sketch(Sketch),
    /// They are these.
    Signatures(Signatures),
    /// Everything in the batch is settled.
    BatchDone(BatchId),
    /// The pass is settled.
    PassDone {
        /// Another transfer pass is needed: something was in the way, or more is to be deleted.
        again: bool,
    },
    /// How it ended.
    Report(Report),
    /// Pieces of a file that need no data.
    Runs(Runs),
    /// All operations of a file were sent.
    FileEnd(FileEnd),
    /// Content bytes of this data connection taken to disk since the session began.
    Ack(u64),
}

impl Message {
    /// The whole frame, length prefix included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => hello.encode(),
            Self::Welcome(welcome) => welcome.encode(),
            Self::Refuse(refuse) => refuse.encode(),
            Self::LaneHello(hello) => hello.encode(),
            Self::LaneWelcome => control::encode_empty(FrameKind::LaneWelcome),
            Self::Ping => control::encode_empty(FrameKind::Ping),
            Self::Abort { outcome, text } => control::encode_abort(*outcome, text),
            Self::Pass(pass) => pass.encode(),
            Self::Batch(batch) => batch.encode(),
            Self::PassEnd(end) => end.encode(),
            Self::Finish { problems, listed } => control::encode_finish(*problems, *listed),
            Self::Goodbye => control::encode_empty(FrameKind::Goodbye),
            Self::Problem(problem) => control::encode_problem(problem),
            Self::Item(item) => item.encode(),
            Self::Need(need) => need.encode(),
            Self::Leaves(leaves) => leaves.encode(),
            Self::Ask(ask) => ask.encode(),
            Self::Pages(pages) => pages.encode(),
            Self::Sketch(sketch) => sketch.encode(),
            Self::Signatures(signatures) => signatures.encode(),
            Self::BatchDone(batch) => control::encode_number(FrameKind::BatchDone, batch.0),
            Self::PassDone { again } => control::encode_number(FrameKind::PassDone, u64::from(*again)),
            Self::Report(report) => report.encode(),
            Self::Runs(runs) => runs.encode(),
            Self::FileEnd(end) => end.encode(),
            Self::Ack(bytes) => control::encode_number(FrameKind::Ack, *bytes),
        }
    }

    /// Reads a received frame.
    ///
    /// # Errors
    /// [`WireError`] when it is not exactly one message of this version, and [`WireError::OtherKind`] for Pack and
    /// Data, which only [`PackView`] and [`DataView`] read.
    pub fn decode(frame: &Frame) -> Result<Self, WireError> {
        let empty = |message| frame.cursor().finish().map(|()| message);
        match frame.kind() {
            FrameKind::Hello => Hello::decode(frame).map(Self::Hello),
            FrameKind::Welcome => Welcome::decode(frame).map(Self::Welcome),
            FrameKind::Refuse => Refuse::decode(frame).map(Self::Refuse),
            FrameKind::LaneHello => LaneHello::decode(frame).map(Self::LaneHello),
            FrameKind::LaneWelcome => empty(Self::LaneWelcome),
            FrameKind::Ping => empty(Self::Ping),
            FrameKind::Abort => control::decode_abort(frame).map(|(outcome, text)| Self::Abort { outcome, text }),
            FrameKind::Pass => Pass::decode(frame).map(Self::Pass),
            FrameKind::Batch => Batch::decode(frame).map(Self::Batch),
            FrameKind::PassEnd => PassEnd::decode(frame).map(Self::PassEnd),
            FrameKind::Finish => {
                control::decode_finish(frame).map(|(problems, listed)| Self::Finish { problems, listed })
            }
            FrameKind::Goodbye => empty(Self::Goodbye),
            FrameKind::Problem => control::decode_problem(frame).map(Self::Problem),
            FrameKind::Item => Item::decode(frame).map(Self::Item),
            FrameKind::Need => Need::decode(frame).map(Self::Need),
            FrameKind::Leaves => Leaves::decode(frame).map(Self::Leaves),
            FrameKind::Ask => Ask::decode(frame).map(Self::Ask),
            FrameKind::Pages => Pages::decode(frame).map(Self::Pages),
            FrameKind::Sketch => Sketch::decode(frame).map(Self::Sketch),
            FrameKind::Signatures => Signatures::decode(frame).map(Self::Signatures),
            FrameKind::BatchDone => control::decode_number(frame, "batch").map(|n| Self::BatchDone(BatchId(n))),
            FrameKind::PassDone => {
                control::decode_flag(frame, "flags of a pass done").map(|again| Self::PassDone { again })
            }
            FrameKind::Report => Report::decode(frame).map(Self::Report),
            FrameKind::Runs => Runs::decode(frame).map(Self::Runs),
            FrameKind::FileEnd => FileEnd::decode(frame).map(Self::FileEnd),
            FrameKind::Ack => control::decode_number(frame, "bytes").map(Self::Ack),
            kind @ (FrameKind::Pack | FrameKind::Data) => Err(WireError::OtherKind(kind)),
        }
    }
}
