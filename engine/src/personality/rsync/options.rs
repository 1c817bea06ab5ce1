//! The options of rsync's client by name, and what each of them means here: one table.
//!
//! *Used* options do what they say. *Needless* ones say what ferry does anyway, or how rsync is to go about it: they are
//! named in one note. *Refused* ones would change which data arrives in a way that ferry does not do: silence would be a
//! wrong copy. Nothing here looks at a value.

use Meaning::{Needless, Off, On, Refused, Value};

/// A switch that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Switch {
    /// `--recursive`
    Recursive,
    /// `--links`
    Links,
    /// `--perms`
    Perms,
    /// `--times`
    Times,
    /// `--owner`
    Owner,
    /// `--group`
    Group,
    /// `--devices`
    Devices,
    /// `--specials`
    Specials,
    /// `--acls`
    Acls,
    /// `--xattrs`
    Xattrs,
    /// `--delete`
    Delete,
    /// `--delete-excluded`
    DeleteExcluded,
    /// `--checksum`, `--ignore-times`
    Checksum,
    /// `--dry-run`
    DryRun,
    /// `--one-file-system`
    OneFileSystem,
    /// `--delay-updates`
    Atomic,
    /// `--compress`
    Compress,
    /// `--allow-empty-source`, ferry's own
    AllowEmptySource,
    /// `--daemon`
    Daemon,
    /// `--version`
    Version,
    /// `--help`
    Help,
}

/// A value that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `--port`
    Port,
    /// `--exclude`
    Exclude,
    /// `--exclude-from`
    ExcludeFrom,
    /// `--bwlimit`
    Bwlimit,
    /// `--max-delete`
    MaxDelete,
    /// `--chown`
    Chown,
    /// `--password-file`
    PasswordFile,
    /// `--accept-loss`, ferry's own
    AcceptLoss,
    /// `--config`, of the daemon
    Config,
    /// `--address`, of the daemon
    Address,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// It sets these.
    On(&'static [Switch]),
    /// It takes these back.
    Off(&'static [Switch]),
    /// Its value is used.
    Value(Field),
    /// Nothing changes by it; a value is skipped.
    Needless(Takes),
    /// It ends the run; why, and what to do.
    Refused(Takes, &'static str),
}

/// Whether an option has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// One.
    One,
}

/// An option: its long name, its letter, its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Without the two dashes.
    pub long: &'static str,
    /// Its short form.
    pub letter: Option<char>,
    /// What becomes of it.
    pub meaning: Meaning,
}

impl Meaning {
    /// Whether it has a value.
    #[must_use]
    pub fn takes(self) -> Takes {
        match self {
            On(_) | Off(_) => Takes::Nothing,
            Value(_) => Takes::One,
            Needless(takes) | Refused(takes, _) => takes,
        }
    }
}

const fn known(long: &'static str, letter: char, meaning: Meaning) -> Known {
    Known { long, letter: Some(letter), meaning }
}

const fn long(long: &'static str, meaning: Meaning) -> Known {
    Known { long, letter: None, meaning }
}

const NOTHING: Takes = Takes::Nothing;
const ONE: Takes = Takes::One;
const WHOLE: &str = "ferry copies all of a volume; leave it out, or name what is not wanted with --exclude";
const CONTENT: &str = "ferry makes the destination equal to the source; leave it out";
const LINKS: &str = "ferry keeps symbolic links as they are; leave it out";
const ATTRIBUTES: &str = "ferry does not keep this attribute; leave it out";
const NAMES: &str = "ferry keeps numeric owners; leave it out, or write --chown=UID:GID";
const ELSEWHERE: &str = "ferry speaks with a daemon or copies on one machine; leave it out";
const RULES: &str = "ferry follows --exclude and --exclude-from only; name what is to be left out with them";
const BASIS: &str = "ferry compares with the destination itself; leave it out";
const ENDS: &str = "ferry runs until it is done; leave it out, or stop it with SIGTERM";

/// The options, in the order of rsync's own help; ferry's own and the daemon's come last.
pub const OPTIONS: &[Known] = &[
    known("verbose", 'v', Needless(NOTHING)),
    long("info", Needless(ONE)),
    long("debug", Needless(ONE)),
    long("stderr", Needless(ONE)),
    known("quiet", 'q', Needless(NOTHING)),
    long("no-motd", Needless(NOTHING)),
    long("msgs2stderr", Needless(NOTHING)),
    known("checksum", 'c', On(&[Switch::Checksum])),
    known("archive", 'a', On(ARCHIVE)),
    known("recursive", 'r', On(&[Switch::Recursive])),
    long("inc-recursive", Needless(NOTHING)),
    long("i-r", Needless(NOTHING)),
    known(
        "relative",
        'R',
        Refused(NOTHING, "ferry puts what is in SRC into DST; name the directory below DST instead"),
    ),
    long("no-implied-dirs", Refused(NOTHING, CONTENT)),
    known("backup", 'b', Refused(NOTHING, CONTENT)),
    long("backup-dir", Refused(ONE, CONTENT)),
    long("suffix", Refused(ONE, CONTENT)),
    known("update", 'u', Refused(NOTHING, CONTENT)),
    long("inplace", Needless(NOTHING)),
    long("append", Refused(NOTHING, CONTENT)),
    long("append-verify", Refused(NOTHING, CONTENT)),
    known("dirs", 'd', Refused(NOTHING, WHOLE)),
    long("old-dirs", Refused(NOTHING, WHOLE)),
    long("mkpath", Refused(NOTHING, "make the directory above the destination first")),
    known("links", 'l', On(&[Switch::Links])),
    long("no-links", Refused(NOTHING, LINKS)),
    long("no-l", Refused(NOTHING, LINKS)),
    known("copy-links", 'L', Refused(NOTHING, LINKS)),
    long("copy-unsafe-links", Refused(NOTHING, LINKS)),
    long("safe-links", Refused(NOTHING, LINKS)),
    long("munge-links", Refused(NOTHING, LINKS)),
    long("insecure-links", Refused(NOTHING, LINKS)),
    long("confine-root", Refused(ONE, LINKS)),
    known("copy-dirlinks", 'k', Refused(NOTHING, LINKS)),
    known("keep-dirlinks", 'K', Refused(NOTHING, LINKS)),
    known("hard-links", 'H', Needless(NOTHING)),
    known("perms", 'p', On(&[Switch::Perms])),
    known("executability", 'E', Needless(NOTHING)),
    long("chmod", Refused(ONE, CONTENT)),
    known("acls", 'A', On(&[Switch::Acls])),
    known("xattrs", 'X', On(&[Switch::Xattrs])),
    known("owner", 'o', On(&[Switch::Owner])),
    known("group", 'g', On(&[Switch::Group])),
    long("devices", On(&[Switch::Devices])),
    long("copy-devices", Refused(NOTHING, CONTENT)),
    long("write-devices", Refused(NOTHING, CONTENT)),
    long("specials", On(&[Switch::Specials])),
    long("no-devices", Refused(NOTHING, WHOLE)),
    long("no-specials", Refused(NOTHING, WHOLE)),
    long("no-D", Refused(NOTHING, WHOLE)),
    long("drop-D", Refused(NOTHING, WHOLE)),
    Known { long: "", letter: Some('D'), meaning: On(&[Switch::Devices, Switch::Specials]) },
    known("times", 't', On(&[Switch::Times])),
    known("atimes", 'U', Refused(NOTHING, ATTRIBUTES)),
    long("open-noatime", Needless(NOTHING)),
    known("crtimes", 'N', Refused(NOTHING, ATTRIBUTES)),
    known("omit-dir-times", 'O', Needless(NOTHING)),
    known("omit-link-times", 'J', Needless(NOTHING)),
    long("super", Needless(NOTHING)),
    long("fake-super", Refused(NOTHING, ATTRIBUTES)),
    known("sparse", 'S', Needless(NOTHING)),
    long("preallocate", Needless(NOTHING)),
    known("dry-run", 'n', On(&[Switch::DryRun])),
    known("whole-file", 'W', Needless(NOTHING)),
    long("checksum-choice", Needless(ONE)),
    long("cc", Needless(ONE)),
    known("one-file-system", 'x', On(&[Switch::OneFileSystem])),
    known("block-size", 'B', Needless(ONE)),
    known("rsh", 'e', Refused(ONE, ELSEWHERE)),
    long("rsync-path", Refused(ONE, ELSEWHERE)),
    long("existing", Refused(NOTHING, CONTENT)),
    long("ignore-non-existing", Refused(NOTHING, CONTENT)),
    long("ignore-existing", Refused(NOTHING, CONTENT)),
    long("remove-source-files", Refused(NOTHING, "ferry never changes a source; remove them when the copy is done")),
    long("del", On(&[Switch::Delete])),
    long("delete", On(&[Switch::Delete])),
    long("delete-before", On(&[Switch::Delete])),
    long("delete-during", On(&[Switch::Delete])),
    long("delete-delay", On(&[Switch::Delete])),
    long("delete-after", On(&[Switch::Delete])),
    long("delete-excluded", On(&[Switch::Delete, Switch::DeleteExcluded])),
    long("ignore-missing-args", Refused(NOTHING, "a source that is missing is an error here; leave it out")),
    long("delete-missing-args", Refused(NOTHING, CONTENT)),
    long("ignore-errors", Needless(NOTHING)),
    long("force", Needless(NOTHING)),
    long("max-delete", Value(Field::MaxDelete)),
    long("max-size", Refused(ONE, WHOLE)),
    long("min-size", Refused(ONE, WHOLE)),
    long("max-alloc", Needless(ONE)),
    long("partial", Needless(NOTHING)),
    long("partial-dir", Needless(ONE)),
    long("delay-updates", On(&[Switch::Atomic])),
    known("prune-empty-dirs", 'm', Refused(NOTHING, WHOLE)),
    long("numeric-ids", Needless(NOTHING)),
    long("usermap", Refused(ONE, NAMES)),
    long("groupmap", Refused(ONE, NAMES)),
    long("chown", Value(Field::Chown)),
    long("timeout", Needless(ONE)),
    long("contimeout", Needless(ONE)),
    known("ignore-times", 'I', On(&[Switch::Checksum])),
    long("size-only", Refused(NOTHING, CONTENT)),
    known("modify-window", '@', Needless(ONE)),
    known("temp-dir", 'T', Needless(ONE)),
    known("fuzzy", 'y', Needless(NOTHING)),
    long("compare-dest", Refused(ONE, BASIS)),
    long("copy-dest", Refused(ONE, BASIS)),
    long("link-dest", Refused(ONE, BASIS)),
    known("compress", 'z', On(&[Switch::Compress])),
    long("compress-choice", Needless(ONE)),
    long("zc", Needless(ONE)),
    long("compress-level", Needless(ONE)),
    long("zl", Needless(ONE)),
    long("compress-threads", Needless(ONE)),
    long("zt", Needless(ONE)),
    long("skip-compress", Needless(ONE)),
    known("cvs-exclude", 'C', Refused(NOTHING, RULES)),
    known("filter", 'f', Refused(ONE, RULES)),
    known("", 'F', Refused(NOTHING, RULES)),
    long("exclude", Value(Field::Exclude)),
    long("exclude-from", Value(Field::ExcludeFrom)),
    long("include", Refused(ONE, RULES)),
    long("include-from", Refused(ONE, RULES)),
    long("files-from", Refused(ONE, WHOLE)),
    known("from0", '0', Refused(NOTHING, "write one pattern a line, and leave it out")),
    long("old-args", Needless(NOTHING)),
    known("secluded-args", 's', Needless(NOTHING)),
    long("protect-args", Needless(NOTHING)),
    long("trust-sender", Needless(NOTHING)),
    long("copy-as", Refused(ONE, NAMES)),
    long("address", Value(Field::Address)),
    long("port", Value(Field::Port)),
    long("sockopts", Needless(ONE)),
    long("blocking-io", Needless(NOTHING)),
    long("outbuf", Needless(ONE)),
    long("stats", Needless(NOTHING)),
    known("8-bit-output", '8', Needless(NOTHING)),
    known("human-readable", 'h', Needless(NOTHING)),
    long("progress", Needless(NOTHING)),
    known("", 'P', Needless(NOTHING)),
    known("itemize-changes", 'i', Needless(NOTHING)),
    known("remote-option", 'M', Refused(ONE, ELSEWHERE)),
    long("out-format", Needless(ONE)),
    long("log-file", Needless(ONE)),
    long("log-file-format", Needless(ONE)),
    long("password-file", Value(Field::PasswordFile)),
    long("early-input", Refused(ONE, ELSEWHERE)),
    long("list-only", Refused(NOTHING, "ferry lists nothing; --dry-run says what would be copied")),
    long("bwlimit", Value(Field::Bwlimit)),
    long("stop-after", Refused(ONE, ENDS)),
    long("time-limit", Refused(ONE, ENDS)),
    long("stop-at", Refused(ONE, ENDS)),
    long("fsync", Needless(NOTHING)),
    long("write-batch", Refused(ONE, ELSEWHERE)),
    long("only-write-batch", Refused(ONE, ELSEWHERE)),
    long("read-batch", Refused(ONE, ELSEWHERE)),
    long("protocol", Needless(ONE)),
    long("iconv", Refused(ONE, "ferry keeps names as they are; leave it out")),
    long("checksum-seed", Needless(ONE)),
    known("ipv4", '4', Needless(NOTHING)),
    known("ipv6", '6', Needless(NOTHING)),
    known("version", 'V', On(&[Switch::Version])),
    long("help", On(&[Switch::Help])),
    // What ferry's own errors ask for; rsync has no words for it.
    long("allow-empty-source", On(&[Switch::AllowEmptySource])),
    long("accept-loss", Value(Field::AcceptLoss)),
    long("daemon", On(&[Switch::Daemon])),
    long("no-detach", Needless(NOTHING)),
    long("config", Value(Field::Config)),
    long("dparam", Refused(ONE, "write it into the configuration file instead")),
    long("server", Refused(NOTHING, "a remote shell cannot start ferry as rsync; use a daemon")),
    long("sender", Refused(NOTHING, "a remote shell cannot start ferry as rsync; use a daemon")),
    long("detach", Refused(NOTHING, "the daemon stays in the foreground; leave it out, and put it in the background")),
];

/// What `--archive` stands for.
pub const ARCHIVE: &[Switch] = &[
    Switch::Recursive,
    Switch::Links,
    Switch::Perms,
    Switch::Times,
    Switch::Group,
    Switch::Owner,
    Switch::Devices,
    Switch::Specials,
];

/// The option of that long name.
#[must_use]
pub fn by_name(name: &str) -> Option<Meaning> {
    let named = |name: &str| OPTIONS.iter().find(|known| known.long == name && !name.is_empty());
    if let Some(known) = named(name) {
        return Some(known.meaning);
    }
    // Any option that only sets something can be taken back: `--no-owner`, `--no-o`.
    let rest = name.strip_prefix("no-")?;
    let mut letters = rest.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    match named(rest).map(|known| known.meaning).or_else(|| letter.and_then(by_letter))? {
        On(switches) => Some(Off(switches)),
        Needless(_) | Refused(..) => Some(Needless(NOTHING)),
        Off(_) | Value(_) => None,
    }
}

/// The option of that letter.
#[must_use]
pub fn by_letter(letter: char) -> Option<Meaning> {
    OPTIONS.iter().find(|known| known.letter == Some(letter)).map(|known| known.meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_stands_twice() {
        for (n, known) in OPTIONS.iter().enumerate() {
            let same = |other: &&Known| {
                (!known.long.is_empty() && other.long == known.long)
                    || (known.letter.is_some() && other.letter == known.letter)
            };
            let twice = OPTIONS.iter().skip(n + 1).find(same);
            assert!(twice.is_none(), "{known:?} and {twice:?}");
        }
    }

    #[test]
    fn what_sets_something_can_be_taken_back() {
        assert!(matches!(by_name("no-owner"), Some(Off([Switch::Owner]))));
        assert!(matches!(by_name("no-g"), Some(Off([Switch::Group]))));
        assert!(matches!(by_name("no-inplace"), Some(Needless(Takes::Nothing))));
        assert!(matches!(by_name("no-whole-file"), Some(Needless(Takes::Nothing))));
        assert!(matches!(by_name("no-D"), Some(Refused(..))));
        assert!(by_name("no-exclude").is_none() && by_name("no-such").is_none() && by_name("").is_none());
    }
}
