//! Flow 3: TLS to receivers, checked against the system's certificate authorities.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem, pem::PemObject as _},
    },
};

/// Checks receivers, and speaks TLS with them.
#[derive(Clone)]
pub struct Tls(Option<TlsConnector>);

/// Why receivers cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with further certificate authorities.
    #[error("{path} cannot be read, or has no certificate in PEM")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// One in that file cannot be used.
    #[error("a certificate authority cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl Tls {
    /// Trusts the authorities that the system trusts, and those in `more`, a file in PEM. On a system without any, calls over TLS
    /// fail, and others do not.
    ///
    /// # Errors
    /// What is wrong with `more`.
    pub fn new(more: Option<&Path>) -> Result<Self, TlsError> {
        let more = more.map(read).transpose()?.unwrap_or_default();
        let (provider, given) = (Arc::new(aws_lc_rs::default_provider()), !more.is_empty());
        let verifier = match Verifier::new_with_extra_roots(more, provider.clone()) {
            Ok(verifier) => Arc::new(verifier),
            Err(error) if given => return Err(TlsError::Unusable(error)),
            Err(error) => {
                tracing::warn!(%error, "no certificate authorities are known, so calls over TLS will fail");
                return Ok(Self(None));
            }
        };
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Unusable)?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Some(TlsConnector::from(Arc::new(config)))))
    }

    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = self.0.as_ref().ok_or_else(|| io::Error::other("no certificate authorities are known"))?;
        connector.connect(name, stream).await
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Authorities { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(unreadable)?;
    if certificates.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
