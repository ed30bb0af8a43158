//! Start, change and end: readiness, records that come and go, certificates, SIGTERM.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::{
    realm::{ISSUER, Realm, SECRET, Server, client_file, key, may_introspect},
    request::{Connection, Request, Response},
};
use snaphook::record::Algorithm;

fn status(server: &Server, name: &str) -> u16 {
    server.send(&Request::token(&[]).basic(&format!("ns.{name}"), SECRET)).status
}

#[test]
fn a_server_is_ready_once_it_has_records_and_keys() {
    let realm = Realm::new();
    let away = realm.path().join("away");
    fs::rename(realm.records(), &away).unwrap();
    let server = realm.start_unready(&[]);
    assert_eq!(server.probe("/livez").status, 200);
    let not_ready = server.probe("/readyz");
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.body.contains("not read"), "{}", not_ready.body);
    assert_eq!(status(&server, "app"), 503);
    assert_eq!(server.send(&Request::get("/oauth/jwks")).status, 503);

    fs::create_dir(realm.records()).unwrap();
    server.wait_until("read", || server.probe("/readyz").body.contains("signing keys"));
    realm.client("app", |_| {});
    realm.keys(ISSUER, vec![key(Algorithm::ES256, -1)]);
    server.wait_ready();
    server.wait_until("served", || status(&server, "app") == 200);
}

#[test]
fn a_revoked_credential_is_revoked_everywhere_by_its_record() {
    let realm = Realm::new();
    realm.client("app", |_| {});
    realm.client("api", may_introspect);
    let servers = [realm.start(&[]), realm.start(&[])];
    let token = servers[0].token("app");
    assert_eq!(servers[1].introspect(&token)["active"], true, "any replica knows the tokens of every other");
    realm.client("app", |record| record.revoked = true);
    for server in &servers {
        server.wait_until("revoked", || server.introspect(&token)["active"] == false);
        assert_eq!(status(server, "app"), 401);
    }
}

#[test]
fn a_record_that_does_not_parse_refuses_its_client_and_no_other() {
    let realm = Realm::new();
    realm.client("app", |_| {});
    realm.client("other", |_| {});
    realm.client("api", may_introspect);
    let server = realm.start(&[]);
    let token = server.token("app");
    realm.write(&client_file("app"), format!("{{\"clientId\": \"ns.app\", \"oops\": \"{SECRET}\"").as_bytes());
    server.wait_until("refused", || status(&server, "app") == 401);
    assert_eq!(server.introspect(&token)["active"], false);
    assert_eq!(status(&server, "other"), 200);
    assert!(server.probe("/metrics").body.contains("snaphook_records_invalid 1\n"));
    realm.client("app", |_| {});
    server.wait_until("served again", || status(&server, "app") == 200);
    assert_eq!(server.introspect(&token)["active"], true);
}

#[test]
fn requests_under_way_at_sigterm_are_finished() {
    let realm = Realm::new();
    realm.client("app", |_| {});
    let server = realm.start(&[]);
    let request = Request::token(&[]).basic("ns.app", SECRET).header("Expect", "100-continue").bytes();
    let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = request.split_at(end);
    let (mut busy, mut idle) = (Connection::open(server.public), Connection::open(server.public));
    idle.write(&Request::get("/oauth/jwks").bytes());
    assert_eq!(idle.response("GET").status, 200);
    busy.write(head);
    assert_eq!(busy.response("POST").status, 100, "the request is with the server before the signal is");

    server.signal("TERM");
    idle.closed();
    server.wait_until("unready", || server.probe("/readyz").body.contains("shutting down"));
    busy.write(body);
    assert_eq!(busy.response("POST").status, 200);
    busy.closed();
    server.exits();
}

#[test]
fn connections_are_accepted_until_the_delay_has_passed() {
    let realm = Realm::new();
    realm.client("app", |_| {});
    let server = realm.start(&["--shutdown-delay", "2s"]);
    let mut kept = Connection::open(server.public);
    let get = Request::get("/oauth/jwks").bytes();
    kept.write(&get);
    assert_eq!(kept.response("GET").header("connection"), None);
    server.signal("TERM");
    server.wait_until("unready", || server.probe("/readyz").status == 503);
    assert_eq!(status(&server, "app"), 200);
    // A connection in use ends with an answer that says so, and never with a request that gets none.
    kept.write(&get);
    let last = kept.response("GET");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    kept.closed();
    server.exits();

    let server = realm.start(&["--shutdown-delay", "10m"]);
    server.signal("INT");
    // Nobody waits for a person's Ctrl-C to be announced.
    server.exits();
}

#[test]
fn certificates_are_read_again_when_they_change_and_bad_ones_are_not_taken() {
    let realm = Realm::new();
    realm.client("app", |_| {});
    // As the kubelet mounts a Secret: links into a directory that is replaced as a whole.
    let mount = realm.path().join("tls");
    fs::create_dir(&mount).unwrap();
    let swap = |generation: &str, certificate: &str, key: &str| {
        let directory = mount.join(generation);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("tls.crt"), certificate).unwrap();
        fs::write(directory.join("tls.key"), key).unwrap();
        symlink(generation, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    let pair = || {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    };
    let [first, second, third] = [pair(), pair(), pair()];
    swap("..1", &first.0, &first.1);
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    }
    let (certificate, key) = (mount.join("tls.crt"), mount.join("tls.key"));
    let arguments = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = realm.start(&arguments);
    assert_eq!(https(server.public, &first.0).unwrap().status, 200);

    swap("..2", &second.0, &second.1);
    server.wait_until("the new certificate", || https(server.public, &second.0).is_ok());
    assert!(https(server.public, &first.0).is_err());

    swap("..3", &third.0, &first.1);
    server.wait_until("said", || server.log().contains("the new certificate cannot be used"));
    assert_eq!(https(server.public, &second.0).unwrap().status, 200, "the one before stays");
}

/// Asks for a token over TLS, trusting one certificate.
fn https(to: SocketAddr, trusted: &str) -> std::io::Result<Response> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, std::net::TcpStream::connect(to)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    std::io::Write::write_all(&mut stream, &Request::token(&[]).basic("ns.app", SECRET).bytes())?;
    Ok(Response::read(&mut std::io::BufReader::new(stream), "POST"))
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let refused = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_snaphook"))
            .args(["server", "--records", "dir:/nowhere", "--probes-listen", "127.0.0.1:0"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert!(refused(&["--listen", &taken]).contains(&taken));
    assert!(refused(&["--tls-cert", "/x"]).contains("--tls-key"));
    let missing = refused(&["--listen", "127.0.0.1:0", "--tls-cert", "/no.crt", "--tls-key", "/no.key"]);
    assert!(missing.contains("/no.crt"), "{missing}");
    assert!(refused(&["--max-staleness", "1s"]).contains("at least 3s"));
}
