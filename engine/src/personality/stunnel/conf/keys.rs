//! The keys of a `stunnel.conf`: which are taken, and what the others come to.
//!
//! A table, in lower case. Each key is taken, noted because it has no effect here, or noted as unknown. Nothing is judged
//! but that a key that is taken stands once in its section.

use super::{Fault, shown};

/// A value and the line it stands in.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Written {
    pub(super) line: usize,
    pub(super) value: String,
}

/// What was written below a `[service]`, or before the first one.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Empty before the first one.
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) foreground: Option<Written>,
    pub(super) client: Option<Written>,
    pub(super) accept: Option<Written>,
    pub(super) connect: Option<Written>,
    pub(super) key: Option<Written>,
    pub(super) cert: Option<Written>,
    pub(super) protocol: Option<Written>,
    pub(super) protocol_host: Option<Written>,
    pub(super) protocol_username: Option<Written>,
    pub(super) protocol_password: Option<Written>,
}

/// Keys without an effect: the values that ask for nothing else than what is done anyway, and what is done instead of the
/// others. Two of the keys ask for less than is done; they are named whatever they say.
const WITHOUT_EFFECT: [(&str, &str, &[&str], &str); 11] = [
    ("debug", "debug", &[], "few lines are logged, whatever it says"),
    ("sslversion", "sslVersion", &["TLSv1.3"], "only TLS 1.3 is spoken"),
    ("verify", "verify", &[], "the peer must show the certificate in `cert`, whatever it says"),
    ("cafile", "CAfile", &[], "the peer must show the certificate in `cert`, whatever it says"),
    ("pid", "pid", &[""], "no process file is written"),
    ("syslog", "syslog", &["no"], "logs go to standard output"),
    ("output", "output", &["/dev/stdout"], "logs go to standard output"),
    ("socket", "socket", &["l:TCP_NODELAY=1", "r:TCP_NODELAY=1"], "TCP_NODELAY and keepalive are set on every socket"),
    ("timeoutclose", "TIMEOUTclose", &["0"], "nothing is waited for at the end"),
    ("protocolauthentication", "protocolAuthentication", &["basic"], "only Basic is spoken"),
    ("fips", "fips", &["no"], "the algorithms are those of TLS 1.3"),
];

impl Section {
    /// Takes `key = value` of `line`, or notes why not. An empty value of a key that is taken is as good as none.
    pub(super) fn write(&mut self, key: &str, value: &str, line: usize, notes: &mut Vec<String>) -> Result<(), Fault> {
        let lower = key.to_ascii_lowercase();
        if lower == "foreground" && !self.name.is_empty() {
            notes.push(format!("line {line}: `foreground` has no effect here: write it before the first [service]"));
            return Ok(());
        }
        if let Some((name, slot)) = self.slot(&lower) {
            if let Some(earlier) = slot {
                return Err(Fault::Twice { key: name, first: earlier.line });
            }
            *slot = (!value.is_empty()).then(|| Written { line, value: value.to_owned() });
            return Ok(());
        }
        match WITHOUT_EFFECT.iter().find(|(known, ..)| *known == lower) {
            Some((_, _, fulfilled, _)) if fulfilled.iter().any(|same| same.eq_ignore_ascii_case(value)) => {}
            Some((_, name, _, instead)) => {
                notes.push(format!("line {line}: `{name} = {}` has no effect: {instead}", shown(value)));
            }
            None => notes.push(format!("line {line}: `{}` is not known here and has no effect", shown(key))),
        }
        Ok(())
    }

    /// Where the value of a key goes, with the key as it is written usually.
    fn slot(&mut self, key: &str) -> Option<(&'static str, &mut Option<Written>)> {
        Some(match key {
            "foreground" => ("foreground", &mut self.foreground),
            "client" => ("client", &mut self.client),
            "accept" => ("accept", &mut self.accept),
            "connect" => ("connect", &mut self.connect),
            "key" => ("key", &mut self.key),
            "cert" => ("cert", &mut self.cert),
            "protocol" => ("protocol", &mut self.protocol),
            "protocolhost" => ("protocolHost", &mut self.protocol_host),
            "protocolusername" => ("protocolUsername", &mut self.protocol_username),
            "protocolpassword" => ("protocolPassword", &mut self.protocol_password),
            _ => return None,
        })
    }

    /// This section, and where it says nothing, `defaults`.
    pub(super) fn or(self, defaults: &Self) -> Self {
        let or = |own: Option<Written>, default: &Option<Written>| own.or_else(|| default.clone());
        Self {
            name: self.name,
            line: self.line,
            foreground: or(self.foreground, &defaults.foreground),
            client: or(self.client, &defaults.client),
            accept: or(self.accept, &defaults.accept),
            connect: or(self.connect, &defaults.connect),
            key: or(self.key, &defaults.key),
            cert: or(self.cert, &defaults.cert),
            protocol: or(self.protocol, &defaults.protocol),
            protocol_host: or(self.protocol_host, &defaults.protocol_host),
            protocol_username: or(self.protocol_username, &defaults.protocol_username),
            protocol_password: or(self.protocol_password, &defaults.protocol_password),
        }
    }
}
