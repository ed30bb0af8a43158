//! `rotate` and `revoke`: they ask, warn, change one field, and wait until it is so.

use serde_json::Value;

use crate::site::{FAILED, NO, Site, USAGE, credential};

async fn secret(site: &Site, name: &str, key: &str) -> String {
    site.kubectl(&["get", "secret", name, "-o", &format!("jsonpath={{.data.{key}}}")]).await
}

#[tokio::test]
async fn nothing_is_changed_without_consent() {
    let site = Site::new("consent").await;
    site.ready("billing", "{}").await;
    let before = site.kubectl(&["get", "appcredential", "billing", "-o", "yaml"]).await;
    for command in [["rotate", "billing"], ["revoke", "billing"]] {
        let told = site.snaphook(&command).ended(USAGE);
        assert!(told.contains("--yes") && told.contains("Nothing was changed"), "{told}");
    }
    assert_eq!(site.kubectl(&["get", "appcredential", "billing", "-o", "yaml"]).await, before);
}

#[tokio::test]
async fn on_a_terminal_a_person_is_asked() {
    let site = Site::new("asked").await;
    site.ready("billing", "{}").await;
    let (code, screen) = site.on_a_terminal(&["revoke", "billing"], "n\n");
    assert_eq!(code, FAILED, "{screen}");
    assert!(screen.contains("[y/N]") && screen.contains("Nothing was changed"), "{screen}");
    site.snaphook(&["verify", "billing"]).ended(0);
    let (code, screen) = site.on_a_terminal(&["revoke", "billing"], "y\n");
    assert_eq!(code, 0, "{screen}");
    site.eventually("refused", || site.snaphook(&["verify", "billing"]).code == NO).await;
}

#[tokio::test]
async fn a_rotated_secret_and_the_former_one_both_authenticate() {
    let site = Site::new("rotate").await;
    site.ready("billing", "{}").await;
    let former = secret(&site, "billing-credential", "client-secret").await;
    let told = site.snaphook(&["rotate", "billing", "--yes"]).ended(0);
    assert_eq!(told, "AppCredential billing: spec.rotation.nonce is changed, and in force\n");
    assert_ne!(secret(&site, "billing-credential", "client-secret").await, former);
    assert_eq!(secret(&site, "billing-credential", "client-secret-previous").await, former);
    site.eventually("served", || site.snaphook(&["verify", "billing"]).code == 0).await;
    let told = site.snaphook(&["verify", "billing"]).ended(0);
    assert!(told.contains("client-secret-previous in the Secret billing-credential authenticates"), "{told}");
}

#[tokio::test]
async fn a_webhook_gets_a_new_url_or_new_secrets() {
    let site = Site::new("rotate-webhook").await;
    site.apply(
        "{apiVersion: snaphook.dev/v1alpha1, kind: Webhook, metadata: {name: alerts}, spec: {verification: {type: GitHub},
          delivery: {url: 'https://receiver.example.com/'}}}",
    )
    .await;
    site.kubectl(&["wait", "--for=condition=Ready", "webhook/alerts", "--timeout=120s"]).await;
    let both = async || {
        (secret(&site, "alerts-webhook", "url").await, secret(&site, "alerts-webhook", "signing-secret").await)
    };
    let first = both().await;
    site.snaphook(&["rotate", "webhook/alerts", "--yes"]).ended(0);
    let second = both().await;
    assert!(second.0 == first.0 && second.1 != first.1);
    let json = site.snaphook(&["rotate", "alerts", "--url", "--yes", "-o", "json"]).json();
    assert_eq!((&json["field"], &json["done"]), (&"spec.rotation.urlNonce".into(), &true.into()));
    let third = both().await;
    assert!(third.0 != second.0 && third.1 == second.1);
}

#[tokio::test]
async fn what_is_not_generated_is_not_rotated_and_the_right_way_is_told() {
    let site = Site::new("not-generated").await;
    site.apply(&credential("own", "{secretFrom: {secretKeyRef: {name: elsewhere, key: value}}}")).await;
    let told = site.snaphook(&["rotate", "own", "--yes"]).ended(FAILED);
    assert!(told.contains("the Secret elsewhere"), "{told}");
    assert!(site.snaphook(&["rotate", "appcred/own", "--url", "--yes"]).ended(FAILED).contains("for Webhooks"));
    assert!(site.snaphook(&["rotate", "whcred/pager", "--yes"]).ended(FAILED).contains("WebhookCredential"));
    assert!(site.snaphook(&["revoke", "wh/own", "--yes"]).ended(FAILED).contains("only an AppCredential"));
}

#[tokio::test]
async fn a_revocation_is_in_force_when_the_command_ends_and_git_is_warned_of() {
    let site = Site::new("revoke").await;
    site.apply_as("argocd-controller", &credential("billing", "{revoked: false}")).await;
    site.kubectl(&["wait", "--for=condition=Ready", "appcredential/billing", "--timeout=120s"]).await;
    site.eventually("served", || site.snaphook(&["verify", "billing"]).code == 0).await;
    let done = site.snaphook(&["revoke", "billing", "--yes"]);
    assert!(done.stderr.contains("spec.revoked is managed by argocd-controller"), "{done:?}");
    assert_eq!(done.ended(0).lines().next().unwrap(), "AppCredential billing: spec.revoked is changed, and in force");
    let resource = site.kubectl(&["get", "appcredential", "billing", "-o", "json", "--show-managed-fields"]).await;
    let resource: Value = serde_json::from_str(&resource).unwrap();
    assert_eq!(resource["status"]["state"], "Revoked");
    let managers = resource["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|entry| entry["manager"] == "kubectl-snaphook"), "{managers:?}");
    site.eventually("refused", || site.snaphook(&["verify", "billing"]).code == NO).await;
}
