//! What Helm does: install, configure, uninstall.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{RELEASE, SOON, SYSTEM, Suite, TEAM};

const TRAEFIK: &str = include_str!("manifests/traefik.yaml");
const VALUES: &str = include_str!("manifests/values.yaml");
const TIMEOUT: &str = "--timeout=2m";

pub(crate) fn with_default_values(suite: &Suite) -> Result<String> {
    if let Some(node) = suite.cluster.node() {
        // A cluster of our own has no provisioner. A hostPath ignores fsGroup, so its directory belongs to the user of the Pod.
        let volume = node.volume("queue")?;
        let yaml = format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: queue}}\nspec: {{capacity: {{storage: 8Gi}}, \
             accessModes: [ReadWriteOnce], hostPath: {{path: {}}}}}\n",
            volume.display()
        );
        suite.cluster.apply("default", &yaml)?;
    }
    let start = Instant::now();
    suite.helm(&["install", "--create-namespace"], "")?;
    let seconds = start.elapsed().as_secs_f64();
    let pods = suite.cluster.get(SYSTEM, &["pods"])?;
    let pods = pods["items"].as_array().context("no list of Pods")?;
    ensure!(pods.len() == 4, "controller, two servers for tokens and one for hooks, not {}", pods.len());
    ensure!(pods.iter().all(is_ready), "helm has waited for Pods that are not ready: {pods:#?}");
    Ok(format!("everything ready after {seconds:.1} s"))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// With a front door, a policy, and an issuer that the world reaches.
pub(crate) fn with_values(suite: &Suite) -> Result<String> {
    let crds = control_plane::gateway_api_crds()?.display().to_string();
    suite.cluster.kubectl(&["apply", "--server-side", "-f", &crds])?;
    let names =
        ["gatewayclasses", "gateways", "httproutes"].map(|name| format!("crd/{name}.gateway.networking.k8s.io"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    suite.cluster.kubectl(&[&["wait", "--for=condition=Established", "--timeout=60s"], names.as_slice()].concat())?;
    suite.cluster.apply("traefik", TRAEFIK)?;
    suite.helm(&["upgrade", "--values=-"], VALUES)?;
    suite.rollout("traefik", "deploy/traefik")?;
    Ok(String::new())
}

/// Helm's Job takes the work from the controller and removes the finalizers; then nothing hangs that is deleted later.
pub(crate) fn uninstall(suite: &Suite) -> Result<String> {
    let start = Instant::now();
    suite.cluster.helm(&["uninstall", RELEASE, "-n", SYSTEM, "--wait", TIMEOUT])?;
    let seconds = start.elapsed().as_secs_f64();
    let kept = suite.cluster.get(TEAM, &["appcredentials,webhooks,webhookcredentials"])?;
    let kept = kept["items"].as_array().context("no list")?;
    ensure!(!kept.is_empty(), "the chart keeps the CRDs, and with them the resources");
    let finalized: Vec<_> = kept.iter().filter(|one| !one["metadata"]["finalizers"].is_null()).collect();
    ensure!(finalized.is_empty(), "these would hang: {finalized:#?}");
    let begin = Instant::now();
    suite.cluster.kubectl(&["delete", "namespace", TEAM, SYSTEM, TIMEOUT])?;
    ensure!(begin.elapsed() < SOON, "the namespaces hang");
    suite.cluster.kubectl(&["delete", "crd", TIMEOUT, "appcredentials.snaphook.dev", "webhooks.snaphook.dev"])?;
    suite.cluster.kubectl(&["delete", "crd", TIMEOUT, "webhookcredentials.snaphook.dev"])?;
    Ok(format!("gone after {seconds:.1} s, namespaces after {:.1} s more", begin.elapsed().as_secs_f64()))
}

impl Suite {
    /// Installs or upgrades the release and waits until everything is ready, with the image that this suite is about.
    pub(crate) fn helm(&self, arguments: &[&str], values: &str) -> Result<()> {
        let chart = self.repository.join("charts/snaphook").display().to_string();
        let mut all = arguments.to_vec();
        all.extend([RELEASE, chart.as_str(), "-n", SYSTEM, "--wait", TIMEOUT]);
        let image = self.cluster.snaphook_image();
        let (name, tag) = image.rsplit_once(':').context("the image has no tag")?;
        let (name, tag) = (format!("image.repository={name}"), format!("image.tag={tag}"));
        if image != cluster::SNAPHOOK {
            all.extend(["--set", &name, "--set", &tag]);
        }
        self.cluster.helm_with_input(&all, values).map(drop)
    }
}
