//! rsyncd.conf and its secrets file: which modules a daemon serves, to whom.
//!
//! Pure: text in, modules or an error that names the line out. Keys are compared without case and blanks, as rsync does.
//! *Used* keys do what they say; *idle* ones have no part in what ferry does; *refused* ones would change what arrives or
//! who is let in, and a daemon that passed over them would not be the one that was configured. Any other key is a note.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Lines of a file; an operator writes one of 20 for each claim.
const LINES_MAX: usize = 100_000;
/// Modules of a daemon: the claims of a namespace.
const MODULES_MAX: usize = 10_000;
/// Networks and names of one `hosts allow`.
const HOSTS_MAX: usize = 1_000;
/// Unknown keys that are told one by one.
const NOTES_MAX: usize = 20;

/// Why a configuration cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ConfError {
    /// From 1; of a module's header, when the module as a whole is wrong.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A daemon as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// The port, if it is said.
    pub port: Option<u16>,
    /// The one address it listens on, if it is said.
    pub address: Option<String>,
    /// In the order of the file.
    pub modules: Vec<ModuleConf>,
    /// Keys nobody knows, for people.
    pub notes: Vec<String>,
}

/// A module as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleConf {
    /// Its name.
    pub name: String,
    /// The line of its header.
    pub line: usize,
    /// What it serves.
    pub path: PathBuf,
    /// Nothing may be written.
    pub read_only: bool,
    /// Who must prove a password; nobody, when it is empty.
    pub users: Vec<String>,
    /// Where the passwords are.
    pub secrets: Option<PathBuf>,
    /// From where it may be asked for; from everywhere, when nothing is said.
    pub hosts: Option<Vec<Host>>,
    /// The user the files are written as, if it is said.
    pub uid: Option<String>,
    /// The group.
    pub gid: Option<String>,
}

/// Whom `hosts allow` lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A network: an address, and how many of its bits count.
    Network(IpAddr, u8),
    /// A name, to be looked up.
    Name(String),
    /// Everybody.
    All,
}

/// A key that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Used,
    Idle,
    Refused(&'static str),
}

const SENT: &str = "ferry copies a module as a whole; use --exclude at the client";
const MODES: &str = "ferry keeps modes and owners as they are; remove the line";
const HOOKS: &str = "ferry starts no other program; remove the line";

/// Keys, blanks and case left out.
const KEYS: &[(&str, Key)] = &[
    ("path", Key::Used),
    ("readonly", Key::Used),
    ("authusers", Key::Used),
    ("secretsfile", Key::Used),
    ("hostsallow", Key::Used),
    ("uid", Key::Used),
    ("gid", Key::Used),
    ("port", Key::Used),
    ("address", Key::Used),
    ("mungesymlinks", Key::Used),
    ("strictmodes", Key::Used),
    ("comment", Key::Idle),
    ("list", Key::Idle),
    ("usechroot", Key::Idle),
    ("daemonchroot", Key::Idle),
    ("numericids", Key::Idle),
    ("maxverbosity", Key::Idle),
    ("maxconnections", Key::Idle),
    ("logfile", Key::Idle),
    ("logformat", Key::Idle),
    ("transferlogging", Key::Idle),
    ("syslogfacility", Key::Idle),
    ("syslogtag", Key::Idle),
    ("lockfile", Key::Idle),
    ("pidfile", Key::Idle),
    ("motdfile", Key::Idle),
    ("timeout", Key::Idle),
    ("socketoptions", Key::Idle),
    ("listenbacklog", Key::Idle),
    ("dontcompress", Key::Idle),
    ("reverselookup", Key::Idle),
    ("forwardlookup", Key::Idle),
    ("ignorenonreadable", Key::Idle),
    ("ignoreerrors", Key::Idle),
    ("tempdir", Key::Idle),
    ("hostsdeny", Key::Refused("ferry lets in whom 'hosts allow' names, and nobody else; write that instead")),
    ("writeonly", Key::Refused("ferry's modules are only written; remove the line")),
    ("exclude", Key::Refused(SENT)),
    ("excludefrom", Key::Refused(SENT)),
    ("include", Key::Refused(SENT)),
    ("includefrom", Key::Refused(SENT)),
    ("filter", Key::Refused(SENT)),
    ("incomingchmod", Key::Refused(MODES)),
    ("outgoingchmod", Key::Refused(MODES)),
    ("fakesuper", Key::Refused(MODES)),
    ("nameconverter", Key::Refused(MODES)),
    ("charset", Key::Refused("ferry keeps names as they are; remove the line")),
    ("refuseoptions", Key::Refused("ferry has no list of options to refuse; use 'read only' or remove the line")),
    ("preexec", Key::Refused(HOOKS)),
    ("pre-xferexec", Key::Refused(HOOKS)),
    ("post-xferexec", Key::Refused(HOOKS)),
    ("earlyexec", Key::Refused(HOOKS)),
    ("proxyprotocol", Key::Refused("ferry reads no proxy header; remove the line")),
    ("openatime", Key::Idle),
    ("opennoatime", Key::Idle),
];

/// Settings with the lines they were said on.
type Settings = BTreeMap<&'static str, (usize, String)>;

/// Where lines go: to all modules, or to one.
struct Section {
    name: Option<(String, usize)>,
    settings: Settings,
}

impl Conf {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfError`], with the line.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        let mut conf = Self::default();
        let mut unknown = 0;
        let mut global = Settings::new();
        let mut sections: Vec<Section> = Vec::new();
        for (line, text) in joined(text)? {
            let text = text.trim();
            if text.is_empty() || text.starts_with(['#', ';']) {
                continue;
            }
            if let Some(rest) = text.strip_prefix('[') {
                let name = rest.strip_suffix(']').map(str::trim).filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| wrong(line, "a module begins with [NAME]; close the bracket"))?;
                // Names of modules are compared without case, as rsync does; `global` goes back to what holds for all.
                let name = (!name.eq_ignore_ascii_case("global")).then(|| (name.to_owned(), line));
                sections.push(Section { name, settings: Settings::new() });
                if sections.len() > MODULES_MAX {
                    return Err(wrong(line, &format!("more than {MODULES_MAX} modules; use several daemons")));
                }
                continue;
            }
            if text.starts_with('&') {
                return Err(wrong(line, "other files are not read in; write their lines here"));
            }
            let Some((key, value)) = text.split_once('=') else {
                return Err(wrong(line, "neither a [MODULE] nor KEY = VALUE; correct the line"));
            };
            let plain: String = key.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
            match KEYS.iter().find(|(known, _)| *known == plain) {
                Some((known, Key::Used)) => {
                    let current = sections.last_mut().filter(|section| section.name.is_some());
                    let settings = current.map_or(&mut global, |section| &mut section.settings);
                    settings.insert(known, (line, value.trim().to_owned()));
                }
                Some((_, Key::Idle)) => {}
                Some((_, Key::Refused(why))) => {
                    return Err(wrong(line, &format!("'{}' is not followed: {why}", key.trim())));
                }
                None => {
                    unknown += 1;
                    if unknown <= NOTES_MAX {
                        conf.notes.push(format!("line {line}: '{}' is not known and has no effect", key.trim()));
                    }
                }
            }
        }
        conf.port = global.get("port").map(|(line, text)| port(*line, text)).transpose()?;
        conf.address = global.get("address").map(|(_, text)| text.clone()).filter(|text| !text.is_empty());
        for Section { name, settings } in sections {
            let Some((name, line)) = name else { continue };
            if conf.modules.iter().any(|other| other.name == name) {
                return Err(wrong(line, &format!("a second module [{name}]; give it another name")));
            }
            conf.modules.push(module(name, line, &settings, &global)?);
        }
        Ok(conf)
    }
}

fn wrong(line: usize, what: &str) -> ConfError {
    ConfError { line, what: what.to_owned() }
}

/// The lines with their numbers; one that ends in `\` goes on in the next.
fn joined(text: &str) -> Result<Vec<(usize, String)>, ConfError> {
    let mut whole: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        if number > LINES_MAX {
            return Err(wrong(number, &format!("more than {LINES_MAX} lines; this is no configuration of rsync")));
        }
        let (body, more) = line.strip_suffix('\\').map_or((line, false), |body| (body, true));
        match whole.last_mut().filter(|_| goes_on) {
            Some((_, begun)) => begun.push_str(body),
            None => whole.push((number, body.to_owned())),
        }
        goes_on = more;
    }
    Ok(whole)
}

fn module(name: String, line: usize, own: &Settings, global: &Settings) -> Result<ModuleConf, ConfError> {
    let said = |key: &str| own.get(key).or_else(|| global.get(key)).map(|(line, text)| (*line, text.as_str()));
    let filled = |key: &str| said(key).filter(|(_, text)| !text.is_empty());
    let path = filled("path").ok_or_else(|| wrong(line, &format!("[{name}] has no path; add path = /DIRECTORY")))?;
    if !path.1.starts_with('/') {
        return Err(wrong(path.0, "a path begins with '/'; write it from the root"));
    }
    if let Some((line, text)) = filled("mungesymlinks")
        && boolean(line, text)?
    {
        return Err(wrong(line, "symbolic links are kept as they are; write munge symlinks = no"));
    }
    if let Some((line, text)) = filled("strictmodes")
        && !boolean(line, text)?
    {
        return Err(wrong(line, "a secrets file that others may read is refused; write strict modes = yes"));
    }
    Ok(ModuleConf {
        line,
        path: PathBuf::from(path.1),
        // As with rsync, nothing is written where nothing is said.
        read_only: filled("readonly").map_or(Ok(true), |(line, text)| boolean(line, text))?,
        users: filled("authusers").map_or(Ok(Vec::new()), |(line, text)| users(line, text))?,
        secrets: filled("secretsfile").map(|(_, text)| PathBuf::from(text)),
        hosts: filled("hostsallow").map(|(line, text)| hosts(line, text)).transpose()?,
        uid: filled("uid").map(|(_, text)| text.to_owned()),
        gid: filled("gid").map(|(_, text)| text.to_owned()),
        name,
    })
}

fn boolean(line: usize, text: &str) -> Result<bool, ConfError> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(wrong(line, &format!("'{text}' is neither yes nor no; write one of them"))),
    }
}

fn port(line: usize, text: &str) -> Result<u16, ConfError> {
    let number = text.parse().ok().filter(|port| *port > 0);
    number.ok_or_else(|| wrong(line, &format!("'{text}' is no port; write a number from 1 to 65535")))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// Users by name. Groups, wildcards and rights of single users are refused: passed over, they would let in others than
/// were meant.
fn users(line: usize, text: &str) -> Result<Vec<String>, ConfError> {
    let plain = |user: &&str| !user.contains(['*', '?', '[', ':', '@']);
    match words(text).find(|user| !plain(user)) {
        Some(user) => {
            Err(wrong(line, &format!("'{user}': users are named one by one, without rights; write their names")))
        }
        None => Ok(words(text).map(str::to_owned).collect()),
    }
}

fn hosts(line: usize, text: &str) -> Result<Vec<Host>, ConfError> {
    let mut found = Vec::new();
    for word in words(text) {
        if found.len() >= HOSTS_MAX {
            return Err(wrong(line, &format!("more than {HOSTS_MAX} hosts; write networks")));
        }
        let host = host(word).ok_or_else(|| {
            wrong(line, &format!("'{word}' is no address, no network and no name; write 10.0.0.0/8, ::1 or a name"))
        });
        found.push(host?);
    }
    Ok(found)
}

fn host(word: &str) -> Option<Host> {
    if word == "*" {
        return Some(Host::All);
    }
    let (address, mask) = word.split_once('/').map_or((word, None), |(address, mask)| (address, Some(mask)));
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let Ok(ip) = bare.parse::<IpAddr>() else {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        return (mask.is_none() && word.chars().all(name)).then(|| Host::Name(word.to_owned()));
    };
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match mask {
        None => width,
        Some(mask) => mask.parse::<u8>().ok().or_else(|| bits_of(mask))?,
    };
    (bits <= width).then_some(Host::Network(ip, bits))
}

/// `255.255.255.0` is 24.
fn bits_of(mask: &str) -> Option<u8> {
    let mask = mask.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
    let ones = mask.leading_ones();
    (mask.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}

/// The passwords of a secrets file: `USER:PASSWORD`, one a line, lines that begin with `#` or `;` left out. Of a user
/// that stands twice the first line counts.
///
/// # Errors
/// [`ConfError`] for a line without a colon, a user or a password. What stands in it is not repeated.
pub fn secrets(text: &str) -> Result<BTreeMap<String, String>, ConfError> {
    let mut found = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let pair = line.split_once(':').filter(|(user, password)| !user.is_empty() && !password.is_empty());
        let Some((user, password)) = pair else {
            return Err(wrong(number, "no USER:PASSWORD; write one user a line"));
        };
        if number > LINES_MAX {
            return Err(wrong(number, "more users than anybody has; name the right file"));
        }
        found.entry(user.to_owned()).or_insert_with(|| password.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
