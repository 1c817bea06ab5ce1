//! The addresses of this machine, for a ticket: read from what Linux shows under /proc, for lack of any other way that
//! needs no `unsafe`. Finds nothing rather than guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses others may reach: no loopback, no link-local ones. Without `only_ipv4` those of both families, IPv4 first.
#[must_use]
pub fn local(only_ipv4: bool) -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found: Vec<IpAddr> = ipv4(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4).collect();
    if !only_ipv4 {
        found.extend(ipv6(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6));
    }
    found
}

/// The name of this machine, unless it is none that others could know.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty() && name != "localhost" && name != "(none)").then(|| name.to_owned())
}

/// In the routing trie, the line after an address says `/32 host LOCAL` when the address is ours.
fn ipv4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            let usable = last.filter(|ip| !ip.is_loopback() && !ip.is_link_local() && !found.contains(ip));
            found.extend(usable);
        }
    }
    found
}

/// `fd00...0002 04 40 00 82 eth0`: the address, interface, prefix length, scope (00 is global), flags, name.
fn ipv6(table: &str) -> Vec<Ipv6Addr> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let scope = fields.nth(2)?;
        (scope == "00").then(|| Ipv6Addr::from(address)).filter(|ip| !ip.is_loopback())
    };
    table.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n           |-- 127.0.0.1\n              \
         /32 host LOCAL\n        |-- 192.0.2.2\n              /32 host LOCAL\n        |-- 192.0.2.255\n           \
         /32 link BROADCAST\nLocal:\n        |-- 192.0.2.2\n              /32 host LOCAL\n";
    const TABLE: &str = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
         00000000000000000000000000000001 01 80 10 80       lo\n\
         20010db8000000000000000000000002 04 40 00 82     eth0\ngarbage\n";

    #[test]
    fn only_addresses_that_others_can_reach_are_found_and_each_once() {
        assert_eq!(ipv4(TRIE), [Ipv4Addr::new(192, 0, 2, 2)]);
        assert_eq!(ipv6(TABLE), ["2001:db8::2".parse::<Ipv6Addr>().unwrap()]);
        assert!(ipv4("").is_empty() && ipv6("").is_empty());
    }
}
