//! Flow 3: TLS to receivers, checked against the system's certificate authorities and those in a file, which is read again when it
//! changes.

use std::{
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
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

use crate::file_watch::FileWatch;

/// Some file systems report no change.
const FALLBACK: Duration = Duration::from_mins(1);

/// Checks receivers, and speaks TLS with them. Its copies are one.
#[derive(Clone)]
pub struct Tls {
    /// The file with further authorities.
    more: Option<Arc<Path>>,
    current: Arc<ArcSwap<Trust>>,
}

/// Who is trusted.
struct Trust {
    /// What is in the file.
    more: Vec<CertificateDer<'static>>,
    /// Absent: nobody, so no call over TLS can be made.
    config: Option<Arc<ClientConfig>>,
}

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
        let trust = Trust::of(more.map(read).transpose()?.unwrap_or_default())?;
        Ok(Self { more: more.map(Arc::from), current: Arc::new(ArcSwap::from_pointee(trust)) })
    }

    /// Reads the file again whenever it changes, for ever. One that cannot be used leaves what was trusted before.
    pub async fn follow(&self) {
        let Some(file) = &self.more else { return pending().await };
        let mut watch = FileWatch::files([file], FALLBACK);
        loop {
            self.reload(file);
            watch.changed().await;
        }
    }

    fn reload(&self, file: &Path) {
        let trust = match read(file) {
            Ok(more) if more == self.current.load().more => return,
            Ok(more) => Trust::of(more),
            Err(error) => Err(error),
        };
        match trust {
            Ok(trust) => {
                self.current.store(Arc::new(trust));
                tracing::info!(file = %file.display(), "receivers are checked by new certificate authorities");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(tracing::field::display);
                tracing::error!(%error, cause, "the new certificate authorities cannot be used, those before stay");
            }
        }
    }

    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.current.load().config.clone();
        let config = config.ok_or_else(|| io::Error::other("no certificate authorities are known"))?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

impl Trust {
    fn of(more: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match Verifier::new_with_extra_roots(more.clone(), provider.clone()) {
            Ok(verifier) => Arc::new(verifier),
            Err(error) if !more.is_empty() => return Err(TlsError::Unusable(error)),
            Err(error) => {
                tracing::warn!(%error, "no certificate authorities are known, so calls over TLS will fail");
                return Ok(Self { more, config: None });
            }
        };
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Unusable)?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { more, config: Some(Arc::new(config)) })
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Authorities { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(unreadable)?;
    if certificates.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
