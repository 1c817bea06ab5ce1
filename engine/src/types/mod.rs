//! Floor 0: the nouns every other room speaks of, and the bounds on them.
//!
//! Values only. Nothing here reads a disk, a socket, a clock or the environment; nothing here knows how a value is
//! written on the wire. Each type that can be wrong has one fallible constructor, so a value that exists is right.

mod digest;
mod entry;
mod ids;
pub mod limits;
mod loss;
mod name;
mod options;
mod outcome;
mod problem;
mod shape;
mod time;
mod unit;

pub use digest::{Anchor, Digest, LeafDigest, LeafKey, SessionKey};
pub use entry::{Content, Device, Entry, EntryKind, FileContent, Mode, Owner, Xattr, Xattrs};
pub use ids::{BatchId, DirId, EntryIndex, Epoch, LinkGroup, RunId, SegmentIndex, SourceInstance, Token, Vantage};
pub use loss::{LossCounts, LossKind, LossSet};
pub use name::{Escaped, Name, NameError, RelPath, VolumeName};
pub use options::{
    Bounds, ChownTo, Compress, Options, OwnerPolicy, Restless, RootAttrs, SelinuxPolicy, StatePlace, ZstdLevel,
};
pub use outcome::{BytesCount, Cause, EntriesCount, Exit, Outcome, WireCount};
pub use problem::{Problem, Problems, Stage};
pub use shape::Shape;
pub use time::{Moment, Timestamp};
pub use unit::bytes_in;
