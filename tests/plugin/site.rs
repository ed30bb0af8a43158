//! What all tests share: a control plane, a server, a controller whose Secrets name that server, and a kubectl that finds the plugin.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use control_plane::{ControlPlane, Supervised};
use serde_json::Value;
use tokio::sync::OnceCell;

const CRDS: &str = include_str!("../../crds/snaphook.dev.yaml");
/// Generous: a test that needs it has failed.
const SOON: Duration = Duration::from_mins(3);
pub(crate) const FAILED: i32 = 1;
pub(crate) const USAGE: i32 = 2;
pub(crate) const NO: i32 = 3;

struct Shared {
    plane: ControlPlane,
    /// Holds `kubectl-snaphook`.
    plugins: PathBuf,
    /// End with the test.
    _processes: [Supervised; 2],
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// A namespace of a test's own.
pub(crate) struct Site {
    shared: &'static Shared,
    pub(crate) namespace: String,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output and error of a command that ended with this code.
    pub(crate) fn ended(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.stdout + &self.stderr
    }
}

async fn start() -> Shared {
    let plane = ControlPlane::start().await.unwrap();
    plane.install_crds(CRDS).await.unwrap();
    let realm = plane.namespace("realm").await.unwrap();
    let directory = plane.directory("plugin").unwrap();
    let plugins = directory.join("bin");
    fs::create_dir(&plugins).unwrap();
    symlink(env!("CARGO_BIN_EXE_snaphook"), plugins.join("kubectl-snaphook")).unwrap();

    let snaphook = |arguments: &[&str], log: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.env("KUBECONFIG", plane.kubeconfig()).args(arguments);
        Supervised::spawn(&command, directory.join(log)).unwrap()
    };
    let (listen, probes) = (["--listen", "127.0.0.1:0"], ["--probes-listen", "127.0.0.1:0"]);
    let server = snaphook(&[&["server", "--namespace", &realm], &listen[..], &probes].concat(), "server.log");
    server.logged("listening public=", SOON).await.unwrap();
    let log = server.log();
    let address = log.split_whitespace().find_map(|word| word.strip_prefix("public=")).unwrap();
    let config = directory.join("config.yaml");
    let realm_line =
        format!("realm: {{namespace: {realm}, issuer: 'https://auth.example.com', internalUrl: 'http://{address}'}}\n");
    fs::write(&config, realm_line).unwrap();
    let controller = [&["controller", "--config", config.to_str().unwrap()], &probes[..]].concat();
    let controller = snaphook(&controller, "controller.log");
    controller.logged("at work", SOON).await.unwrap();
    Shared { plugins, _processes: [server, controller], plane }
}

impl Site {
    pub(crate) async fn new(prefix: &str) -> Self {
        let shared = SHARED.get_or_init(start).await;
        Self { shared, namespace: shared.plane.namespace(prefix).await.unwrap() }
    }

    /// Where the plugin lies, for programs of a test beside it.
    pub(crate) fn directory(&self) -> PathBuf {
        self.shared.plane.directory(&self.namespace).unwrap()
    }

    /// `kubectl snaphook …` in the namespace of this test, without a terminal. No output holds a client secret.
    pub(crate) fn snaphook(&self, arguments: &[&str]) -> Done {
        self.snaphook_with(&[arguments, &["-n", &self.namespace]].concat(), &[])
    }

    /// The same on a terminal (that of `script`, from Debian's essential packages), where a person types this. Code and screen.
    pub(crate) fn on_a_terminal(&self, arguments: &[&str], typed: &str) -> (i32, String) {
        let kubectl = self.command(&[arguments, &["-n", &self.namespace]].concat(), &[]);
        let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args()).map(|word| word.to_str().unwrap());
        let mut script = Command::new("script");
        script
            .args(["-qec", &words.collect::<Vec<_>>().join(" "), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        script.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = script.spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// The same anywhere, with directories before all others on the PATH.
    pub(crate) fn snaphook_with(&self, arguments: &[&str], before: &[PathBuf]) -> Done {
        let output = self.command(arguments, before).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let done =
            Done { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        assert!(!format!("{done:?}").contains("snaphook_"), "a client secret shows: {done:?}");
        done
    }

    fn command(&self, arguments: &[&str], before: &[PathBuf]) -> Command {
        let mut command = self.shared.plane.kubectl_command();
        let path = env::var_os("PATH").unwrap_or_default();
        let mine = before.iter().cloned().chain([self.shared.plugins.clone()]);
        command.env("PATH", env::join_paths(mine.chain(env::split_paths(&path))).unwrap());
        command.arg("snaphook").args(arguments);
        command
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let arguments = [&["-n", &self.namespace], arguments].concat();
        self.shared.plane.kubectl(&arguments).await.unwrap().success().unwrap()
    }

    pub(crate) async fn apply(&self, yaml: &str) {
        self.apply_as("a-user", yaml).await;
    }

    /// `kubectl apply --server-side` as a field manager.
    pub(crate) async fn apply_as(&self, manager: &str, yaml: &str) {
        let manager = format!("--field-manager={manager}");
        let arguments = ["-n", &self.namespace, "apply", "--server-side", "--force-conflicts", &manager, "-f", "-"];
        self.shared.plane.kubectl_with_input(&arguments, yaml).await.unwrap().success().unwrap();
    }

    /// Applies an `AppCredential` with this spec, in flow style, and waits until it is ready and the server knows it.
    pub(crate) async fn ready(&self, name: &str, spec: &str) {
        self.apply(&credential(name, spec)).await;
        self.kubectl(&["wait", "--for=condition=Ready", &format!("appcredential/{name}"), "--timeout=120s"]).await;
        self.eventually("served", || self.snaphook(&["verify", name]).code == 0).await;
    }

    pub(crate) async fn eventually(&self, what: &str, mut reached: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        while !reached() {
            assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(crate) fn credential(name: &str, spec: &str) -> String {
    format!("{{apiVersion: snaphook.dev/v1alpha1, kind: AppCredential, metadata: {{name: {name}}}, spec: {spec}}}\n")
}
