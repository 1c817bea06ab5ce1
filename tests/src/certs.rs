//! Identities that are wrong in one way each: expired, not yet valid, with swapped roles. Right ones come from
//! `ferry keygen`; this refuses to make those.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};

use crate::ferry::{HOST, Keys};
use crate::scene::Scene;

/// The years in which the certificates are valid, from the first of January to the first of January.
#[derive(Clone, Copy, Debug)]
pub struct Years {
    /// From.
    pub from: i32,
    /// Until.
    pub until: i32,
}

impl Years {
    /// Over.
    pub const PAST: Self = Self { from: 2001, until: 2002 };
    /// Far off.
    pub const FUTURE: Self = Self { from: 2090, until: 2095 };
    /// Now.
    pub const NOW: Self = Self { from: 2020, until: 2090 };
}

/// Two identities signed by one authority; the leaf certificates are valid in the years given for each side.
///
/// # Errors
/// When they cannot be made or written.
pub fn keys(scene: &Scene, name: &str, receiver: Years, sender: Years) -> Result<Keys> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "tests' authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid(&mut params, Years::NOW);
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let dir = scene.dir(name)?;
    let keys = Keys { receiver: dir.join("receiver"), sender: dir.join("sender") };
    write(&keys.receiver, &authority, &issuer, receiver, ExtendedKeyUsagePurpose::ServerAuth)?;
    write(&keys.sender, &authority, &issuer, sender, ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(keys)
}

fn valid(params: &mut CertificateParams, years: Years) {
    params.not_before = date_time_ymd(years.from, 1, 1);
    params.not_after = date_time_ymd(years.until, 1, 1);
}

fn write(
    dir: &Path,
    authority: &str,
    issuer: &Issuer<'_, KeyPair>,
    years: Years,
    role: ExtendedKeyUsagePurpose,
) -> Result<()> {
    let mut params = CertificateParams::new(vec![HOST.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, format!("{role:?}"));
    params.extended_key_usages = vec![role];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, years);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    std::fs::write(dir.join("tls.crt"), certificate.pem())?;
    std::fs::write(dir.join("tls.key"), key.serialize_pem())?;
    Ok(std::fs::write(dir.join("ca.crt"), authority)?)
}
