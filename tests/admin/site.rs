//! A server with one Webhook, `demo/alerts`, its receiver, and the commands that a person types.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use control_plane::Supervised;
use serde_json::{Value, json};
use snaphook::record::{Kind, file_name, secret_name};

use crate::receiver::Receiver;

/// Generous: a test that needs it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const URL_ID: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
pub(crate) const SECRET: &str = "It's a Secret to Everybody";
/// With [`SECRET`], from GitHub's documentation.
pub(crate) const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
pub(crate) const SIGNED: &str = "Hello, World!";

pub(crate) struct Site {
    directory: PathBuf,
    pub(crate) receiver: Receiver,
    process: Option<Supervised>,
}

/// What a command has done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}

impl Site {
    /// A server that serves the Webhook.
    pub(crate) fn start() -> Self {
        Self::start_with(json!({"type": "Raw"}))
    }

    pub(crate) fn start_with(handler: Value) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("snaphook-admin-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(directory.join("records")).unwrap();
        let mut site = Self { directory, receiver: Receiver::start(), process: None };
        site.apply_with("u1", handler);
        site.run_server();
        site
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("run/admin.sock")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// Starts the server and waits until it has read the records.
    pub(crate) fn run_server(&mut self) {
        let log = self.directory.join("server.log");
        let _ = fs::remove_file(&log);
        self.process = Some(Supervised::spawn(&self.server("queue"), log).unwrap());
        self.wait_until("listening", || self.log().contains("listening public=") || self.has_ended());
        self.wait_until("ready", || !self.run(&["send", "demo/nobody"]).err.contains("not read yet"));
    }

    pub(crate) fn server(&self, queue: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command
            .args(["server", "--serve", "hooks", "--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0"])
            .args(["--shutdown-delay", "0s", "--allow-egress", "127.0.0.0/8"])
            .args(["--records", &format!("dir:{}", self.directory.join("records").display())])
            .arg("--queue")
            .arg(self.directory.join(queue))
            .arg("--admin-socket")
            .arg(self.socket());
        command
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name).unwrap();
        self.wait_until("ended", || self.has_ended());
    }

    fn has_ended(&self) -> bool {
        self.process.as_ref().unwrap().try_wait().is_some()
    }

    fn log(&self) -> String {
        self.process.as_ref().unwrap().log()
    }

    /// Types a command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        let output = command.args(arguments).env("SNAPHOOK_ADMIN_SOCKET", self.socket()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Sends a message and tells its id.
    pub(crate) fn send(&self, data: &str) -> String {
        let out = self.run(&["send", "demo/alerts", "--data", data]).ok();
        out.strip_suffix(" stored\n").unwrap_or_else(|| panic!("{out}")).to_owned()
    }

    /// Sends a message and waits until it stands where the receiver's answer brings it.
    pub(crate) fn send_until(&self, data: &str, state: &str) -> String {
        let id = self.send(data);
        self.wait_state(&id, state);
        id
    }

    pub(crate) fn wait_state(&self, id: &str, state: &str) {
        self.wait_until(state, || self.show(id, &[])["state"] == state);
    }

    pub(crate) fn show(&self, id: &str, more: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[&["deliveries", id, "-o", "json"], more].concat()).ok()).unwrap()
    }

    pub(crate) fn list(&self, filter: &[&str]) -> Vec<String> {
        let list: Value =
            serde_json::from_str(&self.run(&[&["deliveries", "-o", "json"], filter].concat()).ok()).unwrap();
        list["messages"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Posts as GitHub does, with more than it should.
    pub(crate) fn post(&self, headers: &[(&str, &str)]) -> String {
        let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let head = format!("POST /hooks/{URL_ID} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}");
        let length = SIGNED.len();
        let signature = format!("X-Hub-Signature-256: sha256={SIGNATURE}\r\nContent-Length: {length}");
        let body: Value =
            serde_json::from_str(&self.ask("public", &format!("{head}{signature}\r\n\r\n{SIGNED}"))).unwrap();
        body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn probe(&self, path: &str) -> String {
        self.ask("probes", &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// The body of the answer of one of the server's listeners.
    fn ask(&self, listener: &str, request: &str) -> String {
        let log = self.log();
        let address = log.split_whitespace().find_map(|word| word.strip_prefix(listener)?.strip_prefix('=')).unwrap();
        let mut stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn wait_until(&self, what: &str, mut reached: impl FnMut() -> bool) {
        let started = Instant::now();
        while !reached() {
            assert!(started.elapsed() < DEADLINE, "never {what}: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The Webhook is applied, as a resource of that uid.
    pub(crate) fn apply(&self, uid: &str) {
        self.apply_with(uid, json!({"type": "Raw"}));
    }

    fn apply_with(&self, uid: &str, handler: Value) {
        let mut record = record(uid, self.receiver.address);
        record["handler"] = handler;
        let temporary = self.directory.join("new");
        fs::write(&temporary, record.to_string()).unwrap();
        fs::rename(temporary, self.record_file()).unwrap();
    }

    pub(crate) fn delete(&self) {
        fs::remove_file(self.record_file()).unwrap();
    }

    fn record_file(&self) -> PathBuf {
        let name = file_name(Kind::Endpoint, &secret_name("Webhook", "demo", "alerts"));
        self.directory.join("records").join(name)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.process = None;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn record(uid: &str, receiver: SocketAddr) -> Value {
    json!({
        "version": 1,
        "source": {"kind": "Webhook", "namespace": "demo", "name": "alerts", "uid": uid},
        "urls": [{"id": URL_ID, "createdAt": "2025-11-23T00:00:00Z"}],
        "active": true,
        "inactiveMode": "Reject",
        "maxBodyBytes": 1000,
        "verification": {"type": "GitHub"},
        "secrets": [{"value": SECRET, "generated": false, "createdAt": "2025-11-23T00:00:00Z"}],
        "handler": {"type": "Raw"},
        "delivery": {
            "target": {"url": format!("http://{receiver}/in")},
            "method": "POST",
            "onMissingCredential": "SendUnauthenticated",
            "timeoutSeconds": 15,
            "retry": {"attempts": 10, "initialDelaySeconds": 1, "maxDelaySeconds": 60},
            "maxInFlight": 8,
            "expireAfterSeconds": 3600,
        },
    })
}
