//! Why there is no connection through rsync's port, sorted by what may be done about it.

use std::io;

use super::lines::Module;
use crate::tunnel::failure::has_no_way;
use crate::types::{Cause, Outcome};

/// What a tunnel that cannot reach the other side calls its trouble, in the line it answers its own side with:
/// `@ERROR: ferry-stunnel KIND: SENTENCE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No route to the other side. Final: the operator's diagnosis waits for it.
    Unreachable,
    /// Nobody took the connection, or it broke. May pass.
    Refused,
    /// The other side is a stock stunnel. Final.
    Stock,
    /// The other side's certificate is not ours. Final.
    Certificate,
    /// The proxy on the way says no. Final.
    Proxy,
}

/// Before the kind.
const SPEAKER: &str = "ferry-stunnel ";

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
    /// The port of this machine took connections before, and nobody listens there any more. Final.
    #[error("what listened on {peer} has ended: see the log of the tunnel beside this")]
    Gone {
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
        /// How, when it was no orderly end. No part of the sentence: a closed port ends some connections and resets others.
        how: Option<io::Error>,
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
    #[error("the destination's transfer image is stock rsync: set the same ferry image on both clusters")]
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
        trouble: Trouble,
        /// Its sentence.
        text: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::Unreachable, Self::Refused, Self::Stock, Self::Certificate, Self::Proxy];

    /// The word for it on the line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Stock => "stock",
            Self::Certificate => "certificate",
            Self::Proxy => "proxy",
        }
    }

    /// The whole line, its end included.
    #[must_use]
    pub fn line(self, sentence: &str) -> String {
        super::lines::refusal(&format!("{SPEAKER}{}: {sentence}", self.word()))
    }

    /// Of what follows `@ERROR: `, with the sentence; `None` when it is no tunnel's.
    fn read(text: &str) -> Option<(Self, &str)> {
        let (word, sentence) = text.strip_prefix(SPEAKER)?.split_once(": ")?;
        Some((Self::ALL.into_iter().find(|trouble| trouble.word() == word)?, sentence))
    }
}

impl PortError {
    /// Of a refusal that was read.
    pub(super) fn refusal(text: String) -> Self {
        match Trouble::read(&text) {
            Some((trouble, sentence)) => Self::Tunnel { trouble, text: sentence.to_owned() },
            None => Self::Refused(text),
        }
    }

    /// True when a later attempt may succeed without anyone doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { source, .. } => !has_no_way(source),
            Self::Broken { .. } | Self::Slow { .. } | Self::Tunnel { trouble: Trouble::Refused, .. } => true,
            Self::Gone { .. }
            | Self::Stock
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
            Self::Connect { .. } | Self::Gone { .. } | Self::Broken { .. } | Self::Slow { .. } => Outcome::Network,
            Self::Tunnel { trouble: Trouble::Unreachable | Trouble::Refused | Trouble::Proxy, .. } => Outcome::Network,
            Self::Tunnel { trouble: Trouble::Stock | Trouble::Certificate, .. } => Outcome::Refused,
            Self::Stock | Self::Foreign { .. } | Self::Password(_) | Self::Refused(_) => Outcome::Refused,
            Self::Random => Outcome::Failed,
        }
    }

    /// What stands behind that outcome.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Connect { .. } | Self::Gone { .. } | Self::Broken { .. } | Self::Slow { .. } => {
                Some(Cause::NoConnection)
            }
            Self::Tunnel { trouble: Trouble::Unreachable | Trouble::Refused | Trouble::Proxy, .. } => {
                Some(Cause::NoConnection)
            }
            Self::Stock | Self::Foreign { .. } | Self::Tunnel { trouble: Trouble::Stock, .. } => Some(Cause::Foreign),
            Self::Tunnel { trouble: Trouble::Certificate, .. } => Some(Cause::Distrust),
            Self::Password(_) => Some(Cause::Password),
            Self::Refused(_) | Self::Random => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tunnel_says_comes_back_as_it_was() {
        for trouble in Trouble::ALL {
            let line = trouble.line("cannot reach x:443: No route to host");
            let text = line.strip_prefix("@ERROR: ").unwrap().trim_end();
            match PortError::refusal(text.to_owned()) {
                PortError::Tunnel { trouble: read, text } => {
                    assert_eq!((read, text.as_str()), (trouble, "cannot reach x:443: No route to host"));
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
        let tunnel = |trouble| PortError::Tunnel { trouble, text: String::new() };
        let passing: Vec<Trouble> = Trouble::ALL.into_iter().filter(|trouble| tunnel(*trouble).may_pass()).collect();
        assert_eq!(passing, [Trouble::Refused]);
    }
}
