//! A webhook on a laptop: the printed lines are pasted, and what is posted arrives.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use control_plane::Supervised;

use crate::laptop::{Laptop, SOON, free_address, shell};

const ALERTS: &str = include_str!("../../examples/quickstart/alerts.yaml");
const PAGER: &str = include_str!("../../examples/quickstart/pager.yaml");
const EXAMPLE_RECEIVER: &str = "127.0.0.1:9000";

#[tokio::test]
async fn what_the_printed_line_posts_arrives_with_its_credential() {
    let receiver = free_address();
    let receiving = receive("posted", receiver).await;
    let laptop = start("posted", receiver).await;
    let output = laptop.output();
    assert!(output.contains(&format!("cargo run -- receive --listen 127.0.0.1:{}", receiver.port())), "{output}");
    assert!(!output.contains(&laptop.key("demo/alerts-webhook", "signing-secret")), "{output}");
    post(&laptop);
    receiving.logged("POST /alerts", SOON).await.unwrap();
    receiving.logged("  clientid: bGlua2Vwb25h\n", SOON).await.unwrap();
    receiving.logged("\"alert\":\"disk full\"", SOON).await.unwrap();
    // Another secret than that of the Webhook.
    let forged = laptop.step("Webhook demo/alerts").replace("-hmac \"$(cat", "-hmac \"x$(cat");
    assert!(shell(&forged).contains("401"));
    laptop.remove("alerts.yaml");
    laptop.says(&["Deleted", "Webhook demo/alerts"]).await;
}

#[tokio::test]
async fn what_was_acknowledged_arrives_after_a_kill() {
    let receiver = free_address();
    let laptop = start("killed", receiver).await;
    post(&laptop);
    let laptop = laptop.kill_and_restart().await;
    let receiving = receive("killed", receiver).await;
    receiving.logged("  clientid: bGlua2Vwb25h\n", SOON).await.unwrap();
    assert!(laptop.stop().await.success());
}

#[tokio::test]
async fn a_webhook_that_names_a_service_is_refused_with_the_way_out() {
    let url = format!("url: http://{EXAMPLE_RECEIVER}/alerts");
    let alerts = ALERTS.replace(&url, "service: {name: pager, port: 80}");
    let laptop = Laptop::with("service", &[("alerts.yaml", &alerts)]).await;
    laptop
        .says(&["Refused", "alerts.yaml:", "Webhook demo/alerts", "spec.delivery.service", "spec.delivery.url"])
        .await;
}

async fn start(test: &str, receiver: SocketAddr) -> Laptop {
    let alerts = ALERTS.replace(EXAMPLE_RECEIVER, &receiver.to_string());
    Laptop::with(&format!("webhook-{test}"), &[("alerts.yaml", &alerts), ("pager.yaml", PAGER)]).await
}

/// Pastes the printed lines.
fn post(laptop: &Laptop) {
    let answer = shell(&laptop.step("Webhook demo/alerts"));
    assert!(answer.starts_with("{\"id\":\"msg_") && answer.ends_with("} 200\n"), "{answer}");
}

/// `snaphook receive`, which prints what arrives.
async fn receive(test: &str, address: SocketAddr) -> Supervised {
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dev-receive-{test}.log"));
    let _ = fs::remove_file(&log);
    let mut command = Command::new(env!("CARGO_BIN_EXE_snaphook"));
    command.args(["receive", "--listen", &address.to_string()]);
    let receiving = Supervised::spawn(&command, log).unwrap();
    receiving.logged("Receiving", SOON).await.unwrap();
    receiving
}
