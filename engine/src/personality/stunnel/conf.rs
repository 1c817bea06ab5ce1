//! `stunnel.conf`: what it asks for, in every form the operator renders it.
//!
//! ```text
//!  text ── lines ──> sections (what was written, each with its line) ── checks ──> Conf (what it means)
//! ```
//! Pure: reads a text, not a file. Keys are taken in any case, values may be empty, what stands before the first `[section]`
//! is the default of each service. What has no effect here is named in a note, never passed over; what a service cannot be
//! without, or cannot be understood, is an error with its line. Nothing of it weakens TLS.

mod keys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::PathBuf;

use keys::{Section, Written};

use crate::tunnel::{AddressError, Host, HostPort, InletAddress, ProxyUrl};

/// Bytes of a configuration; the operator's have a few hundred.
pub(super) const CONF_LEN_MAX: usize = 65_536;
/// Services of a configuration; the operator's have one.
const SERVICES_MAX: usize = 16;
/// Notes of a configuration.
const NOTES_MAX: usize = 64;

/// What a configuration means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conf {
    /// Stay, instead of leaving a daemon behind.
    pub(super) foreground: bool,
    /// At least one.
    pub(super) services: Vec<Service>,
    /// What was written and has no effect, a sentence each.
    pub(super) notes: Vec<String>,
}

/// One port and where it leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Its name.
    pub(super) name: String,
    /// Which side has TLS.
    pub(super) side: Side,
    /// Where it listens.
    pub(super) accept: InletAddress,
    /// Where it leads.
    pub(super) to: HostPort,
    /// The certificate, PEM.
    pub(super) cert: PathBuf,
    /// Its key, PEM.
    pub(super) key: PathBuf,
}

/// The two sides of a tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Plain here, TLS there, by way of a proxy or not.
    Client(Option<ProxyUrl>),
    /// TLS here, plain there.
    Server,
}

/// What is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub(super) struct ConfError {
    line: usize,
    fault: Fault,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("the file is longer than {CONF_LEN_MAX} bytes: is it a stunnel.conf?")]
    Long,
    #[error("the file is no text in UTF-8: is it a stunnel.conf?")]
    Binary,
    #[error("what begins with `{0}` is neither `key = value` nor `[service]` nor a comment: write one of these")]
    Line(String),
    #[error("a service has no name: write [NAME]")]
    Unnamed,
    #[error("there are more than {SERVICES_MAX} services: write fewer, or start another stunnel for them")]
    Services,
    #[error("there is no service: write [NAME] and below it accept, connect, cert and key")]
    None,
    #[error("`{key}` stands twice in this section, first in line {first}: keep one")]
    Twice { key: &'static str, first: usize },
    #[error("`{key} = {value}` is not understood: write {wanted}")]
    Value { key: &'static str, value: String, wanted: &'static str },
    #[error("`{key}` cannot be used: {cause}")]
    Address { key: &'static str, cause: AddressError },
    #[error("the service [{service}] has no `{key}`: write {key} = {wanted}")]
    Missing { service: String, key: &'static str, wanted: &'static str },
}

const YES_OR_NO: &str = "yes or no";
const PORT: &str = "PORT or HOST:PORT";

/// Reads a configuration.
pub(super) fn parse(bytes: &[u8]) -> Result<Conf, ConfError> {
    let at = |line, fault| ConfError { line, fault };
    if bytes.len() > CONF_LEN_MAX {
        return Err(at(1, Fault::Long));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        at(1 + before.iter().filter(|byte| **byte == b'\n').count(), Fault::Binary)
    })?;
    let (global, sections, mut notes) = read_sections(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let foreground = match &global.foreground {
        Some(Written { value, .. }) if value.eq_ignore_ascii_case("quiet") => true,
        other => yes(other.as_ref(), "foreground", "yes, quiet or no")?,
    };
    let services =
        sections.into_iter().map(|section| service(&global, section, &mut notes)).collect::<Result<Vec<_>, _>>()?;
    if services.is_empty() {
        return Err(at(text.lines().count().max(1), Fault::None));
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    notes.truncate(NOTES_MAX);
    if more > 0 {
        notes.push(format!("and {more} more of this kind"));
    }
    Ok(Conf { foreground, services, notes })
}

/// What was written, section by section.
fn read_sections(text: &str) -> Result<(Section, Vec<Section>, Vec<String>), ConfError> {
    let (mut global, mut sections, mut notes) = (Section::default(), Vec::<Section>::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let at = |fault| ConfError { line: index + 1, fault };
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let name = name.trim();
            if name.is_empty() {
                return Err(at(Fault::Unnamed));
            }
            if sections.len() == SERVICES_MAX {
                return Err(at(Fault::Services));
            }
            sections.push(Section { name: shown(name), line: index + 1, ..Section::default() });
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            // The rest of it may be a password.
            return Err(at(Fault::Line(shown(line.split_whitespace().next().unwrap_or_default()))));
        };
        let section = sections.last_mut().unwrap_or(&mut global);
        section.write(key.trim(), value.trim(), index + 1, &mut notes).map_err(at)?;
    }
    Ok((global, sections, notes))
}

/// What a section means, with the defaults that stand before all sections.
fn service(global: &Section, own: Section, notes: &mut Vec<String>) -> Result<Service, ConfError> {
    let section = own.or(global);
    let missing = |key, wanted| ConfError {
        line: section.line,
        fault: Fault::Missing { service: section.name.clone(), key, wanted },
    };
    let accept = section.accept.as_ref().ok_or_else(|| missing("accept", PORT))?;
    let connect = section.connect.as_ref().ok_or_else(|| missing("connect", PORT))?;
    let cert = section.cert.as_ref().ok_or_else(|| missing("cert", "FILE, the certificate that both sides hold"))?;
    // As in stunnel, a key may stand in the file of its certificate.
    let key = section.key.as_ref().unwrap_or(cert);
    let address = host_port(connect, "connect")?;
    let (side, to) = if yes(section.client.as_ref(), "client", YES_OR_NO)? {
        client(&section, address, notes)?
    } else {
        let unused = [("protocol", &section.protocol), ("protocolHost", &section.protocol_host)];
        notes.extend(unused.iter().filter(|(_, written)| written.is_some()).map(|(key, _)| {
            format!("`{key}` of the service [{}] has no effect: only a client goes through a proxy", section.name)
        }));
        (Side::Server, address)
    };
    let accept = match accept.value.parse() {
        Ok(0) => return Err(value(accept, "accept", PORT)),
        Ok(port) => InletAddress::Port(port),
        Err(_) => InletAddress::Host(host_port(accept, "accept")?),
    };
    Ok(Service { accept, side, to, cert: (&*cert.value).into(), key: (&*key.value).into(), name: section.name })
}

/// The proxy and the destination of a client that connects to `address`.
fn client(section: &Section, address: HostPort, notes: &mut Vec<String>) -> Result<(Side, HostPort), ConfError> {
    let Some(protocol) = &section.protocol else {
        if section.protocol_host.is_some() {
            notes.push(format!(
                "`protocolHost` of the service [{}] has no effect without `protocol = connect`",
                section.name
            ));
        }
        return Ok((Side::Client(None), address));
    };
    if !protocol.value.eq_ignore_ascii_case("connect") {
        return Err(value(protocol, "protocol", "connect, or leave it out"));
    }
    let Some(host) = &section.protocol_host else {
        let (service, key) = (section.name.clone(), "protocolHost");
        let fault = Fault::Missing { service, key, wanted: "HOST:PORT, what the proxy shall connect to" };
        return Err(ConfError { line: protocol.line, fault });
    };
    let credentials = section
        .protocol_username
        .as_ref()
        .map(|user| (&*user.value, section.protocol_password.as_ref().map_or("", |password| &*password.value)));
    let line = section.protocol_username.as_ref().map_or(protocol.line, |user| user.line);
    let proxy = ProxyUrl::new(address, credentials)
        .map_err(|cause| ConfError { line, fault: Fault::Address { key: "protocolUsername", cause } })?;
    Ok((Side::Client(Some(proxy)), host_port(host, "protocolHost")?))
}

/// `PORT`, which is the loopback's, or `HOST:PORT`.
fn host_port(written: &Written, key: &'static str) -> Result<HostPort, ConfError> {
    if written.value.bytes().all(|byte| byte.is_ascii_digit()) {
        let local = Host::parse("localhost").ok().zip(written.value.parse().ok());
        return local.and_then(|(host, port)| HostPort::new(host, port)).ok_or_else(|| value(written, key, PORT));
    }
    // stunnel takes what follows the last colon for the port, also of an IPv6 address without brackets.
    let bracketed = match written.value.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => Cow::Owned(format!("[{host}]:{port}")),
        Some(_) | None => Cow::Borrowed(&*written.value),
    };
    HostPort::parse(&bracketed).map_err(|cause| ConfError { line: written.line, fault: Fault::Address { key, cause } })
}

fn yes(written: Option<&Written>, key: &'static str, wanted: &'static str) -> Result<bool, ConfError> {
    match written {
        None => Ok(false),
        Some(text) if text.value.eq_ignore_ascii_case("yes") => Ok(true),
        Some(text) if text.value.eq_ignore_ascii_case("no") => Ok(false),
        Some(text) => Err(value(text, key, wanted)),
    }
}

fn value(written: &Written, key: &'static str, wanted: &'static str) -> ConfError {
    ConfError { line: written.line, fault: Fault::Value { key, value: shown(&written.value), wanted } }
}

/// A piece of the file that may be printed.
fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}
