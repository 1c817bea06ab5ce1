//! ferry's engine: moves a volume from a source to a destination over mutual TLS, whole and verified.
//!
//! Five floors, imports go down only (`tests/layering.rs` judges):
//!
//! ```text
//!  4  cli, personality  what a person or an operator types; terminal, environment, exit code
//!  3  session           handshake, sender, generator, receiver, resume, outcome
//!  2  tunnel, plan      an authenticated channel of frames; pure decisions
//!  1  wire, delta, volume   bytes and values; leaves; the only room that touches a disk
//!  0  types             names, entries, digests, limits, problems
//! ```

pub mod cli;
pub mod delta;
pub mod personality;
pub mod plan;
pub mod session;
pub mod tunnel;
pub mod types;
pub mod volume;
pub mod wire;
