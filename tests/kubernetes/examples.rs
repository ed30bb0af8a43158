//! Every example is applied as its comment says, and works.

use std::{fs, path::Path};

use control_plane::{ControlPlane, Supervised};

use crate::harness::{SOON, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_applied_and_becomes_ready() {
    let plane = ControlPlane::start().await.unwrap();
    plane.install_crds(include_str!("../../crds/snaphook.dev.yaml")).await.unwrap();
    let realm = plane.namespace("realm").await.unwrap();
    let config = plane.directory("examples").unwrap().join("config.yaml");
    let rule = "{namespaces: {names: [demo]}, scopes: ['*', 'snaphook:introspect']}";
    let realm = format!("{{namespace: {realm}, issuer: 'https://x', service: {{name: snaphook, port: 8080}}}}");
    let yaml = format!("realm: {realm}\npolicy: {{rules: [{rule}]}}\n");
    fs::write(&config, yaml).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.env("KUBECONFIG", plane.kubeconfig());
    command.args(["controller", "--probes-listen", "127.0.0.1:0", "--config"]).arg(&config);
    let controller = Supervised::spawn(&command, config.with_file_name("controller.log")).unwrap();
    controller.logged("at work", SOON).await.unwrap();

    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut directories: Vec<_> = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort_by_key(|path| !path.ends_with("quickstart"));
    for directory in directories {
        for file in fs::read_dir(&directory).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(text.starts_with("# ") && text.contains("kubectl apply -f"), "no word on how to apply:\n{text}");
            assert!(!text.contains("revoked: false"), "an example states what Argo CD would restore");
        }
        let directory = directory.to_str().unwrap();
        // The API server sees a new namespace a moment later than kubectl made it.
        eventually(directory, async || plane.kubectl(&["apply", "-f", directory]).await.unwrap().status.success())
            .await;
    }
    let all = ["wait", "--for=condition=Ready", "appcredential", "--all", "--all-namespaces", "--timeout=60s"];
    let ready = plane.kubectl(&all).await.unwrap().success().unwrap();
    assert!(ready.lines().count() >= 5, "{ready}");
    for kind in ["webhookcredential", "webhook"] {
        let all = ["wait", "--for=condition=Ready", kind, "--all", "--all-namespaces", "--timeout=60s"];
        plane.kubectl(&all).await.unwrap().success().unwrap();
    }
    // There is no Gateway API here, and nothing but the route waits for it.
    let unavailable = "jsonpath={.status.route.reason}=RouteApiUnavailable";
    let wait = ["wait", "--for", unavailable, "webhook/through-gateway", "--timeout=60s"];
    plane.kubectl(&wait).await.unwrap().success().unwrap();
    plane.stop().await.unwrap();
}
