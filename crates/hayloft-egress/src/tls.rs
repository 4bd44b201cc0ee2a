//! TLS towards the outside: which certificates are trusted, and the handshake that names the host that was vetted.

use std::io;
use std::sync::Arc;

use hayloft_model::HostName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Speaks TLS. Clones share their settings and the sessions that they can take up again.
#[derive(Clone)]
pub struct Tls(TlsConnector);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The machine has no certificates to trust.
    #[error("this machine has no trusted certificates (Debian: `apt-get install ca-certificates`)")]
    NoRoots,
    /// A text that should hold certificates holds none that can be trusted.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// A certificate cannot be read or used.
    #[error("one of its certificates cannot be used: {0}")]
    Certificate(String),
    /// The library refuses its own defaults.
    #[error("failed to set up TLS: {0}")]
    Library(#[from] rustls::Error),
}

/// The certificates that this machine trusts.
///
/// # Errors
/// When there are none.
pub fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// Adds the certificates of a text in PEM form, as a private authority hands them out. Gives how many there are.
///
/// # Errors
/// When there is none, or one that cannot be used: a file that is half trusted is a surprise on the day that counts.
pub fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<usize, TlsError> {
    let unusable = |error: &dyn std::fmt::Display| TlsError::Certificate(error.to_string());
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
        added += 1;
    }
    if added == 0 { Err(TlsError::NoCertificate) } else { Ok(added) }
}

impl Tls {
    /// TLS 1.2 and 1.3, for HTTP/1.1, towards whoever has a certificate that leads to one of these.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn new(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Agrees on TLS over a connection: the host must prove that it has this name.
    ///
    /// # Errors
    /// When it cannot, or speaks no TLS.
    pub async fn connect<S>(&self, host: &HostName, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.as_str().to_owned())
            .map_err(|error: InvalidDnsNameError| io::Error::other(error))?;
        self.0.connect(name, stream).await
    }
}
