//! Certificate, key and authority of one role, read again when a file changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio_rustls::rustls;

use super::verify::{RoleVerifier, role_of};
use crate::role::Role;

/// What gRPC speaks.
const HTTP2: &[u8] = b"h2";

/// Where the files are, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The role's certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that signs the certificates of all roles.
    pub authority: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, or does not hold what it should.
    #[error("cannot read {} as PEM", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The certificate is for somebody else.
    #[error("{} is not {role}'s certificate: it must name {}", path.display(), role.identity())]
    WrongRole {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        role: Role,
    },
    /// The files do not fit together.
    #[error("the certificates in {} cannot be used", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The files of one role in use.
#[derive(Debug)]
pub struct Tls {
    role: Role,
    files: TlsFiles,
    loaded: Mutex<Loaded>,
}

/// Tells a changed file: renewal writes a new one, or over the old one.
type Stamp = [Option<(SystemTime, u64)>; 3];

#[derive(Clone, Debug)]
struct Loaded {
    stamp: Stamp,
    material: Arc<Material>,
}

#[derive(Debug)]
struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    for_strangers: Arc<ServerConfig>,
    for_roles: Arc<ServerConfig>,
}

impl Tls {
    /// Loads the files of `role`.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be used.
    pub fn load(role: Role, files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let stamp = files.stamp();
        let material = Arc::new(files.read(role)?);
        Ok(Arc::new(Self { role, files, loaded: Mutex::new(Loaded { stamp, material }) }))
    }

    pub(super) fn server(&self, strangers: bool) -> Arc<ServerConfig> {
        let material = self.current();
        Arc::clone(if strangers { &material.for_strangers } else { &material.for_roles })
    }

    pub(super) fn client(&self, role: Role) -> Result<Arc<ClientConfig>, rustls::Error> {
        let material = self.current();
        let verifier = RoleVerifier {
            role,
            roots: Arc::clone(&material.roots),
            provider: Arc::clone(&material.provider),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&material.provider))
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(material.chain.clone(), material.key.clone_key())?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Arc::new(config))
    }

    /// What the files say now. While they cannot be read, what they said before: a renewal may be
    /// half written.
    fn current(&self) -> Arc<Material> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.files.stamp();
        if stamp != loaded.stamp {
            match self.files.read(self.role) {
                Ok(material) => {
                    tracing::info!("the certificate of {} was renewed", self.role);
                    *loaded = Loaded { stamp, material: Arc::new(material) };
                }
                Err(error) => {
                    let why = crate::status::chain(&error);
                    tracing::error!("the changed certificate files are not used: {why}");
                }
            }
        }
        Arc::clone(&loaded.material)
    }
}

impl TlsFiles {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key, &self.authority].map(|path| {
            let known = std::fs::metadata(path).ok()?;
            Some((known.modified().ok()?, known.len()))
        })
    }

    fn read(&self, role: Role) -> Result<Material, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(&self.certificate)?;
        if chain.first().and_then(role_of) != Some(role) {
            return Err(TlsError::WrongRole { path: self.certificate.clone(), role });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::File { path: self.key.clone(), source })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.authority)? {
            roots.add(root).map_err(|error| self.unusable(error))?;
        }
        let roots = Arc::new(roots);
        let server = |strangers: bool| -> Result<Arc<ServerConfig>, TlsError> {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider.clone());
            let verifier = if strangers { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().map_err(|error| self.unusable(error))?;
            let mut config = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&version::TLS13])
                .map_err(|error| self.unusable(error))?
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain.clone(), key.clone_key())
                .map_err(|error| self.unusable(error))?;
            config.alpn_protocols = vec![HTTP2.to_vec()];
            Ok(Arc::new(config))
        };
        let (for_strangers, for_roles) = (server(true)?, server(false)?);
        Ok(Material { chain, key, roots, provider: provider.clone(), for_strangers, for_roles })
    }

    fn unusable(&self, error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
        TlsError::Unusable { path: self.certificate.clone(), source: Box::new(error) }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::File { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(broken)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    if found.is_empty() { Err(broken(pem::Error::NoItemsFound)) } else { Ok(found) }
}
