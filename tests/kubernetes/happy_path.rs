//! From `kubectl apply` to a Secret that an app mounts, and back.

use kube::ResourceExt as _;
use serde_json::json;

use crate::harness::{SOON, Tenant, hash_of, until, value};

const BILLING: &str = "
apiVersion: snaphook.dev/v1alpha1
kind: AppCredential
metadata: {name: billing}
spec:
  displayName: Billing service
  scopes: [orders:read, invoices:write]
  expiresAt: '2099-01-01T00:00:00Z'
";

#[tokio::test]
async fn what_kubectl_applies_becomes_a_secret_and_a_row_in_kubectl_get() {
    let t = Tenant::new("happy").await;
    let kubectl = async |arguments: &[&str], input: &str| {
        let arguments = [&["--namespace", &t.namespace], arguments].concat();
        t.plane.kubectl_with_input(&arguments, input).await.unwrap().success().unwrap()
    };
    kubectl(&["apply", "-f", "-"], BILLING).await;
    kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "appcredential/billing"], "").await;

    let table = kubectl(&["get", "appcredentials", "-o", "wide"], "").await;
    let columns =
        ["DISPLAY NAME", "CLIENT ID", "SCOPES", "STATUS", "EXPIRES", "AGE", "READY", "REASON", "SECRET", "CREATED"];
    let client_id = format!("{}.billing", t.namespace);
    let cells = [
        "Billing service",
        &client_id,
        "orders:read invoices:write",
        "Active",
        "2099-01-01T00:00:00Z",
        "billing-credential",
    ];
    for text in columns.iter().chain(&cells) {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
    assert!(kubectl(&["get", "snaphook"], "").await.contains("billing"), "the category");
    assert!(kubectl(&["get", "appcred"], "").await.contains("billing"), "the short name");

    let resource = t.ready("billing").await;
    assert_eq!(resource.finalizers(), ["snaphook.dev/record"]);
    let secret = t.secret("billing-credential").await;
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    for (key, expected) in [
        ("client-id", client_id.as_str()),
        ("issuer", "https://auth.example.com"),
        ("token-url", "http://snaphook.test/oauth/token"),
        ("introspection-url", "http://snaphook.test/oauth/introspect"),
        ("jwks-url", "http://snaphook.test/oauth/jwks"),
    ] {
        assert_eq!(value(&secret, key), expected, "{key}");
    }
    let client_secret = value(&secret, "client-secret");
    assert!(client_secret.starts_with("snaphook_") && client_secret.len() == 58);
    assert_eq!(secret.data.as_ref().unwrap().len(), 6, "nothing else");
    let [owner] = secret.owner_references() else { panic!("{:?}", secret.owner_references()) };
    assert_eq!((&*owner.kind, &*owner.name, &*owner.uid), ("AppCredential", "billing", &*resource.uid().unwrap()));
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), None));

    let record = t.record("billing").await.unwrap();
    assert_eq!(record.client_id, client_id);
    assert_eq!(record.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&client_secret)]);
    assert!(t.event("billing", "Created").await.contains("billing-credential"));
}

#[tokio::test]
async fn kubectl_delete_returns_when_the_record_is_gone_and_the_secret_follows() {
    let t = Tenant::new("delete").await;
    t.apply(BILLING).await;
    t.ready("billing").await;
    let gone = t.plane.kubectl(&["--namespace", &t.namespace, "delete", "appcredential", "billing"]).await.unwrap();
    assert!(t.record("billing").await.is_none(), "the record outlived kubectl delete");
    gone.success().unwrap();
    until("the Secret is collected", || async { t.secrets().get_opt("billing-credential").await.unwrap().is_none() })
        .await;
}

#[tokio::test]
async fn with_retain_the_secret_stays_and_applying_again_keeps_its_value() {
    let t = Tenant::new("retain").await;
    let yaml = "
kind: AppCredential
metadata: {name: kept}
spec: {deletionPolicy: Retain}";
    t.apply(yaml).await;
    t.ready("kept").await;
    let before = t.secret("kept-credential").await;
    assert!(before.owner_references().is_empty());
    t.delete("kept").await;
    assert!(t.record("kept").await.is_none());
    assert_eq!(t.secret("kept-credential").await.data, before.data);
    t.apply(yaml).await;
    let again = t.ready("kept").await;
    assert_eq!(t.secret("kept-credential").await.data, before.data);
    let record = t.record("kept").await.unwrap();
    assert_eq!(record.source.uid, again.uid().unwrap());
    assert_eq!(record.secrets[0].hash, hash_of(&value(&before, "client-secret")));
}

#[tokio::test]
async fn a_policy_of_retain_that_comes_later_lets_the_secret_go_free() {
    let t = Tenant::new("retain-later").await;
    t.apply("{kind: AppCredential, metadata: {name: kept}, spec: {}}").await;
    t.ready("kept").await;
    let before = t.secret("kept-credential").await;
    t.patch("kept", &json!({ "spec": { "deletionPolicy": "Retain" } })).await;
    t.ready("kept").await;
    let after = t.secret("kept-credential").await;
    assert!(after.owner_references().is_empty());
    assert_eq!(after.data, before.data);
    t.patch("kept", &json!({ "spec": { "deletionPolicy": "Delete" } })).await;
    t.ready("kept").await;
    assert_eq!(t.secret("kept-credential").await.owner_references().len(), 1);
}

#[tokio::test]
async fn deletion_needs_no_valid_spec() {
    let t = Tenant::new("restricted").await;
    t.apply("{kind: AppCredential, metadata: {name: fine}, spec: {scopes: [orders:read]}}").await;
    t.ready("fine").await;
    t.patch("fine", &json!({ "spec": { "scopes": ["forbidden"] } })).await;
    t.stalled("fine", "NotAllowedByPolicy").await;
    tokio::time::timeout(SOON, t.delete("fine")).await.unwrap();
    assert!(t.record("fine").await.is_none());
}

#[tokio::test]
async fn deleted_and_made_again_it_is_another_credential_with_the_same_id() {
    let t = Tenant::new("again").await;
    t.apply(BILLING).await;
    t.ready("billing").await;
    let (first, old) =
        (t.record("billing").await.unwrap(), value(&t.secret("billing-credential").await, "client-secret"));
    t.delete("billing").await;
    t.apply(BILLING).await;
    t.ready("billing").await;
    let second = t.record("billing").await.unwrap();
    assert_eq!(second.client_id, first.client_id);
    assert_ne!(second.generation, first.generation, "tokens of the first must stay dead");
    let new = t.new_value("billing-credential", &old).await;
    assert_eq!(second.secrets.iter().map(|it| it.hash).collect::<Vec<_>>(), [hash_of(&new)]);
}
