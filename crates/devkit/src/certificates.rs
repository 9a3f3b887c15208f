//! Certificates for tests, made when they are needed: nothing to check in, nothing that expires in a year.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// Longer than any test runs, shorter than what strict clients accept.
const VALID: Duration = Duration::days(90);
/// So that a client whose clock is a little behind agrees.
const BACK: Duration = Duration::days(1);

/// A certificate authority of one's own, which only those trust who are told to.
///
/// ```
/// # fn main() -> Result<(), shared_devkit::Error> {
/// use shared_devkit::Authority;
///
/// let authority = Authority::new()?;
/// let good = authority.server()?; // for localhost and 127.0.0.1
/// let wrong_host = authority.server_for("elsewhere.test")?;
/// let expired = authority.expired()?;
/// let unknown = Authority::new()?.server()?; // of an authority that nobody was told of
/// # assert!(authority.root_file().exists());
/// # Ok(())
/// # }
/// ```
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    root_pem: String,
    root_file: PathBuf,
}

impl Authority {
    /// A new authority with a key of its own. Two of them trust each other's certificates no more than strangers'.
    ///
    /// # Errors
    /// [`Error::Certificate`] where no key can be made, [`Error::File`] where the temporary directory takes no file.
    pub fn new() -> Result<Authority, Error> {
        // A name of its own, so that clients call another authority unknown, not forged.
        let id = uuid::Uuid::new_v4().simple();
        let mut params = params(&format!("devkit test authority {id}"), &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(Error::certificate)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(Error::certificate)?;
        let root_pem = pem("CERTIFICATE", issuer.der());
        let root_file = env::temp_dir().join(format!("devkit-authority-{id}.pem"));
        fs::write(&root_file, &root_pem).map_err(Error::file("write", &root_file))?;
        Ok(Authority { issuer, root_pem, root_file })
    }

    /// The root certificate as PEM, for a client to trust.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The same as a file in the temporary directory, such as for `sslrootcert`. It goes when this value is dropped.
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A server's certificate for `localhost`, `127.0.0.1` and `::1`, valid for 90 days.
    ///
    /// # Errors
    /// [`Error::Certificate`] where no key can be made.
    pub fn server(&self) -> Result<Certificate, Error> {
        self.sign(server_params(&["localhost", "127.0.0.1", "::1"])?)
    }

    /// A server's certificate for another name or address, and for no other.
    ///
    /// # Errors
    /// [`Error::Certificate`] where that is no name.
    pub fn server_for(&self, host: &str) -> Result<Certificate, Error> {
        self.sign(server_params(&[host])?)
    }

    /// As [`server`](Authority::server), but valid until yesterday.
    ///
    /// # Errors
    /// As [`server`](Authority::server).
    pub fn expired(&self) -> Result<Certificate, Error> {
        let mut params = server_params(&["localhost", "127.0.0.1", "::1"])?;
        params.not_before -= VALID;
        params.not_after = OffsetDateTime::now_utc() - BACK;
        self.sign(params)
    }

    /// As [`server`](Authority::server), but valid from tomorrow.
    ///
    /// # Errors
    /// As [`server`](Authority::server).
    pub fn not_yet_valid(&self) -> Result<Certificate, Error> {
        let mut params = server_params(&["localhost", "127.0.0.1", "::1"])?;
        params.not_before = OffsetDateTime::now_utc() + BACK;
        self.sign(params)
    }

    /// A client's certificate. Its common name is what Postgres compares with the role.
    ///
    /// # Errors
    /// [`Error::Certificate`] where no key can be made.
    pub fn client(&self, common_name: &str) -> Result<Certificate, Error> {
        let mut params = params(common_name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Certificate, Error> {
        let key = KeyPair::generate().map_err(Error::certificate)?;
        let signed = params.signed_by(&key, &self.issuer).map_err(Error::certificate)?;
        Ok(Certificate {
            certificate_pem: pem("CERTIFICATE", signed.der()),
            key_pem: pem("PRIVATE KEY", key.serialized_der()),
            certificate: signed.der().clone(),
            key: Arc::new(PrivateKeyDer::from(key)),
        })
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // Gone already if somebody has cleaned the temporary directory.
        let _ = fs::remove_file(&self.root_file);
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").field("root_file", &self.root_file).finish_non_exhaustive()
    }
}

/// A certificate of an [`Authority`], with its private key.
#[derive(Clone)]
pub struct Certificate {
    certificate_pem: String,
    key_pem: String,
    certificate: CertificateDer<'static>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Certificate {
    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key as PEM (PKCS #8, ECDSA P-256).
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn server_params(hosts: &[&str]) -> Result<CertificateParams, Error> {
    let mut params = params(hosts[0], hosts)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn params(common_name: &str, hosts: &[&str]) -> Result<CertificateParams, Error> {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).map_err(Error::certificate)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::now_utc() - BACK;
    params.not_after = OffsetDateTime::now_utc() + VALID;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.extend(line.iter().copied().map(char::from).chain(['\n']));
    }
    lines + &format!("-----END {label}-----\n")
}

/// What a server with this certificate does, with a provider of its own: nothing is installed for the whole process.
pub(crate) fn server_config(
    certificate: &Certificate,
    clients: Option<&CertificateDer<'static>>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::certificate)?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(root.clone()).map_err(Error::certificate)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.map_err(Error::certificate)?)
        }
    };
    config
        .with_single_cert(vec![certificate.certificate.clone()], certificate.key.clone_key())
        .map_err(Error::certificate)
}
