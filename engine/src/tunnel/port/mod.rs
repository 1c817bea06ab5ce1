//! ferry's protocol inside rsync's port: what an operator opened for rsync, taken over by two ferries.
//!
//! ```text
//!  client                                              daemon
//!  @RSYNCD: 31.0 ferry1 sha512 sha256 sha1 md5 md4 ->  <- the same: a stock peer is known by the missing word
//!  @FERRY: MODULE USER NONCE                       ->
//!                                                  <-  @FERRY: NONCE         or @FERRY: OK, where no password is asked
//!  @FERRY: PROOF                                   ->
//!                                                  <-  @FERRY: OK            @ERROR: text, at every step instead
//!  preamble, hello, frames ...                     <-> as on every connection of ferry
//! ```
//! Plain TCP: it is for the inside of a pod, or for a tunnel that has authenticated both sides (`relay`). Speaks no word
//! of rsync's protocol but the greeting: whoever wants to serve a stock peer begins where [`PortError::Stock`] is made.

mod dial;
mod door;
mod errand;
mod error;
mod lines;
mod proof;
#[cfg(test)]
mod tests;

pub use dial::{PortConnector, PortTarget};
pub use door::{Allowed, PortArrival, PortDoor, PortModule};
pub use errand::{Errand, ErrandDoor, ErrandError};
pub use error::{PortError, Trouble};
pub use lines::{Module, ModuleError};
pub use proof::Password;
