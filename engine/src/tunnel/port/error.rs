//! Why there is no connection through rsync's port, sorted by what may be done about it.

use std::io;

use super::lines::Module;
use crate::tunnel::trouble::Kind;
use crate::types::{Cause, Outcome};

/// Why a connection through the port did not come about. It is closed.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The port cannot be reached.
    #[error("cannot reach {peer}")]
    Connect {
        /// The address.
        peer: String,
        /// Why.
        source: io::Error,
    },
    /// It was closed or broke before both sides knew each other.
    #[error("{peer} closed the connection before it said anything: is the receiving side up?")]
    Broken {
        /// The address.
        peer: String,
        /// Why, when something is known.
        source: Option<io::Error>,
    },
    /// Nothing came in time.
    #[error("{peer} did not answer within {seconds} s")]
    Slow {
        /// The address.
        peer: String,
        /// For how long.
        seconds: u64,
    },
    /// A stock rsync answered. Final.
    #[error("the other side's transfer image is stock rsync: set the same ferry image on both clusters")]
    Stock,
    /// Something that is neither. Final.
    #[error("{peer} is no rsync port: it answered with something else")]
    Foreign {
        /// The address.
        peer: String,
    },
    /// The password was not believed. Final.
    #[error("the password for module {0} was refused: RSYNC_PASSWORD here and the secrets file there must be equal")]
    Password(Module),
    /// The daemon refused and said why. Final.
    #[error("the daemon refused: {0}")]
    Refused(String),
    /// The tunnel on our side has trouble with the other side.
    #[error("{text}")]
    Tunnel {
        /// Of which kind.
        kind: Kind,
        /// Its sentence.
        text: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl PortError {
    /// Of a refusal that was read.
    pub(super) fn refusal(text: String) -> Self {
        match Kind::read(&text) {
            Some((kind, sentence)) => Self::Tunnel { kind, text: sentence.to_owned() },
            None => Self::Refused(text),
        }
    }

    /// True when a later attempt may succeed without anyone doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { source, .. } => !is_unreachable(source),
            Self::Broken { .. } | Self::Slow { .. } | Self::Tunnel { kind: Kind::Refused, .. } => true,
            Self::Stock
            | Self::Foreign { .. }
            | Self::Password(_)
            | Self::Refused(_)
            | Self::Tunnel { .. }
            | Self::Random => false,
        }
    }

    /// What a run that ends with it ends as.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Slow { .. } => Outcome::Network,
            Self::Tunnel { kind: Kind::Unreachable | Kind::Refused | Kind::Proxy, .. } => Outcome::Network,
            Self::Tunnel { kind: Kind::Stock | Kind::Certificate, .. } => Outcome::Refused,
            Self::Stock | Self::Foreign { .. } | Self::Password(_) | Self::Refused(_) => Outcome::Refused,
            Self::Random => Outcome::Failed,
        }
    }

    /// What stands behind that outcome.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Slow { .. } => Some(Cause::NoConnection),
            Self::Tunnel { kind: Kind::Unreachable | Kind::Refused | Kind::Proxy, .. } => Some(Cause::NoConnection),
            Self::Stock | Self::Foreign { .. } | Self::Tunnel { kind: Kind::Stock, .. } => Some(Cause::Foreign),
            Self::Tunnel { kind: Kind::Certificate, .. } => Some(Cause::Distrust),
            Self::Password(_) => Some(Cause::Password),
            Self::Refused(_) | Self::Random => None,
        }
    }
}

/// Whether the system knows no way there.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tunnel_says_comes_back_as_it_was() {
        for kind in Kind::ALL {
            let line = kind.line("cannot reach x:443: No route to host");
            let text = line.strip_prefix("@ERROR: ").unwrap().trim_end();
            match PortError::refusal(text.to_owned()) {
                PortError::Tunnel { kind: read, text } => {
                    assert_eq!((read, text.as_str()), (kind, "cannot reach x:443: No route to host"));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(PortError::refusal("Unknown module 'x'".into()), PortError::Refused(_)));
        assert!(matches!(PortError::refusal("ferry-stunnel new: x".into()), PortError::Refused(_)));
    }

    #[test]
    fn only_what_nobody_needs_to_mend_is_tried_again() {
        let connect = |kind: io::ErrorKind| PortError::Connect { peer: "x".into(), source: kind.into() };
        assert!(connect(io::ErrorKind::ConnectionRefused).may_pass());
        assert!(!connect(io::ErrorKind::HostUnreachable).may_pass());
        assert!(!PortError::Stock.may_pass());
        let tunnel = |kind| PortError::Tunnel { kind, text: String::new() };
        let passing: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| tunnel(*kind).may_pass()).collect();
        assert_eq!(passing, [Kind::Refused]);
    }
}
