//! Trees to be moved, built the same from the same seed: one with every kind of entry, many small files, one flat
//! directory, random ones with edits. It refuses to shell out: what it makes, it makes by system calls.

pub mod edits;
pub mod everything;
pub mod many;
pub mod scripts;
pub mod seed;

pub use edits::{edit, random};
pub use everything::{Limits, everything, unprivileged};
pub use many::{flat, small_files};
pub use scripts::{Edit, apply};
pub use seed::Seed;
