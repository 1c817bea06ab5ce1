//! Why a session ended before its end, and what that means for the run.

use crate::tunnel::{ConnectError, GreetError, LinkError, PortError};
use crate::types::{Cause, Outcome};
use crate::volume;
use crate::wire::{RefuseReason, WireError};

use super::stop::Signal;

/// The first failure of a session; later ones are its echo.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection, or none that is what it should be.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The first bytes were not those of a peer that we can speak with.
    #[error(transparent)]
    Greet(#[from] GreetError),
    /// No connection through rsync's port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A connection of the session broke.
    #[error("the connection was lost: {0}")]
    Link(#[from] LinkError),
    /// The receiver said no.
    #[error("the receiver refused: {text}")]
    Refused {
        /// Its reason.
        reason: RefuseReason,
        /// Its sentence.
        text: String,
    },
    /// The peer ended the session and said why.
    #[error("the other side ended the session: {text}")]
    Aborted {
        /// How it saw the end.
        outcome: Outcome,
        /// Its sentence.
        text: String,
    },
    /// The peer sent what does not belong there.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// A message could not be read.
    #[error("the other side broke the protocol: {0}")]
    Wire(#[from] WireError),
    /// The volume as a whole cannot be read or written any more.
    #[error("{what}: {source}")]
    Volume {
        /// What was being done, on what.
        what: String,
        /// The system's answer.
        source: volume::Error,
    },
    /// Something that was written did not reach the disk. The kernel tells that once, so it is never tried again.
    #[error("the destination could not write everything to disk: {source}")]
    Unsynced {
        /// The system's answer.
        source: volume::Error,
    },
    /// Nothing was deleted, because what was to be deleted is too much or for a bad reason.
    #[error("safety halt: {0}")]
    Halted(String),
    /// A bound the receiver was given was reached.
    #[error("{0}")]
    Bound(String),
    /// A signal.
    #[error("stopped by a signal")]
    Stopped(Signal),
    /// A newer session of the same source took over.
    #[error("a newer session of the same source took over")]
    TakenOver,
    /// A thread of ours ended without a word.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl SessionError {
    /// Whether connecting again may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect(e) => e.may_pass(),
            Self::Greet(e) => e.may_pass(),
            Self::Port(e) => e.may_pass(),
            Self::Link(LinkError::Malformed(_) | LinkError::Preamble(_)) => false,
            Self::Link(LinkError::Closed | LinkError::Silent | LinkError::Io(_)) => true,
            Self::Refused { reason, .. } => reason.may_pass(),
            // A peer that was stopped, perhaps to be moved to another machine, comes back.
            Self::Aborted { outcome, .. } => {
                matches!(outcome, Outcome::Network | Outcome::Interrupted | Outcome::Terminated)
            }
            Self::Protocol(_)
            | Self::Wire(_)
            | Self::Volume { .. }
            | Self::Unsynced { .. }
            | Self::Halted(_)
            | Self::Bound(_)
            | Self::Stopped(_)
            | Self::TakenOver
            | Self::Internal(_) => false,
        }
    }

    /// How a run ends that ends with this.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Connect(e) => e.outcome(),
            Self::Greet(e) => e.outcome(),
            Self::Port(e) => e.outcome(),
            // As in a greeting: waiting does not help.
            Self::Link(LinkError::Preamble(_)) => Outcome::Refused,
            Self::Link(_) => Outcome::Network,
            Self::Refused { .. } | Self::TakenOver => Outcome::Refused,
            // The signal was the peer's; to us it is a peer that went away.
            Self::Aborted { outcome: Outcome::Interrupted | Outcome::Terminated, .. } => Outcome::Network,
            Self::Aborted { outcome, .. } => *outcome,
            Self::Protocol(_)
            | Self::Wire(_)
            | Self::Volume { .. }
            | Self::Unsynced { .. }
            | Self::Bound(_)
            | Self::Internal(_) => Outcome::Failed,
            Self::Halted(_) => Outcome::SafetyHalt,
            Self::Stopped(signal) => signal.outcome(),
        }
    }

    /// What stands behind that outcome, where more is known than the sentence.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Connect(ConnectError::Identity { .. }) | Self::Greet(GreetError::Refused(_)) => Some(Cause::Distrust),
            Self::Connect(ConnectError::NotTls { .. }) | Self::Greet(GreetError::Preamble(_)) => Some(Cause::Foreign),
            Self::Connect(ConnectError::Network { .. } | ConnectError::Proxy { .. }) => Some(Cause::NoConnection),
            Self::Port(e) => e.cause(),
            Self::Link(LinkError::Preamble(_)) => Some(Cause::Foreign),
            Self::Greet(GreetError::Slow(_)) | Self::Link(LinkError::Silent) => Some(Cause::Silence),
            Self::Greet(GreetError::Io(_)) | Self::Link(LinkError::Closed | LinkError::Io(_)) => Some(Cause::Cut),
            // The peer went away, and said so.
            Self::Aborted { outcome: Outcome::Network | Outcome::Interrupted | Outcome::Terminated, .. } => {
                Some(Cause::Cut)
            }
            Self::Link(LinkError::Malformed(_))
            | Self::Refused { .. }
            | Self::Aborted { .. }
            | Self::Protocol(_)
            | Self::Wire(_)
            | Self::Volume { .. }
            | Self::Unsynced { .. }
            | Self::Halted(_)
            | Self::Bound(_)
            | Self::Stopped(_)
            | Self::TakenOver
            | Self::Internal(_) => None,
        }
    }

    /// The whole sentence, causes included.
    #[must_use]
    pub fn sentence(&self) -> String {
        sentence(self)
    }
}

/// An error and each cause below it that is not told already.
#[must_use]
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !sentence.contains(&text) {
            sentence.push_str(": ");
            sentence.push_str(&text);
        }
        cause = inner.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PreambleError;

    #[test]
    fn another_protocol_is_refused_for_good_also_where_it_is_found_late() {
        let late = SessionError::Link(LinkError::Preamble(PreambleError::NotFerry));
        assert_eq!((late.outcome(), late.may_pass()), (Outcome::Refused, false));
        let broken = SessionError::Link(LinkError::Closed);
        assert_eq!((broken.outcome(), broken.may_pass()), (Outcome::Network, true));
    }
}
