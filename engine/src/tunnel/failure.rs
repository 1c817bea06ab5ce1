//! Why there is no connection, sorted by what may be done about it.
//!
//! A certificate, a name or a role that was refused is final; a network may come back; a port that speaks something
//! else will go on doing so. The sorting is by value of what TLS and the system say, never by their words.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use super::certificate::{Date, Role};
use super::proxy::ProxyError;
use crate::types::Outcome;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// One side does not believe the other. Final.
    #[error("{peer} is not the peer we want, or does not want us")]
    Identity {
        /// The address.
        peer: String,
        /// What was not believed.
        source: Distrust,
    },
    /// No way to the peer. May pass.
    #[error("cannot reach {peer}")]
    Network {
        /// The address.
        peer: String,
        /// What happened.
        source: NetworkError,
    },
    /// The peer answered, and not in TLS. Final.
    #[error(
        "{peer} does not speak TLS: does the address lead to `ferry receive`, through a route of type passthrough?"
    )]
    NotTls {
        /// The address.
        peer: String,
        /// What was seen.
        source: rustls::Error,
    },
    /// The proxy did not let us through.
    #[error("the proxy {proxy} did not connect us to {peer}")]
    Proxy {
        /// The proxy's address.
        proxy: String,
        /// The address it was asked for.
        peer: String,
        /// What it answered.
        source: ProxyError,
    },
}

/// What one side does not believe of the other.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Not from our authority.
    #[error(
        "its certificate is not from the authority in our ca.crt: both identities must be of one `ferry keygen`; \
         a router that does not know the server name answers with a certificate of its own"
    )]
    UnknownAuthority,
    /// Another name.
    #[error(
        "its certificate is for {presented}, not for {expected}: choose with --server-name, or name the host when making keys"
    )]
    WrongName {
        /// The name we asked for.
        expected: String,
        /// The names it has, or what stands for not knowing them.
        presented: String,
    },
    /// Too late.
    #[error(
        "its certificate expired on {expired}, and the clock here says {now}: make new identities, or check the clocks of both sides"
    )]
    Expired {
        /// The last second.
        expired: Date,
        /// The time here.
        now: Date,
    },
    /// Too early.
    #[error("its certificate is valid from {from} only, and the clock here says {now}: check the clocks of both sides")]
    NotYetValid {
        /// The first second.
        from: Date,
        /// The time here.
        now: Date,
    },
    /// Good for something else.
    #[error("its certificate is not for a {0}: each side needs its own of the two identities")]
    WrongRole(Role),
    /// Another ticket.
    #[error("its key is not of our ticket: the ticket belongs to another receiver, or to one that was started anew")]
    OtherKey,
    /// No certificate.
    #[error("it showed no certificate")]
    NoCertificate,
    /// Unusable in some other way.
    #[error("its certificate cannot be believed")]
    Certificate(#[source] rustls::Error),
    /// The peer refused ours.
    #[error("it refused our certificate ({}): {}", alert_word(*.0), alert_remedy(*.0))]
    RefusedOurs(AlertDescription),
    /// TLS, but not the kind we speak.
    #[error("it speaks another kind of TLS than version 1.3 with our algorithms")]
    OtherTls(#[source] rustls::Error),
}

/// What went wrong on the way.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The name has no address, or the resolver does not answer.
    #[error("cannot resolve the name")]
    Resolve(#[source] io::Error),
    /// The connection was not taken or broke.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// TLS broke on the way.
    #[error("the connection was damaged during the TLS handshake")]
    Tls(#[source] rustls::Error),
    /// It broke off without a word.
    #[error("the peer closed the connection during the TLS handshake: is `ferry receive` running behind it?")]
    Closed,
    /// Nothing came.
    #[error("no answer within {seconds} s while {waiting_for}")]
    Timeout {
        /// What was awaited.
        waiting_for: &'static str,
        /// For how long.
        seconds: u64,
    },
}

impl ConnectError {
    /// True when a later attempt may succeed without anyone doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Identity { .. } | Self::NotTls { .. } => false,
            Self::Proxy { source, .. } => source.may_pass(),
        }
    }

    /// What a run that ends with it ends as.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Identity { .. } => Outcome::Refused,
            Self::Network { .. } | Self::NotTls { .. } | Self::Proxy { .. } => Outcome::Network,
        }
    }

    /// Of several failures the one that tells most: what is final before what may pass.
    pub(super) fn more_telling(self, other: Self) -> Self {
        let rank = |error: &Self| match error {
            Self::Identity { .. } => 3,
            Self::NotTls { .. } => 2,
            Self::Proxy { .. } => 1,
            Self::Network { .. } => 0,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// What an error of a stream says of the peer's trust: with TLS 1.3 a client learns only when it reads that its
/// certificate was refused. `None` for everything else, which is the network's.
#[must_use]
pub fn classify(error: &io::Error, peer: &str) -> Option<ConnectError> {
    match tls_error(error)? {
        rustls::Error::AlertReceived(alert) if refuses_certificate(*alert) => {
            Some(ConnectError::Identity { peer: peer.to_owned(), source: Distrust::RefusedOurs(*alert) })
        }
        _ => None,
    }
}

/// Whether the kernel says that there is no way: ENETUNREACH, EHOSTUNREACH.
pub(super) fn has_no_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

/// The TLS library's error inside `error`.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What ended a handshake with `peer`, which should be a `wanted`.
pub(super) fn handshake_failed(error: io::Error, peer: &str, wanted: Role) -> ConnectError {
    let peer = peer.to_owned();
    let Some(tls) = tls_error(&error) else {
        let source = match error.kind() {
            io::ErrorKind::UnexpectedEof => NetworkError::Closed,
            _ => NetworkError::Io(error),
        };
        return ConnectError::Network { peer, source };
    };
    if let Some(source) = distrust(tls, wanted) {
        return ConnectError::Identity { peer, source };
    }
    match tls {
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            ConnectError::NotTls { peer, source: tls.clone() }
        }
        _ => ConnectError::Network { peer, source: NetworkError::Tls(tls.clone()) },
    }
}

/// What `error` says of trust; `None` when it says nothing of it.
pub(super) fn distrust(error: &rustls::Error, wanted: Role) -> Option<Distrust> {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(cause) => Some(certificate_distrust(cause, wanted)),
        E::NoCertificatesPresented => Some(Distrust::NoCertificate),
        E::AlertReceived(alert) if refuses_certificate(*alert) => Some(Distrust::RefusedOurs(*alert)),
        E::PeerIncompatible(_)
        | E::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
            | AlertDescription::NoApplicationProtocol,
        ) => Some(Distrust::OtherTls(error.clone())),
        _ => None,
    }
}

fn certificate_distrust(cause: &CertificateError, wanted: Role) -> Distrust {
    use CertificateError as C;
    match cause {
        C::UnknownIssuer => Distrust::UnknownAuthority,
        C::NotValidForNameContext { expected, presented } => Distrust::WrongName {
            expected: expected.to_str().into_owned(),
            presented: if presented.is_empty() {
                "no name".to_owned()
            } else {
                presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
            },
        },
        C::ExpiredContext { time, not_after } => Distrust::Expired { expired: date(*not_after), now: date(*time) },
        C::NotValidYetContext { time, not_before } => {
            Distrust::NotYetValid { from: date(*not_before), now: date(*time) }
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => Distrust::WrongRole(wanted),
        C::ApplicationVerificationFailure => Distrust::OtherKey,
        other => Distrust::Certificate(other.clone().into()),
    }
}

fn date(time: UnixTime) -> Date {
    Date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// Alerts by which a peer refuses who we are. A decryption error is none of them: damage on the way looks the same.
fn refuses_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::UnknownCA
            | A::AccessDenied
            | A::UnrecognisedName
    )
}

fn alert_word(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("alert {}", u8::from(alert)), |word| format!("TLS alert {word}"))
}

fn alert_remedy(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateExpired => "it expired or is not valid yet by the peer's clock; check the clocks of both sides",
        A::UnknownCA => {
            "it is not from the authority in the peer's ca.crt; both identities must be of one `ferry keygen`"
        }
        A::UnsupportedCertificate => "it is not for this side; each side needs its own of the two identities",
        A::AccessDenied => "it is not of the peer's ticket; was the receiver started anew?",
        A::UnrecognisedName => "nothing there has that name; check --server-name",
        _ => "check the identities of both sides",
    }
}

/// A name of a certificate without the words of the library around it: `DnsName("a.example")` is `a.example`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_of(error: rustls::Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn a_refused_certificate_is_final_wherever_it_is_met() {
        let alert = || io_of(rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        let early = handshake_failed(alert(), "h:1", Role::Receiver);
        let late = classify(&alert(), "h:1").unwrap();
        for error in [early, late] {
            assert!(!error.may_pass());
            assert_eq!(error.outcome(), Outcome::Refused);
        }
    }

    #[test]
    fn names_of_certificates_are_shown_plainly() {
        assert_eq!(plain("DnsName(\"a.example\")"), "a.example");
        assert_eq!(plain("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(plain("something else"), "something else");
    }

    #[test]
    fn damage_on_the_way_may_pass() {
        for alert in [AlertDescription::BadRecordMac, AlertDescription::DecryptError, AlertDescription::InternalError] {
            let error = io_of(rustls::Error::AlertReceived(alert));
            assert!(classify(&error, "h:1").is_none());
            assert!(handshake_failed(error, "h:1", Role::Receiver).may_pass());
        }
        assert!(handshake_failed(io_of(rustls::Error::DecryptError), "h:1", Role::Receiver).may_pass());
        assert!(handshake_failed(io::ErrorKind::ConnectionReset.into(), "h:1", Role::Receiver).may_pass());
    }

    #[test]
    fn what_is_final_is_told_before_what_may_pass() {
        let network = || handshake_failed(io::ErrorKind::ConnectionReset.into(), "a:1", Role::Receiver);
        let identity = || handshake_failed(io_of(rustls::Error::NoCertificatesPresented), "b:1", Role::Receiver);
        assert!(matches!(network().more_telling(identity()), ConnectError::Identity { .. }));
        assert!(matches!(identity().more_telling(network()), ConnectError::Identity { .. }));
    }
}
