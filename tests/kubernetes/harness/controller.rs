//! The real controller, as a process that ends with the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use control_plane::{ControlPlane, Exit, Supervised};
use tokio::sync::OnceCell;

use super::{Plane, SOON, busy};

const POLICY: &str = include_str!("policy.yaml");

/// A running controller.
#[derive(Debug)]
pub(crate) struct Controller {
    pub(crate) process: Supervised,
    /// Its configuration.
    pub(crate) config: PathBuf,
}

impl Controller {
    /// Starts one with a configuration in YAML.
    pub(crate) fn start(cp: &ControlPlane, kubeconfig: &Path, config: &str) -> Self {
        let directory = cp.directory("controller").unwrap();
        let file = directory.join("config.yaml");
        fs::write(&file, config).unwrap();
        Self::start_with(kubeconfig, &file, &directory.join("log"))
    }

    /// Starts one that logs all that it can.
    pub(crate) fn start_talkative(cp: &ControlPlane, kubeconfig: &Path, config: &str) -> Self {
        let directory = cp.directory("controller").unwrap();
        let file = directory.join("config.yaml");
        fs::write(&file, config).unwrap();
        Self::launch(kubeconfig, &file, &directory.join("log"), "trace")
    }

    /// Starts one more with the configuration of this one.
    pub(crate) fn another(&self, kubeconfig: &Path) -> Self {
        let log = self.config.with_file_name(format!("log-after-{}", self.process.pid()));
        Self::start_with(kubeconfig, &self.config, &log)
    }

    fn start_with(kubeconfig: &Path, config: &Path, log: &Path) -> Self {
        Self::launch(kubeconfig, config, log, "info")
    }

    fn launch(kubeconfig: &Path, config: &Path, log: &Path, level: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.args(["controller", "--probes-listen", "127.0.0.1:0", "--config"]).arg(config);
        command.env("KUBECONFIG", kubeconfig);
        command.env("RUST_LOG", level);
        Self { process: Supervised::spawn(&command, log).unwrap(), config: config.to_owned() }
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) {
        self.process.signal("KILL").unwrap();
        self.process.wait(SOON).await.unwrap();
    }

    /// SIGTERM.
    pub(crate) async fn stop(&self) -> Exit {
        self.process.signal("TERM").unwrap();
        self.process.wait(SOON).await.unwrap()
    }

    /// Status and body of a page on the listener for probes.
    pub(crate) async fn probe(&self, path: &str) -> (u16, String) {
        self.logged("listening probes=").await;
        let log = self.process.log();
        let address = log.lines().find_map(|line| line.strip_prefix("listening probes=")).unwrap();
        let url = format!("http://{address}{path}");
        let output = Command::new("curl").args(["-s", "-m", "20", "-w", "\n%{http_code}", &url]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    pub(crate) async fn logged(&self, text: &str) {
        self.process.logged(text, SOON).await.unwrap();
    }

    /// Replaces the configuration, as an editor or the kubelet does.
    pub(crate) fn configure(&self, yaml: &str) {
        let next = self.config.with_extension("next");
        fs::write(&next, yaml).unwrap();
        fs::rename(next, &self.config).unwrap();
    }
}

static SHARED: OnceCell<(Controller, String)> = OnceCell::const_new();

/// The controller for all namespaces of [`busy`], and the namespace of its records. It runs under the chart's rules.
pub(crate) async fn shared_controller() -> (Plane<'static>, &'static Controller, &'static str) {
    let plane = busy().await;
    let start = || async {
        let realm = plane.namespace("snaphook-system").await.unwrap();
        let kubeconfig = plane.account(&realm, None).await;
        let config = format!(
            "realm: {{issuer: 'https://auth.example.com', internalUrl: 'http://snaphook.test', namespace: {realm}}}\n{POLICY}"
        );
        let controller = Controller::start(&plane, &kubeconfig, &config);
        controller.logged("leading").await;
        (controller, realm)
    };
    let (controller, realm) = SHARED.get_or_init(start).await;
    (plane, controller, realm)
}
