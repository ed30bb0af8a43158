//! A directory of a test's own with `snaphook dev` on it, driven as a person would: an editor, curl, Ctrl-C.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use control_plane::{Exit, Supervised};
use serde_json::Value;
use tokio::time::sleep;

pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const READY: &str = "Ctrl-C ends";

pub(crate) struct Laptop {
    directory: PathBuf,
    /// What `--receive` says.
    receive: String,
    process: Supervised,
}

/// For tests that receive nothing: they run side by side, and there is one port 9000.
const NOTHING: &str = "none";

impl Laptop {
    /// Starts on a copy of an example.
    pub(crate) async fn example(test: &str, example: &str) -> Self {
        Self::on(&copy_of(test, example)).await
    }

    /// Starts on a directory.
    pub(crate) async fn on(directory: &Path) -> Self {
        Self::start(directory, &free_address().to_string(), NOTHING).await
    }

    /// Starts on files.
    pub(crate) async fn with(test: &str, files: &[(&str, &str)]) -> Self {
        Self::receiving(test, files, NOTHING).await
    }

    /// Starts on files, with a receiver.
    pub(crate) async fn receiving(test: &str, files: &[(&str, &str)], receive: &str) -> Self {
        let directory = directory(test);
        for (name, content) in files {
            fs::write(directory.join(name), content).unwrap();
        }
        Self::start(&directory, &free_address().to_string(), receive).await
    }

    async fn start(directory: &Path, listen: &str, receive: &str) -> Self {
        let process = launch(directory, listen, receive);
        process.logged(READY, SOON).await.unwrap();
        Self { directory: directory.to_owned(), receive: receive.to_owned(), process }
    }

    /// Ends it as Ctrl-C would, and starts it again on the same address.
    pub(crate) async fn restart(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let address = self.url().trim_start_matches("http://").to_owned();
        let (exit, directory, receive) = (self.process.stop().await.unwrap(), self.directory, self.receive);
        assert!(exit.success(), "{exit}");
        meanwhile(&directory);
        let _ = fs::remove_file(log(&directory));
        Self::start(&directory, &address, &receive).await
    }

    /// Kills it without a warning, and starts it again on the same address.
    pub(crate) async fn kill_and_restart(self) -> Self {
        let address = self.url().trim_start_matches("http://").to_owned();
        self.process.signal("KILL").unwrap();
        self.process.wait(SOON).await.unwrap();
        let (directory, receive) = (self.directory, self.receive);
        let _ = fs::remove_file(log(&directory));
        Self::start(&directory, &address, &receive).await
    }

    /// A second one on the same directory.
    pub(crate) async fn second(&self) -> (Exit, String) {
        let log = self.directory.with_extension("second.log");
        let _ = fs::remove_file(&log);
        let process = Supervised::spawn(&command(&self.directory, "127.0.0.1:0", NOTHING), &log).unwrap();
        (process.wait(SOON).await.unwrap(), process.log())
    }

    pub(crate) async fn stop(self) -> Exit {
        self.process.stop().await.unwrap()
    }

    pub(crate) fn state(&self, path: &str) -> PathBuf {
        self.directory.join(".snaphook").join(path)
    }

    /// Everything that was printed.
    pub(crate) fn output(&self) -> String {
        self.process.log()
    }

    /// Waits for a line that has all of `parts`.
    pub(crate) async fn says(&self, parts: &[&str]) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.output();
            if let Some(line) = output.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no line with {parts:?} in:\n{output}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn save(&self, file: &str, content: &str) {
        save(&self.directory.join(file), content);
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap()
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.directory.join(file)).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        let output = self.output();
        output.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    }

    /// The printed lines of the step whose title has `words`, as a person would copy them.
    pub(crate) fn step(&self, words: &str) -> String {
        step(&self.output(), words)
    }

    pub(crate) fn secret(&self, consumer: &str) -> String {
        self.key(consumer, "client-secret")
    }

    pub(crate) fn key(&self, consumer: &str, key: &str) -> String {
        fs::read_to_string(self.state("secrets").join(consumer).join(key)).unwrap()
    }

    /// A token response, with the secret that lies in the Secret of an app.
    pub(crate) fn token(&self, consumer: &str) -> Value {
        self.token_with(&self.key(consumer, "client-id"), &self.secret(consumer))
    }

    pub(crate) fn token_with(&self, id: &str, secret: &str) -> Value {
        self.post("/oauth/token", &["grant_type=client_credentials"], id, secret)
    }

    /// What the gateway is told about a token.
    pub(crate) fn introspect(&self, token: &str) -> Value {
        let (id, secret) = (self.key("demo/gateway-credential", "client-id"), self.secret("demo/gateway-credential"));
        self.post("/oauth/introspect", &[&format!("token={token}")], &id, &secret)
    }

    pub(crate) fn is_active(&self, token: &str) -> bool {
        self.introspect(token)["active"].as_bool().unwrap()
    }

    fn post(&self, path: &str, form: &[&str], id: &str, secret: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "20"]).arg(format!("{}{path}", self.url())).args(["-u", &format!("{id}:{secret}")]);
        for field in form {
            curl.args(["--data-urlencode", field]);
        }
        let output = curl.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// Saves a file as an editor does.
pub(crate) fn save(file: &Path, content: &str) {
    let temporary = file.with_extension("tmp");
    fs::write(&temporary, content).unwrap();
    fs::rename(&temporary, file).unwrap();
}

/// The lines of a step in what was printed.
pub(crate) fn step(output: &str, words: &str) -> String {
    let is_title = |line: &str| line.starts_with(|first: char| first.is_ascii_digit()) && line.contains(words);
    let block = output.lines().skip_while(|line| !is_title(line)).skip(1);
    let block = block.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("    "));
    let lines: String = block.flat_map(|line| [line, "\n"]).collect();
    assert!(!lines.is_empty(), "no lines of a step with {words:?} in:\n{output}");
    lines
}

/// Where the program notes which state directories it has made: not among those of whoever runs the tests.
pub(crate) const NOTES: &str = "XDG_STATE_HOME";

pub(crate) fn notes() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("dev-notes")
}

/// An empty directory of a test's own.
pub(crate) fn directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dev").join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// A directory of a test's own with the files of an example.
pub(crate) fn copy_of(test: &str, example: &str) -> PathBuf {
    let directory = directory(test);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
    }
    directory
}

/// A loopback address that nobody else takes, also while nobody listens there: where the operating system has many, each has an IP
/// address of its own.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 + COUNT.fetch_add(1, Ordering::Relaxed) % 128, high, low);
    let listener = TcpListener::bind((own, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    listener.unwrap().local_addr().unwrap()
}

/// An access token out of a token response.
pub(crate) fn access_token(response: &Value) -> String {
    response["access_token"].as_str().unwrap_or_else(|| panic!("no token: {response}")).to_owned()
}

/// Runs what a person would paste.
pub(crate) fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-e", "-c", script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{script}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn log(directory: &Path) -> PathBuf {
    directory.with_extension("log")
}

fn launch(directory: &Path, listen: &str, receive: &str) -> Supervised {
    let log = log(directory);
    let _ = fs::remove_file(&log);
    Supervised::spawn(&command(directory, listen, receive), log).unwrap()
}

pub(crate) fn command(directory: &Path, listen: &str, receive: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.env(NOTES, notes());
    command.arg("dev").arg(directory).args(["--listen", listen, "--receive", receive]);
    command
}
