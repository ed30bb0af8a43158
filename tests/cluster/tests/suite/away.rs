//! The controller is away, longer than every bound that is short here, and the machine restarts meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::wait_for;
use serde_json::json;

use crate::upgrade::UnderLoad;
use crate::{RELEASE, SOON, SYSTEM, Suite, TEAM};

/// Longer than tokens of the shop live (30 s), than a Lease is good for (15 s) and than records may be stale (15 s).
const AWAY: Duration = Duration::from_secs(40);

pub(crate) fn from_everything(suite: &Suite) -> Result<String> {
    let controller = format!("deploy/{RELEASE}-controller");
    suite.scale(SYSTEM, &controller, 0)?;
    wait_for("no controller", SOON, || {
        let pods = suite.cluster.get(SYSTEM, &["pods", "-l", "app.kubernetes.io/component=controller"])?;
        Ok(pods["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    let away = Instant::now();
    let seconds = restart_with_a_message_queued(suite)?;
    let shop = suite.cluster.follow(&["logs", "-n", TEAM, "-f", "deploy/shop"])?;
    shop.line("that orders came after the restart", SOON, |line| line.ends_with("orders 200"))?;
    let load = UnderLoad::start(suite, "away")?;
    std::thread::sleep(AWAY.saturating_sub(away.elapsed())); // the passing of time is what is tested
    let (tokens, posts) = load.end(suite)?;
    shop.line("that the shop got a new token", SOON, |line| line.ends_with("token 200"))?;
    shop.line("that its token was found active", SOON, |line| line.ends_with("orders 200"))?;
    let away = away.elapsed().as_secs();
    suite.scale(SYSTEM, &controller, 1)?;
    suite.rollout(SYSTEM, &controller)?;
    Ok(format!(
        "all Pods again {seconds:.1} s after the restart began; away for {away} s with {tokens} tokens, {posts} posts"
    ))
}

/// A message that has been acknowledged and not delivered is there after the restart. Returns how long that took.
fn restart_with_a_message_queued(suite: &Suite) -> Result<f64> {
    let before = started_at(suite)?;
    suite.scale(TEAM, "deploy/receiver", 0)?;
    let internal = format!("::{RELEASE}-hooks.{SYSTEM}.svc:80");
    let status = suite.post("load", &internal, &json!({"before": "restart"}))?;
    ensure!(status.starts_with('2'), "the post was answered {status}");
    let start = Instant::now();
    match suite.cluster.node() {
        Some(node) => node.restart()?,
        None => {
            for namespace in [SYSTEM, TEAM] {
                suite.cluster.kubectl(&["delete", "pods", "-n", namespace, "--all", "--force", "--grace-period=0"])?;
            }
        }
    }
    suite.scale(TEAM, "deploy/receiver", 1)?;
    wait_for("all Pods anew", SOON, || {
        let now = started_at(suite)?;
        let anew = now.iter().all(|(container, at)| !at.is_empty() && before.get(container) != Some(at));
        Ok((anew && now.len() >= before.len()).then_some(()))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    suite.wait_received(r#"{"before":"restart"}"#)?;
    Ok(seconds)
}

/// When each container started, empty for one that is not ready. Pods that are going away are not waited for to come again: a rollout is over
/// before they are gone.
fn started_at(suite: &Suite) -> Result<HashMap<String, String>> {
    let mut started = HashMap::new();
    for namespace in [SYSTEM, TEAM] {
        let pods = suite.cluster.get(namespace, &["pods"])?;
        let pods = pods["items"].as_array().context("no list of Pods")?;
        for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            let name = pod["metadata"]["name"].as_str().context("a Pod without a name")?;
            let container = &pod["status"]["containerStatuses"][0];
            let at = container["state"]["running"]["startedAt"].as_str().filter(|_| container["ready"] == true);
            started.insert(format!("{namespace}/{name}"), at.unwrap_or_default().to_owned());
        }
    }
    Ok(started)
}
