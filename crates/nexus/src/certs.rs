//! `nexus certs`: an authority and a certificate for each role, for a laptop or a test. Run again
//! it renews the certificates, and running roles take the new ones for their next connections.

use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::Context;
use nexus_es::clock;
use nexus_runtime::Role;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::cli::CertsArgs;
use crate::root::write_private;

const AUTHORITY_DAYS: u16 = 3650;
/// The server that is not ours.
const NATS: &str = "nats";

pub(crate) fn run(args: &CertsArgs) -> anyhow::Result<()> {
    let dir = &args.dir;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make {}", dir.display()))?;
    let authority = authority(dir)?;
    for role in Role::ALL {
        issue(dir, role.name(), Some(role), args, &authority)?;
    }
    issue(dir, NATS, None, args, &authority)?;
    println!("{} holds ca.pem, and for each role and {NATS}: ROLE.pem, ROLE.key", dir.display());
    println!("certificates are valid for {} days; run this again to renew them", args.days);
    Ok(())
}

/// The authority that is there, or a new one.
fn authority(dir: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let (certificate, key_file) = (dir.join("ca.pem"), dir.join("ca.key"));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Nexus");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_DAYS);
    if key_file.exists() && certificate.exists() {
        let key = std::fs::read_to_string(&key_file)
            .with_context(|| format!("cannot read {}", key_file.display()))?;
        let key = KeyPair::from_pem(&key)
            .with_context(|| format!("{} holds no key", key_file.display()))?;
        return Ok(Issuer::new(params, key));
    }
    let key = KeyPair::generate()?;
    write_private(&key_file, &key.serialize_pem())?;
    write(&certificate, &params.self_signed(&key)?.pem())?;
    Ok(Issuer::new(params, key))
}

fn issue(
    dir: &Path,
    name: &str,
    role: Option<Role>,
    args: &CertsArgs,
    authority: &Issuer<'static, KeyPair>,
) -> anyhow::Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(role) = role {
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(role.identity())?));
    }
    let hosts = ["localhost", "127.0.0.1", "::1", name];
    for host in hosts.into_iter().chain(args.host.iter().map(String::as_str)) {
        params.subject_alt_names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(host)?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, args.days);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    // The key first: a reader between the two sees a pair that does not fit and keeps the old one.
    write_private(&dir.join(format!("{name}.key")), &key.serialize_pem())?;
    write(&dir.join(format!("{name}.pem")), &certificate.pem())
}

/// From a little ago, since clocks differ.
fn valid_for(params: &mut CertificateParams, days: u16) {
    let now = std::time::Duration::from_millis(u64::try_from(clock::now_ms()).unwrap_or_default());
    let at = |since: std::time::Duration| std::time::SystemTime::UNIX_EPOCH + since;
    let hour = std::time::Duration::from_secs(3600);
    params.not_before = at(now.saturating_sub(hour)).into();
    params.not_after = at(now + hour * 24 * u32::from(days)).into();
}

/// Whole or not at all, for all to read.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, text)
        .and_then(|()| std::fs::rename(&fresh, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use nexus_runtime::tls::{Tls, TlsFiles};

    use super::*;

    fn load(dir: &Path, role: Role) -> bool {
        let file = |name: String| dir.join(name);
        let files = TlsFiles {
            certificate: file(format!("{role}.pem")),
            key: file(format!("{role}.key")),
            authority: file("ca.pem".to_owned()),
        };
        Tls::load(role, files).is_ok()
    }

    #[test]
    fn every_role_gets_a_certificate_and_the_authority_outlives_a_renewal() {
        let dir = tempfile::tempdir().unwrap();
        let args =
            CertsArgs { dir: dir.path().to_owned(), host: vec!["10.0.0.7".to_owned()], days: 7 };
        run(&args).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let (authority, order) = (read("ca.pem"), read("order.pem"));
        for role in Role::ALL {
            assert!(load(dir.path(), role), "{role}");
        }
        run(&args).unwrap();
        assert_eq!(read("ca.pem"), authority);
        assert_ne!(read("order.pem"), order);
        assert!(load(dir.path(), Role::Order));
        assert!(dir.path().join("nats.pem").exists());
    }
}
