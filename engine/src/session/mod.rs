//! Floor 3: the conversation. Two ends of a session, the fate they share, and what they have to say of it.
//!
//! ```text
//!        sender                                        receiver
//!  scan -> Batch ------------------ control ----------> generator: merge, act, ask
//!  feed <- Need, Leaves <---------- control ----------- basis
//!  readers -> Pack, Data, Runs ---- lanes ------------> writers
//! ```
//! File work runs on plain threads, sockets and timers on tokio; between them are bounded queues: what credit allows.
//! A session that fails is over. The sender begins another, whose first pass finds on disk what this one achieved.
//! Nothing here prints, reads the environment or ends the process.

mod crew;
mod error;
mod estimate;
mod extent;
mod fate;
mod local;
mod progress;
mod receiver;
mod report;
mod sender;
mod stop;
mod verify;

pub use crate::wire::{Item, ItemChange};
pub use error::{SessionError, sentence};
pub use estimate::{Estimate, Pace};
pub use local::{SyncRun, sync};
pub use progress::{Phase, Progress, Snapshot};
pub use receiver::{Door, ReceiveRun, receive};
pub use report::{ItemSink, RunReport, Tally, VolumeReport};
pub use sender::{Dial, SendRun, send};
pub use stop::{Signal, Stop};
pub use verify::{Difference, VerifyReport, VerifyRun, verify};
