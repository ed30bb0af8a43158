//! The Secret as `secretTemplate` wants it, also when that changes.

use serde_json::json;

use crate::harness::{Tenant, until, value};

#[tokio::test]
async fn a_template_sets_name_type_labels_annotations_and_keys() {
    let t = Tenant::new("template").await;
    t.apply(
        "
kind: AppCredential
metadata: {name: app}
spec:
  secretTemplate:
    name: settings
    type: example.com/settings
    labels: {team: blue, example.com/tier: web}
    annotations: {example.com/note: 'hello, world'}
    keys: {clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, clientSecretPrevious: OLD, issuer: ISSUER, tokenUrl: TOKEN_URL, introspectionUrl: CHECK, jwksUrl: KEYS}",
    )
    .await;
    let resource = t.ready("app").await;
    assert_eq!(resource.status.unwrap().secret_name.as_deref(), Some("settings"));
    let secret = t.secret("settings").await;
    assert_eq!(secret.type_.as_deref(), Some("example.com/settings"));
    let (labels, annotations) = (secret.metadata.labels.clone().unwrap(), secret.metadata.annotations.clone().unwrap());
    assert_eq!((&*labels["team"], &*labels["example.com/tier"]), ("blue", "web"));
    assert_eq!(annotations["example.com/note"], "hello, world");
    let keys: Vec<_> = secret.data.as_ref().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["CHECK", "CLIENT_ID", "CLIENT_SECRET", "ISSUER", "KEYS", "TOKEN_URL"]);
    let first = value(&secret, "CLIENT_SECRET");
    t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
    until("rotated", || async { value(&t.secret("settings").await, "OLD") == first }).await;
}

/// The rules of the CRD say which keys the API server asks for; here it is asked.
#[tokio::test]
async fn types_with_keys_that_kubernetes_asks_for_are_made_with_them() {
    let t = Tenant::new("typed").await;
    for (name, type_, keys) in [
        ("basic", "kubernetes.io/basic-auth", "{clientId: username, clientSecret: password}"),
        ("password", "kubernetes.io/basic-auth", "{clientSecret: password}"),
        ("ssh", "kubernetes.io/ssh-auth", "{clientSecret: ssh-privatekey}"),
    ] {
        let template = format!("{{type: {type_}, keys: {keys}}}");
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{secretTemplate: {template}}}}}"))
            .await;
        t.ready(name).await;
        assert_eq!(t.secret(&format!("{name}-credential")).await.type_.as_deref(), Some(type_));
    }
}

#[tokio::test]
async fn another_name_moves_the_secret_without_changing_its_value() {
    let t = Tenant::new("rename").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {}}").await;
    t.ready("app").await;
    let before = t.secret("app-credential").await;
    t.patch("app", &json!({ "spec": { "secretTemplate": { "name": "other" } } })).await;
    let resource = t.ready("app").await;
    assert_eq!(resource.status.unwrap().secret_name.as_deref(), Some("other"));
    assert_eq!(t.secret("other").await.data, before.data);
    assert!(t.secrets().get_opt("app-credential").await.unwrap().is_none(), "the former Secret goes");
    assert_eq!(t.record("app").await.unwrap().secrets.len(), 1);
    t.patch("app", &json!({ "spec": { "secretTemplate": null } })).await;
    t.ready("app").await;
    assert_eq!(t.secret("app-credential").await.data, before.data);
}

#[tokio::test]
async fn keys_that_get_other_names_leave_nothing_behind() {
    let t = Tenant::new("keys").await;
    t.apply("{kind: AppCredential, metadata: {name: app}, spec: {}}").await;
    t.ready("app").await;
    let secret = value(&t.secret("app-credential").await, "client-secret");
    t.patch("app", &json!({ "spec": { "secretTemplate": { "keys": { "clientSecret": "PASSWORD" } } } })).await;
    t.ready("app").await;
    let after = t.secret("app-credential").await;
    assert_eq!(value(&after, "PASSWORD"), secret);
    assert!(!after.data.as_ref().unwrap().contains_key("client-secret"));
    // Two names that change places.
    let keys = json!({ "clientSecret": "client-id", "clientId": "PASSWORD" });
    t.patch("app", &json!({ "spec": { "secretTemplate": { "keys": keys } } })).await;
    t.ready("app").await;
    let swapped = t.secret("app-credential").await;
    assert_eq!(value(&swapped, "client-id"), secret);
    assert_eq!(value(&swapped, "PASSWORD"), format!("{}.app", t.namespace));
    assert_eq!(t.record("app").await.unwrap().secrets.len(), 1, "no new secret");
}

#[tokio::test]
async fn labels_and_annotations_come_change_and_go() {
    let t = Tenant::new("labels").await;
    t.apply(
        "
kind: AppCredential
metadata: {name: app, labels: {on: resource}, annotations: {on: resource}}
spec: {secretTemplate: {labels: {a: '1', b: '1'}, annotations: {a: '1', b: '1'}}}",
    )
    .await;
    t.ready("app").await;
    let metadata = async || t.secret("app-credential").await.metadata;
    assert!(!metadata().await.labels.unwrap().contains_key("on"), "those of the resource are not copied");
    let change = json!({ "a": null, "b": "2", "c": "3" });
    t.patch("app", &json!({ "spec": { "secretTemplate": { "labels": change, "annotations": change } } })).await;
    t.ready("app").await;
    for map in [metadata().await.labels.unwrap(), metadata().await.annotations.unwrap()] {
        assert_eq!((map.get("a"), &*map["b"], &*map["c"]), (None, "2", "3"));
        assert!(map.keys().any(|key| key.starts_with("snaphook.dev/")));
    }
    t.patch("app", &json!({ "spec": { "secretTemplate": { "labels": null } } })).await;
    t.ready("app").await;
    assert!(!metadata().await.labels.unwrap().contains_key("b"));
}
