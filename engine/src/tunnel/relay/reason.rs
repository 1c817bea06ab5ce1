//! Why a relay has no way for its client: one word that a program may act on, and a sentence for people.
//!
//! The word is chosen by value of what TLS and the system say. The line is written to the client before any other byte, so
//! that a program behind the relay, which sees only its own end, can tell what happened at the other. Nothing a peer sends
//! gets into a sentence.

use std::fmt;
use std::io;

use super::super::failure::{ConnectError, Distrust, NetworkError, classify, has_no_way};
use super::super::port::Trouble;
use super::super::proxy::ProxyError;

/// One reason, told to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it may make of it.
    pub trouble: Trouble,
    /// What happened and what to do, on one line.
    pub sentence: String,
}

/// What removes a certificate that only one side still has. The names are those the operator gives its Secrets.
const STALE_SECRET: &str = "delete the stale Secret on both sides and start the migration again \
    (MTC 1.4 and 1.5: directvolumemigration-stunnel-certs; 1.6 and 1.7: crane2-stunnel-client-secret and \
    crane2-stunnel-server-secret; 1.8: the same names with fs- or block- before them)";

/// What gives both sides the same image.
const SAME_IMAGE: &str =
    "set rsync_transfer_image_fqin to ferry's transfer image in the MigrationController of both clusters";

impl Reason {
    pub(super) fn new(trouble: Trouble, sentence: impl Into<String>) -> Self {
        Self { trouble, sentence: sentence.into() }
    }

    /// The line for the client, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        self.trouble.line(&self.sentence)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Whether the kernel says that there is no way: ENETUNREACH, EHOSTUNREACH.
pub(super) fn is_unreachable(error: &ConnectError) -> bool {
    match error {
        ConnectError::Network { source: NetworkError::Io(cause), .. } => has_no_way(cause),
        ConnectError::Network { .. }
        | ConnectError::Identity { .. }
        | ConnectError::NotTls { .. }
        | ConnectError::Proxy { .. } => false,
    }
}

/// What a client is told when its connection could not be made.
pub(super) fn of_connect(error: &ConnectError) -> Reason {
    match error {
        ConnectError::Network { peer, source } => {
            let trouble = if is_unreachable(error) { Trouble::Unreachable } else { Trouble::Refused };
            Reason::new(trouble, of_network(peer, source))
        }
        ConnectError::Identity { peer, source } => of_distrust(source, peer),
        ConnectError::NotTls { peer, .. } => Reason::new(
            Trouble::Stock,
            format!(
                "{peer} does not speak TLS: the address must lead to the stunnel of the transfer pod, through a route of type passthrough"
            ),
        ),
        // What may pass at a proxy is not the proxy's no.
        ConnectError::Proxy { proxy, peer, source } if source.may_pass() => {
            Reason::new(Trouble::Refused, format!("the proxy {proxy} did not connect us to {peer}: {source}"))
        }
        ConnectError::Proxy { proxy, peer, source } => Reason::new(
            Trouble::Proxy,
            format!("the proxy {proxy} does not connect us to {peer}: {}", of_proxy(source)),
        ),
    }
}

fn of_proxy(source: &ProxyError) -> String {
    use ProxyError as P;
    match source {
        P::Credentials(status) => format!(
            "it wants a user name and a password, or others than it got (status {status}): set stunnel_tcp_proxy to \
             http://USER:PASSWORD@HOST:PORT in the MigrationController"
        ),
        other => other.to_string(),
    }
}

fn of_network(peer: &str, source: &NetworkError) -> String {
    match source {
        NetworkError::Resolve(cause) => format!("the name of {peer} cannot be resolved: {cause}"),
        NetworkError::Io(cause) => format!("cannot reach {peer}: {cause}"),
        NetworkError::Tls(cause) => format!("the connection to {peer} was damaged during the TLS handshake: {cause}"),
        NetworkError::Closed => format!(
            "{peer} closed the connection during the TLS handshake: does the transfer pod run behind it, and is the \
             route of type passthrough?"
        ),
        NetworkError::Timeout { waiting_for, seconds } => {
            format!("no answer from {peer} within {seconds} seconds while {waiting_for}")
        }
    }
}

/// What is said when one side does not believe the other.
pub(super) fn of_distrust(distrust: &Distrust, peer: &str) -> Reason {
    match distrust {
        Distrust::OtherTls(_) => Reason::new(
            Trouble::Stock,
            format!("the stunnel of {peer} is stock: it does not speak TLS 1.3; {SAME_IMAGE}"),
        ),
        Distrust::NoCertificate => Reason::new(
            Trouble::Stock,
            format!("the stunnel of {peer} is stock: it showed no certificate; {SAME_IMAGE}"),
        ),
        Distrust::UnknownAuthority => Reason::new(
            Trouble::Refused,
            format!(
                "{peer} showed a certificate of some authority, not the shared one: a router answers in its place; is \
                 the route admitted, of type passthrough, and of this name?"
            ),
        ),
        Distrust::RefusedOurs(_) => Reason::new(
            Trouble::Certificate,
            format!("{peer} refused our certificate: it holds another one; {STALE_SECRET}"),
        ),
        Distrust::OtherKey
        | Distrust::WrongName { .. }
        | Distrust::Expired { .. }
        | Distrust::NotYetValid { .. }
        | Distrust::WrongRole(_)
        | Distrust::Certificate(_) => {
            Reason::new(Trouble::Certificate, format!("{peer} showed another certificate than ours; {STALE_SECRET}"))
        }
    }
}

/// What is said when a connection broke that had carried nothing back yet.
pub(super) fn of_broken(error: &io::Error, peer: &str) -> Reason {
    match classify(error, peer) {
        Some(refused) => of_connect(&refused),
        None => {
            Reason::new(Trouble::Refused, format!("the connection to {peer} broke before anything came back: {error}"))
        }
    }
}

/// What is said when the plain side behind a server cannot be had.
pub(super) fn of_plain(error: &ConnectError) -> Reason {
    let what = of_connect(error);
    Reason::new(Trouble::Refused, format!("{}: does the container beside the stunnel run?", what.sentence))
}

/// What is said when there are too many tunnels.
pub(super) fn too_many() -> Reason {
    Reason::new(Trouble::Refused, "too many connections at the same time: try again when some have ended")
}
