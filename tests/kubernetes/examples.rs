//! Every example is applied as its comment says, and works.

use std::{
    fs,
    path::{Path, PathBuf},
};

use control_plane::{ControlPlane, Supervised};

use crate::harness::{SOON, eventually};

/// A control plane of its own with a controller: examples name their namespaces.
pub(crate) struct Site {
    pub(crate) plane: ControlPlane,
    _controller: Supervised,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let plane = ControlPlane::start().await.unwrap();
        plane.install_crds(include_str!("../../crds/snaphook.dev.yaml")).await.unwrap();
        let realm = plane.namespace("realm").await.unwrap();
        let config = plane.directory("examples").unwrap().join("config.yaml");
        let rule = "{namespaces: {names: [demo]}, scopes: ['*', 'snaphook:introspect']}";
        let row = "{namespace: team-a, issuer: 'https://team-a.example.com', internalUrl: 'http://localhost:8080'}";
        let realms = format!(
            "realm: {{namespace: {realm}, issuer: 'https://x', service: {{name: snaphook, port: 8080}}}}\nrealms: [{row}]"
        );
        let yaml = format!("{realms}\npolicy: {{rules: [{rule}]}}\n");
        fs::write(&config, yaml).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snaphook"));
        command.env("KUBECONFIG", plane.kubeconfig());
        command.args(["controller", "--probes-listen", "127.0.0.1:0", "--config"]).arg(&config);
        let controller = Supervised::spawn(&command, config.with_file_name("controller.log")).unwrap();
        controller.logged("at work", SOON).await.unwrap();
        Self { plane, _controller: controller }
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(arguments).await.unwrap().success().unwrap()
    }

    /// Applies every example, each as a whole, with more arguments.
    pub(crate) async fn apply_all(&self, arguments: &[&str]) {
        for directory in directories() {
            let directory = directory.to_str().unwrap();
            let apply = [&["apply"], arguments, &["-f", directory]].concat();
            // The API server sees a new namespace a moment later than kubectl made it.
            eventually(directory, async || self.plane.kubectl(&apply).await.unwrap().status.success()).await;
        }
    }

    /// Waits until every resource is `Ready`; returns how many `AppCredential`s there are.
    pub(crate) async fn ready(&self) -> usize {
        let mut lines = 0;
        for kind in ["webhookcredential", "webhook", "appcredential"] {
            let all = ["wait", "--for=condition=Ready", kind, "--all", "--all-namespaces", "--timeout=60s"];
            lines = self.kubectl(&all).await.lines().count();
        }
        lines
    }
}

/// One directory each, the one that makes a namespace first.
pub(crate) fn directories() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut directories: Vec<_> = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort_by_key(|path| !path.ends_with("quickstart"));
    directories
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_applied_and_becomes_ready() {
    for file in directories().iter().flat_map(|directory| fs::read_dir(directory).unwrap()) {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(text.starts_with("# ") && text.contains("kubectl apply -f"), "no word on how to apply:\n{text}");
        assert!(!text.contains("revoked: false"), "an example states what Argo CD would restore");
    }
    let site = Site::start().await;
    site.apply_all(&[]).await;
    assert!(site.ready().await >= 5);
    // There is no Gateway API here, and nothing but the route waits for it.
    let unavailable = "jsonpath={.status.route.reason}=RouteApiUnavailable";
    site.kubectl(&["wait", "--for", unavailable, "webhook/through-gateway", "--timeout=60s"]).await;
    site.plane.stop().await.unwrap();
}
