//! `CONNECT` through an HTTP proxy (RFC 9110, 9.3.6), with Basic credentials when the URL has some.
//!
//! The proxy is not trusted: its answer is at most 8 KiB long and comes within a deadline, only a 2xx status will do,
//! and not one byte may follow the header, for in TLS the receiver never speaks first. What it says is never shown
//! but for the status number.

use std::io;
use std::time::Duration;

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::address::{HostPort, ProxyUrl};

/// Bytes of the proxy's answer.
const ANSWER_LEN_MAX: usize = 8_192;

/// Why a proxy did not connect us.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// 407, or 401.
    #[error(
        "it wants a user name and a password, or others than it got (status {0}): write http://USER:PASSWORD@HOST:PORT"
    )]
    Credentials(u16),
    /// 403.
    #[error("it does not allow this address or port (status 403): ask its operator to allow CONNECT to it")]
    Forbidden,
    /// 502.
    #[error("it cannot reach the address (status 502)")]
    Unreachable,
    /// 503.
    #[error("it is overloaded or not ready (status 503)")]
    Unavailable,
    /// 504.
    #[error("the address did not answer it in time (status 504)")]
    Timeout,
    /// Any other status.
    #[error("it answered with status {0}")]
    Status(u16),
    /// Not HTTP.
    #[error("its answer is not HTTP: is this address a proxy?")]
    Garbage,
    /// No end of the header.
    #[error("its answer is longer than {ANSWER_LEN_MAX} bytes")]
    TooLong,
    /// Bytes behind the header.
    #[error(
        "it sent more than its answer: something other than a proxy is there, or something in between speaks first"
    )]
    Early,
    /// Nothing came.
    #[error("it did not answer within {0} s")]
    Slow(u64),
    /// Broke off.
    #[error("it closed the connection without an answer")]
    Closed,
    /// The connection broke.
    #[error("the connection to it failed")]
    Io(#[from] io::Error),
}

impl ProxyError {
    /// True when a later attempt may succeed without anyone doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::Unavailable | Self::Timeout | Self::Slow(_) | Self::Closed | Self::Io(_) => true,
            Self::Status(status) => (500..600).contains(status),
            Self::Credentials(_) | Self::Forbidden | Self::Garbage | Self::TooLong | Self::Early => false,
        }
    }
}

/// Asks the proxy at the other end of `stream` for a connection to `to`; once it returns, the bytes are `to`'s.
pub(super) async fn connect_through<S>(
    stream: &mut S,
    proxy: &ProxyUrl,
    to: &HostPort,
    deadline: Duration,
) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ask = async {
        stream.write_all(request(proxy, to).as_bytes()).await?;
        stream.flush().await?;
        let (answer, more) = read_answer(stream).await?;
        judge(status_of(&answer)?)?;
        // A refusal may explain itself at length; after a yes nobody speaks before we do.
        if more { Err(ProxyError::Early) } else { Ok(()) }
    };
    timeout(deadline, ask).await.unwrap_or(Err(ProxyError::Slow(deadline.as_secs())))
}

/// The request; neither a [`HostPort`] nor base64 can hold what would end a line.
fn request(proxy: &ProxyUrl, to: &HostPort) -> String {
    let credentials = match proxy.credentials() {
        Some(credentials) => format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(credentials.as_bytes())),
        None => String::new(),
    };
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{credentials}\r\n")
}

/// Reads up to the empty line, and says whether anything follows it.
async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Vec<u8>, bool), ProxyError> {
    const END: &[u8] = b"\r\n\r\n";
    let mut answer = Vec::with_capacity(ANSWER_LEN_MAX);
    loop {
        let room = ANSWER_LEN_MAX - answer.len();
        if room == 0 {
            return Err(ProxyError::TooLong);
        }
        if (&mut *stream).take(room as u64).read_buf(&mut answer).await? == 0 {
            return Err(if answer.is_empty() { ProxyError::Closed } else { ProxyError::Garbage });
        }
        if let Some(end) = answer.windows(END.len()).position(|window| window == END) {
            let more = end + END.len() < answer.len();
            return Ok((answer, more));
        }
        // What does not begin like HTTP is not read on for 8 KiB.
        if !answer.iter().zip(b"HTTP/1.").all(|(found, expected)| found == expected) {
            return Err(ProxyError::Garbage);
        }
    }
}

/// The number in `HTTP/1.x NNN ...`.
fn status_of(answer: &[u8]) -> Result<u16, ProxyError> {
    let digits = match answer {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', a, b, c, b' ' | b'\r', ..] => [*a, *b, *c],
        _ => return Err(ProxyError::Garbage),
    };
    let number = std::str::from_utf8(&digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
    number.and_then(|text| text.parse().ok()).ok_or(ProxyError::Garbage)
}

fn judge(status: u16) -> Result<(), ProxyError> {
    Err(match status {
        200..=299 => return Ok(()),
        403 => ProxyError::Forbidden,
        // Some proxies say 401 for a wrong password, which is a web server's word.
        401 | 407 => ProxyError::Credentials(status),
        502 => ProxyError::Unreachable,
        503 => ProxyError::Unavailable,
        504 => ProxyError::Timeout,
        other => ProxyError::Status(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    /// What comes of a proxy that answers with `answer` and then closes or not.
    async fn ask(answer: &[u8]) -> (Result<(), ProxyError>, String) {
        let (mut ours, mut proxys) = tokio::io::duplex(65_536);
        let url = ProxyUrl::parse("http://user:pa%3Ass@proxy:3128").unwrap();
        let to = HostPort::parse("route.example.com:443").unwrap();
        let serve = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                proxys.read_buf(&mut request).await.unwrap();
            }
            proxys.write_all(answer).await.unwrap();
            proxys.shutdown().await.unwrap();
            String::from_utf8(request).unwrap()
        };
        tokio::join!(connect_through(&mut ours, &url, &to, DEADLINE), serve)
    }

    #[tokio::test]
    async fn the_request_names_the_address_and_the_credentials() {
        let (result, request) = ask(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
        result.unwrap();
        assert_eq!(
            request,
            "CONNECT route.example.com:443 HTTP/1.1\r\nHost: route.example.com:443\r\n\
             Proxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn each_refusal_has_its_own_sentence() {
        let mut sentences = std::collections::HashSet::new();
        let table = [
            (407, false),
            (403, false),
            (502, true),
            (503, true),
            (504, true),
            (404, false),
            (500, true),
            (301, false),
        ];
        for (status, may_pass) in table {
            let error = ask(format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes()).await.0.unwrap_err();
            assert_eq!(error.may_pass(), may_pass, "{status}");
            assert!(sentences.insert(error.to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn garbage_is_no_answer() {
        for garbage in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20x OK\r\n\r\n",
            "HTTP/1.1 200",
            "HTTP/1.1 2000\r\n\r\n",
        ] {
            assert!(matches!(ask(garbage.as_bytes()).await.0, Err(ProxyError::Garbage)), "{garbage}");
        }
        assert!(matches!(ask(b"").await.0, Err(ProxyError::Closed)));
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_cut_off() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(ANSWER_LEN_MAX));
        assert!(matches!(ask(long.as_bytes()).await.0, Err(ProxyError::TooLong)));
    }

    #[tokio::test]
    async fn bytes_behind_the_answer_are_refused() {
        assert!(matches!(ask(b"HTTP/1.1 200 OK\r\n\r\n\x16").await.0, Err(ProxyError::Early)));
    }

    #[tokio::test]
    async fn a_proxy_that_never_answers_is_given_up() {
        let (mut ours, _proxys) = tokio::io::duplex(65_536);
        let (url, to) = (ProxyUrl::parse("http://proxy").unwrap(), HostPort::parse("h:1").unwrap());
        assert!(matches!(
            connect_through(&mut ours, &url, &to, Duration::from_millis(20)).await,
            Err(ProxyError::Slow(0))
        ));
    }
}
