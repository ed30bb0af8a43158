//! Every example, as it lies in the repository, applied as its first lines say: each resource becomes ready, each Deployment runs.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Suite;

/// Applied by chapters of their own, which look closer.
const ELSEWHERE: [&str; 2] = ["alertmanager", "sidecar"];
const KINDS: &str = "appcredentials,webhooks,webhookcredentials";

pub(crate) fn become_ready(suite: &Suite) -> Result<String> {
    let mut count = 0;
    for entry in fs::read_dir(suite.repository.join("examples"))? {
        let directory = entry?.path();
        let name = directory.file_name().context("a directory without a name")?.to_string_lossy().into_owned();
        if directory.is_dir() && !ELSEWHERE.contains(&name.as_str()) {
            count += becomes_ready(suite, &name).with_context(|| format!("examples/{name}"))?;
        }
    }
    Ok(format!("{count} resources"))
}

fn becomes_ready(suite: &Suite, name: &str) -> Result<usize> {
    let example = suite.example(name)?;
    let namespace = own_namespace(&example).map_or_else(|| format!("example-{name}"), str::to_owned);
    if own_namespace(&example).is_none() {
        suite.cluster.kubectl(&["create", "namespace", &namespace])?;
    }
    suite.cluster.apply(&namespace, &example)?;
    suite.wait_ready(&namespace, KINDS)?;
    let deployments = suite.cluster.get(&namespace, &["deployments"])?;
    for deployment in items(&deployments)? {
        let name = deployment["metadata"]["name"].as_str().context("a Deployment without a name")?;
        suite.rollout(&namespace, &format!("deploy/{name}"))?;
        // What the examples' apps print: the status of each answer.
        let logs =
            suite.cluster.follow(&["logs", "-f", "-n", &namespace, &format!("deploy/{name}"), "--all-containers"])?;
        logs.line("of a token that came", crate::SOON, |line| line.starts_with("200"))?;
    }
    let resources = suite.cluster.get(&namespace, &[KINDS])?;
    let count = items(&resources)?.len();
    ensure!(count > 0, "nothing was applied");
    // The Pods have shown that they run; what is still to come needs the room.
    suite.cluster.kubectl(&["delete", "deployments", "--all", "-n", &namespace, "--wait=false"])?;
    Ok(count)
}

fn items(list: &Value) -> Result<&Vec<Value>> {
    list["items"].as_array().context("no list")
}

/// The namespace that an example brings, if it does.
fn own_namespace(example: &str) -> Option<&str> {
    let (_, rest) = example.split_once("kind: Namespace")?;
    rest.lines().find_map(|line| line.trim().strip_prefix("name: "))
}
