//! `kubectl snaphook`, the program as a plugin of kubectl, from a person's machine.

use anyhow::{Result, ensure};
use cluster::wait_for;
use serde_json::{Value, json};

use crate::{RELEASE, SOON, SYSTEM, Suite, TEAM};

pub(crate) fn looks_into_the_cluster(suite: &Suite) -> Result<String> {
    let status = suite.cluster.snaphook(&["status", "-n", TEAM])?;
    for name in ["shop", "by-ingress", "pager"] {
        ensure!(status.contains(name), "status says nothing of {name}: {status}");
    }
    suite.cluster.apply(TEAM, &waiting().to_string())?;
    let status = suite.cluster.snaphook(&["status", "appcredential/waiting", "-n", TEAM]);
    let Err(waiting) = status else { anyhow::bail!("a resource that is not ready has a good status: {status:?}") };
    let waiting = format!("{waiting:#}");
    ensure!(waiting.contains("no-such-secret"), "status does not say what is missing: {waiting}");
    suite.cluster.kubectl(&["delete", "appcredential/waiting", "-n", TEAM])?;
    let hooks = format!("::{RELEASE}-hooks.{SYSTEM}.svc:80");
    suite.post("load", &hooks, &json!({"for": "the list"}))?;
    let deliveries = wait_for("the delivery", SOON, || {
        let deliveries = suite.cluster.snaphook(&["deliveries", "--webhook=load", "-n", TEAM, "--state=delivered"])?;
        Ok(deliveries.contains("team/load").then_some(deliveries))
    })?;
    ensure!(!deliveries.contains("bGlua2Vwb25h"), "a credential shows");
    Ok(String::new())
}

/// Refers to a Secret that nobody makes.
fn waiting() -> Value {
    json!({
        "apiVersion": "snaphook.dev/v1alpha1", "kind": "AppCredential", "metadata": {"name": "waiting"},
        "spec": {"secretFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "value"}}},
    })
}
