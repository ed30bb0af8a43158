//! Flow 2: TLS from two files, which are read again when they change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

use crate::file_watch::FileWatch;

/// Some file systems report no change.
const FALLBACK: Duration = Duration::from_mins(1);

/// Where the certificate chain and its private key lie, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
}

/// Why a pair of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has not what it must have.
    #[error("{path} has no {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it must have.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// The two do not belong together, or are of a kind that is not served.
    #[error("certificate and key do not belong together, or cannot be used")]
    Pair(#[source] rustls::Error),
}

/// The pair as it is now.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads the files for the first time.
    pub(super) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = read(&files, &provider)?;
        Ok(Self { files, provider, current: Arc::new(Current(ArcSwap::from_pointee(pair))) })
    }

    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Pair)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again whenever they change, for ever. A pair that cannot be used leaves the one before.
    pub(super) async fn follow(self) {
        let mut watch = FileWatch::files([&self.files.certificate, &self.files.key], FALLBACK);
        loop {
            self.reload();
            watch.changed().await;
        }
    }

    fn reload(&self) {
        match read(&self.files, &self.provider) {
            Ok(pair) if pair.cert == self.current.0.load().cert => {}
            Ok(pair) => {
                self.current.0.store(Arc::new(pair));
                tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is served");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(tracing::field::display);
                tracing::error!(%error, cause, "the new certificate cannot be used, the one before stays");
            }
        }
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let TlsFiles { certificate, key } = files;
    let chain = CertificateDer::pem_slice_iter(&read_file(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|source| TlsError::Pem { path: certificate.clone(), what: "certificate", source })?;
    let private = PrivateKeyDer::from_pem_slice(&zeroize::Zeroizing::new(read_file(key)?))
        .map_err(|source| TlsError::Pem { path: key.clone(), what: "private key", source })?;
    CertifiedKey::from_der(chain, private, provider).map_err(TlsError::Pair)
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
