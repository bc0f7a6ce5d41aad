//! Authorities and certificates for one test.

use std::path::{Path, PathBuf};

use nexus_runtime::Role;
use nexus_runtime::tls::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes `role`'s certificate into `dir`, over the one that is there.
    pub(crate) fn issue(&self, dir: &Path, role: Role) -> TlsFiles {
        self.issue_as(dir, &role.identity(), false)
    }

    pub(crate) fn issue_as(&self, dir: &Path, identity: &str, expired: bool) -> TlsFiles {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(identity.try_into().unwrap()));
        params.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap()));
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            key: file("key.pem", &key.serialize_pem()),
            certificate: file("certificate.pem", &certificate.pem()),
            authority: file("ca.pem", &self.pem),
        }
    }
}
