//! A directory of records, and servers that read it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use snaphook::{
    record::{
        Algorithm, ClientRecord, GenerationId, Kind, Origin, SIGNING_KEYS_SECRET, SecretHash, SecretVersion,
        SigningKeyEntry, SigningKeysRecord, Source, VERSION, file_name, secret_name,
    },
    token::{GeneratedKey, generate},
};

use crate::request::{DEADLINE, Request, Response};

pub(crate) const ISSUER: &str = "https://issuer.test";
/// The secret of every client, unless a test says otherwise. It must be found nowhere.
pub(crate) const SECRET: &str = "canary-secret-0123456789-abcdefghijkl";

pub(crate) struct Realm(PathBuf);

impl Realm {
    /// A realm with one `EdDSA` key and no client.
    pub(crate) fn new() -> Self {
        Self::with(ISSUER, vec![key(Algorithm::EdDSA, -60)])
    }

    pub(crate) fn with(issuer: &str, keys: Vec<SigningKeyEntry>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("snaphook-server-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let realm = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(realm.records()).unwrap();
        realm.keys(issuer, keys);
        realm
    }

    pub(crate) fn keys(&self, issuer: &str, keys: Vec<SigningKeyEntry>) {
        let record = SigningKeysRecord { version: VERSION, issuer: issuer.to_owned(), keys };
        let name = file_name(Kind::SigningKeys, SIGNING_KEYS_SECRET);
        self.write(&name, &serde_json::to_vec(&record).unwrap());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.0.join("records")
    }

    /// Writes the record of a client of namespace `ns`.
    pub(crate) fn client(&self, name: &str, change: impl FnOnce(&mut ClientRecord)) {
        self.write(&client_file(name), &serde_json::to_vec(&client(name, change)).unwrap());
    }

    /// Replaces a record's file as a whole.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let temporary = self.0.join(name);
        fs::write(&temporary, content).unwrap();
        fs::rename(temporary, self.records().join(name)).unwrap();
    }

    pub(crate) fn remove_client(&self, name: &str) {
        fs::remove_file(self.records().join(client_file(name))).unwrap();
    }

    /// A server that is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        let server = self.start_unready(arguments);
        server.wait_ready();
        server
    }

    pub(crate) fn start_unready(&self, arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_snaphook"))
            .args(["server", "--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0", "--shutdown-delay", "0s"])
            .arg("--records")
            .arg(format!("dir:{}", self.records().display()))
            .args(arguments)
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        log.collect(child.stderr.take().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        log.collect(stdout);
        let address = |name: &str| -> SocketAddr {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("no {name} address in {line:?}: {}", log.text())).parse().unwrap()
        };
        Server { public: address("public"), probes: address("probes"), child, log }
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Server {
    pub(crate) public: SocketAddr,
    pub(crate) probes: SocketAddr,
    child: Child,
    log: Log,
}

impl Server {
    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.public)
    }

    pub(crate) fn probe(&self, path: &str) -> Response {
        Request::get(path).send(self.probes)
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// A token for the client `ns.<name>`.
    pub(crate) fn token(&self, name: &str) -> String {
        self.send(&Request::token(&[]).basic(&format!("ns.{name}"), SECRET)).access_token()
    }

    /// What the client `ns.api` learns about a token.
    pub(crate) fn introspect(&self, token: &str) -> serde_json::Value {
        let response = self.send(&Request::introspect(token).basic("ns.api", SECRET));
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    pub(crate) fn wait_ready(&self) {
        self.wait_until("ready", || self.probe("/readyz").status == 200);
    }

    /// Asks again and again: the server has nobody to tell that it has read something.
    pub(crate) fn wait_until(&self, what: &str, mut reached: impl FnMut() -> bool) {
        let started = Instant::now();
        while !reached() {
            assert!(started.elapsed() < DEADLINE, "never {what}: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < DEADLINE, "the server does not end: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn collect(&self, mut from: impl std::io::Read + Send + 'static) {
        let log = self.0.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.by_ref().read(&mut buffer) {
                log.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// A key that signs from so many seconds after now.
pub(crate) fn key(algorithm: Algorithm, sign_from: i64) -> SigningKeyEntry {
    let GeneratedKey { kid, pkcs8 } = generate(algorithm).unwrap();
    let sign_from = in_seconds(sign_from);
    SigningKeyEntry { kid, algorithm, created_at: sign_from, sign_from, verify_until: None, pkcs8 }
}

pub(crate) fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap()
}

pub(crate) fn secret(value: &str) -> SecretVersion {
    SecretVersion {
        id: 1,
        hash: SecretHash::of(value.as_bytes()),
        created_at: in_seconds(-60),
        not_after: None,
        origin: Origin::Generated,
        nonce: None,
        confirmed: true,
    }
}

pub(crate) fn client_file(name: &str) -> String {
    file_name(Kind::Client, &secret_name("AppCredential", "ns", name))
}

fn client(name: &str, change: impl FnOnce(&mut ClientRecord)) -> ClientRecord {
    let mut record = ClientRecord {
        version: VERSION,
        source: Source {
            kind: "AppCredential".to_owned(),
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
        },
        client_id: format!("ns.{name}"),
        generation: GenerationId::from_random([1; 16]),
        secrets: vec![secret(SECRET)],
        scopes: vec!["orders:read".to_owned(), "invoices:write".to_owned()],
        audiences: vec![],
        token_lifetime_seconds: 300,
        expires_at: None,
        tokens_not_before: None,
        revoked: false,
        suspended: false,
        introspect_audiences: None,
    };
    change(&mut record);
    record
}

/// Makes `ns.api` a caller of introspection.
pub(crate) fn may_introspect(record: &mut ClientRecord) {
    record.scopes = vec!["snaphook:introspect".to_owned()];
}
