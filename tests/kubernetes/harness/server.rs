//! The real token server, as a process that ends with the test, asked with curl.

use std::{path::Path, process::Command};

use control_plane::{ControlPlane, Supervised};
use serde_json::Value;

use super::{SOON, eventually};

pub(crate) struct Server {
    pub(crate) process: Supervised,
    pub(crate) public: String,
    pub(crate) probes: String,
}

impl Server {
    /// Starts one over the records in `realm`, and waits until it is ready.
    pub(crate) async fn start(cp: &ControlPlane, kubeconfig: &Path, realm: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = ["--namespace", realm].iter().chain(arguments).copied().collect();
        let server = Self::launch(cp, kubeconfig, &arguments).await;
        eventually("the server is ready", async || server.is_ready()).await;
        server
    }

    /// Starts one, and waits until it listens.
    pub(crate) async fn launch(cp: &ControlPlane, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "trace").arg("server");
        command.args(["--listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0"]).args(arguments);
        let process = Supervised::spawn(&command, cp.directory("server").unwrap().join("log")).unwrap();
        process.logged("listening public=", SOON).await.unwrap();
        let log = process.log();
        let line = log.lines().find(|line| line.starts_with("listening ")).unwrap();
        let address = |key: &str| line.split(' ').find_map(|part| part.strip_prefix(key)).unwrap().to_owned();
        Self { public: address("public="), probes: address("probes="), process }
    }

    pub(crate) fn is_ready(&self) -> bool {
        curl(&[&format!("http://{}/readyz", self.probes)]).0 == 200
    }

    pub(crate) fn metrics(&self) -> String {
        let output = Command::new("curl").args(["-s", "-m", "20", &format!("http://{}/metrics", self.probes)]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// Status and answer of a token request.
    pub(crate) fn token(&self, (client_id, secret): &(String, String)) -> (u16, Value) {
        let user = format!("{client_id}:{secret}");
        curl(&["-u", &user, "-d", "grant_type=client_credentials", &format!("http://{}/oauth/token", self.public)])
    }

    pub(crate) fn access_token(&self, credentials: &(String, String)) -> String {
        let (status, answer) = self.token(credentials);
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn introspect(&self, (client_id, secret): &(String, String), token: &str) -> (u16, Value) {
        let (user, token) = (format!("{client_id}:{secret}"), format!("token={token}"));
        curl(&["-u", &user, "--data-urlencode", &token, &format!("http://{}/oauth/introspect", self.public)])
    }

    /// The status that a proxy is told.
    pub(crate) fn forward_auth(&self, policy: &str, token: &str) -> u16 {
        let bearer = format!("Authorization: Bearer {token}");
        curl(&["-H", &bearer, &format!("http://{}/oauth/forward-auth/{policy}", self.public)]).0
    }
}

fn curl(arguments: &[&str]) -> (u16, Value) {
    let output =
        Command::new("curl").args(["-s", "-m", "20", "-w", "\n%{http_code}"]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}
