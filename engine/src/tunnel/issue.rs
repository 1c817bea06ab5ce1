//! Makes the certificates of one transfer: an authority that forgets its key, a receiver and a sender.
//!
//! Values only; `keygen` puts them on disk. The authority's key exists while [`issue`] runs and is dropped with it, so
//! no third certificate can ever be made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::address::Host;
use super::certificate::Role;

/// What one side needs, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) authority: String,
}

/// The two sides of a transfer.
pub(super) struct Pair {
    pub(super) receiver: Issued,
    pub(super) sender: Issued,
}

/// What the certificates say.
pub(super) struct Request<'a> {
    /// Names of the receiver, besides localhost and the loopback addresses.
    pub(super) hosts: &'a [Host],
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// Tells this authority from others, in names that people see.
    pub(super) serial: u64,
}

/// Issues both certificates, ECDSA P-256.
pub(super) fn issue(request: &Request<'_>) -> Result<Pair, rcgen::Error> {
    let mut params = params(request, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    Ok(Pair {
        receiver: issue_one(request, Role::Receiver, &authority)?,
        sender: issue_one(request, Role::Sender, &authority)?,
    })
}

fn issue_one(
    request: &Request<'_>,
    role: Role,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Issued, rcgen::Error> {
    let mut params = params(request, &role.to_string());
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match role {
        Role::Sender => ExtendedKeyUsagePurpose::ClientAuth,
        Role::Receiver => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    if role == Role::Receiver {
        params.subject_alt_names = names(request.hosts)?;
    }
    let key = KeyPair::generate()?;
    Ok(Issued {
        certificate: params.signed_by(&key, authority)?.pem(),
        key: key.serialize_pem(),
        authority: authority.pem(),
    })
}

fn params(request: &Request<'_>, what: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = request.not_before.into();
    params.not_after = request.not_after.into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("ferry {what} {:016x}", request.serial));
    params
}

/// `hosts`, then localhost, 127.0.0.1 and ::1, each once.
fn names(hosts: &[Host]) -> Result<Vec<SanType>, rcgen::Error> {
    let local = [
        Host::Name("localhost".into()),
        Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Host::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let mut names = Vec::with_capacity(hosts.len() + local.len());
    for host in hosts.iter().chain(&local) {
        let name = match host {
            Host::Name(name) => SanType::DnsName(name.as_ref().try_into()?),
            Host::Ip(address) => SanType::IpAddress(*address),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
