//! Why bytes are not a message: one variant per cause, each with the field it was met in.
//!
//! None of these is about a path or may be passed over: a peer that says what the protocol does not have is not
//! understood any more, and the session ends.

use crate::types::NameError;

use super::frame::FrameKind;

/// Why bytes are not a message of this version. `field` is the protocol's word for the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame longer than its bound, or empty.
    #[error("a frame of {len} bytes is outside 1 to {max}")]
    FrameLen {
        /// Bytes, as the prefix says.
        len: usize,
        /// Most bytes at this point.
        max: usize,
    },
    /// A type byte that this version does not have.
    #[error("a frame has the type 0x{0:02x}, which this version does not have")]
    Kind(u8),
    /// A message of another type than the one read.
    #[error("a frame of type {0:?} was read as something else")]
    OtherKind(FrameKind),
    /// The message ends inside this field.
    #[error("the message ends inside {0}")]
    Ends(&'static str),
    /// Not the shortest form of a number, or more than 64 bits.
    #[error("{0} is not a number in its shortest form")]
    Varint(&'static str),
    /// A number, or a length in bytes, outside its bound.
    #[error("{field} is {value}, outside {min} to {max}")]
    Bound {
        /// Which.
        field: &'static str,
        /// What it is.
        value: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A count of more items than the rest of the message can hold.
    #[error("{field} says {count}, more than fit the rest of the message")]
    Count {
        /// Which.
        field: &'static str,
        /// What it says.
        count: u64,
    },
    /// A number that stands for nothing.
    #[error("{field} is {value}, which stands for nothing in this version")]
    Unknown {
        /// Which.
        field: &'static str,
        /// What it is.
        value: u64,
    },
    /// Flags that this version does not have.
    #[error("{field} has the bits 0x{bits:x}, which this version does not have")]
    Flags {
        /// Which.
        field: &'static str,
        /// Those not known.
        bits: u64,
    },
    /// Bytes after the last field.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// A text that is not UTF-8, or a word with letters it must not have.
    #[error("{0} is not a text of the permitted letters")]
    Text(&'static str),
    /// A name that could climb, descend or is otherwise none.
    #[error("{field} is not allowed")]
    Name {
        /// Which.
        field: &'static str,
        /// The rule that was broken.
        source: NameError,
    },
    /// Items that are not strictly increasing.
    #[error("{0} is not greater than the one before")]
    Order(&'static str),
    /// The first entry of a batch refers to one before it.
    #[error("the first entry of a batch takes {0} from an entry before it")]
    AsBefore(&'static str),
    /// More bytes of attributes repeated with one bit each than a batch may unfold to.
    #[error("a batch repeats attributes of more than {0} bytes")]
    Repeated(usize),
    /// Extended attributes that are not sorted, or too large together.
    #[error("extended attributes are out of order or too large together")]
    Xattrs,
    /// An operation that reaches over the end of its segment.
    #[error("{0} crosses the end of its segment")]
    Crosses(&'static str),
    /// The contents of a pack or data frame are not as long as its head says.
    #[error("contents of {found} bytes follow where {expected} were announced")]
    Contents {
        /// By the head.
        expected: u64,
        /// In the frame.
        found: u64,
    },
}
