//! What a certificate says of itself: which side it is for, and from when to when.
//!
//! Only reads; whether a certificate is to be believed is decided in `verifier`, during the handshake.

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// The side of a transfer an identity is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Connects, and has a certificate for client authentication.
    Sender,
    /// Listens, and has a certificate for server authentication.
    Receiver,
}

/// The sides a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    sender: bool,
    receiver: bool,
}

/// When a certificate may be used, in seconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// A second since 1970, shown as a date in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub(super) i64);

impl Role {
    /// The other side.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

impl Roles {
    pub(super) fn contains(self, role: Role) -> bool {
        match role {
            Role::Sender => self.sender,
            Role::Receiver => self.receiver,
        }
    }
}

/// The roles the extended key usage names; a certificate without one is for none.
pub(super) fn roles_of(certificate: &CertificateDer<'_>) -> Result<Roles, X509Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| X509Error::InvalidCertificate)?;
    let usage = parsed.extended_key_usage()?.map(|extension| extension.value);
    Ok(Roles {
        sender: usage.is_some_and(|usage| usage.client_auth),
        receiver: usage.is_some_and(|usage| usage.server_auth),
    })
}

/// The dates.
pub(super) fn validity_of(certificate: &CertificateDer<'_>) -> Result<Validity, X509Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| X509Error::InvalidCertificate)?;
    let validity = parsed.validity();
    Ok(Validity { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// Whether nobody but its own subject stands behind it.
pub(super) fn is_self_issued(certificate: &CertificateDer<'_>) -> Result<bool, X509Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| X509Error::InvalidCertificate)?;
    Ok(parsed.issuer().as_raw() == parsed.subject().as_raw())
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ASN1Time::from_timestamp(self.0) {
            Ok(time) => {
                let time = time.to_datetime();
                let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
                write!(
                    f,
                    "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
                    time.hour(),
                    time.minute(),
                    time.second()
                )
            }
            Err(_) => write!(f, "second {} since 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_shown_as_people_write_them() {
        assert_eq!(Date(0).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(Date(1_772_366_405).to_string(), "2026-03-01 12:00:05 UTC");
        assert_eq!(Date(i64::MAX).to_string(), format!("second {} since 1970", i64::MAX));
    }
}
