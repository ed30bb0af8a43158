//! `status`: from a resource that is not ready to what has to be done.

use crate::site::{FAILED, NO, Site, USAGE, credential};

const OWN: &str = "{secretFrom: {secretKeyRef: {name: own, key: value}}}";

#[tokio::test]
async fn a_chain_is_followed_to_its_broken_link_and_the_fix_that_is_told_works() {
    let site = Site::new("chain").await;
    site.apply(&credential("billing", OWN)).await;
    site.eventually("an Event", || site.snaphook(&["status"]).stdout.contains("Event, ")).await;
    let told = site.snaphook(&["status", "billing"]).ended(NO);
    for part in [
        &format!("AppCredential {}/billing: not ready", site.namespace),
        "Ready is False, ReferenceNotAvailable: ",
        "FAIL Secret own, key value: does not exist",
        "FAIL Secret billing-credential: is not there",
        " ReferenceNotAvailable: ",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }

    site.kubectl(&["create", "secret", "generic", "own", "--from-literal=value=0123456789-0123456789-0123456789"])
        .await;
    let told = site.snaphook(&["status", "appcredential/billing"]).ended(NO);
    let (_, fix) = told.split_once("kubectl label").expect(&told);
    let fix: Vec<&str> = fix.lines().next().unwrap().split_whitespace().collect();
    site.kubectl(&[&["label"], &fix[..]].concat()).await;
    site.kubectl(&["wait", "--for=condition=Ready", "appcredential/billing", "--timeout=120s"]).await;
    let told = site.snaphook(&["status", "billing"]).ended(0);
    assert!(told.contains("ready, Active") && told.contains("ok   Secret own, key value"), "{told}");
    assert!(!told.contains("0123456789"), "{told}");
}

#[tokio::test]
async fn a_webhook_is_followed_to_its_credential_and_service() {
    let site = Site::new("webhook").await;
    site.apply(
        "{apiVersion: snaphook.dev/v1alpha1, kind: Webhook, metadata: {name: alerts}, spec: {verification: {type: GitHub},
          delivery: {service: {name: receiver, port: 80}, credentialRef: {name: pager}}}}",
    )
    .await;
    let told = || site.snaphook(&["status", "wh/alerts", "-o", "json"]);
    site.eventually("looked at", || !told().json()["resources"][0]["conditions"].as_array().unwrap().is_empty()).await;
    let checks = told().json()["resources"][0]["checks"].clone();
    let failed = |subject: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["subject"] == subject);
        assert_eq!(check.expect(subject)["ok"], false, "{subject}: {checks}");
    };
    failed("WebhookCredential pager");
    failed("Service receiver");
}

#[tokio::test]
async fn all_of_a_namespace_is_a_line_each_and_names_that_are_wrong_are_told() {
    let site = Site::new("all").await;
    assert!(site.snaphook(&["status"]).ended(0).starts_with("There are no resources"));
    site.ready("one", "{}").await;
    site.ready("two", "{}").await;
    let told = site.snaphook(&["status"]).ended(0);
    let name = &site.namespace;
    assert_eq!(told, format!("AppCredential {name}/one: ready, Active\nAppCredential {name}/two: ready, Active\n"));
    assert_eq!(site.snaphook(&["status", "-o", "json"]).json()["resources"][1]["ready"], true);
    assert!(site.snaphook(&["status", "nobody"]).ended(FAILED).contains("there is no AppCredential or Webhook or"));
    site.snaphook(&["status", "secret/x"]).ended(USAGE);
    site.snaphook(&["status", "--context", "nowhere"]).ended(FAILED);
}

#[tokio::test]
async fn the_default_namespace_is_that_of_the_kubeconfig() {
    let site = Site::new("default").await;
    site.ready("here", "{}").await;
    let kubeconfig = site.directory().join("kubeconfig");
    let flat = site.kubectl(&["config", "view", "--raw", "--flatten"]).await;
    std::fs::write(&kubeconfig, flat).unwrap();
    let file = kubeconfig.to_str().unwrap();
    let namespace = format!("--namespace={}", site.namespace);
    site.kubectl(&["--kubeconfig", file, "config", "set-context", "--current", &namespace]).await;
    let told = site.snaphook_with(&["status", "here", "--kubeconfig", file], &[]).ended(0);
    assert!(told.starts_with(&format!("AppCredential {}/here: ready", site.namespace)), "{told}");
}
