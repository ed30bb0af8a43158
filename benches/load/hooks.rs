//! How many posts a second are stored. They are kept: the endpoint is not active, so nothing is delivered meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use snaphook::record::{
    EndpointRecord, Kind, Source, VERSION,
    endpoint::{
        Delivery, EndpointSecret, Handler, HandlerType, InactiveMode, Limits, Method, OnMissingCredential, Retry,
        Target, UrlVersion, Verification,
    },
    file_name, secret_name,
};

use crate::{
    client::{Requests, send_once},
    measure::{Measure, Program, Server},
};

const SECRET: &str = "a-secret-of-the-load-program-0123456789";
/// More than a round can take.
pub(crate) const PREPARED: u64 = 120_000;

pub(crate) fn measures(program: &Program) -> Vec<Measure> {
    let hooks = Hooks::start(program, "hooks");
    hooks.write(&endpoint("posts", "https://receiver.example.net/"));
    vec![Measure {
        name: "1 KiB posts, GitHub HMAC, on disk",
        bounds: Some((0.18, 0.25)),
        server: hooks.server,
        requests: Box::new(|| posts("posts", PREPARED)),
    }]
}

/// A server of hooks with a queue that is empty at first.
pub(crate) struct Hooks {
    pub(crate) server: Arc<Server>,
    records: PathBuf,
}

impl Hooks {
    pub(crate) fn start(program: &Program, name: &str) -> Self {
        Self::start_at(program, name, &program.scratch(name).join("queue"))
    }

    /// With its queue in this directory, which is emptied before.
    pub(crate) fn start_at(program: &Program, name: &str, queue: &Path) -> Self {
        let directory = program.scratch(name);
        let _ = fs::remove_dir_all(&directory);
        let _ = fs::remove_dir_all(queue);
        let records = directory.join("records");
        fs::create_dir_all(&records).unwrap();
        let (from, queue) = (format!("dir:{}", records.display()), queue.display().to_string());
        let socket = directory.join("admin.sock").display().to_string();
        let listen = ["--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0", "--shutdown-delay", "0s"];
        let serve = ["--serve", "hooks", "--queue", &queue, "--admin-socket", &socket, "--allow-egress", "127.0.0.0/8"];
        let arguments = [["server", "--records", &from].as_slice(), &listen, &serve].concat();
        Self { server: program.start(name, &arguments), records }
    }

    /// Writes a record, and waits until its endpoint is known.
    pub(crate) fn write(&self, record: &EndpointRecord) {
        let name = &record.source.name;
        let file = file_name(Kind::Endpoint, &secret_name("Webhook", "bench", name));
        let temporary = self.records.join("new");
        fs::write(&temporary, serde_json::to_vec(record).unwrap()).unwrap();
        fs::rename(temporary, self.records.join(file)).unwrap();
        let get = format!("GET /hooks/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let known = Requests { all: Arc::new(vec![get]), again: true, expect: " 405 " };
        while !send_once(self.server.address, &known) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Posts of 1 KiB, no two of them with one delivery id.
pub(crate) fn posts(name: &str, count: u64) -> Requests {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(1024 - 11));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
    let signature = signature.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let first = NEXT.fetch_add(count, Relaxed);
    let post = |delivery: u64| {
        format!(
            "POST /hooks/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-GitHub-Event: push\r\nX-GitHub-Delivery: {delivery}\r\nX-Hub-Signature-256: sha256={signature}\r\n\
             Content-Length: 1024\r\n\r\n{body}"
        )
        .into_bytes()
    };
    Requests { all: Arc::new((first..first + count).map(post).collect()), again: false, expect: r#"{"id":"msg_"# }
}

/// An endpoint that keeps what is posted.
pub(crate) fn endpoint(name: &str, url: &str) -> EndpointRecord {
    let created_at = Timestamp::now();
    EndpointRecord {
        version: VERSION,
        source: Source {
            kind: "Webhook".to_owned(),
            namespace: "bench".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
        },
        urls: vec![UrlVersion { id: name.to_owned().into(), created_at, not_after: None, nonce: None }],
        active: false,
        inactive_mode: InactiveMode::Hold,
        max_body_bytes: 1 << 20,
        verification: Verification::GitHub,
        secrets: vec![EndpointSecret {
            value: SECRET.to_owned().into(),
            generated: true,
            created_at,
            not_after: None,
            nonce: None,
        }],
        handler: Handler { type_: HandlerType::Raw, filter: None, transform: None, key: None },
        delivery: Delivery {
            target: Target::Url(url.to_owned()),
            method: Method::Post,
            headers: BTreeMap::new(),
            signing_secrets: vec![],
            credential: None,
            on_missing_credential: OnMissingCredential::SendUnauthenticated,
            timeout_seconds: 15,
            retry: Retry { attempts: 1_000, initial_delay_seconds: 1, max_delay_seconds: 1 },
            max_in_flight: 64,
            rate_limit: None,
            expire_after_seconds: 259_200,
        },
        limits: Limits::default(),
    }
}
