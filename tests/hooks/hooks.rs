//! A server of hooks, the records that it reads, and what is left in its queue.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_lc_rs::hmac;
use snaphook::{
    delivery::{
        message::Message,
        queue::{Archive as _, Embedded, Query, Retention},
    },
    record::{
        EndpointRecord, InjectionRecord, Kind, Location, Source, VERSION,
        endpoint::{
            Delivery, EndpointSecret, Handler, HandlerType, InactiveMode, Limits, Method, OnMissingCredential, Retry,
            Target, UrlVersion, Verification,
        },
        file_name, secret_name,
    },
};

use crate::{
    realm::{Realm, Server, in_seconds},
    receiver::{Received, Receiver},
    request::{Request, Response},
};

/// The secret of every endpoint that verifies, unless a test says otherwise.
pub(crate) const SIGNING_SECRET: &str = "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0LTAxMjM0NTY3ODk=";

/// A realm with a server of tokens and hooks, which may call loopback.
pub(crate) struct Hooks {
    pub(crate) realm: Realm,
    server: Option<Server>,
}

impl Hooks {
    pub(crate) fn start() -> Self {
        let mut hooks = Self { realm: Realm::new(), server: None };
        hooks.start_again(&[]);
        hooks
    }

    /// By a shell, after what the script says.
    pub(crate) fn start_after(script: &str) -> Self {
        let realm = Realm::new();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_snaphook")]);
        let arguments = arguments(&realm);
        let server = realm.start_by(command, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        server.wait_ready();
        Self { realm, server: Some(server) }
    }

    /// On the same queue and records.
    pub(crate) fn start_again(&mut self, more: &[&str]) {
        let arguments = arguments(&self.realm);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.server = Some(self.realm.start(&arguments));
    }

    /// On the same queue, without waiting for records.
    pub(crate) fn start_without_records(&mut self) {
        let arguments = arguments(&self.realm);
        self.server = Some(self.realm.start_unready(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Ends the server as a rollout does.
    pub(crate) fn stop(&mut self) {
        let server = self.server.take().unwrap();
        server.signal("TERM");
        server.exits();
    }

    /// Ends it as the kernel does.
    pub(crate) fn kill(&mut self) {
        let server = self.server.take().unwrap();
        server.signal("KILL");
        server.wait_until("killed", || server.process.try_wait().is_some());
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.realm.path().join("queue")
    }

    /// Writes the record of `ns/<name>`; it counts when this returns.
    pub(crate) fn endpoint(&self, record: &EndpointRecord) {
        let name = secret_name("Webhook", "ns", &record.source.name);
        self.realm.write(&file_name(Kind::Endpoint, &name), &serde_json::to_vec(record).unwrap());
        self.settled();
    }

    pub(crate) fn remove_endpoint(&self, name: &str) {
        let file = file_name(Kind::Endpoint, &secret_name("Webhook", "ns", name));
        fs::remove_file(self.realm.records().join(file)).unwrap();
        self.settled();
    }

    pub(crate) fn credential(&self, record: &InjectionRecord) {
        self.realm.write(&credential_file(&record.source.name), &serde_json::to_vec(record).unwrap());
        self.settled();
    }

    pub(crate) fn remove_credential(&self, name: &str) {
        fs::remove_file(self.realm.records().join(credential_file(name))).unwrap();
        self.settled();
    }

    /// Waits until the records count as they are: a new one in a file of its own is known when all before it are.
    pub(crate) fn settled(&self) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mark-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mark = endpoint(&name, "https://mark.example.net/");
        let file = file_name(Kind::Endpoint, &secret_name("Webhook", "ns", &name));
        self.realm.write(&file, &serde_json::to_vec(&mark).unwrap());
        let known = || Request::get(&path(&name)).send(self.server().public).status == 405;
        self.server().wait_until("knows the records", known);
    }

    /// An answer, which is never a redirect.
    pub(crate) fn send(&self, request: &Request) -> Response {
        let response = self.server().send(request);
        assert!(!(300..400).contains(&response.status), "{response:?}");
        response
    }

    pub(crate) fn post(&self, name: &str, body: &str) -> Response {
        self.send(&post(name).body(body))
    }

    /// Posts what must be stored, and tells its id.
    pub(crate) fn stored(&self, request: &Request) -> String {
        let response = self.send(request);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["id"].as_str().expect("an id").to_owned()
    }

    /// A metric's value; 0 where it was never counted.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.server().probe("/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits for a metric to say so.
    pub(crate) fn counts(&self, name: &str, value: u64) {
        self.server().wait_until(&format!("{name} {value}"), || self.metric(name) == value);
    }

    /// Waits until a receiver has had so many requests.
    pub(crate) fn received(&self, receiver: &Receiver, count: usize) -> Vec<Received> {
        self.server().wait_until("received", || receiver.received().len() >= count);
        receiver.received()
    }

    /// Ends the server, and tells what is in its queue.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        self.stop();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let queue = Embedded::open(&self.queue(), Retention::default()).await.unwrap();
            let (mut messages, mut after) = (vec![], None);
            loop {
                let page = queue.list(Query { after, limit: 1000, ..Query::default() }).await.unwrap();
                messages.extend(page.messages);
                after = page.next;
                if after.is_none() {
                    queue.close().await;
                    return messages;
                }
            }
        })
    }
}

fn arguments(realm: &Realm) -> Vec<String> {
    let [queue, socket] = ["queue", "admin.sock"].map(|name| realm.path().join(name).display().to_string());
    let serve = ["--serve", "tokens,hooks", "--allow-egress", "127.0.0.0/8"];
    serve.into_iter().chain(["--queue", &queue, "--admin-socket", &socket]).map(str::to_owned).collect()
}

fn credential_file(name: &str) -> String {
    file_name(Kind::Injection, &secret_name("WebhookCredential", "ns", name))
}

/// The id in the URL of an endpoint.
pub(crate) fn url_id(name: &str) -> String {
    format!("canary-url-of-{name}-0123456789abcdefghijklmnopq")
}

pub(crate) fn path(name: &str) -> String {
    format!("/hooks/{}", url_id(name))
}

pub(crate) fn post(name: &str) -> Request {
    Request::new("POST", &path(name))
}

/// Signed as GitHub does.
pub(crate) fn github(name: &str, delivery: &str, body: &str) -> Request {
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SIGNING_SECRET.as_bytes()), body.as_bytes());
    post(name)
        .header("X-Hub-Signature-256", &format!("sha256={}", hex(signature.as_ref())))
        .header("X-GitHub-Delivery", delivery)
        .header("Content-Type", "application/json")
        .body(body)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// An endpoint that takes everything from everybody and delivers it to `url`.
pub(crate) fn endpoint(name: &str, url: &str) -> EndpointRecord {
    EndpointRecord {
        version: VERSION,
        source: source("Webhook", name),
        urls: vec![UrlVersion { id: url_id(name).into(), created_at: in_seconds(-60), not_after: None, nonce: None }],
        active: true,
        inactive_mode: InactiveMode::Reject,
        max_body_bytes: 1 << 20,
        verification: Verification::None,
        secrets: vec![],
        handler: Handler { type_: HandlerType::Raw, filter: None, transform: None, key: None },
        delivery: Delivery {
            target: Target::Url(url.to_owned()),
            method: Method::Post,
            headers: BTreeMap::new(),
            signing_secrets: vec![],
            credential: None,
            on_missing_credential: OnMissingCredential::SendUnauthenticated,
            timeout_seconds: 15,
            retry: Retry { attempts: 10, initial_delay_seconds: 1, max_delay_seconds: 1 },
            max_in_flight: 8,
            rate_limit: None,
            expire_after_seconds: 259_200,
        },
        limits: Limits::default(),
    }
}

/// As [`endpoint`], for who signs.
pub(crate) fn verified(name: &str, url: &str, verification: Verification) -> EndpointRecord {
    EndpointRecord { verification, secrets: vec![secret(SIGNING_SECRET)], ..endpoint(name, url) }
}

pub(crate) fn secret(value: &str) -> EndpointSecret {
    EndpointSecret {
        value: value.to_owned().into(),
        generated: true,
        created_at: in_seconds(-60),
        not_after: None,
        nonce: None,
    }
}

/// The credential `ns/<name>` in the field `clientid`.
pub(crate) fn credential(name: &str, location: Location, value: &str) -> InjectionRecord {
    InjectionRecord {
        version: VERSION,
        source: source("WebhookCredential", name),
        location,
        field_name: "clientid".to_owned(),
        value: value.to_owned().into(),
    }
}

fn source(kind: &str, name: &str) -> Source {
    Source { kind: kind.to_owned(), namespace: "ns".to_owned(), name: name.to_owned(), uid: format!("uid-of-{name}") }
}

/// An answer, if there is one: nobody may listen, or may end before it is whole.
pub(crate) fn attempt(address: SocketAddr, request: &Request) -> Option<Response> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&request.clone().header("Connection", "close").bytes()).ok()?;
    let mut answer = Vec::new();
    // An error cuts the answer off as an end does.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.to_lowercase().split("content-length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
    (body.len() == length).then(|| Response::read(&mut text.as_bytes(), "POST"))
}
