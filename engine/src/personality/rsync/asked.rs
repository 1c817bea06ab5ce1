//! What a command line of `rsync` asks for: a copy on this machine, a copy to a daemon, a daemon, or words about itself.
//!
//! Pure: reads no file and no environment, resolves no name. Where rsync would do something else with the data than
//! ferry can, this says so and ends; where ferry keeps more than was asked for, that is a note.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::args::{ArgError, Typed};
use super::filters::{self, FilterError, Rule};
use super::options::{Field, Switch};
use crate::types::{ChownTo, Compress, Escaped, LossKind, LossSet, Options, Owner, OwnerPolicy, bytes_in};

/// The port of an rsync daemon.
pub const PORT: u16 = 873;

/// Why what was typed cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The options are no options.
    #[error(transparent)]
    Arg(#[from] ArgError),
    /// A pattern cannot be followed.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Not one source and one destination.
    #[error("{0} operands; write one source and one destination: rsync OPTIONS SRC/ DST/ or SRC/ rsync://HOST/MODULE")]
    Operands(usize),
    /// `HOST::MODULE` or `HOST:PATH`.
    #[error("{0}: name a daemon as rsync://USER@HOST:PORT/MODULE; ferry uses no remote shell and no '::'")]
    RemoteShell(String),
    /// The source is a daemon's.
    #[error("{0}: ferry sends from here and fetches nothing; start it where the data is")]
    Fetch(String),
    /// No module, or something below it.
    #[error("{0}: write rsync://USER@HOST:PORT/MODULE; a module is copied as a whole")]
    Url(String),
    /// A whole volume goes into a module.
    #[error("{0}: end the source with '/'; what is in it becomes the module's content")]
    NoSlash(String),
    /// A value is wrong.
    #[error("{option}={value}: {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// What was typed, escaped.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Owner without group, or the other way round.
    #[error("owner and group are kept both or neither; give --owner and --group, or --no-owner and --no-group")]
    HalfOwner,
    /// An option of the daemon's without `--daemon`, or the other way round.
    #[error("{0}")]
    Misplaced(&'static str),
}

/// What is asked for.
#[derive(Debug)]
pub enum Asked {
    /// The version.
    Version,
    /// The usage.
    Help,
    /// Serving modules.
    Daemon(DaemonAsked),
    /// One copy.
    Copy(Box<CopyAsked>),
}

/// A daemon as typed.
#[derive(Debug, PartialEq, Eq)]
pub struct DaemonAsked {
    /// Its configuration.
    pub config: Option<PathBuf>,
    /// Where it listens; what the configuration says, where nothing was typed.
    pub port: Option<u16>,
    /// The one address it listens on, or all.
    pub address: Option<String>,
}

/// A copy as typed.
#[derive(Debug)]
pub struct CopyAsked {
    /// What is copied.
    pub source: PathBuf,
    /// Whether what is *in* the source is copied (`SRC/`), and not the source itself.
    pub contents: bool,
    /// Where to.
    pub destination: Destination,
    /// What the engine is asked: excludes and accepted losses of the command line only.
    pub options: Options,
    /// Files of further rules.
    pub exclude_from: Vec<PathBuf>,
    /// Owners every entry gets.
    pub chown: Option<ChownTo>,
    /// Do not enter other file systems.
    pub one_file_system: bool,
    /// Whether content is compressed.
    pub compress: Compress,
    /// Bytes a second.
    pub bwlimit: Option<NonZeroU64>,
    /// Where the password is, if not in the environment.
    pub password_file: Option<PathBuf>,
    /// What to tell: options that change nothing, and what is kept without being asked for.
    pub notes: Vec<String>,
}

/// Where a copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A place on this machine.
    Here(PathBuf),
    /// A daemon's module.
    There(Remote),
}

/// `rsync://USER@HOST:PORT/MODULE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The user, if one was named.
    pub user: Option<String>,
    /// A name or an address, without brackets.
    pub host: String,
    /// The URL's port, else that of `--port`, else [`PORT`].
    pub port: u16,
    /// The module.
    pub module: String,
}

impl Asked {
    /// Judges a command line, the program's name left out.
    ///
    /// # Errors
    /// [`AskError`], each with what to change.
    pub fn parse(args: &[OsString]) -> Result<Self, AskError> {
        let typed = Typed::parse(args)?;
        if typed.is(Switch::Help) {
            return Ok(Self::Help);
        }
        if typed.is(Switch::Version) {
            return Ok(Self::Version);
        }
        if typed.is(Switch::Daemon) { daemon(&typed).map(Self::Daemon) } else { copy(&typed) }
    }
}

fn daemon(typed: &Typed) -> Result<DaemonAsked, AskError> {
    if !typed.operands.is_empty() {
        return Err(AskError::Misplaced(
            "a daemon takes no source and no destination; name modules in its configuration",
        ));
    }
    if typed.last(Field::Bwlimit).is_some() {
        // rsync's daemon bounds every client by it; a silent omission would flood a link somebody meant to spare.
        return Err(AskError::Misplaced("--bwlimit is for the client; give it there"));
    }
    Ok(DaemonAsked {
        config: typed.last(Field::Config).map(PathBuf::from),
        port: port(typed)?,
        address: typed.last(Field::Address).map(|value| value.to_string_lossy().into_owned()),
    })
}

fn copy(typed: &Typed) -> Result<Asked, AskError> {
    if typed.last(Field::Config).is_some() || typed.last(Field::Address).is_some() {
        return Err(AskError::Misplaced("--config and --address are for a daemon; leave them out, or add --daemon"));
    }
    let [source, destination] = typed.operands.as_slice() else {
        return Err(AskError::Operands(typed.operands.len()));
    };
    let contents = says_contents(source.as_bytes());
    let destination = place(destination, typed)?;
    match place(source, typed)? {
        Destination::There(_) => return Err(AskError::Fetch(shown(source))),
        Destination::Here(_) => {}
    }
    if matches!(destination, Destination::There(_)) && !contents {
        return Err(AskError::NoSlash(shown(source)));
    }
    let excludes = excludes(typed)?;
    let (owner, chown) = owners(typed)?;
    let options = Options {
        delete: typed.is(Switch::Delete),
        delete_excluded: typed.is(Switch::DeleteExcluded),
        max_delete: max_delete(typed)?,
        allow_empty_source: typed.is(Switch::AllowEmptySource),
        accept_loss: accept_loss(typed)?,
        checksum: typed.is(Switch::Checksum),
        dry_run: typed.is(Switch::DryRun),
        atomic: typed.is(Switch::Atomic),
        owner,
        xattrs: typed.is(Switch::Acls) || typed.is(Switch::Xattrs),
        excludes,
        ..Options::default()
    };
    Ok(Asked::Copy(Box::new(CopyAsked {
        source: PathBuf::from(source),
        contents,
        destination,
        options,
        exclude_from: paths(typed, Field::ExcludeFrom),
        chown,
        one_file_system: typed.is(Switch::OneFileSystem),
        compress: if typed.off.contains(&Switch::Compress) { Compress::Off } else { Compress::Auto },
        bwlimit: bwlimit(typed)?,
        password_file: typed.last(Field::PasswordFile).map(PathBuf::from),
        notes: notes(typed),
    })))
}

/// `SRC/` and `SRC/.` are what is in SRC.
fn says_contents(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.") || path == b"." || path == b".." || path.ends_with(b"/..")
}

fn shown(text: &OsStr) -> String {
    Escaped(text.as_bytes()).to_string()
}

fn paths(typed: &Typed, field: Field) -> Vec<PathBuf> {
    typed.values.iter().filter(|(given, _)| *given == field).map(|(_, value)| PathBuf::from(value)).collect()
}

/// A path, or a daemon's URL. A colon before the first slash is a host's, as with rsync.
fn place(operand: &OsStr, typed: &Typed) -> Result<Destination, AskError> {
    let bytes = operand.as_bytes();
    if bytes.len() >= 8 && bytes.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"rsync://")) {
        let rest = bytes.get(8..).and_then(|rest| std::str::from_utf8(rest).ok());
        let default = port(typed)?.unwrap_or(PORT);
        let remote = rest.and_then(|rest| url(rest, default)).ok_or_else(|| AskError::Url(shown(operand)))?;
        return Ok(Destination::There(remote));
    }
    let before_slash = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    if before_slash.contains(&b':') {
        return Err(AskError::RemoteShell(shown(operand)));
    }
    if bytes.is_empty() {
        return Err(AskError::Operands(typed.operands.len()));
    }
    Ok(Destination::Here(PathBuf::from(operand)))
}

/// `[USER@]HOST[:PORT]/MODULE[/]`.
fn url(text: &str, default: u16) -> Option<Remote> {
    let (authority, path) = text.split_once('/')?;
    let module = path.strip_suffix('/').unwrap_or(path);
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(default), number_of_port)?;
    let usable = !host.is_empty() && !module.is_empty() && !module.contains('/') && user.as_deref() != Some("");
    usable.then(|| Remote { user, host: host.to_owned(), port, module: module.to_owned() })
}

fn number_of_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The value of an option as text that `read` understands.
fn value<T>(
    typed: &Typed,
    (field, option): (Field, &'static str),
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, AskError> {
    let Some(given) = typed.last(field) else { return Ok(None) };
    let wrong = || AskError::Value { option, value: shown(given), expected };
    given.to_str().and_then(read).map(Some).ok_or_else(wrong)
}

fn port(typed: &Typed) -> Result<Option<u16>, AskError> {
    value(typed, (Field::Port, "--port"), "a port is a number from 1 to 65535", number_of_port)
}

fn max_delete(typed: &Typed) -> Result<Option<u64>, AskError> {
    // Less than nothing means nothing, as with rsync.
    let read = |text: &str| text.parse::<i64>().ok().map(|count| u64::try_from(count).unwrap_or(0));
    Ok(value(typed, (Field::MaxDelete, "--max-delete"), "a number of entries", read)?
        .filter(|_| typed.is(Switch::Delete)))
}

fn accept_loss(typed: &Typed) -> Result<LossSet, AskError> {
    let read = |text: &str| {
        let mut set = LossSet::default();
        text.split(',').try_for_each(|word| LossKind::from_word(word).map(|kind| set.insert(kind)))?;
        Some(set)
    };
    let expected =
        "kinds of loss are ownership, devices, trusted-xattrs, file-capabilities, selinux, acls, xattrs, times";
    Ok(value(typed, (Field::AcceptLoss, "--accept-loss"), expected, read)?.unwrap_or_default())
}

fn bwlimit(typed: &Typed) -> Result<Option<NonZeroU64>, AskError> {
    let expected = "a rate is KiB a second, or a number with B, K, M or G (1024), KB, MB or GB (1000); 0 is no limit";
    Ok(value(typed, (Field::Bwlimit, "--bwlimit"), expected, rate)?.and_then(NonZeroU64::new))
}

/// rsync's rate in bytes a second: a decimal number, in KiB where no unit is named.
fn rate(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = bytes_in(if unit.is_empty() { "K" } else { unit })?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = u128::from(digits(fraction)?) * u128::from(factor) / u128::from(scale);
    let bytes = digits(whole)?.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)?;
    // A limit that rounds to nothing is still a limit.
    let nothing = digits(whole)? == 0 && digits(fraction)? == 0;
    Some(if nothing { 0 } else { bytes.max(1) })
}

fn excludes(typed: &Typed) -> Result<Vec<String>, AskError> {
    let mut patterns = Vec::new();
    for (_, value) in typed.values.iter().filter(|(field, _)| *field == Field::Exclude) {
        let expected = "a pattern of UTF-8 text";
        let text =
            value.to_str().ok_or_else(|| AskError::Value { option: "--exclude", value: shown(value), expected })?;
        follow(&mut patterns, text)?;
    }
    Ok(patterns)
}

/// Adds one rule to the patterns of those before it.
///
/// # Errors
/// [`FilterError`].
pub fn follow(patterns: &mut Vec<String>, rule: &str) -> Result<(), FilterError> {
    match filters::rule(rule)? {
        Rule::Exclude(more) => patterns.extend(more),
        Rule::Clear => patterns.clear(),
    }
    Ok(())
}

fn owners(typed: &Typed) -> Result<(OwnerPolicy, Option<ChownTo>), AskError> {
    let both = |text: &str| {
        let (uid, gid) = text.split_once(':')?;
        Owner::new(uid.parse().ok()?, gid.parse().ok()?)
    };
    let expected = "an owner is two numbers, UID:GID; names are not looked up";
    if let Some(owner) = value(typed, (Field::Chown, "--chown"), expected, both)? {
        return Ok((OwnerPolicy::Keep, Some(ChownTo(owner))));
    }
    match (typed.is(Switch::Owner), typed.is(Switch::Group)) {
        (true, true) => Ok((OwnerPolicy::Keep, None)),
        (false, false) => Ok((OwnerPolicy::Ignore, None)),
        (true, false) | (false, true) => Err(AskError::HalfOwner),
    }
}

/// What rsync copies only when asked, and ferry always.
const ALWAYS: [(Switch, &str); 6] = [
    (Switch::Recursive, "directories"),
    (Switch::Links, "symbolic links"),
    (Switch::Perms, "permissions"),
    (Switch::Times, "times"),
    (Switch::Devices, "devices"),
    (Switch::Specials, "special files"),
];

fn notes(typed: &Typed) -> Vec<String> {
    let mut notes = Vec::new();
    let unasked: Vec<&str> = ALWAYS.iter().filter(|(switch, _)| !typed.is(*switch)).map(|(_, what)| *what).collect();
    if !unasked.is_empty() {
        notes.push(format!("note: not asked for and copied all the same: {}", unasked.join(", ")));
    }
    if !typed.needless.is_empty() {
        notes.push(format!(
            "note: of no effect, ferry does so anyway or does not need it: {}",
            typed.needless.join(" ")
        ));
    }
    if typed.last(Field::MaxDelete).is_some() && !typed.is(Switch::Delete) {
        notes.push("note: of no effect without --delete: --max-delete".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
