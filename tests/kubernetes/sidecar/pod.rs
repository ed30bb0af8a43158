//! A Pod: a server and an app that share `localhost`, and what is mounted into each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use control_plane::Supervised;
use k8s_openapi::api::core::v1::Secret;
use snaphook::record::bundle;

use crate::harness::{Mount, SOON, Server, Tenant};

/// The server in it.
pub(super) struct Sidecar {
    pub(super) server: Server,
    /// As containers of the Pod reach it.
    pub(super) url: String,
}

impl Sidecar {
    /// One that has no way to the API server.
    pub(super) async fn mounted(t: &Tenant<'_>, mount: &Mount, more: &[&str]) -> Self {
        let records = format!("dir:{}", mount.path.display());
        Self::start(t, Path::new("/nowhere"), &[&["--records", &records], more].concat()).await
    }

    /// One that has a token for the API server.
    pub(super) async fn following(t: &Tenant<'_>, kubeconfig: &Path) -> Self {
        Self::start(t, kubeconfig, &["--records", "kube:bundles", "--namespace", &t.namespace]).await
    }

    async fn start(t: &Tenant<'_>, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let server = Server::launch(&t.plane, kubeconfig, arguments).await;
        let (_, port) = server.public.rsplit_once(':').unwrap();
        let url = format!("http://localhost:{port}");
        Self { server, url }
    }

    /// Client id and secret of an app.
    pub(super) fn token(&self, credential: &Secret) -> u16 {
        self.server.token(&credentials(credential)).0
    }
}

pub(super) fn credentials(secret: &Secret) -> (String, String) {
    (crate::harness::value(secret, "client-id"), crate::harness::value(secret, "client-secret"))
}

/// The mount of a realm's records.
pub(super) fn records(t: &Tenant<'_>) -> Mount {
    let path = t.plane.directory("records").unwrap().join("mounted");
    Mount::new(path, t.secrets(), (0..bundle::DEFAULT_COUNT).map(bundle::name).collect())
}

/// The app: a shell in the directory that its Secret is mounted in.
pub(super) struct App(Mount);

impl App {
    pub(super) async fn with(t: &Tenant<'_>, secret: &str) -> Self {
        let path = t.plane.directory("app").unwrap().join("mounted");
        let app = Self(Mount::new(path, t.secrets(), vec![secret.to_owned()]));
        app.0.sync().await;
        app
    }

    /// Runs a script, and returns what it prints.
    pub(super) fn run(&self, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&self.0.path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn has(&self, file: &str) -> bool {
        fs::exists(self.0.path.join(file)).unwrap()
    }
}

/// `snaphook receive`: where alerts are delivered to. Returns its address as well.
pub(super) async fn receiver(t: &Tenant<'_>) -> (Supervised, String) {
    let log: PathBuf = t.plane.directory("receiver").unwrap().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.args(["receive", "--listen", "127.0.0.1:0"]);
    let process = Supervised::spawn(&command, log).unwrap();
    process.logged("Receiving on http://", SOON).await.unwrap();
    let log = process.log();
    let address = log.split("Receiving on http://").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    (process, address.to_owned())
}
