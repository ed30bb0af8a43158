//! A team's namespace: apps that mount their Secrets, a receiver, and a Pod with curl.

use anyhow::{Context, Result, ensure};
use cluster::wait_for;
use serde_json::Value;

use crate::{RELEASE, SOON, SYSTEM, Suite, TEAM};

const MANIFEST: &str = include_str!("manifests/team.yaml");

pub(crate) fn starts(suite: &Suite) -> Result<String> {
    suite.cluster.kubectl(&["create", "namespace", TEAM])?;
    suite.cluster.apply(TEAM, &suite.manifest(MANIFEST))?;
    suite.wait_ready(TEAM, "appcredentials,webhooks,webhookcredentials")?;
    for name in ["curl", "load", "orders", "receiver", "shop"] {
        suite.rollout(TEAM, &format!("deploy/{name}"))?;
    }
    Ok(String::new())
}

impl Suite {
    /// Waits until all resources of a kind, or one, are ready.
    pub(crate) fn wait_ready(&self, namespace: &str, what: &str) -> Result<()> {
        let mut arguments = vec!["wait", "--for=condition=Ready", "--timeout=2m", "-n", namespace, what];
        if !what.contains('/') {
            arguments.push("--all");
        }
        self.cluster.kubectl(&arguments).map(drop)
    }

    /// Waits until a Deployment or `StatefulSet` runs as it should.
    pub(crate) fn rollout(&self, namespace: &str, what: &str) -> Result<()> {
        self.cluster.kubectl(&["rollout", "status", "-n", namespace, what, "--timeout=2m"]).map(drop)
    }

    /// Changes how many Pods there should be; waits only until there are none.
    pub(crate) fn scale(&self, namespace: &str, what: &str, replicas: u32) -> Result<()> {
        self.cluster.kubectl(&["scale", "-n", namespace, what, &format!("--replicas={replicas}")])?;
        if replicas == 0 { self.rollout(namespace, what) } else { Ok(()) }
    }

    /// What became of messages, as the server's own command tells, in its Pod.
    pub(crate) fn deliveries(&self) -> Result<Value> {
        let command = ["snaphook", "deliveries", "--limit=1000", "-o", "json"];
        Ok(serde_json::from_str(&self.cluster.exec(SYSTEM, &format!("statefulset/{RELEASE}-hooks"), &command)?)?)
    }

    /// What curl in a Pod of the team prints.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.exec(TEAM, "deploy/curl", &[&["curl", "-sS", "--max-time", "10"], arguments].concat())
    }

    /// Everything that the team's receiver has been sent.
    pub(crate) fn received(&self) -> Result<String> {
        self.cluster.kubectl(&["logs", "-n", TEAM, "deploy/receiver", "--tail=-1"])
    }

    /// Waits until the receiver has seen a text, and checks what came with it.
    pub(crate) fn wait_received(&self, text: &str) -> Result<()> {
        let call = wait_for(&format!("{text} at the receiver"), SOON, || {
            let received = self.received()?;
            Ok(received.split("\n\n\n").find(|call| call.contains(text)).map(str::to_owned))
        })?;
        ensure!(call.contains("clientid: bGlua2Vwb25h"), "the call came without its credential: {call}");
        Ok(())
    }

    /// Posts JSON to a Webhook with GitHub's verification, and returns the status. `connect_to` is curl's.
    pub(crate) fn post(&self, webhook: &str, connect_to: &str, body: &Value) -> Result<String> {
        let secret = format!("{webhook}-webhook");
        let url = self.cluster.secret_value(TEAM, &secret, "url")?;
        let key = self.cluster.secret_value(TEAM, &secret, "signing-secret")?;
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
        let body = body.to_string();
        let tag = control_plane::hex(aws_lc_rs::hmac::sign(&key, body.as_bytes()).as_ref());
        let signature = format!("X-Hub-Signature-256: sha256={tag}");
        let status = self.curl(&[
            "--connect-to",
            connect_to,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            &signature,
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            &body,
            &url,
        ]);
        status.with_context(|| format!("post to {webhook}"))
    }
}
