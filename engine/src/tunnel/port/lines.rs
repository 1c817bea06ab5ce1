//! The lines of the port: made and read, bounded, pure.
//!
//! A line ends with LF and has at most [`LINE_LEN_MAX`] bytes. What is no line of ours is a value, never a guess.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

use crate::tunnel::socket::prepare;
use crate::types::VolumeName;

/// Bytes of a line, its end included: a sentence of a thousand characters, whatever they are.
const LINE_LEN_MAX: usize = 4_096;
/// The word in the greeting by which two ferries know each other. It stands where rsync lists its digests: a stock peer
/// passes over names it does not know there.
const WORD: &str = "ferry1";
/// rsync's greeting with our word.
pub(super) const GREETING: &str = "@RSYNCD: 31.0 ferry1 sha512 sha256 sha1 md5 md4\n";
/// Stands for no user, and for no nonce.
const NOBODY: &str = "-";

/// A socket that lines are read from. What is read in large pieces goes past its buffer.
pub(super) type Socket = BufReader<TcpStream>;

/// Bytes buffered while lines are read.
const BUFFER_LEN: usize = 512;

/// Sets a socket's options.
pub(super) fn buffered(tcp: TcpStream) -> std::io::Result<Socket> {
    Ok(BufReader::with_capacity(BUFFER_LEN, prepare(tcp)?))
}

/// The name of a module in rsync's configuration: 1 to 253 printable ASCII characters, no blank.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Module(Box<str>);

/// Why a text names no module.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no name of a module: 1 to 253 letters, digits and signs without blanks", .0.escape_debug())]
pub struct ModuleError(String);

/// What the client asks for first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub module: Module,
    pub user: String,
    pub nonce: [u8; 16],
}

/// A line as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A greeting of ferry's.
    Ferry,
    /// A greeting of rsync's own.
    Stock,
    /// `@ERROR:` and why.
    Error(String),
    /// `@FERRY:` and what follows.
    Word(String),
    /// Anything else.
    Other,
}

impl Module {
    /// Checks `text` and keeps a copy.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn new(text: &str) -> Result<Self, ModuleError> {
        let fits = (1..=253).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(ModuleError(text.chars().take(100).collect())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The volume that a session calls what the module serves: its name where that is one, else a digest of it. Both
    /// ends of a connection come to the same.
    ///
    /// # Errors
    /// None in practice: a digest is always a volume's name.
    pub fn volume(&self) -> Result<VolumeName, crate::types::NameError> {
        VolumeName::new(&self.0).or_else(|_| {
            let digest = blake3::derive_key("ferry 1 module", self.0.as_bytes());
            let (half, _) = digest.split_at(16);
            VolumeName::new(&format!("module-{}", data_encoding::HEXLOWER.encode(half)))
        })
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Request {
    pub fn line(&self) -> String {
        let user = if self.user.is_empty() { NOBODY } else { &self.user };
        format!("@FERRY: {} {user} {}\n", self.module, hex(&self.nonce))
    }

    /// Of a line's words.
    pub fn read(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        let module = Module::new(words.next()?).ok()?;
        let user = words.next().filter(|user| Module::new(user).is_ok())?;
        let nonce = unhex(words.next()?)?;
        let user = if user == NOBODY { String::new() } else { user.to_owned() };
        words.next().is_none().then_some(Self { module, user, nonce })
    }
}

/// A line of ours.
pub(super) fn word(text: &str) -> String {
    format!("@FERRY: {text}\n")
}

/// A line that refuses. What would end it, or is no text, is left out.
pub(super) fn refusal(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(1_000).collect();
    format!("@ERROR: {text}\n")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Reads one line and not a byte more. `None` when the stream ends before its first byte.
///
/// # Errors
/// The stream's; an end or a bound inside a line is [`std::io::ErrorKind::InvalidData`] or `UnexpectedEof`.
pub(super) async fn read_line<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    loop {
        let byte = match stream.read_u8().await {
            Ok(byte) => byte,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && line.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        };
        if byte == b'\n' {
            return Ok(Some(Line::read(&line)));
        }
        // What cannot begin a line of the port any more is not waited for to end.
        if line.len() + 1 >= LINE_LEN_MAX || (line.is_empty() && byte != b'@') {
            return Ok(Some(Line::Other));
        }
        line.push(byte);
    }
}

impl Line {
    fn read(line: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(line) else { return Self::Other };
        let text = text.trim_end_matches('\r');
        if let Some(greeting) = text.strip_prefix("@RSYNCD: ") {
            return if greeting.split(' ').any(|word| word == WORD) { Self::Ferry } else { Self::Stock };
        }
        if let Some(why) = text.strip_prefix("@ERROR") {
            let why = why.trim_start_matches(':').trim();
            return Self::Error(why.chars().filter(|c| !c.is_control()).collect());
        }
        text.strip_prefix("@FERRY: ").map_or(Self::Other, |words| Self::Word(words.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8]) -> std::io::Result<Option<Line>> {
        read_line(&mut bytes).await
    }

    #[tokio::test]
    async fn greetings_tell_a_ferry_from_a_stock_rsync() {
        for (line, expected) in [
            (GREETING, Line::Ferry),
            ("@RSYNCD: 31.0\n", Line::Stock),
            ("@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n", Line::Stock),
            ("@RSYNCD: 31.0 ferry10\n", Line::Stock),
            ("@ERROR: access denied to x\n", Line::Error("access denied to x".into())),
            ("@ERROR\n", Line::Error(String::new())),
            ("@FERRY: OK\n", Line::Word("OK".into())),
            ("@FERRY:OK\n", Line::Other),
            ("SSH-2.0-OpenSSH\r\n", Line::Other),
            ("\n", Line::Other),
        ] {
            assert_eq!(read(line.as_bytes()).await.unwrap(), Some(expected), "{line}");
        }
    }

    #[tokio::test]
    async fn a_line_has_an_end_and_a_bound() {
        assert_eq!(read(b"").await.unwrap(), None);
        assert!(read(b"@RSYNCD: 3").await.is_err());
        let endless = format!("@{}", "a".repeat(5_000));
        assert_eq!(read(endless.as_bytes()).await.unwrap(), Some(Line::Other));
        assert_eq!(read(b"\x16\x03\x01\x02").await.unwrap(), Some(Line::Other));
        assert_eq!(read(b"@FERRY: \xff\n").await.unwrap(), Some(Line::Other));
    }

    #[tokio::test]
    async fn what_follows_a_line_stays_in_the_stream() {
        let mut bytes: &[u8] = b"@FERRY: OK\nferry\0";
        assert_eq!(read_line(&mut bytes).await.unwrap(), Some(Line::Word("OK".into())));
        assert_eq!(bytes, b"ferry\0");
    }

    #[test]
    fn a_request_is_three_words() {
        let request = Request { module: Module::new("data").unwrap(), user: "root".into(), nonce: [7; 16] };
        let line = request.line();
        let words = line.strip_prefix("@FERRY: ").unwrap().trim_end();
        assert_eq!(Request::read(words), Some(request.clone()));
        let nobody = Request { user: String::new(), ..request };
        assert_eq!(Request::read(nobody.line().strip_prefix("@FERRY: ").unwrap().trim_end()), Some(nobody));
        for wrong in ["", "data", "data root", "data root 00", "data  00", &format!("{words} x"), "d\u{e4} root 00"] {
            assert_eq!(Request::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_refusal_stays_one_line() {
        assert_eq!(refusal("no\nsuch \x1b[1mmodule"), "@ERROR: nosuch [1mmodule\n");
        assert!(refusal(&"x".repeat(5_000)).len() < LINE_LEN_MAX);
    }

    #[test]
    fn every_module_has_a_volume_of_its_own() {
        let volume = |name: &str| Module::new(name).unwrap().volume().unwrap();
        assert_eq!(volume("0cc175b9c0f1b6a831c399e269772661").as_str(), "0cc175b9c0f1b6a831c399e269772661");
        let (one, other) = (volume(&"a.".repeat(60)), volume(&"b.".repeat(60)));
        assert!(one != other && one.as_str().starts_with("module-"), "{one} {other}");
        assert!(Module::new("").is_err() && Module::new("a b").is_err() && Module::new(&"a".repeat(254)).is_err());
    }
}
