//! A directory of records, and servers that read it.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use control_plane::Supervised;
use jiff::Timestamp;
use snaphook::{
    record::{
        AccessPolicy, Algorithm, ClientRecord, GenerationId, Kind, Origin, SIGNING_KEYS_SECRET, SecretHash,
        SecretVersion, SigningKeyEntry, SigningKeysRecord, Source, VERSION, file_name, secret_name,
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
        let record = SigningKeysRecord { version: VERSION, issuer: issuer.to_owned(), policies: policies(), keys };
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
        self.start_by(Command::new(env!("CARGO_BIN_EXE_snaphook")), arguments)
    }

    /// Starts the server by a command that may be another program, which runs it.
    pub(crate) fn start_by(&self, mut command: Command, arguments: &[&str]) -> Server {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        command
            .args(["server", "--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0"])
            .args(["--records", &format!("dir:{}", self.records().display())])
            .args(arguments)
            .env("RUST_LOG", "trace");
        if !arguments.contains(&"--shutdown-delay") {
            command.args(["--shutdown-delay", "0s"]);
        }
        let log = self.0.join(format!("server-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let process = Supervised::spawn(&command, log).unwrap();
        let listening = || process.log().lines().find(|line| line.starts_with("listening ")).map(str::to_owned);
        wait_until("listening", || process.log(), || listening().is_some() || process.try_wait().is_some());
        let line = listening().unwrap_or_else(|| panic!("no start: {}", process.log()));
        let address = |name: &str| -> SocketAddr {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("no {name} address in {line:?}")).parse().unwrap()
        };
        Server { public: address("public"), probes: address("probes"), process }
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
    pub(crate) process: Supervised,
}

impl Server {
    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.public)
    }

    pub(crate) fn probe(&self, path: &str) -> Response {
        Request::get(path).send(self.probes)
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
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

    pub(crate) fn wait_until(&self, what: &str, reached: impl FnMut() -> bool) {
        wait_until(what, || self.log(), reached);
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name).unwrap();
    }

    /// Waits for the end, which must be a good one.
    pub(crate) fn exits(&self) {
        self.wait_until("ended", || self.process.try_wait().is_some());
        assert!(self.process.try_wait().unwrap().success(), "{}", self.log());
    }
}

/// Asks again and again: there is nobody who would tell.
pub(crate) fn wait_until(what: &str, log: impl Fn() -> String, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < DEADLINE, "never {what}: {}", log());
        thread::sleep(Duration::from_millis(5));
    }
}

/// What proxies may ask for in every realm.
fn policies() -> BTreeMap<String, AccessPolicy> {
    let policy = |name: &str, audience: &str, scopes: &[&str]| {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        (name.to_owned(), AccessPolicy { audience: audience.to_owned(), scopes })
    };
    BTreeMap::from([
        policy("orders", ISSUER, &["orders:read"]),
        policy("anything", ISSUER, &[]),
        policy("admin", ISSUER, &["orders:read", "orders:admin"]),
        policy("elsewhere", "https://elsewhere.test", &[]),
    ])
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
