//! A client secret that the user brings: `secretFrom` and `secretHash`.

use serde_json::json;

use crate::harness::{Tenant, hash_of, value};

const VAULTED: &str = "from-the-vault-0123456789-0123456789";
const CHANGED: &str = "from-the-vault-changed-9876543210-98";
const APP: &str = "
kind: AppCredential
metadata: {name: app}
spec: {secretFrom: {secretKeyRef: {name: vault, key: password}}}";

fn vault(labels: &str, value: &str) -> String {
    format!("{{kind: Secret, metadata: {{name: vault, labels: {labels}}}, stringData: {{password: {}}}}}", json!(value))
}

const ALLOWED: &str = "{snaphook.dev/allow-reference: 'true'}";

#[tokio::test]
async fn a_reference_waits_for_its_secret_then_for_its_label_and_then_is_ready() {
    let t = Tenant::new("reference").await;
    t.apply(APP).await;
    let message = t.waiting("app", "ReferenceNotAvailable").await;
    assert!(message.contains("vault") && message.contains("snaphook.dev/allow-reference=true"), "{message}");
    assert!(t.record("app").await.is_none() && t.secrets().get_opt("app-credential").await.unwrap().is_none());

    t.apply(&vault("{}", VAULTED)).await;
    t.patch("app", &json!({ "spec": { "displayName": "look" } })).await;
    t.sentinel().await;
    assert_eq!(t.waiting("app", "ReferenceNotAvailable").await, message, "whether it is there is not told");
    let command = message.split("kubectl ").nth(1).unwrap();
    assert!(command.starts_with("label secret vault"), "{message}");
    t.plane.kubectl(&command.split(' ').collect::<Vec<_>>()).await.unwrap().success().unwrap();
    t.ready("app").await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), VAULTED);
    let record = t.record("app").await.unwrap();
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(VAULTED)]);

    t.apply(&vault(ALLOWED, CHANGED)).await;
    assert_eq!(t.new_value("app-credential", VAULTED).await, CHANGED);
    let record = t.record_when("app", "the old one ends", |it| it.secrets[0].not_after.is_some()).await;
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(VAULTED), hash_of(CHANGED)]);
    assert_eq!(value(&t.secret("app-credential").await, "client-secret-previous"), VAULTED);
    t.event("app", "SecretChanged").await;

    t.secrets().delete("vault", &kube::api::DeleteParams::default()).await.unwrap();
    t.waiting("app", "ReferenceNotAvailable").await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), CHANGED, "what works goes on working");
    assert_eq!(t.record("app").await.unwrap(), record);
}

#[tokio::test]
async fn values_that_could_be_guessed_or_not_be_sent_are_refused() {
    let t = Tenant::new("unfit").await;
    t.apply(APP).await;
    for (value, reason) in [
        ("0123456789-0123456789-012345678", "SecretTooShort"),
        ("0123456789-0123456789-0123456789-é", "SecretNotPrintable"),
        ("0123456789-0123456789\n0123456789-01", "SecretNotPrintable"),
        (&*"x".repeat(1025), "SecretNotPrintable"),
    ] {
        t.apply(&vault(ALLOWED, value)).await;
        let message = t.stalled("app", reason).await;
        assert!(message.contains("vault") && !message.contains(value), "{message}");
    }
    assert!(t.record("app").await.is_none());
    t.patch("app", &json!({ "spec": { "secretFrom": { "secretKeyRef": { "key": "other" } } } })).await;
    let message = t.waiting("app", "SecretKeyNotFound").await;
    assert!(message.contains("\"other\""), "{message}");
}

#[tokio::test]
async fn a_newline_at_the_end_of_a_file_is_no_part_of_the_secret() {
    let t = Tenant::new("newline").await;
    t.apply(&vault(ALLOWED, &format!("{VAULTED}\n"))).await;
    t.apply(APP).await;
    t.ready("app").await;
    assert_eq!(value(&t.secret("app-credential").await, "client-secret"), VAULTED);
    assert_eq!(t.record("app").await.unwrap().secrets[0].hash, hash_of(VAULTED));
}

#[tokio::test]
async fn of_a_declared_hash_nothing_secret_is_in_the_cluster_and_its_change_has_an_overlap() {
    let t = Tenant::new("hash").await;
    let yaml = |value: &str| {
        format!("{{kind: AppCredential, metadata: {{name: app}}, spec: {{secretHash: '{}'}}}}", hash_of(value))
    };
    t.apply(&yaml(VAULTED)).await;
    t.ready("app").await;
    let secret = t.secret("app-credential").await;
    assert!(!secret.data.as_ref().unwrap().contains_key("client-secret"));
    assert_eq!(value(&secret, "client-id"), format!("{}.app", t.namespace));
    t.apply(&yaml(CHANGED)).await;
    let record = t.record_when("app", "the old one ends", |it| it.secrets[0].not_after.is_some()).await;
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(VAULTED), hash_of(CHANGED)]);
    t.ready("app").await;

    t.patch("app", &json!({ "spec": { "secretHash": null } })).await;
    let generated = t.new_value("app-credential", "").await;
    assert!(generated.starts_with("snaphook_"));
    t.ready("app").await;
    assert_eq!(t.record("app").await.unwrap().secrets.last().unwrap().hash, hash_of(&generated));
}
