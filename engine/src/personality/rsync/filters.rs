//! rsync's exclude patterns in gitignore's language, which is what the engine follows.
//!
//! ```text
//!  foo          **/foo                       foo/         **/foo/             foo**bar   **/foo*bar  and  **/foo*/**/*bar
//!  foo/*/bar    **/foo/*/bar                 /foo         /foo                foo/***    **/foo/
//! ```
//! Pure. The two languages differ in what floats (rsync: all that does not begin with `/`), in `**` (rsync: any
//! characters, also within a name), in braces (rsync: plain characters) and in backslashes (rsync: an escape only beside
//! a wildcard). Each pattern becomes patterns that match the same names, or an error that says why there are none. Rules
//! that include, merge or protect are refused: their order among others has a meaning that gitignore has not.

use std::iter::Peekable;
use std::str::Chars;

/// Places in one pattern where `**` may stand: each doubles the patterns it becomes.
const DOUBLE_STARS_MAX: usize = 5;

/// Why a pattern cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It includes.
    #[error("the rule {0:?} includes, and ferry only excludes; name what is to be left out")]
    Include(String),
    /// `[` without `]`.
    #[error("the pattern {0:?} has a '[' that is not closed; write '\\[' for the character")]
    Open(String),
    /// A range backwards, a class of characters that is unknown, or `/` or letters beyond ASCII in a class.
    #[error(
        "the pattern {0:?} has a class that ferry cannot follow; use characters of ASCII without '/', or several patterns"
    )]
    Class(String),
    /// A backslash at the end, beside a wildcard.
    #[error("the pattern {0:?} ends in a backslash that escapes nothing; remove it")]
    Dangling(String),
    /// Too many `**`.
    #[error("the pattern {0:?} has more than {DOUBLE_STARS_MAX} times '**'; use several patterns")]
    TooMany(String),
}

/// What one rule is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Excludes what any of these gitignore patterns matches; none of them for an empty rule.
    Exclude(Vec<String>),
    /// Forgets the rules before it.
    Clear,
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// This character.
    Plain(char),
    /// One character, not `/`.
    One,
    /// Any characters but `/`.
    Star,
    /// Any characters.
    DoubleStar,
    /// One of these, or none of these; never `/`.
    Class { negated: bool, bytes: Vec<u8> },
}

/// One rule as `--exclude` takes it: a pattern, perhaps with `- ` before it.
///
/// # Errors
/// [`FilterError`] when no gitignore pattern says the same.
pub fn rule(text: &str) -> Result<Rule, FilterError> {
    match text {
        "!" => Ok(Rule::Clear),
        _ if text.starts_with("+ ") => Err(FilterError::Include(text.to_owned())),
        _ => pattern(text.strip_prefix("- ").unwrap_or(text)).map(Rule::Exclude),
    }
}

/// The rules of a file: one a line, empty lines and those that begin with `#` or `;` left out.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

fn pattern(text: &str) -> Result<Vec<String>, FilterError> {
    let (body, dir_only) = match text.strip_suffix("/***") {
        Some(dir) => (dir, true),
        None => text.strip_suffix('/').map_or((text, false), |dir| (dir, true)),
    };
    let (anchored, body) = body.strip_prefix('/').map_or((false, body), |rest| (true, rest));
    if body.is_empty() {
        // `/***` is everything in the root, and the root itself is never left out.
        return Ok(if text == "/***" { vec!["/*".to_owned()] } else { Vec::new() });
    }
    let wild = body.contains(['*', '?', '[']);
    let mut pieces = if wild { pieces(body, text)? } else { body.chars().map(Piece::Plain).collect() };
    // What floats may begin anywhere, so `**/` at its beginning says nothing more.
    if !anchored && pieces.starts_with(&[Piece::DoubleStar, Piece::Plain('/')]) {
        pieces.drain(..2);
    }
    let doubles = pieces.iter().filter(|piece| **piece == Piece::DoubleStar).count();
    if doubles > DOUBLE_STARS_MAX {
        return Err(FilterError::TooMany(text.to_owned()));
    }
    // Bit n of `choice`: whether the nth `**` spans a `/`.
    let written = |choice: u32| {
        let mut out = if anchored { "/".to_owned() } else { "**/".to_owned() };
        let mut seen = 0;
        for piece in &pieces {
            write(&mut out, piece, choice >> seen & 1 == 1);
            seen += u32::from(*piece == Piece::DoubleStar);
        }
        shield_end(&mut out);
        if dir_only {
            out.push('/');
        }
        out
    };
    Ok((0..1_u32 << doubles).map(written).collect())
}

fn pieces(body: &str, whole: &str) -> Result<Vec<Piece>, FilterError> {
    let mut found = Vec::new();
    let mut chars = body.chars().peekable();
    while let Some(next) = chars.next() {
        found.push(match next {
            '\\' => Piece::Plain(chars.next().ok_or_else(|| FilterError::Dangling(whole.to_owned()))?),
            '?' => Piece::One,
            '*' => {
                let mut stars = 1;
                while chars.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars > 1 { Piece::DoubleStar } else { Piece::Star }
            }
            '[' => class(&mut chars, whole)?,
            plain => Piece::Plain(plain),
        });
    }
    Ok(found)
}

/// The rest of a class, its `[` taken.
fn class(chars: &mut Peekable<Chars<'_>>, whole: &str) -> Result<Piece, FilterError> {
    let open = || FilterError::Open(whole.to_owned());
    let wrong = || FilterError::Class(whole.to_owned());
    let negated = chars.next_if(|next| matches!(next, '!' | '^')).is_some();
    let mut bytes = Vec::new();
    let mut first = true;
    loop {
        let low = match chars.next().ok_or_else(open)? {
            ']' if !first => break,
            '[' if chars.next_if_eq(&':').is_some() => {
                bytes.extend(named(chars).ok_or_else(wrong)?);
                first = false;
                continue;
            }
            '\\' => chars.next().ok_or_else(open)?,
            plain => plain,
        };
        first = false;
        let mut high = low;
        let mut ahead = chars.clone();
        // A '-' before the closing ']' is itself.
        if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
            chars.next();
            high = match chars.next().ok_or_else(open)? {
                '\\' => chars.next().ok_or_else(open)?,
                plain => plain,
            };
        }
        // A '/' in a class would count among the path's, and then match none of them.
        if !low.is_ascii() || !high.is_ascii() || high < low || low == '/' || high == '/' {
            return Err(wrong());
        }
        bytes.extend(low as u8..=high as u8);
    }
    bytes.retain(|byte| *byte != b'/');
    bytes.sort_unstable();
    bytes.dedup();
    // Nothing of a class is left but '/', which it never matches: as written, it matches no name at all.
    if bytes.is_empty() && !negated { Err(wrong()) } else { Ok(Piece::Class { negated, bytes }) }
}

/// The characters of `[:name:]`, its `[:` taken.
fn named(chars: &mut Peekable<Chars<'_>>) -> Option<Vec<u8>> {
    let name: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_lowercase)).collect();
    let is: fn(&u8) -> bool = match name.as_str() {
        "alnum" => u8::is_ascii_alphanumeric,
        "alpha" => u8::is_ascii_alphabetic,
        "blank" => |byte| matches!(byte, b' ' | b'\t'),
        "cntrl" => u8::is_ascii_control,
        "digit" => u8::is_ascii_digit,
        "graph" => u8::is_ascii_graphic,
        "lower" => u8::is_ascii_lowercase,
        "print" => |byte| matches!(byte, b' '..=b'~'),
        "punct" => u8::is_ascii_punctuation,
        "space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        "upper" => u8::is_ascii_uppercase,
        "xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    (chars.next() == Some(':') && chars.next() == Some(']')).then(|| (0..=127).filter(is).collect())
}

fn write(out: &mut String, piece: &Piece, spans: bool) {
    match piece {
        Piece::Plain(plain) => {
            if matches!(plain, '\\' | '*' | '?' | '[' | ']' | '{' | '}') {
                out.push('\\');
            }
            out.push(*plain);
        }
        Piece::One => out.push('?'),
        Piece::Star => out.push('*'),
        Piece::DoubleStar => out.push_str(if spans { "*/**/*" } else { "*" }),
        Piece::Class { negated, bytes } => write_class(out, *negated, bytes),
    }
}

/// `]` stands first and `-` last, where they are themselves; `^` and `!` never stand first. A negated class names `/`
/// too, which gitignore's would match.
fn write_class(out: &mut String, negated: bool, bytes: &[u8]) {
    out.push('[');
    if negated {
        out.push('!');
    }
    let has = |byte: u8| bytes.contains(&byte);
    if has(b']') {
        out.push(']');
    }
    if negated {
        out.push('/');
    }
    let late = |byte: &u8| matches!(byte, b'!' | b'^');
    let special = |byte: &u8| matches!(byte, b']' | b'-');
    for byte in bytes.iter().filter(|byte| !late(byte) && !special(byte)) {
        out.push(char::from(*byte));
    }
    for byte in bytes.iter().filter(|byte| late(byte)) {
        out.push(char::from(*byte));
    }
    if has(b'-') {
        out.push('-');
    }
    out.push(']');
}

/// gitignore cuts blanks off the end of a line; in a class they are safe.
fn shield_end(out: &mut String) {
    if let Some(last) = out.chars().next_back().filter(|last| last.is_whitespace()) {
        out.truncate(out.len() - last.len_utf8());
        if last.is_ascii() {
            out.push('[');
            out.push(last);
            out.push(']');
        } else {
            // No class beyond ASCII: an escape keeps it, for what follows it is no blank.
            out.push(last);
            out.push_str("{,}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Excludes;
    use crate::types::RelPath;

    /// Pattern, a path, whether it is a directory, whether rsync leaves it out. The same table is held against rsync
    /// itself by the black-box tests, as a tree.
    const TABLE: &[(&str, &str, bool, bool)] = &[
        ("foo", "foo", false, true),
        ("foo", "a/foo", true, true),
        ("foo", "a/foo.txt", false, false),
        ("/foo", "a/foo", false, false),
        ("foo/", "foo", false, false),
        ("foo/", "a/foo", true, true),
        ("b/c", "a/b/c", false, true),
        ("b/c", "a/xb/c", false, false),
        ("/b/c", "a/b/c", false, false),
        ("foo/*/bar", "x/foo/y/bar", false, true),
        ("foo/*/bar", "foo/bar", false, false),
        ("foo/**/bar", "foo/bar", false, false),
        ("foo/**/bar", "foo/x/bar", false, true),
        ("foo/**/bar", "foo/x/y/bar", false, true),
        ("foo**bar", "foobar", false, true),
        ("foo**bar", "foo1/2/3bar", false, true),
        ("foo/***", "a/foo", true, true),
        ("foo/***", "a/foo", false, false),
        ("foo/**", "foo", true, false),
        ("foo/**", "foo/a/b", false, true),
        ("**/foo", "foo", false, true),
        ("**/foo", "a/b/foo", false, true),
        ("/**/foo", "foo", false, false),
        ("a[!b]c", "a/c", false, false),
        ("a[!b]c", "axc", false, true),
        ("{a,b}", "a", false, false),
        ("{a,b}", "{a,b}", false, true),
        ("x{1}*", "x{1}y", false, true),
        ("a\\b", "a\\b", false, true),
        ("a\\*", "a*", false, true),
        ("a\\*", "ab", false, false),
        ("#x", "#x", false, true),
        ("!x", "!x", false, true),
        ("x ", "x ", false, true),
        ("x ", "x", false, false),
        ("x\t", "x\t", false, true),
        ("[[:digit:]]x", "7x", false, true),
        ("[[:digit:]]x", "ax", false, false),
        ("[]-]", "-", false, true),
        ("[]-]", "]", false, true),
        ("[\\]]", "]", false, true),
        ("[a-c]", "b", false, true),
        ("[a-]", "-", false, true),
        ("[a-]", "b", false, false),
        ("[a^]", "^", false, true),
        ("[^^]", "^", false, false),
        ("[^^]", "a", false, true),
        ("?", "é", false, false),
        ("é*", "éx", false, true),
        ("x\u{a0}", "x\u{a0}", false, true),
        ("x\u{a0}", "x", false, false),
        ("lost+found", "lost+found", true, true),
        ("- x", "x", false, true),
        ("- x", "- x", false, false),
    ];

    #[test]
    fn the_table_of_patterns() {
        for (pattern, path, is_dir, left_out) in TABLE {
            let Rule::Exclude(patterns) = rule(pattern).unwrap() else { panic!("{pattern} clears") };
            let excludes = Excludes::new(&patterns).unwrap();
            let path = RelPath::from_bytes(path.as_bytes()).unwrap();
            assert_eq!(excludes.matches(&path, *is_dir), *left_out, "{pattern:?} {path:?} {patterns:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_nothing_and_the_mark_clears() {
        assert_eq!(rule(""), Ok(Rule::Exclude(Vec::new())));
        assert_eq!(rule("/"), Ok(Rule::Exclude(Vec::new())));
        assert_eq!(rule("/***"), Ok(Rule::Exclude(vec!["/*".to_owned()])));
        assert_eq!(rule("!"), Ok(Rule::Clear));
        let file = "# c\n; c\n\nfoo\r\n bar\n!";
        assert_eq!(lines(file).collect::<Vec<_>>(), ["foo", " bar", "!"]);
    }

    #[test]
    fn what_cannot_be_followed_is_an_error_and_not_a_guess() {
        for text in ["+ x", "a[b", "[", "[a/]x", "[[:word:]]", "[é]", "[z-a]", "*\\", "**a**b**c**d**e**f"] {
            let sentence = rule(text).unwrap_err().to_string();
            assert!(sentence.contains(&format!("{text:?}")), "{sentence}");
        }
        assert_eq!(rule("a[b"), Err(FilterError::Open("a[b".to_owned())));
        assert_eq!(rule("[/]"), Err(FilterError::Class("[/]".to_owned())));
    }
}
