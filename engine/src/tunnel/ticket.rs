//! A ticket: everything a sender needs to reach one receiver once, in one printable word.
//!
//! ```text
//! ferry1-BASE64URL( version 1 | body length 2 | body | checksum 4 )
//! body = expires 8 | secret 16 | volume | server name | count 1 | host, port 2 ...      (texts: length 1, bytes)
//! ```
//! Numbers are big-endian; the checksum is the start of BLAKE3 over all before it and tells a damaged word from a
//! whole one, no more. The secret is all that admits a sender: it is drawn from the system's random source and shown
//! by nothing but [`std::fmt::Display`]. Whether a ticket was used or has expired is the receiver's to judge.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use super::address::{AddressError, Host, HostPort, Target};
use super::provider::random_bytes;
use crate::types::VolumeName;

/// What every ticket starts with.
const PREFIX: &str = "ferry1-";
/// The only form there is.
const VERSION: u8 = 1;
/// Addresses of one ticket.
const ADDRESSES_MAX: usize = 8;
/// Bytes of the word: eight addresses of the longest names fit.
const TEXT_LEN_MAX: usize = 4_096;
/// Bytes of the checksum.
const CHECKSUM_LEN: usize = 4;

/// An offer of one volume by one receiver. The text is kept beside its parts, so showing it cannot fail.
#[derive(Clone)]
pub struct Ticket {
    addresses: Vec<HostPort>,
    server_name: Box<str>,
    volume: VolumeName,
    secret: [u8; 16],
    expires: u64,
    text: Box<str>,
}

/// Why a word is no ticket, or no ticket can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Something else altogether.
    #[error("this is not a ticket: a ticket is one word that starts with {PREFIX}")]
    NotATicket,
    /// Cut off.
    #[error("the ticket is cut off: copy the whole word that `ferry receive` printed")]
    Truncated,
    /// Changed, or something hangs on its end.
    #[error("the ticket is damaged: copy the whole word that `ferry receive` printed, and nothing else")]
    Damaged,
    /// Made by a later version.
    #[error("the ticket has the form {0}, which this version does not know: use the same version on both sides")]
    Version(u8),
    /// Whole, but its contents make no sense.
    #[error("the ticket was made by something other than ferry: its {0} cannot be")]
    Contents(&'static str),
    /// No address or too many.
    #[error("a ticket has 1 to {ADDRESSES_MAX} addresses, not {0}")]
    Addresses(usize),
    /// The server name cannot be sent as SNI.
    #[error("the server name must be a DNS name")]
    ServerName(#[source] AddressError),
    /// No random bytes.
    #[error("the system has no random bytes")]
    Random,
}

impl Ticket {
    /// Makes a ticket with a fresh secret: for `volume`, at `addresses` (1 to 8), until `expires` (seconds since
    /// 1970). `server_name` is sent as SNI and must be a DNS name.
    ///
    /// # Errors
    /// [`TicketError`] names what is out of bounds.
    pub fn issue(
        addresses: Vec<HostPort>,
        server_name: &str,
        volume: VolumeName,
        expires: u64,
    ) -> Result<Self, TicketError> {
        if !(1..=ADDRESSES_MAX).contains(&addresses.len()) {
            return Err(TicketError::Addresses(addresses.len()));
        }
        let server_name = dns_name(server_name).map_err(TicketError::ServerName)?;
        let secret = random_bytes().ok_or(TicketError::Random)?;
        Self::assemble(Parts { expires, secret, volume, server_name, addresses })
    }

    /// Reads a ticket. Blanks and line breaks anywhere in it are ignored, for terminals put them there.
    ///
    /// # Errors
    /// [`TicketError`] says whether it is cut off, damaged or something else; never what it holds.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let word: String = text.chars().filter(|c| !c.is_ascii_whitespace()).take(TEXT_LEN_MAX + 1).collect();
        let coded = word.strip_prefix(PREFIX).ok_or(TicketError::NotATicket)?;
        if word.len() > TEXT_LEN_MAX {
            return Err(TicketError::Damaged);
        }
        // A word that is cut off may end inside a group of letters; what is before it is decoded all the same, to
        // tell the two apart.
        let whole = coded.len() - coded.len() % 4;
        let bytes = BASE64URL_NOPAD
            .decode(coded.as_bytes())
            .or_else(|_| BASE64URL_NOPAD.decode(coded.as_bytes().get(..whole).unwrap_or_default()))
            .map_err(|_| TicketError::Damaged)?;
        let body = checked_body(&bytes)?;
        Self::assemble(parse_body(body)?)
    }

    /// Where the receiver can be reached, 1 to 8 addresses, best first.
    #[must_use]
    pub fn addresses(&self) -> &[HostPort] {
        &self.addresses
    }

    /// What is sent as SNI.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The volume offered.
    #[must_use]
    pub fn volume(&self) -> &VolumeName {
        &self.volume
    }

    /// The second since 1970 after which it is of no use.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Where its sender connects to, without a proxy.
    #[must_use]
    pub fn target(&self) -> Target {
        Target { addresses: self.addresses.clone(), server_name: Some(self.server_name.to_string()), proxy: None }
    }

    pub(super) fn secret(&self) -> &[u8; 16] {
        &self.secret
    }

    fn assemble(parts: Parts) -> Result<Self, TicketError> {
        let text = encode(&parts)?.into();
        let Parts { expires, secret, volume, server_name, addresses } = parts;
        Ok(Self { addresses, server_name, volume, secret, expires, text })
    }
}

/// What a ticket says.
struct Parts {
    expires: u64,
    secret: [u8; 16],
    volume: VolumeName,
    server_name: Box<str>,
    addresses: Vec<HostPort>,
}

fn encode(parts: &Parts) -> Result<String, TicketError> {
    let mut body = Vec::new();
    body.extend_from_slice(&parts.expires.to_be_bytes());
    body.extend_from_slice(&parts.secret);
    put_text(&mut body, parts.volume.as_str())?;
    put_text(&mut body, &parts.server_name)?;
    body.push(u8::try_from(parts.addresses.len()).map_err(|_| TicketError::Addresses(parts.addresses.len()))?);
    for address in &parts.addresses {
        put_text(&mut body, &address.host().to_string())?;
        body.extend_from_slice(&address.port().to_be_bytes());
    }
    let len = u16::try_from(body.len()).map_err(|_| TicketError::Contents("length"))?;
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&body);
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    Ok(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
}

fn put_text(body: &mut Vec<u8>, text: &str) -> Result<(), TicketError> {
    body.push(u8::try_from(text.len()).map_err(|_| TicketError::Contents("length"))?);
    body.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The body, once version, length and checksum are right.
fn checked_body(bytes: &[u8]) -> Result<&[u8], TicketError> {
    let (&version, rest) = bytes.split_first().ok_or(TicketError::Truncated)?;
    if version != VERSION {
        return Err(TicketError::Version(version));
    }
    let (&len, rest) = rest.split_first_chunk::<2>().ok_or(TicketError::Truncated)?;
    let len = usize::from(u16::from_be_bytes(len));
    if rest.len() < len + CHECKSUM_LEN {
        return Err(TicketError::Truncated);
    }
    let (body, found) = rest.split_at(len);
    let before = bytes.len() - found.len();
    let expected = checksum(bytes.get(..before).unwrap_or_default());
    if found == expected { Ok(body) } else { Err(TicketError::Damaged) }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

fn parse_body(body: &[u8]) -> Result<Parts, TicketError> {
    let mut rest = Reader(body);
    let expires = u64::from_be_bytes(rest.take().ok_or(TicketError::Contents("date"))?);
    let secret = rest.take().ok_or(TicketError::Contents("secret"))?;
    let volume = rest.text().and_then(|text| VolumeName::new(text).ok()).ok_or(TicketError::Contents("volume"))?;
    let server_name = rest.text().and_then(|text| dns_name(text).ok()).ok_or(TicketError::Contents("server name"))?;
    let [count] = rest.take().ok_or(TicketError::Contents("address"))?;
    let count = usize::from(count);
    if !(1..=ADDRESSES_MAX).contains(&count) {
        return Err(TicketError::Addresses(count));
    }
    let address = |_| rest.address().ok_or(TicketError::Contents("address"));
    let addresses = (0..count).map(address).collect::<Result<_, _>>()?;
    if rest.0.is_empty() {
        Ok(Parts { expires, secret, volume, server_name, addresses })
    } else {
        Err(TicketError::Contents("length"))
    }
}

/// A DNS name in the form it is sent in.
fn dns_name(text: &str) -> Result<Box<str>, AddressError> {
    match Host::parse(text)? {
        Host::Name(name) => Ok(name),
        Host::Ip(_) => Err(AddressError::Host(text.escape_debug().collect())),
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let [len] = self.take()?;
        let (text, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn address(&mut self) -> Option<HostPort> {
        let host = Host::parse(self.text()?).ok()?;
        HostPort::new(host, u16::from_be_bytes(self.take()?))
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("addresses", &self.addresses)
            .field("server_name", &self.server_name)
            .field("volume", &self.volume)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        let addresses = vec![HostPort::parse("route.example.com:443").unwrap(), HostPort::parse("[::1]:9").unwrap()];
        Ticket::issue(addresses, "Route.example.com", VolumeName::new("data").unwrap(), 1_800_000_000).unwrap()
    }

    #[test]
    fn a_ticket_survives_being_printed_wrapped_and_pasted() {
        let made = ticket();
        let word = made.to_string();
        assert!(word.bytes().all(|b| b.is_ascii_graphic()));
        let wrapped: String =
            word.chars().enumerate().flat_map(|(n, c)| [(n % 40 == 39).then_some('\n'), Some(c)]).flatten().collect();
        let read = Ticket::parse(&format!("  {wrapped}\n")).unwrap();
        assert_eq!((read.addresses(), read.server_name()), (made.addresses(), "route.example.com"));
        assert_eq!((read.volume(), read.expires(), read.secret()), (made.volume(), 1_800_000_000, made.secret()));
        assert_eq!(read.to_string(), word);
    }

    #[test]
    fn a_ticket_cut_off_anywhere_says_so() {
        let word = ticket().to_string();
        for len in PREFIX.len()..word.len() {
            assert_eq!(Ticket::parse(&word[..len]).unwrap_err(), TicketError::Truncated, "{len}");
        }
        assert_eq!(Ticket::parse("hello").unwrap_err(), TicketError::NotATicket);
    }

    #[test]
    fn a_ticket_with_any_letter_changed_or_added_is_refused() {
        let word = ticket().to_string();
        for at in PREFIX.len()..word.len() {
            let other = if word.as_bytes()[at] == b'A' { "B" } else { "A" };
            assert!(Ticket::parse(&format!("{}{other}{}", &word[..at], &word[at + 1..])).is_err(), "{at}");
        }
        assert_eq!(Ticket::parse(&format!("{word}AAAA")).unwrap_err(), TicketError::Damaged);
        assert_eq!(Ticket::parse(&format!("{PREFIX}{}", "A".repeat(1_000_000))).unwrap_err(), TicketError::Damaged);
    }

    #[test]
    fn a_ticket_of_a_later_form_asks_for_the_same_version() {
        let word = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&[2; 40]));
        assert_eq!(Ticket::parse(&word).unwrap_err(), TicketError::Version(2));
    }

    #[test]
    fn a_tickets_contents_are_bounded() {
        let none = Ticket::issue(vec![], "a", VolumeName::new("v").unwrap(), 0).unwrap_err();
        assert_eq!(none, TicketError::Addresses(0));
        let address = HostPort::parse("h:1").unwrap();
        let name = Ticket::issue(vec![address; 8], "10.0.0.1", VolumeName::new("v").unwrap(), 0).unwrap_err();
        assert!(matches!(name, TicketError::ServerName(_)));
        let mut body = vec![0; 24];
        body.extend_from_slice(b"\x01v\x01h\xff");
        assert_eq!(parse_body(&body).err(), Some(TicketError::Addresses(255)));
        body.pop();
        body.extend_from_slice(b"\x01\x01h\x00\x01\x00");
        assert_eq!(parse_body(&body).err(), Some(TicketError::Contents("length")));
    }

    #[test]
    fn two_tickets_share_no_secret_and_debug_shows_none() {
        let (one, other) = (ticket(), ticket());
        assert_ne!(one.secret(), other.secret());
        assert!(!format!("{one:?}").contains("secret"));
        assert!(!format!("{one:?}").contains(PREFIX));
    }
}
