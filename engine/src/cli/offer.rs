//! `ferry receive --offer`: makes the ticket and prints the one line to paste at the source.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};

use super::addresses;
use super::config::Volumes;
use super::console::Console;
use super::job::Failure;
use super::units;
use crate::tunnel::{Host, HostPort, Ticket};

/// The name sent as SNI when the receiver is reached by numbers only. It is looked up nowhere (RFC 2606, 2).
const NAMELESS: &str = "ferry.invalid";
/// Addresses a ticket can hold.
const ADDRESSES_MAX: usize = 8;

/// Makes a ticket for the one volume offered.
///
/// # Errors
/// No address is known to write into it, or the clock is before 1970.
pub fn issue(
    listen: SocketAddr,
    advertise: Vec<HostPort>,
    volumes: &Volumes,
    life: Duration,
) -> Result<Ticket, Failure> {
    let volume = volumes.first().map(|(name, _)| name.clone());
    let volume = volume.context("no volume is offered").map_err(Failure::failed)?;
    let addresses = if advertise.is_empty() { own_addresses(listen)? } else { advertise };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.context("the clock of this machine is before 1970; set it").map_err(Failure::failed)?;
    let expires = now.saturating_add(life).as_secs();
    Ticket::issue(addresses.clone(), server_name(&addresses), volume, expires).map_err(Failure::usage)
}

/// Prints the line on standard output, and what it is on standard error.
///
/// # Errors
/// Standard output is closed: a ticket nobody saw is of no use.
pub fn print(console: &Console, ticket: &Ticket, life: Duration) -> Result<(), Failure> {
    let left = units::time_left(life);
    let target = ticket.target();
    let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
    console.say(&format!("the sender will try {}", addresses.join(", ")));
    console.say(&format!(
        "paste this at the source, with the directory to send in place of SRC; it is good for one copy within {left}, and \
         whoever holds it may fill {}:",
        ticket.volume()
    ));
    console
        .result(&format!("FERRY_TICKET={ticket} ferry send SRC"))
        .context("cannot print the ticket")
        .map_err(Failure::failed)
}

fn own_addresses(listen: SocketAddr) -> Result<Vec<HostPort>, Failure> {
    let no_port =
        || anyhow!("a ticket is written before the port is known; give --listen a port, or --advertise HOST:PORT");
    let with_port = |host: Host| HostPort::new(host, listen.port()).with_context(|| no_port().to_string());
    if !listen.ip().is_unspecified() {
        return Ok(vec![with_port(Host::Ip(listen.ip())).map_err(Failure::usage)?]);
    }
    let mut hosts: Vec<Host> = addresses::local(listen.is_ipv4()).into_iter().map(Host::Ip).collect();
    hosts.truncate(ADDRESSES_MAX - 1);
    hosts.extend(addresses::host_name().and_then(|name| Host::parse(&name).ok()));
    if hosts.is_empty() {
        let sentence =
            "no address of this machine could be found; give --advertise HOST:PORT, as the source reaches it";
        return Err(Failure::usage(anyhow!(sentence)));
    }
    hosts.into_iter().map(with_port).collect::<Result<_, _>>().map_err(Failure::usage)
}

/// The first name among the addresses: a route in front of us finds us by it.
fn server_name(addresses: &[HostPort]) -> &str {
    let names = addresses.iter().filter_map(|address| match address.host() {
        Host::Name(name) => Some(&**name),
        Host::Ip(_) => None,
    });
    names.take(1).next().unwrap_or(NAMELESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> Vec<HostPort> {
        list.iter().map(|text| HostPort::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_route_is_found_by_the_first_name() {
        assert_eq!(server_name(&hosts(&["192.0.2.1:1", "route.example:443", "other.example:443"])), "route.example");
        assert_eq!(server_name(&hosts(&["192.0.2.1:1"])), NAMELESS);
    }

    #[test]
    fn a_ticket_needs_a_port() {
        let error = own_addresses("127.0.0.1:0".parse().unwrap()).unwrap_err().sentence();
        assert!(error.contains("--advertise"), "{error}");
        let one = own_addresses("192.0.2.7:8443".parse().unwrap()).unwrap();
        assert_eq!(one, hosts(&["192.0.2.7:8443"]));
    }
}
