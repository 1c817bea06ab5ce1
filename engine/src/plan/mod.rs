//! Plan: what is to be done with an entry, decided from values alone.
//!
//! ```text
//!  names  > Merge::step   which side has it
//!  entry  > compare       create, replace, send, change attributes, leave alone
//!  inode  > LinkTable     one content, several names
//!  path   > Excludes      not ours
//!  xattrs > XattrPolicy, xattr_changes
//!  frames > Compression   whether the next one is compressed
//! ```
//!
//! Nothing here reads a disk or a clock, and nothing here does what it decides: a table of inputs and outputs tests all
//! of it. Whether a decision may be carried out (bounds, dry run, deletes last) is for the session.

mod compare;
mod compression;
mod excludes;
mod links;
mod merge;
mod temporary;
mod xattrs;

pub use compare::{AttributeDiff, Existing, Policy, Verdict, compare, must_break};
pub use compression::{Compression, FrameCoding, Probed, SentFrame};
pub use excludes::{ExcludeError, Excludes};
pub use links::{LinkTable, SeenLink};
pub use merge::{Merge, Step};
pub use temporary::{temporary_epoch, temporary_name};
pub use xattrs::{XattrChanges, XattrPolicy, loss_of_xattr, xattr_changes};
