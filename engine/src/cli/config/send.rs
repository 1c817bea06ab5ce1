//! What `ferry send` means: to a receiver with certificates, or with a ticket.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, Conflict, TransferConfig, Volumes, refuse, volumes};
use crate::cli::args::SendArgs;
use crate::cli::files;
use crate::tunnel::{HostPort, ProxyUrl, Target, Ticket};
use crate::volume::places;

/// A sender that can be started.
#[derive(Debug)]
pub struct SendConfig {
    /// The receiver and what proves who we are.
    pub access: SenderAccess,
    /// Give up after this long without progress.
    pub retry_for: Duration,
    /// What to send.
    pub volumes: Volumes,
    /// What is asked.
    pub transfer: TransferConfig,
    /// What the user should know before it begins.
    pub warnings: Vec<&'static str>,
}

/// The receiver and what proves who we are.
#[derive(Debug)]
pub enum SenderAccess {
    /// Certificates in a directory.
    Certificates {
        /// The sender's own identity.
        identity: PathBuf,
        /// Where the receiver is.
        target: Target,
    },
    /// A ticket, and a proxy on the way.
    Ticket {
        /// The ticket.
        ticket: Ticket,
        /// Where the receiver is.
        target: Target,
    },
}

/// Where a ticket came from.
struct TypedTicket {
    origin: &'static str,
    text: String,
}

impl SendConfig {
    /// Judges what was typed; `environment` is the value of `FERRY_TICKET`.
    ///
    /// # Errors
    /// [`ConfigError`], each with what to change.
    pub fn new(args: &SendArgs, environment: Option<String>) -> Result<Self, ConfigError> {
        let proxy = args.proxy.as_deref().map(ProxyUrl::parse).transpose();
        let proxy = proxy.map_err(|source| ConfigError::Address { option: "--proxy", source })?;
        let transfer = TransferConfig::new(&args.transfer)?;
        let mut warnings = Vec::new();
        let (access, volumes) = match typed_ticket(args, environment, &mut warnings)? {
            Some(typed) => with_ticket(args, &typed, proxy)?,
            None => with_certificates(args, proxy)?,
        };
        for (_, path) in &volumes {
            places::source(path)?;
        }
        Ok(Self { access, retry_for: args.retry_for, volumes, transfer, warnings })
    }
}

fn typed_ticket(
    args: &SendArgs,
    environment: Option<String>,
    warnings: &mut Vec<&'static str>,
) -> Result<Option<TypedTicket>, ConfigError> {
    refuse(args.ticket.is_some() && args.ticket_file.is_some(), Conflict::TwoTickets)?;
    if let Some(text) = &args.ticket {
        warnings.push(
            "--ticket shows the secret to everyone who can list processes here; prefer FERRY_TICKET or --ticket-file",
        );
        return Ok(Some(TypedTicket { origin: "--ticket", text: text.clone() }));
    }
    if let Some(path) = &args.ticket_file {
        return Ok(Some(TypedTicket { origin: "--ticket-file", text: files::read_text(path)? }));
    }
    match environment {
        Some(_) if args.to.is_some() => {
            warnings.push("FERRY_TICKET is set, but --to is given: the ticket is not used");
            Ok(None)
        }
        Some(text) => Ok(Some(TypedTicket { origin: "FERRY_TICKET", text })),
        None => Ok(None),
    }
}

fn with_ticket(
    args: &SendArgs,
    typed: &TypedTicket,
    proxy: Option<ProxyUrl>,
) -> Result<(SenderAccess, Volumes), ConfigError> {
    refuse(args.to.is_some(), Conflict::TicketWithTo)?;
    refuse(args.identity.is_some(), Conflict::TicketWithIdentity)?;
    refuse(args.server_name.is_some(), Conflict::TicketWithServerName)?;
    refuse(!args.volumes.is_empty(), Conflict::TicketWithVolume)?;
    let source = args.source.clone().ok_or(Conflict::TicketWithoutSource)?;
    let ticket = Ticket::parse(ticket_word(&typed.text))
        .map_err(|source| ConfigError::Ticket { origin: typed.origin, source })?;
    let target = Target { proxy, ..ticket.target() };
    let volume = ticket.volume().clone();
    Ok((SenderAccess::Ticket { ticket, target }, vec![(volume, source)]))
}

fn with_certificates(args: &SendArgs, proxy: Option<ProxyUrl>) -> Result<(SenderAccess, Volumes), ConfigError> {
    let to = args.to.as_ref().ok_or(Conflict::NoReceiver)?;
    refuse(args.source.is_some(), Conflict::SourceWithTo)?;
    let identity = args.identity.clone().ok_or(Conflict::NoIdentityToSend)?;
    let address = HostPort::parse(to).map_err(|source| ConfigError::Address { option: "--to", source })?;
    let target = Target { addresses: vec![address], server_name: args.server_name.clone(), proxy };
    Ok((SenderAccess::Certificates { identity, target }, volumes(&args.volumes)?))
}

/// The ticket in what was pasted: the word itself, or the whole line `FERRY_TICKET=... ferry send SRC`.
fn ticket_word(pasted: &str) -> &str {
    let pasted = pasted.trim();
    let word = pasted.strip_prefix("FERRY_TICKET=").unwrap_or(pasted);
    word.split_once(" ferry send").map_or(word, |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_pasted_line_is_a_ticket_too() {
        assert_eq!(ticket_word("abc"), "abc");
        assert_eq!(ticket_word("  FERRY_TICKET=abc ferry send SRC\n"), "abc");
        assert_eq!(ticket_word("FERRY_TICKET=abc\ndef ferry send SRC"), "abc\ndef");
        assert_eq!(ticket_word("\n"), "");
    }
}
