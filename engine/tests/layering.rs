//! The house rules that a compiler does not know, held against the sources: imports go down only, each room keeps to
//! its tools, files are short and say what they are for, nothing is `unsafe`, and the bounds that the protocol quotes
//! exist. It reads text and judges names; it is no compiler and believes no macro.
//!
//! The rules are in tables at the top. A last test hands the judge a breach of each rule: a judge that is blind fails.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first thing that is wrong")]

mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use source::{Token, paths, tokens, without_tests};

/// Each room with the rooms it may import. Floors: types 0; wire, delta, volume 1; plan, tunnel 2; session 3; cli,
/// personality 4. Not everything below is open: what a room does not need, it may not know.
const ROOMS: [(&str, &[&str]); 9] = [
    ("types", &[]),
    ("wire", &["types"]),
    ("delta", &["types"]),
    ("volume", &["types"]),
    ("plan", &["types"]),
    ("tunnel", &["wire", "types"]),
    ("session", &["tunnel", "plan", "volume", "delta", "wire", "types"]),
    ("cli", &["session", "tunnel", "plan", "volume", "delta", "wire", "types"]),
    ("personality", &["session", "tunnel", "plan", "volume", "delta", "wire", "types"]),
];

/// Paths that only some rooms may name, outside tests. `main.rs` counts as floor 4.
const TOOLS: [(&[&str], &[&str]); 18] = [
    (&["tokio"], &["tunnel", "session", "cli", "personality"]),
    (&["rustls"], &["tunnel"]),
    (&["tokio_rustls"], &["tunnel"]),
    (&["rcgen"], &["tunnel"]),
    (&["zstd"], &["delta"]),
    (&["std", "fs"], &["volume"]),
    (&["rustix", "fs"], &["volume"]),
    (&["clap"], &["cli", "personality", "main"]),
    (&["clap_complete"], &["cli", "personality", "main"]),
    (&["clap_mangen"], &["cli", "personality", "main"]),
    (&["indicatif"], &["cli", "personality", "main"]),
    (&["tracing_subscriber"], &["cli", "personality", "main"]),
    (&["anyhow"], &["cli", "personality", "main"]),
    (&["std", "env"], &["cli", "personality", "main"]),
    (&["std", "process", "exit"], &["cli", "personality", "main"]),
    (&["std", "process", "abort"], &["cli", "personality", "main"]),
    (&["std", "process", "ExitCode"], &["cli", "personality", "main"]),
    (&["process", "exit"], &["cli", "personality", "main"]),
];

/// Macros that print: floor 4 only.
const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Files outside `volume` that may open files, each with the reason. None of them touches what is in a volume.
const FILE_READERS: [(&str, &str); 13] = [
    ("tunnel/identity.rs", "reads certificates and keys"),
    ("tunnel/keygen.rs", "writes certificates and keys"),
    ("cli/files.rs", "reads exclude files and tickets, writes reports"),
    ("cli/addresses.rs", "reads the machine's own addresses from /proc"),
    ("cli/man.rs", "writes the man pages"),
    ("cli/demo.rs", "makes and removes the directory the demonstration runs in"),
    ("cli/demo_data.rs", "makes the trees the demonstration moves"),
    ("cli/bench/clock.rs", "reads the kernel's figures of this process and this machine from /proc"),
    ("cli/bench/data.rs", "makes the trees the benchmark moves, and changes them"),
    ("cli/bench/place.rs", "makes and removes the directory the benchmark happens in"),
    ("cli/bench/rates.rs", "reads and writes files of the benchmark to tell how fast that goes"),
    ("personality/files.rs", "reads configuration and secrets, writes a pod's last words, touches files"),
    ("personality/stunnel/mod.rs", "reads stunnel.conf"),
];

const LINES_MAX: usize = 600;
const CRATES: [&str; 5] = ["engine", "tests", "benches", "sidecar-images", "orchestrator"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust files below `dir`, build output aside.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() != "target" {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn crate_files() -> Vec<PathBuf> {
    let dirs = CRATES.iter().map(|name| workspace().join(name)).filter(|dir| dir.is_dir());
    dirs.flat_map(|dir| rust_files(&dir)).collect()
}

/// The engine's sources: their paths below `src` and their text.
fn engine_sources() -> Vec<(String, String)> {
    let src = workspace().join("engine/src");
    let named = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(), text)
    };
    rust_files(&src).into_iter().map(named).collect()
}

// ---- the judge

/// What a file does that it may not.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    rule: Rule,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Import,
    Tool,
    Unsafe,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, what } = self;
        match rule {
            Rule::Import => write!(f, "imports {what}, which is not below it or not its business"),
            Rule::Tool => write!(f, "names {what}, which is for another room"),
            Rule::Unsafe => write!(f, "is {what}"),
        }
    }
}

/// The room a file below `src` belongs to; `main` and `lib` for the two at the top.
fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// `is_test`: the whole file is a test module, which may use any tool.
fn judge(file: &str, text: &str, is_test: bool) -> Vec<Breach> {
    let all = tokens(text);
    let (product, _) = without_tests(&all);
    let mut breaches = imports(file, &all);
    if !is_test {
        breaches.extend(tools(file, &product));
    }
    if all.contains(&Token::Word("unsafe".to_owned())) {
        breaches.push(Breach { rule: Rule::Unsafe, what: "unsafe".to_owned() });
    }
    breaches
}

fn imports(file: &str, tokens: &[Token]) -> Vec<Breach> {
    let from = room(file);
    let allowed = ROOMS.iter().find(|(room, _)| *room == from).map(|(_, below)| *below);
    let is_room = |name: &str| ROOMS.iter().any(|(room, _)| *room == name);
    // So many times `super` leads from the file out of its room.
    let depth = Path::new(file).with_extension("").iter().filter(|name| *name != "mod").count();
    let breach = |path: &Vec<String>| {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let climbs = ups >= depth;
        let start = if climbs { ups } else { usize::from(path[0] == "crate" || path[0] == "ferry_engine") };
        let to = path.get(start).filter(|to| start > 0 && is_room(to))?;
        let fine = to == from || allowed.is_none_or(|allowed| allowed.contains(&to.as_str()));
        (!fine || climbs).then(|| Breach { rule: Rule::Import, what: path.join("::") })
    };
    paths(tokens).iter().filter_map(breach).collect()
}

fn tools(file: &str, tokens: &[Token]) -> Vec<Breach> {
    let room = room(file);
    let mut breaches = Vec::new();
    for path in paths(tokens) {
        for (tool, rooms) in TOOLS {
            let named = path.len() >= tool.len() && path.iter().zip(tool).all(|(a, b)| a == b);
            let excepted = tool.ends_with(&["fs"]) && FILE_READERS.iter().any(|(reader, _)| *reader == file);
            if named && !rooms.contains(&room) && !excepted {
                breaches.push(Breach { rule: Rule::Tool, what: path.join("::") });
            }
        }
    }
    let floor_4 = ["cli", "personality", "main"].contains(&room);
    for pair in tokens.windows(2) {
        if let [Token::Word(name), Token::Mark('!')] = pair
            && PRINTING.contains(&name.as_str())
            && !floor_4
        {
            breaches.push(Breach { rule: Rule::Tool, what: format!("{name}!") });
        }
    }
    breaches
}

/// Files that are test modules as a whole, by the `#[cfg(test)] mod name;` of another file.
fn test_modules(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in sources {
        let path = Path::new(file);
        let own = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
        let dir = if own { path.parent().unwrap().to_owned() } else { path.with_extension("") };
        let (_, modules) = without_tests(&tokens(text));
        for module in modules {
            found.insert(dir.join(module).to_str().unwrap().to_owned());
        }
    }
    found
}

fn is_test_file(file: &str, modules: &BTreeSet<String>) -> bool {
    Path::new(file).with_extension("").ancestors().any(|dir| modules.contains(dir.to_str().unwrap_or_default()))
}

// ---- the tests

#[test]
fn imports_go_down_and_each_room_keeps_to_its_tools() {
    let sources = engine_sources();
    assert!(sources.len() > 20, "the sources were not found");
    let modules = test_modules(&sources);
    let mut breaches = Vec::new();
    for (file, text) in &sources {
        for breach in judge(file, text, is_test_file(file, &modules)) {
            breaches.push(format!("engine/src/{file} {breach}"));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_exception_is_still_needed() {
    for (file, text) in engine_sources() {
        if let Some((_, reason)) = FILE_READERS.iter().find(|(reader, _)| *reader == file) {
            let (product, _) = without_tests(&tokens(&text));
            let opens = paths(&product).iter().any(|path| path.len() > 1 && path[1] == "fs");
            assert!(opens, "{file} opens no file any more; strike it from the exceptions ({reason})");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut breaches = Vec::new();
    for path in crate_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            breaches.push(format!("{} has {lines} lines, more than {LINES_MAX}", path.display()));
        }
        if !text.lines().take(3).any(|line| line.starts_with("//!")) {
            breaches.push(format!("{} does not say in its first lines what it is for", path.display()));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn nothing_is_unsafe() {
    for path in crate_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!tokens(&text).contains(&Token::Word("unsafe".to_owned())), "{} is unsafe", path.display());
    }
}

#[test]
fn the_bounds_that_the_protocol_quotes_exist() {
    let protocol = std::fs::read_to_string(workspace().join("engine/PROTOCOL.md")).unwrap();
    let limits = std::fs::read_to_string(workspace().join("engine/src/types/limits.rs")).unwrap();
    let is_bound = |word: &&str| {
        let bytes = word.as_bytes();
        bytes.contains(&b'_') && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
    };
    let quoted: BTreeSet<&str> = protocol.split('`').skip(1).step_by(2).filter(is_bound).collect();
    assert!(quoted.len() > 15, "the bounds were not found: {quoted:?}");
    for name in quoted {
        assert!(limits.contains(&format!("pub const {name}:")), "PROTOCOL.md quotes {name}, limits.rs has none");
    }
}

/// A file, a line in it, and what the judge must say.
const BREACHES: [(&str, &str, Rule); 23] = [
    ("wire/a.rs", "use crate::tunnel::X;", Rule::Import),
    ("wire/a.rs", "use crate::delta;", Rule::Import),
    ("wire/a.rs", "use crate::{types::Name, volume::{Dir, Error}};", Rule::Import),
    ("wire/a.rs", "fn f() { crate::plan::compare() }", Rule::Import),
    ("wire/a.rs", "use super::super::types::Name;", Rule::Import),
    ("wire/mod.rs", "use super::types::Name;", Rule::Import),
    ("wire/a.rs", "#[cfg(test)] mod tests { use crate::session::X; }", Rule::Import),
    ("plan/a.rs", "use crate::wire::Message;", Rule::Import),
    ("tunnel/a.rs", "use crate::volume::Dir;", Rule::Import),
    ("types/a.rs", "use ferry_engine::wire::X;", Rule::Import),
    ("session/a.rs", "use crate::cli::args;", Rule::Import),
    ("wire/a.rs", "async fn f() { tokio::spawn(g()) }", Rule::Tool),
    ("session/a.rs", "use rustls::ServerConfig;", Rule::Tool),
    ("session/a.rs", "use std::{fmt, fs::File};", Rule::Tool),
    ("tunnel/ticket.rs", "use rustix::fs::openat;", Rule::Tool),
    ("cli/send.rs", "fn f() { ::std::fs::remove_file(x) }", Rule::Tool),
    ("session/a.rs", "use std::env;", Rule::Tool),
    ("session/a.rs", "fn f() { println!(\"x\") }", Rule::Tool),
    ("session/a.rs", "fn f() { std::process::exit(1) }", Rule::Tool),
    ("session/a.rs", "use std::process; fn f() { process::exit(1) }", Rule::Tool),
    ("tunnel/a.rs", "fn f() -> anyhow::Result<()> {}", Rule::Tool),
    ("volume/a.rs", "fn f() { unsafe { g() } }", Rule::Unsafe),
    ("volume/a.rs", "let c = '\"'; unsafe { g(\"\") }", Rule::Unsafe),
];

#[test]
fn the_judge_sees_a_breach_of_each_rule() {
    for (file, text, expected) in BREACHES {
        let rules: Vec<Rule> = judge(file, text, false).iter().map(|breach| breach.rule).collect();
        assert!(!rules.is_empty() && rules.iter().all(|rule| *rule == expected), "{file}: {text}: {rules:?}");
    }
}

#[test]
fn the_judge_lets_pass_what_is_allowed() {
    let fine = [
        ("wire/a.rs", "use crate::types::{limits, Name}; use crate::wire::varint; use super::frame::Frame;"),
        ("cli/config/receive.rs", "use super::volume;"),
        ("wire/a.rs", "// crate::tunnel, unsafe, println!\n/* std::fs /* tokio::x */ unsafe */ fn f() {}"),
        (
            "wire/a.rs",
            "const T: &str = \"unsafe crate::tunnel\"; const R: &str = r#\"a \" unsafe\"#; const C: char = '\"';",
        ),
        ("wire/a.rs", "#[cfg(test)] mod tests { use std::fs; use tokio::x; fn f() { println!(\"\") } } fn g<'a>() {}"),
        ("tunnel/identity.rs", "use std::fs::File; use tokio::net::TcpStream; use rustls::X; use crate::wire::Frame;"),
        ("session/a.rs", "use crate::{plan::compare, tunnel::Inbox}; use tokio::sync::mpsc; use std::process::id;"),
        ("cli/send.rs", "use anyhow::Context; use clap::Parser; fn f() { eprintln!(\"\"); std::process::exit(2) }"),
        ("main.rs", "fn main() -> std::process::ExitCode { ferry_engine::cli::main() }"),
        ("lib.rs", "#![forbid(unsafe_code)] pub mod wire;"),
    ];
    for (file, text) in fine {
        assert_eq!(judge(file, text, false), [], "{file}: {text}");
    }
}

#[test]
fn test_modules_in_files_of_their_own_are_recognised() {
    let source = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let sources = [
        source("wire/mod.rs", "#[cfg(test)]\nmod golden;\nmod frame;"),
        source("wire/frame.rs", "#[cfg(test)] #[expect(dead_code, reason = \"x\")] mod tests;"),
    ];
    let modules = test_modules(&sources);
    assert!(is_test_file("wire/golden.rs", &modules));
    assert!(is_test_file("wire/frame/tests.rs", &modules));
    assert!(is_test_file("wire/frame/tests/more.rs", &modules));
    assert!(!is_test_file("wire/frame.rs", &modules));
    assert!(!is_test_file("plan/golden.rs", &modules));
}
