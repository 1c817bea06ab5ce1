//! The configuration files that the operator renders for its pods, by version, to the blank. It refuses to be tidy: empty values,
//! leading blanks, empty lines and repeated keys are what the programs have to read.

use std::fmt::Write as _;

use super::security::Security;
use super::version::Version;

/// A module of the daemon: one claim.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name: a digest of the claim's.
    pub name: String,
    /// The claim, for the comment.
    pub claim: String,
    /// Where the claim is mounted.
    pub path: String,
}

/// An HTTP proxy between stunnel and the route.
#[derive(Clone, Debug)]
pub struct HttpProxy {
    /// `HOST:PORT`.
    pub address: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

const HOSTS: &str = "hosts allow = ::1, 127.0.0.1, localhost\n";

/// `rsyncd.conf`.
#[must_use]
pub fn rsyncd(version: Version, modules: &[Module]) -> String {
    let root = version.security() != Security::Restricted;
    let secrets = secrets_path(version);
    let mut text = String::from("syslog facility = local7\nread only = no\nlist = yes\nlog file = /dev/stdout\n");
    text += "max verbosity = 4\nauth users = root\n";
    text += HOSTS;
    if root {
        text += "uid = root\ngid = root\n";
    }
    let latest = matches!(version, Version::V18 | Version::V18Restricted);
    if latest {
        text += "use chroot = no\nmunge symlinks = no\n";
    } else if version.is_old() {
        text += &format!("secrets file = {secrets}\n");
    }
    for Module { name, claim, path } in modules {
        text += &format!("\n[{name}]\n    comment = archive for {claim}\n    path = {path}\n");
        if !latest {
            text += "    use chroot = no\n    munge symlinks = no\n";
        }
        text += "    list = yes\n";
        if version.is_old() {
            text += &format!("    {HOSTS}");
        }
        text += &format!("    auth users = root\n    secrets file = {secrets}\n    read only = false\n");
    }
    text
}

/// Where the daemon finds the passwords.
#[must_use]
pub fn secrets_path(version: Version) -> &'static str {
    if version.is_old() { "/etc/rsyncd.secrets" } else { "/etc/rsync-secret/rsyncd.secrets" }
}

/// `stunnel.conf` of a server.
#[must_use]
pub fn stunnel_server(version: Version) -> String {
    let (accept, connect) = (version.stunnel_port(), version.daemon_port());
    format!(
        "\nforeground = yes\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\ndebug = 7\nsslVersion = TLSv1.2\n\
         [rsync]\naccept = {accept}\nconnect = {connect}\nkey = /etc/stunnel/certs/tls.key\n\
         cert = /etc/stunnel/certs/tls.crt\nTIMEOUTclose = 0\n"
    )
}

/// `stunnel.conf` of a client that goes to `route` (`HOST:PORT`).
#[must_use]
pub fn stunnel_client(version: Version, route: &str, proxy: Option<&HttpProxy>) -> String {
    let mut way = String::new();
    match proxy {
        None => {
            let _ = writeln!(way, "connect = {route}");
        }
        Some(HttpProxy { address, credentials }) => {
            let _ = writeln!(way, "protocol = connect\nconnect = {address}\nprotocolHost = {route}");
            if let Some((user, password)) = credentials {
                let _ = writeln!(way, "protocolUsername = {user}\nprotocolPassword = {password}");
            }
        }
    }
    match version {
        Version::V14 => format!(
            "\nforeground = yes\npid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\n[rsync]\ndebug = 7\naccept = 2222\n\
             CAFile = /etc/stunnel/certs/ca.crt\ncert = /etc/stunnel/certs/tls.crt\n{way}verify = 2\n\
             key = /etc/stunnel/certs/tls.key\n"
        ),
        Version::V15 => format!(
            "\npid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\noutput = /dev/stdout\n[rsync]\ndebug = 7\n\
             accept = localhost:2222\nCAFile = /etc/stunnel/certs/ca.crt\ncert = /etc/stunnel/certs/tls.crt\n{way}\
             verify = 2\nkey = /etc/stunnel/certs/tls.key\n"
        ),
        Version::V17 | Version::V17Restricted | Version::V18 | Version::V18Restricted => {
            let lines = format!(
                "pid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\noutput = /dev/stdout\n\n[rsync]\ndebug = 7\n\
                 accept = 6443\ncert = /etc/stunnel/certs/tls.crt\nkey = /etc/stunnel/certs/tls.key\n{way}"
            );
            // Each line begins with a blank, the first is empty.
            lines.lines().fold(String::from("\n"), |text, line| text + " " + line + "\n")
        }
    }
}
