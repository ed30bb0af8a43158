//! The kinds for webhooks are read, checked and kept as `AppCredential` is.

use std::fs;

use crate::laptop::{Laptop, eventually};

const PAGER: &str = "apiVersion: snaphook.dev/v1alpha1
kind: WebhookCredential
metadata: {name: pager, namespace: demo}
spec:
  type: ClientIdAndSecret
  fieldName: clientid
  location: Header
  clientId: link
  clientSecretFrom: {secretKeyRef: {name: account, key: password}}
---
apiVersion: v1
kind: Secret
metadata: {name: account, namespace: demo, labels: {snaphook.dev/allow-reference: 'true'}}
stringData: {password: epona}
";
const ALERTS: &str = "apiVersion: snaphook.dev/v1alpha1
kind: Webhook
metadata: {name: alerts, namespace: demo}
spec:
  verification: {type: GitHub}
  delivery:
    url: http://127.0.0.1:9/
    credentialRef: {name: pager}
";
const VALUE: &str = "bGlua2Vwb25h";

#[tokio::test]
async fn a_credential_for_calls_has_its_record_and_its_secret_and_is_not_shown() {
    let laptop = Laptop::with("pager", &[("pager.yaml", PAGER), ("alerts.yaml", ALERTS)]).await;
    let output = laptop.output();
    assert!(output.contains("\n\nWebhookCredential demo/pager  Active\n"), "{output}");
    assert!(output.contains("  header     clientid\n") && !output.contains(VALUE), "{output}");
    assert_eq!(laptop.key("demo/pager-webhook-credential", "value"), VALUE);
    assert_eq!(records(&laptop), 1);
    let status = fs::read_to_string(laptop.state("status/demo/webhookcredential.pager.yaml")).unwrap();
    assert!(
        status.contains("usedBy:\n    count: 1\n    webhooks:\n    - alerts\n") && !status.contains(VALUE),
        "{status}"
    );
    laptop.save("pager.yaml", &PAGER.replace("epona", "agro"));
    laptop.says(&["Changed", "WebhookCredential demo/pager"]).await;
    assert_eq!(laptop.key("demo/pager-webhook-credential", "value"), "bGlua2Fncm8=");
}

#[tokio::test]
async fn it_goes_with_its_file_and_survives_a_restart() {
    let laptop = Laptop::with("pager-restart", &[("pager.yaml", PAGER)]).await;
    let laptop = laptop.restart(|_| {}).await;
    let output = laptop.output();
    assert!(!output.contains("Created") && !output.contains("Changed"), "{output}");
    assert_eq!(laptop.key("demo/pager-webhook-credential", "value"), VALUE);
    laptop.remove("pager.yaml");
    laptop.says(&["Deleted", "WebhookCredential demo/pager", "Secret is gone"]).await;
    let secret = laptop.state("secrets/demo/pager-webhook-credential");
    eventually("everything is gone", || records(&laptop) == 0 && !secret.exists()).await;
    assert!(!laptop.state("status/demo/webhookcredential.pager.yaml").exists());
}

#[tokio::test]
async fn a_mistake_in_any_kind_is_told_with_its_line() {
    let pager = PAGER.replace("fieldName: clientid", "fieldName: 'a b'");
    let alerts = ALERTS.replace("type: GitHub", "type: Gitea");
    let laptop = Laptop::with("mistakes", &[("pager.yaml", &pager), ("alerts.yaml", &alerts)]).await;
    laptop.says(&["Refused", "pager.yaml:6", "WebhookCredential demo/pager", "spec.fieldName"]).await;
    laptop.says(&["Refused", "alerts.yaml:5", "Webhook demo/alerts", "spec.verification.type"]).await;
}

fn records(laptop: &Laptop) -> usize {
    let files = fs::read_dir(laptop.state("records")).unwrap();
    files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("injection.")).count()
}
