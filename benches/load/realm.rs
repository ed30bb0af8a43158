//! A directory of records with one key, one client and one caller of introspection, and tokens of that key.

use std::{collections::BTreeMap, fs, sync::Arc, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use snaphook::{
    record::{
        Algorithm, ClientRecord, GenerationId, Kind, Origin, SIGNING_KEYS_SECRET, SecretHash, SecretVersion,
        SigningKeyEntry, SigningKeysRecord, Source, VERSION, file_name, secret_name,
    },
    token::{Client, Form, GeneratedKey, KeySet, generate, issue},
};

use crate::{
    client::{Requests, send_once},
    measure::{Program, Server},
};

const SECRET: &str = "a-secret-of-the-load-program-0123456789";

pub(crate) struct Realm {
    keys: KeySet,
    client: Client,
    pub(crate) server: Arc<Server>,
}

impl Realm {
    /// Writes the records and starts a server that reads them.
    pub(crate) fn start(program: &Program, name: &str, algorithm: Algorithm) -> Self {
        let directory = program.scratch(name);
        fs::create_dir_all(&directory).unwrap();
        let keys = keys(algorithm);
        let write = |kind, name: &str, json: serde_json::Result<Vec<u8>>| {
            fs::write(directory.join(file_name(kind, name)), json.unwrap()).unwrap();
        };
        write(Kind::SigningKeys, SIGNING_KEYS_SECRET, serde_json::to_vec(&keys));
        let app = client("app", "orders:read");
        for record in [&app, &client("api", "snaphook:introspect")] {
            let name = secret_name("AppCredential", "bench", &record.source.name);
            write(Kind::Client, &name, serde_json::to_vec(record));
        }
        let records = format!("dir:{}", directory.display());
        let listen = ["--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0", "--shutdown-delay", "0s"];
        let arguments = [["server", "--records", &records].as_slice(), &listen].concat();
        let server = program.start(name, &arguments);
        let realm = Self { keys: KeySet::new(&keys).unwrap(), client: Client::new(app), server };
        realm.wait_until_served();
        realm
    }

    pub(crate) fn token_request() -> Requests {
        let body = "grant_type=client_credentials&scope=orders%3Aread";
        Requests { all: Arc::new(vec![post("/oauth/token", "app", body)]), again: true, expect: "access_token" }
    }

    /// One request for each of so many new tokens.
    pub(crate) fn introspections(&self, count: u32, again: bool) -> Requests {
        let form = Form::parse(b"grant_type=client_credentials").ok().unwrap();
        let request = |_| {
            let mut body = String::from("token=");
            issue(&self.client, &self.keys, &form, Timestamp::now(), rand::random(), &mut body).unwrap();
            post("/oauth/introspect", "api", &body)
        };
        Requests { all: Arc::new((0..count).map(request).collect()), again, expect: r#""active":true"# }
    }

    fn wait_until_served(&self) {
        while !send_once(self.server.address, &Self::token_request()) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn post(path: &str, client: &str, body: &str) -> Vec<u8> {
    let credentials = STANDARD.encode(format!("bench.{client}:{SECRET}"));
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn keys(algorithm: Algorithm) -> SigningKeysRecord {
    let GeneratedKey { kid, pkcs8 } = generate(algorithm).unwrap();
    let now = Timestamp::now();
    let key = SigningKeyEntry { kid, algorithm, created_at: now, sign_from: now, verify_until: None, pkcs8 };
    let issuer = "https://issuer.example.com".to_owned();
    SigningKeysRecord { version: VERSION, issuer, policies: BTreeMap::new(), keys: vec![key] }
}

fn client(name: &str, scope: &str) -> ClientRecord {
    let secret = SecretVersion {
        id: 1,
        hash: SecretHash::of(SECRET.as_bytes()),
        created_at: Timestamp::now(),
        not_after: None,
        origin: Origin::Generated,
        nonce: None,
        confirmed: true,
    };
    ClientRecord {
        version: VERSION,
        source: Source {
            kind: "AppCredential".to_owned(),
            namespace: "bench".to_owned(),
            name: name.to_owned(),
            uid: "2b0e5e5c-6d0f-4a57-9d1a-0c5b1c6d7e8f".to_owned(),
        },
        client_id: format!("bench.{name}"),
        generation: GenerationId::from_random([7; 16]),
        secrets: vec![secret],
        scopes: vec![scope.to_owned()],
        audiences: vec!["https://api.example.com".to_owned()],
        token_lifetime_seconds: 3_600,
        expires_at: None,
        tokens_not_before: None,
        revoked: false,
        suspended: false,
        introspect_audiences: None,
    }
}
