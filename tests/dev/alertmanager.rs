//! Alertmanager as sender: the real one, with the configuration of the example, through to a receiver.

use std::{fs, path::PathBuf, process::Command};

use control_plane::{Supervised, Tool};
use serde_json::{Value, json};

use crate::{
    laptop::{Laptop, SOON, eventually},
    receiver::{OK, Received, Receiver},
};

const CONFIG_MAP: &str = include_str!("../../examples/alertmanager/alertmanager.yaml");
const WEBHOOKS: &str = include_str!("../../examples/alertmanager/webhooks.yaml");
const PAGER: &str = include_str!("../../examples/alertmanager/pager.yaml");
const UNAVAILABLE: &str = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n";

/// `snaphook dev` on the example, and an Alertmanager that mounts its Secrets.
struct Site {
    laptop: Laptop,
    alertmanager: Supervised,
}

impl Site {
    async fn start(test: &str, receiver: &Receiver) -> Self {
        let webhooks = WEBHOOKS.replace("127.0.0.1:9000", &receiver.address.to_string());
        let files = [("webhooks.yaml", &*webhooks), ("pager.yaml", PAGER)];
        let laptop = Laptop::with(&format!("alertmanager-{test}"), &files).await;
        let program = tokio::task::spawn_blocking(|| Tool::Alertmanager.find().unwrap()).await.unwrap();
        let directory = laptop.state(".").join("alertmanager");
        fs::create_dir_all(&directory).unwrap();
        let config = directory.join("alertmanager.yml");
        fs::write(&config, config_for(&laptop)).unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", directory.join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]);
        let alertmanager = Supervised::spawn(&command, directory.join("log")).unwrap();
        alertmanager.logged("Listening on", SOON).await.unwrap();
        Self { laptop, alertmanager }
    }

    /// Posts to Alertmanager's own API, as Prometheus does.
    fn alert(&self, labels: &Value, ends_at: Option<&str>) {
        let log = self.alertmanager.log();
        let line = log.lines().find(|line| line.contains("Listening on")).unwrap();
        let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        let mut alert = json!({ "labels": labels, "startsAt": "2026-01-01T00:00:00Z" });
        if let Some(moment) = ends_at {
            alert["endsAt"] = json!(moment);
        }
        let url = format!("http://{address}/api/v2/alerts");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "20", "-w", "%{http_code}", "-H", "Content-Type: application/json"]);
        let output = curl.args(["-d", &json!([alert]).to_string(), &url]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "200", "{output:?}\n{log}");
    }
}

/// The configuration of the example, with the paths and the token endpoint of this laptop, and in less of a hurry to wait.
fn config_for(laptop: &Laptop) -> String {
    let documents: Vec<Value> = serde_yaml::from_multiple(CONFIG_MAP).unwrap();
    let config = documents[0]["data"]["alertmanager.yml"].as_str().unwrap();
    let mounted: PathBuf = fs::canonicalize(laptop.state("secrets/default")).unwrap();
    let changes = [
        ("/etc/snaphook", &*mounted.display().to_string()),
        ("http://snaphook-tokens.snaphook-system.svc", &laptop.url()),
        ("group_wait: 30s", "group_wait: 100ms"),
        ("group_interval: 5m", "group_interval: 1s"),
    ];
    changes.iter().fold(config.to_owned(), |config, (old, new)| {
        assert!(config.contains(old), "{old} is not in\n{config}");
        config.replace(old, new)
    })
}

fn status(received: &Received) -> String {
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(received.header("clientid"), ["bGlua2Vwb25h"], "the credential of the pager");
    body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_alert_arrives_with_the_pagers_credential_and_resolved_never_overtakes_firing() {
    // The first call fails, so that "resolved" is there before "firing" has been delivered.
    let receiver = Receiver::start({
        let first = std::sync::atomic::AtomicBool::new(true);
        move |_, wire| {
            let fails = first.swap(false, std::sync::atomic::Ordering::SeqCst);
            wire.write_all(if fails { UNAVAILABLE } else { OK }.as_bytes()).is_ok()
        }
    });
    let site = Site::start("bearer", &receiver).await;
    let labels = json!({ "alertname": "DiskFull" });
    site.alert(&labels, None);
    eventually("a call", || !receiver.received().is_empty()).await;
    site.alert(&labels, Some("2026-01-01T00:01:00Z"));
    eventually("three calls", || receiver.received().len() >= 3).await;
    let arrived = receiver.received();
    assert_eq!(arrived.iter().map(status).collect::<Vec<_>>(), ["firing", "firing", "resolved"]);
    assert!(arrived.iter().all(|it| it.request_line.starts_with("POST /alerts ")), "{arrived:?}");
    assert!(arrived.iter().all(|it| it.header("authorization").is_empty()), "the sender's own secret goes no further");
}

#[tokio::test]
async fn with_an_access_token_until_the_client_is_revoked() {
    let receiver = Receiver::answering(OK);
    let site = Site::start("oauth2", &receiver).await;
    site.alert(&json!({ "alertname": "Login", "team": "security" }), None);
    eventually("a call", || !receiver.received().is_empty()).await;
    let arrived = receiver.only();
    assert_eq!((status(&arrived), &*arrived.request_line), ("firing".into(), "POST /security HTTP/1.1"));

    let revoked = site.laptop.read("webhooks.yaml").replace("  displayName: Alertmanager\n", "  revoked: true\n");
    site.laptop.save("webhooks.yaml", &revoked);
    let refused = || site.laptop.token("default/alertmanager-credential")["error"] == "invalid_client";
    eventually("the server knows it too", refused).await;
    site.alert(&json!({ "alertname": "Sudo", "team": "security" }), None);
    site.alertmanager.logged("401", SOON).await.unwrap();
    assert_eq!(receiver.received().len(), 1, "nothing more arrives");
}
