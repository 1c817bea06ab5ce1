//! Where to connect: hosts, ports and proxies, as a person types them.
//!
//! Everything here is checked once, so that what exists may be written into a TLS hello, a certificate or an HTTP
//! header as it is: a host holds letters, digits, dots, dashes and underscores or is an IP address. Nothing is
//! resolved here, and nothing that could end a header line gets through.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Bytes of a DNS name (RFC 1035, 2.3.4).
pub(super) const HOST_LEN_MAX: usize = 253;
/// Bytes of a proxy's user name or password, decoded.
const CREDENTIAL_LEN_MAX: usize = 512;
/// What a proxy URL without a port means.
const PROXY_PORT_DEFAULT: u16 = 80;

/// A name or an address. Names are lower case and without a trailing dot, as TLS wants them (RFC 6066, 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name.
    Name(Box<str>),
    /// An IP address.
    Ip(IpAddr),
}

/// A host and a port other than 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: Host,
    port: u16,
}

/// An HTTP proxy that is asked to `CONNECT`, with the credentials for it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    address: HostPort,
    credentials: Option<String>,
}

/// Where a sender connects to, and what it expects there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Tried in this order, at least one.
    pub addresses: Vec<HostPort>,
    /// The name the receiver's certificate must hold and that is sent as SNI; `None`: the host of each address.
    pub server_name: Option<String>,
    /// Every connection goes through this proxy.
    pub proxy: Option<ProxyUrl>,
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing before the port, or a letter that cannot be in a host name.
    #[error("`{0}` is not a host name or an IP address")]
    Host(String),
    /// No port, or not a number from 1 to 65535.
    #[error("`{0}` has no port from 1 to 65535: write HOST:PORT, and an IPv6 address in brackets: [ADDRESS]:PORT")]
    Port(String),
    /// A proxy that is spoken to in another way.
    #[error("only proxies of the form http://[USER:PASSWORD@]HOST[:PORT] can be used")]
    Proxy,
    /// User name or password.
    #[error("the proxy's user name or password is too long or holds control characters; write special ones as %XX")]
    Credentials,
    /// No address at all.
    #[error("there is no address to connect to")]
    None,
}

impl Host {
    /// Checks `text`: an IP address (IPv6 with or without brackets), or a DNS name of at most 253 bytes whose labels
    /// have at most 63.
    ///
    /// # Errors
    /// [`AddressError::Host`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(address) = bare {
            let address = Ipv6Addr::from_str(address).map_err(|_| AddressError::Host(text.escape_debug().collect()))?;
            return Ok(Self::Ip(address.into()));
        }
        if let Ok(address) = IpAddr::from_str(text) {
            return Ok(Self::Ip(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(letter) && !l.starts_with('-');
        // A last label of digits is a mistyped IPv4 address, never a name (RFC 3696, 2).
        let numeric = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > HOST_LEN_MAX || numeric || !name.split('.').all(label) {
            return Err(AddressError::Host(text.chars().take(HOST_LEN_MAX).flat_map(char::escape_debug).collect()));
        }
        Ok(Self::Name(name.to_ascii_lowercase().into()))
    }
}

impl HostPort {
    /// `None` when `port` is 0.
    #[must_use]
    pub fn new(host: Host, port: u16) -> Option<Self> {
        (port != 0).then_some(Self { host, port })
    }

    /// Checks `text`, `HOST:PORT` or `[IPV6]:PORT`.
    ///
    /// # Errors
    /// [`AddressError`] names what is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let no_port = || AddressError::Port(text.chars().take(HOST_LEN_MAX).flat_map(char::escape_debug).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(no_port());
        }
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or_else(no_port)?;
        Ok(Self { host: Host::parse(host)?, port })
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl ProxyUrl {
    /// Checks `text`, `http://[USER:PASSWORD@]HOST[:PORT]`, user and password with `%XX` for special characters.
    ///
    /// # Errors
    /// [`AddressError`] names what is wrong; it never holds the credentials.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let rest = scheme.and_then(|_| text.get(7..)).ok_or(AddressError::Proxy)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(decode_credentials(credentials)?), host),
            None => (None, rest),
        };
        let with_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address = if with_port {
            HostPort::parse(host)?
        } else {
            HostPort { host: Host::parse(host)?, port: PROXY_PORT_DEFAULT }
        };
        Ok(Self { address, credentials })
    }

    /// The proxy at `address`, with a user's name and password as they are.
    ///
    /// # Errors
    /// [`AddressError::Credentials`]: one of them is longer than 512 bytes or holds control characters, or the name is empty
    /// or holds a colon.
    pub fn new(address: HostPort, credentials: Option<(&str, &str)>) -> Result<Self, AddressError> {
        let credentials = credentials.map(|(user, password)| checked_credentials(user, password)).transpose()?;
        Ok(Self { address, credentials })
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn address(&self) -> &HostPort {
        &self.address
    }

    /// `USER:PASSWORD`, decoded.
    pub(super) fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }
}

/// `USER:PASSWORD` from a URL; a user alone has an empty password.
fn decode_credentials(text: &str) -> Result<String, AddressError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    checked_credentials(&decode_percent(user)?, &decode_percent(password)?)
}

/// `USER:PASSWORD`, fit for a header.
fn checked_credentials(user: &str, password: &str) -> Result<String, AddressError> {
    let short = user.len() <= CREDENTIAL_LEN_MAX && password.len() <= CREDENTIAL_LEN_MAX;
    // RFC 7617, 2: a user name cannot hold a colon, for the first one ends it.
    let usable =
        short && !user.is_empty() && !user.contains(':') && !format!("{user}{password}").contains(char::is_control);
    if usable { Ok(format!("{user}:{password}")) } else { Err(AddressError::Credentials) }
}

/// Decodes `%XX`.
fn decode_percent(text: &str) -> Result<String, AddressError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit =
                    || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or(AddressError::Credentials);
                u8::try_from(digit()? * 16 + digit()?).map_err(|_| AddressError::Credentials)?
            }
            byte => byte,
        });
    }
    if decoded.len() > CREDENTIAL_LEN_MAX {
        return Err(AddressError::Credentials);
    }
    String::from_utf8(decoded).map_err(|_| AddressError::Credentials)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials.is_some() { "..@" } else { "" };
        write!(f, "http://{credentials}{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_told_apart() {
        assert_eq!(HostPort::parse("Route.Example.COM.:443").unwrap().to_string(), "route.example.com:443");
        assert_eq!(HostPort::parse("[::1]:9").unwrap().to_string(), "[::1]:9");
        assert_eq!(HostPort::parse("10.0.0.1:9").unwrap().host(), &Host::Ip("10.0.0.1".parse().unwrap()));
        for bad in ["host", "host:", "host:0", "host:+1", "host:65536", "::1:80", ":80", "1.2.3:80", "a..b:1"] {
            assert!(HostPort::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_cannot_end_a_header_line() {
        for bad in ["a b:1", "a\r\nX: y:1", "a\n:1", "a\0:1", "a/b:1", "a@b:1", "\u{fc}:1"] {
            assert!(HostPort::parse(bad).is_err(), "{bad:?}");
        }
        assert!(HostPort::parse(&format!("{}:1", "a.".repeat(200))).is_err());
        assert!(HostPort::parse(&format!("{}:1", "a".repeat(64))).is_err());
    }

    #[test]
    fn a_proxy_has_credentials_with_any_character() {
        let proxy = ProxyUrl::parse("http://us%40er:p%3Ass:w@proxy.example:3128/").unwrap();
        assert_eq!(proxy.credentials(), Some("us@er:p:ss:w"));
        assert_eq!(proxy.address().to_string(), "proxy.example:3128");
        assert_eq!(ProxyUrl::parse("HTTP://[::1]").unwrap().address().to_string(), "[::1]:80");
        assert_eq!(ProxyUrl::parse("http://u@h").unwrap().credentials(), Some("u:"));
    }

    #[test]
    fn other_proxies_and_broken_credentials_are_refused() {
        assert_eq!(ProxyUrl::parse("https://h:1"), Err(AddressError::Proxy));
        assert_eq!(ProxyUrl::parse("h:1"), Err(AddressError::Proxy));
        for bad in ["http://u:%0d%0aX@h:1", "http://u:%4@h:1", "http://u:%zz@h:1", "http://:p@h:1", "http://u%3a:p@h:1"]
        {
            assert_eq!(ProxyUrl::parse(bad), Err(AddressError::Credentials), "{bad}");
        }
        assert!(ProxyUrl::parse("http://h:1/path").is_err());
    }

    #[test]
    fn credentials_may_also_come_as_they_are() {
        let new = |user: &str, password: &str| ProxyUrl::new(HostPort::parse("h:1").unwrap(), Some((user, password)));
        assert_eq!(new("us@er", "p%41:w").unwrap().credentials(), Some("us@er:p%41:w"));
        for (user, password) in [("", "p"), ("a:b", "p"), ("a", "p\r\nX: y"), ("a", &*"p".repeat(513))] {
            assert_eq!(new(user, password), Err(AddressError::Credentials), "{user}");
        }
    }

    #[test]
    fn a_proxys_password_is_not_shown() {
        let proxy = ProxyUrl::parse("http://user:secret@h:1").unwrap();
        assert!(!format!("{proxy:?} {proxy}").contains("secret"));
    }
}
