//! TLS to receivers: whom they are trusted to be.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use snaphook::delivery::{
    egress::{Egress, Exception, Guard, Resolver, Tls, TlsError},
    verdict::FailureKind,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{
    call::{answer, endpoint, failure, prepared, send},
    name_server::NameServer,
    receiver::{OK, Receiver},
};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// Its certificate lies in a file of `name`.
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = env::temp_dir().join(format!("snaphook-test-{}-{name}.pem", std::process::id()));
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A receiver with a certificate for `host`.
    fn receiver(&self, host: &str) -> Receiver {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![certificate.into()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Receiver::with_tls(Arc::new(config))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// Calls to a receiver that every name leads to.
fn egress(receiver: &Receiver, tls: Tls) -> Egress {
    let server = NameServer::start(|_, _| vec!["127.0.0.1".parse().unwrap()]);
    let guard = Guard { exceptions: vec![Exception::Exact(receiver.address)], ..Guard::default() };
    Egress::new(guard, Resolver::with_name_server(server.address, &[]).unwrap(), tls)
}

fn url(host: &str, receiver: &Receiver) -> String {
    format!("https://{host}:{}/in?a=1", receiver.address.port())
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_its_file_is_given() {
    let authority = Authority::new("trusted");
    let receiver = authority.receiver("hooks.example.net");
    let egress = egress(&receiver, Tls::new(Some(&authority.file)).unwrap());
    for _ in 0..2 {
        let answer = answer(&egress, &endpoint(url("hooks.example.net", &receiver), |_| {})).await;
        assert_eq!((answer.status, answer.snippet.as_str()), (200, "ok"));
    }
    assert_eq!(receiver.received()[0].request_line, "POST /in?a=1 HTTP/1.1");
    assert_eq!(receiver.connections(), 1, "kept for the second call");
}

#[tokio::test]
async fn an_address_can_have_a_certificate() {
    let authority = Authority::new("address");
    let receiver = authority.receiver("127.0.0.1");
    let egress = egress(&receiver, Tls::new(Some(&authority.file)).unwrap());
    assert_eq!(answer(&egress, &endpoint(url("127.0.0.1", &receiver), |_| {})).await.status, 200);
}

#[tokio::test]
async fn a_receiver_of_another_name_gets_nothing() {
    let authority = Authority::new("name");
    let receiver = authority.receiver("other.example.net");
    let egress = egress(&receiver, Tls::new(Some(&authority.file)).unwrap());
    let failure = failure(&egress, &endpoint(url("hooks.example.net", &receiver), |_| {})).await;
    assert_eq!(failure.kind, FailureKind::TlsFailed);
    assert!(failure.detail.starts_with("no TLS with hooks.example.net: "), "{}", failure.detail);
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn a_receiver_of_an_unknown_authority_gets_nothing() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let receiver = unknown.receiver("hooks.example.net");
    for tls in [Tls::new(Some(&known.file)).unwrap(), Tls::new(None).unwrap()] {
        let failure = failure(&egress(&receiver, tls), &endpoint(url("hooks.example.net", &receiver), |_| {})).await;
        assert_eq!(failure.kind, FailureKind::TlsFailed, "{}", failure.detail);
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn an_authority_that_is_replaced_counts_from_then_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let receivers = [&old, &new].map(|authority| authority.receiver("hooks.example.net"));
    let tls = Tls::new(Some(&old.file)).unwrap();
    let following = tokio::spawn({
        let tls = tls.clone();
        async move { tls.follow().await }
    });
    // Each call on a connection of its own, as each has an egress of its own.
    let trusts = async |receiver: &Receiver| {
        let endpoint = endpoint(url("hooks.example.net", receiver), |_| {});
        send(&egress(receiver, tls.clone()), prepared(&endpoint, None)).await.answer.is_ok()
    };
    assert!(trusts(&receivers[0]).await && !trusts(&receivers[1]).await);
    replace(&old.file, "no certificate");
    replace(&old.file, &new.issuer.pem());
    let started = Instant::now();
    while !trusts(&receivers[1]).await {
        assert!(started.elapsed() < Duration::from_mins(1), "the new one never counts");
    }
    assert!(!trusts(&receivers[0]).await, "the old one still counts");
    replace(&old.file, "no certificate");
    assert!(trusts(&receivers[1]).await, "a mistake changes nothing");
    following.abort();
}

/// At once, as the kubelet does it.
fn replace(file: &Path, content: &str) {
    let new = file.with_extension("next");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn a_receiver_without_tls_gets_nothing() {
    let authority = Authority::new("plain");
    let receiver = Receiver::answering(OK);
    let egress = egress(&receiver, Tls::new(Some(&authority.file)).unwrap());
    let failure = failure(&egress, &endpoint(url("hooks.example.net", &receiver), |_| {})).await;
    assert!(matches!(failure.kind, FailureKind::TlsFailed | FailureKind::TimedOut), "{failure:?}");
    assert!(receiver.received().iter().all(|request| !format!("{request:?}").contains("webhook-id")));
}

#[test]
fn a_file_without_authorities_is_told_at_start() {
    let file = env::temp_dir().join(format!("snaphook-test-{}-empty.pem", std::process::id()));
    fs::write(&file, "no certificate").unwrap();
    for path in [&file, &file.with_extension("missing")] {
        let Err(error) = Tls::new(Some(path)) else { panic!("{}", path.display()) };
        assert!(matches!(error, TlsError::Authorities { .. }), "{error:?}");
    }
    fs::remove_file(&file).unwrap();
}
