//! Room `volume`: the only room that touches a disk.
//!
//! ```text
//! Volume --root--> Dir --child--> Dir ...        a tree of held directories, opened when needed
//!                   | listing: names, increasing, bounded memory
//!                   | status_of, xattrs_of, target_of, read_small, open_source_file    looking and reading
//!                   | make_*, rename, link, remove, remove_tree                        entries
//!                   | write_small, FileWriter, apply_to, apply                         content and attributes
//! ```
//!
//! Every operation is (descriptor of a held directory, one name): never a path, never through a symlink, never out of
//! the volume, whatever a peer asks and whoever swaps directories beneath us. The one exception are the kernel's own
//! names for descriptors we hold (`/proc/self/fd`), where Linux has no other form (engine-rules 11).
//!
//! It decides nothing about what a volume should hold; that is `plan` and `session`. It never prints, never retries
//! what failed, and never calls something done that is not.

mod attributes;
mod baseline;
mod basis;
mod behind;
mod clock;
mod copying;
mod descriptors;
mod dir;
mod entries;
mod error;
mod foothold;
mod handle;
mod listing;
mod lookup;
mod names;
pub mod places;
mod privilege;
mod removal;
mod root;
mod selinux;
mod single;
mod small;
mod source;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod writer;
mod xattrs;

pub use attributes::{Applied, Attributes};
pub use baseline::moment;
pub use basis::BasisFile;
pub use dir::Dir;
pub use error::{Error, XattrError};
pub use foothold::stand_alone;
pub use listing::{Listed, Listing, ListingEnd};
pub use privilege::{OwnerPlan, Privilege};
pub use removal::Removed;
pub use root::{Free, Lock, Volume, set_umask_zero};
pub use selinux::keeps_selinux;
pub use single::{BlockDevice, Single};
pub use small::write_small;
pub use source::{Extent, Opened, SourceFile, Stability};
pub use state::StateStore;
pub use status::{Identity, Status};
pub use writer::{FileWriter, Finished};
