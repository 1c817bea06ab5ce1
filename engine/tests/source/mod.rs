//! Cuts Rust sources into words, well enough to see which paths they name and which part of them is tests. It expands no
//! macro and resolves no name.

/// A piece of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name, a keyword, a number or a lifetime.
    Word(String),
    /// `::`
    Path,
    /// Any other character.
    Mark(char),
}

/// Cuts a source into words and marks. Comments, texts and characters are left out; lifetimes are words.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut out, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            i = end_of(&chars, i, |i| at(i) == '\n');
        } else if c == '/' && at(i + 1) == '*' {
            i = end_of_comment(&chars, i);
        } else if c == '"' {
            i = end_of_text(&chars, i + 1, 0, true);
        } else if c == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            let quote = if at(i + 1) == '\\' { i + 3 } else { i + 2 };
            i = end_of(&chars, quote, |i| at(i) == '\'') + 1;
        } else if c.is_alphanumeric() || c == '_' {
            let end = end_of(&chars, i, |i| !(at(i).is_alphanumeric() || at(i) == '_'));
            let word: String = chars[i..end].iter().collect();
            let hashes = end_of(&chars, end, |i| at(i) != '#') - end;
            if ["r", "br", "cr"].contains(&word.as_str()) && at(end + hashes) == '"' {
                i = end_of_text(&chars, end + hashes + 1, hashes, false);
            } else {
                out.push(Token::Word(word));
                i = end;
            }
        } else {
            let path = c == ':' && at(i + 1) == ':';
            if path {
                out.push(Token::Path);
            } else if !c.is_whitespace() {
                out.push(Token::Mark(c));
            }
            i += if path { 2 } else { 1 };
        }
    }
    out
}

fn end_of(chars: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|i| is_end(*i)).unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn end_of_text(chars: &[char], from: usize, hashes: usize, escapes: bool) -> usize {
    let mut i = from;
    while i < chars.len() {
        if escapes && chars[i] == '\\' {
            i += 2;
        } else if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return i + 1 + hashes;
        } else {
            i += 1;
        }
    }
    i
}

/// The text of a word.
pub fn word(token: Option<&Token>) -> Option<&str> {
    match token {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

/// The words without those of items under `#[cfg(test)]`, and the names of modules that are such items.
pub fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let cfg = self::tokens("#[cfg(test)]");
    let (mut kept, mut modules, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if !tokens[i..].starts_with(&cfg) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let mut depth = 0;
        for (place, token) in tokens.iter().enumerate().skip(i + cfg.len()) {
            i = place + 1;
            if word(Some(token)) == Some("mod") {
                modules.extend(word(tokens.get(place + 1)).map(str::to_owned));
            }
            match token {
                Token::Mark('{' | '(' | '[') => depth += 1,
                Token::Mark('}' | ')' | ']') => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token, Token::Mark(';' | '}')) {
                break;
            }
        }
    }
    (kept, modules)
}

/// Every path that is named, with the groups of `use` unfolded: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub fn paths(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for i in 0..tokens.len() {
        let continues = i >= 2 && tokens[i - 1] == Token::Path && word(tokens.get(i - 2)).is_some();
        if word(tokens.get(i)).is_some() && !continues {
            unfold(tokens, i, &[], &mut out);
        }
    }
    out
}

/// Unfolds the path at `i` behind `prefix`; gives back the place after it.
fn unfold(tokens: &[Token], mut i: usize, prefix: &[String], out: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(segment) = word(tokens.get(i)) {
        path.push(segment.to_owned());
        i += 1;
        if tokens.get(i) != Some(&Token::Path) {
            break;
        }
        i += 1;
    }
    let grouped = tokens.get(i) == Some(&Token::Mark('{')) && tokens.get(i.wrapping_sub(1)) == Some(&Token::Path);
    if !grouped {
        out.push(path);
        return i;
    }
    i += 1;
    while i < tokens.len() && tokens[i] != Token::Mark('}') {
        i = match &tokens[i] {
            Token::Word(_) => unfold(tokens, i, &path, out),
            Token::Path | Token::Mark(_) => i + 1,
        };
    }
    i + 1
}
