//! Alertmanager, configured as in its example, posts to a Webhook; the receiver gets the alert with its credential, although the
//! hooks Pod was killed in between.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cluster::wait_for;

use crate::{RELEASE, SOON, SYSTEM, Suite, TEAM};

/// One for the Webhook that checks its own secret, and one for that which checks an access token.
const ALERTS: &str =
    r#"[{"labels": {"alertname": "DiskFull"}}, {"labels": {"alertname": "Intruder", "team": "security"}}]"#;

pub(crate) fn arrive(suite: &Suite) -> Result<String> {
    apply_example(suite)?;
    suite.wait_ready(TEAM, "webhooks")?;
    suite.rollout(TEAM, "deploy/alertmanager")?;
    suite.scale(TEAM, "deploy/receiver", 0)?;
    let pods = suite.cluster.get(TEAM, &["pods", "-l", "app.kubernetes.io/name=alertmanager"])?;
    let address = pods["items"][0]["status"]["podIP"].as_str().context("Alertmanager has no address")?;
    let url = format!("http://{address}:9093/api/v2/alerts");
    let start = Instant::now();
    let answer = suite.curl(&["-f", "-H", "Content-Type: application/json", "-d", ALERTS, &url])?;
    ensure!(answer.is_empty(), "Alertmanager answers {answer}");
    wait_for("the alerts in the queue", SOON, || {
        let deliveries = suite.deliveries()?.to_string();
        let queued = |name: &str| deliveries.contains(&format!(r#""webhook":"{name}""#));
        ensure!(queued("alerts") && queued("security-alerts"), "{deliveries}");
        Ok(Some(()))
    })?;
    let queued = start.elapsed().as_secs_f64();
    let pod = format!("{RELEASE}-hooks-0");
    suite.cluster.kubectl(&["delete", "pod", "-n", SYSTEM, &pod, "--force", "--grace-period=0"])?;
    let killed = Instant::now();
    suite.scale(TEAM, "deploy/receiver", 1)?;
    for name in ["DiskFull", "Intruder"] {
        suite.wait_received(&format!(r#""alertname":"{name}""#))?;
    }
    Ok(format!(
        "both queued after {queued:.1} s, and arrived {:.1} s after the hooks Pod was killed",
        killed.elapsed().as_secs_f64()
    ))
}

/// With the namespace, the receiver and the patience of this suite.
fn apply_example(suite: &Suite) -> Result<()> {
    let yaml = suite
        .example("alertmanager")?
        .replace("client_id: default.", "client_id: team.")
        .replace("group_wait: 30s", "group_wait: 1s")
        // There is one: it need not wait for others.
        .replace(
            "- --storage.path=/alertmanager",
            "- --storage.path=/alertmanager\n            - --cluster.listen-address=",
        )
        .replace("url: http://127.0.0.1:9000/alerts", &receiver("/alerts"))
        .replace("url: http://127.0.0.1:9000/security", &receiver("/security"));
    suite.cluster.apply(TEAM, &yaml)
}

fn receiver(path: &str) -> String {
    format!(
        "service: {{name: receiver, port: 80, path: {path}}}\n    retry: {{attempts: 50, initialDelay: 1s, maxDelay: 2s}}"
    )
}
