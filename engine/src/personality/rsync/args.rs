//! What was typed after `rsync`: options in every spelling and order, operands, both taken apart by the table of options.
//!
//! Pure. Gives switches, values and operands; what they mean together is for `asked`. An unknown option, a value that is
//! missing and an option that is refused end it here, with the sentence.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::options::{Field, Meaning, Switch, Takes, by_letter, by_name};
use crate::types::Escaped;

/// Arguments beyond this are no command line that anybody wrote.
const ARGUMENTS_MAX: usize = 16_384;

/// Why a command line is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// No such option.
    #[error("{0}: unknown option; rsync --help lists those that are understood")]
    Unknown(String),
    /// Its value is missing.
    #[error("{0}: missing argument; write {0}=VALUE")]
    NoValue(String),
    /// It has a value and takes none.
    #[error("{0}: takes no argument; leave that out")]
    NeedlessValue(String),
    /// An option that would change which data arrives.
    #[error("{option} is not done by ferry: {why}")]
    Refused {
        /// As typed, without its value.
        option: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Far too many.
    #[error("more than {ARGUMENTS_MAX} arguments; use --exclude-from")]
    TooMany,
}

/// The options and operands of a command line.
#[derive(Debug, Default)]
pub struct Typed {
    /// What was switched on and not off again.
    pub on: BTreeSet<Switch>,
    /// What was switched off in words, last.
    pub off: BTreeSet<Switch>,
    /// Values, in order.
    pub values: Vec<(Field, OsString)>,
    /// Options that change nothing, each once.
    pub needless: Vec<String>,
    /// What is no option.
    pub operands: Vec<OsString>,
}

impl Typed {
    /// Takes a command line apart, the program's name left out.
    ///
    /// # Errors
    /// [`ArgError`].
    pub fn parse(args: &[OsString]) -> Result<Self, ArgError> {
        if args.len() > ARGUMENTS_MAX {
            return Err(ArgError::TooMany);
        }
        let mut typed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let bytes = arg.as_bytes();
            match bytes {
                b"--" => {
                    typed.operands.extend(rest.by_ref().cloned());
                }
                _ if bytes.starts_with(b"--") => typed.long(bytes, &mut rest)?,
                // `-h` alone asks for help, as it does of rsync.
                b"-h" if args.len() == 1 => drop(typed.on.insert(Switch::Help)),
                [b'-', letters @ ..] if !letters.is_empty() => typed.letters(letters, &mut rest)?,
                _ => typed.operands.push(arg.clone()),
            }
        }
        Ok(typed)
    }

    fn long<'a>(&mut self, arg: &[u8], rest: &mut impl Iterator<Item = &'a OsString>) -> Result<(), ArgError> {
        let equals = arg.iter().position(|byte| *byte == b'=');
        let (name, value) = arg.split_at(equals.unwrap_or(arg.len()));
        let shown = Escaped(name).to_string();
        let name = name.get(2..).and_then(|name| std::str::from_utf8(name).ok());
        let meaning = name.and_then(by_name).ok_or_else(|| ArgError::Unknown(shown.clone()))?;
        let value = equals.map(|_| OsStr::from_bytes(value.get(1..).unwrap_or_default()));
        self.apply(shown, meaning, value, rest)
    }

    /// `-aHAX`, `-e ssh`, `-essh`: the first letter with a value takes what is left, or the next argument.
    fn letters<'a>(&mut self, letters: &[u8], rest: &mut impl Iterator<Item = &'a OsString>) -> Result<(), ArgError> {
        for (n, letter) in letters.iter().enumerate() {
            let shown = format!("-{}", Escaped(std::slice::from_ref(letter)));
            let meaning = by_letter(char::from(*letter)).ok_or_else(|| ArgError::Unknown(shown.clone()))?;
            let left = letters.get(n + 1..).unwrap_or_default();
            match meaning.takes() {
                Takes::Nothing => self.apply(shown, meaning, None, rest)?,
                Takes::One if left.is_empty() => return self.apply(shown, meaning, None, rest),
                Takes::One => {
                    let value = left.strip_prefix(b"=").unwrap_or(left);
                    return self.apply(shown, meaning, Some(OsStr::from_bytes(value)), rest);
                }
            }
        }
        Ok(())
    }

    fn apply<'a>(
        &mut self,
        shown: String,
        meaning: Meaning,
        value: Option<&OsStr>,
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), ArgError> {
        let value = match (meaning.takes(), value) {
            (Takes::Nothing, None) => OsString::new(),
            (Takes::Nothing, Some(_)) => return Err(ArgError::NeedlessValue(shown)),
            (Takes::One, Some(value)) => OsString::from_vec(value.as_bytes().to_vec()),
            (Takes::One, None) => rest.next().ok_or_else(|| ArgError::NoValue(shown.clone()))?.clone(),
        };
        match meaning {
            Meaning::On(switches) => {
                self.on.extend(switches);
                self.off.retain(|switch| !switches.contains(switch));
            }
            Meaning::Off(switches) => {
                self.off.extend(switches);
                self.on.retain(|switch| !switches.contains(switch));
            }
            Meaning::Value(field) => self.values.push((field, value)),
            Meaning::Needless(_) => {
                if !self.needless.contains(&shown) {
                    self.needless.push(shown);
                }
            }
            Meaning::Refused(_, why) => return Err(ArgError::Refused { option: shown, why }),
        }
        Ok(())
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn is(&self, switch: Switch) -> bool {
        self.on.contains(&switch)
    }

    /// The last value of a field.
    #[must_use]
    pub fn last(&self, field: Field) -> Option<&OsStr> {
        self.values.iter().rev().find(|(given, _)| *given == field).map(|(_, value)| value.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Typed, ArgError> {
        Typed::parse(&line.split(' ').filter(|arg| !arg.is_empty()).map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn both_spellings_of_a_value_and_any_order() {
        for line in ["--port 2222 a b", "a --port=2222 b", "a b --port 2222"] {
            let typed = typed(line).unwrap();
            assert_eq!(typed.last(Field::Port), Some(OsStr::new("2222")), "{line}");
            assert_eq!(typed.operands, ["a", "b"], "{line}");
        }
        assert_eq!(typed("a -- --delete").unwrap().operands, ["a", "--delete"]);
        assert_eq!(typed("-").unwrap().operands, ["-"]);
    }

    #[test]
    fn letters_are_bundled_and_the_one_with_a_value_ends_the_bundle() {
        let bundle = typed("-aHAXvvv").unwrap();
        assert!(ARCHIVE.iter().chain(&[Switch::Acls, Switch::Xattrs]).all(|switch| bundle.is(*switch)));
        assert_eq!(bundle.needless, ["-H", "-v"]);
        assert_eq!(typed("-aB1024 a").unwrap().operands, ["a"]);
        assert_eq!(typed("-aB 1024 a").unwrap().operands, ["a"]);
        assert_eq!(typed("-aB").unwrap_err(), ArgError::NoValue("-B".into()));
        assert_eq!(typed("-aw").unwrap_err(), ArgError::Unknown("-w".into()));
    }

    #[test]
    fn the_last_word_counts() {
        let owner = |line: &str| typed(line).unwrap().is(Switch::Owner);
        assert!(owner("-a") && !owner("-a --no-owner") && owner("--no-o -a") && !owner("-a --no-o"));
        assert!(typed("-a --no-owner").unwrap().off.contains(&Switch::Owner));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(typed("--frobnicate=1").unwrap_err(), ArgError::Unknown("--frobnicate".into()));
        assert_eq!(typed("--archive=yes").unwrap_err(), ArgError::NeedlessValue("--archive".into()));
        assert_eq!(typed("--exclude").unwrap_err(), ArgError::NoValue("--exclude".into()));
        let refused = typed("-a --files-from=x").unwrap_err().to_string();
        assert!(refused.starts_with("--files-from is not done by ferry: "), "{refused}");
        assert!(matches!(typed("-au"), Err(ArgError::Refused { option, .. }) if option == "-u"));
    }

    #[test]
    fn help_is_a_lone_letter_and_a_size_elsewhere() {
        assert!(typed("-h").unwrap().is(Switch::Help));
        assert!(!typed("-h -a").unwrap().is(Switch::Help));
    }

    use super::super::options::ARCHIVE;
}
