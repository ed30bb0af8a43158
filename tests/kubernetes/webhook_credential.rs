//! A credential for outgoing calls: what is sent, where it comes from, when it changed, and who uses it.

use std::time::Duration;

use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;
use snaphook::{
    crd::{WebhookCredential, WebhookCredentialStatus},
    record::{InjectionRecord, Location},
};

use crate::harness::{Tenant, until, value};

const PAGER: &str = "{kind: WebhookCredential, metadata: {name: pager}, spec: {displayName: Pager, type: ClientId, fieldName: clientid, location: Header, clientId: link}}";

fn vault(labelled: bool, id: &str, secret: &str) -> String {
    json!({
        "kind": "Secret",
        "metadata": { "name": "vault", "labels": { "snaphook.dev/allow-reference": labelled.to_string() } },
        "stringData": { "id": id, "secret": secret },
    })
    .to_string()
}

fn both(name: &str) -> String {
    format!(
        "{{kind: WebhookCredential, metadata: {{name: {name}}}, spec: {{type: ClientIdAndSecret, fieldName: clientid, location: QueryParam, clientIdFrom: {{secretKeyRef: {{name: vault, key: id}}}}, clientSecretFrom: {{secretKeyRef: {{name: vault, key: secret}}}}}}}}"
    )
}

fn webhook(name: &str, credential: &str) -> String {
    format!(
        "{{kind: Webhook, metadata: {{name: {name}}}, spec: {{verification: {{type: GitHub}}, delivery: {{url: 'https://hooks.example.net/in', credentialRef: {{name: {credential}}}}}}}}}"
    )
}

fn sent(record: &InjectionRecord) -> (Location, &str, &str) {
    (record.location, &record.field_name, record.value.expose())
}

#[tokio::test]
async fn what_kubectl_applies_becomes_a_secret_a_record_and_a_row_in_kubectl_get() {
    let t = Tenant::new("credential").await;
    let all = t.of::<WebhookCredential>();
    let kubectl = async |arguments: &[&str]| {
        let arguments = [&["--namespace", &t.namespace], arguments].concat();
        t.plane.kubectl(&arguments).await.unwrap().success().unwrap()
    };
    t.apply(PAGER).await;
    kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "webhookcredential/pager"]).await;
    let table = kubectl(&["get", "whcred", "-o", "wide"]).await;
    let columns = ["DISPLAY NAME", "TYPE", "LOCATION", "FIELD", "USED BY", "MODIFIED", "AGE", "READY", "SECRET"];
    for text in columns.iter().chain(&["Pager", "ClientId", "Header", "clientid", "pager-webhook-credential"]) {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
    assert!(!table.contains("link"), "a value is in\n{table}");

    let resource = all.ready("pager").await;
    assert_eq!(resource.finalizers(), ["snaphook.dev/record"]);
    let secret = t.secret("pager-webhook-credential").await;
    for (key, expected) in [("field-name", "clientid"), ("location", "Header"), ("value", "link")] {
        assert_eq!(value(&secret, key), expected);
    }
    assert_eq!(secret.data.as_ref().unwrap().len(), 3, "nothing else");
    assert_eq!(secret.owner_references()[0].kind, "WebhookCredential");
    assert_eq!(sent(&all.record("pager").await.unwrap()), (Location::Header, "clientid", "link"));
    assert!(t.event("pager", "Created").await.contains("pager-webhook-credential"));

    all.delete("pager").await;
    assert!(all.record("pager").await.is_none(), "kubectl delete returned before the record was gone");
    until("the Secret goes", || async { t.secrets().get_opt(&secret.name_any()).await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn id_and_secret_are_sent_as_the_base64_of_both_joined_with_nothing_between_them() {
    let t = Tenant::new("both").await;
    let all = t.of::<WebhookCredential>();
    t.apply(&vault(true, "link\n", "epona")).await;
    t.apply(&both("pager")).await;
    all.ready("pager").await;
    assert_eq!(sent(&all.record("pager").await.unwrap()), (Location::QueryParam, "clientid", "bGlua2Vwb25h"));
    assert_eq!(value(&t.secret("pager-webhook-credential").await, "value"), "bGlua2Vwb25h");
    // Everything but the type can be edited, and a display name need not be unique.
    t.apply(&both("second")).await;
    let same_name = json!({ "spec": { "displayName": "Pager" } });
    all.patch("pager", &same_name).await;
    all.patch("second", &same_name).await;
    all.ready("second").await;
    all.patch("pager", &json!({ "spec": { "location": "Header", "fieldName": "X-Api-Key" } })).await;
    let record = all.record_when("pager", "edited", |it| it.location == Location::Header).await;
    assert_eq!(sent(&record), (Location::Header, "X-Api-Key", "bGlua2Vwb25h"));
    assert!(t.event("pager", "Changed").await.contains("header X-Api-Key"));
    let secret = t.secret("pager-webhook-credential").await;
    assert_eq!((value(&secret, "field-name"), value(&secret, "location")), ("X-Api-Key".into(), "Header".into()));
}

#[tokio::test]
async fn a_secret_is_referred_to_only_where_its_owner_allows_it_and_is_waited_for() {
    let t = Tenant::new("reference").await;
    let all = t.of::<WebhookCredential>();
    t.apply(&both("pager")).await;
    let message = all.refused("pager", "Reconciling", "ReferenceNotAvailable").await;
    assert!(message.starts_with("spec.clientIdFrom: waiting for the Secret vault"), "{message}");
    t.apply(&vault(false, "link", "epona")).await;
    all.touch("pager").await;
    assert_eq!(all.refused("pager", "Reconciling", "ReferenceNotAvailable").await, message);
    let fix = format!("kubectl label secret vault -n {} snaphook.dev/allow-reference=true", t.namespace);
    assert!(message.ends_with(&fix), "{message}");
    assert!(
        all.record("pager").await.is_none() && t.secrets().get_opt("pager-webhook-credential").await.unwrap().is_none()
    );

    let label = fix.split(' ').skip(1).chain(["--overwrite"]).collect::<Vec<_>>();
    t.plane.kubectl(&label).await.unwrap().success().unwrap();
    all.ready("pager").await;
    t.patch_secret("vault", &json!({ "stringData": { "secret": "canary-with\r\n-breaks" } })).await;
    let message = all.refused("pager", "Stalled", "ValueNotAllowed").await;
    assert!(message.starts_with("spec.clientSecretFrom: the client secret has a line break"), "{message}");
    assert!(!message.contains("canary"), "{message}");
    assert_eq!(all.record("pager").await.unwrap().value.expose(), "bGlua2Vwb25h", "the last good value stays");
    t.patch_secret("vault", &json!({ "stringData": { "secret": "zelda" } })).await;
    all.record_when("pager", "the new value", |it| it.value.expose() == "bGlua3plbGRh").await;
    all.ready("pager").await;
}

#[tokio::test]
async fn last_modified_moves_with_the_spec_and_with_referenced_values_and_with_nothing_else() {
    let t = Tenant::alone("modified").await;
    let controller = t.controller().await;
    let all = t.of::<WebhookCredential>();
    let modified = |status: &WebhookCredentialStatus| status.last_modified.unwrap();
    let next_second = || tokio::time::sleep(Duration::from_millis(1100));
    t.apply(&vault(true, "link", "epona")).await;
    t.apply(&both("first")).await;
    let first = modified(&all.ready("first").await.status.unwrap());
    next_second().await;
    t.apply(PAGER).await;
    let pager = modified(&all.ready("pager").await.status.unwrap());
    assert!(pager > first);

    // Nothing of this is a change of what is sent.
    next_second().await;
    t.apply(&webhook("alerts", "first")).await;
    all.reports("first", "in use", |it| it.used_by.as_ref().is_some_and(|used| used.count == 1)).await;
    t.secrets().delete("first-webhook-credential", &DeleteParams::default()).await.unwrap();
    until("the Secret is back", || async { t.secrets().get_opt("first-webhook-credential").await.unwrap().is_some() })
        .await;
    t.patch_secret("vault", &json!({ "stringData": { "other": "note" } })).await;
    controller.stop().await;
    let _controller = t.controller().await;
    all.patch("first", &json!({ "metadata": { "annotations": { "note": "mine" } } })).await;
    t.sentinel().await;
    let status = all.api().get("first").await.unwrap().status.unwrap();
    assert_eq!(modified(&status), first);

    next_second().await;
    t.patch_secret("vault", &json!({ "stringData": { "secret": "zelda" } })).await;
    let status = all.reports("first", "modified by a value", |it| modified(it) > pager).await;
    let by_value = modified(&status);
    assert!(!serde_json::to_string(&status).unwrap().contains("bGlua"), "a value in the status");
    next_second().await;
    all.patch("pager", &json!({ "spec": { "displayName": "Other" } })).await;
    all.reports("pager", "modified by its spec", |it| modified(it) > by_value).await;
    let list = ["-n", &t.namespace, "get", "webhookcredentials", "--sort-by=.status.lastModified", "-o", "name"];
    let sorted = t.plane.kubectl(&list).await.unwrap().success().unwrap();
    let names: Vec<_> = sorted.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["first", "pager"], "newest last");
}

#[tokio::test]
async fn the_webhooks_that_name_it_are_counted_and_fifty_of_them_listed() {
    let t = Tenant::new("used").await;
    let all = t.of::<WebhookCredential>();
    t.apply(PAGER).await;
    for index in 0..52 {
        t.apply(&webhook(&format!("w{index:02}"), "pager")).await;
    }
    t.apply(&webhook("another", "other")).await;
    let used = async |count: i64| {
        let fits = |it: &WebhookCredentialStatus| it.used_by.as_ref().is_some_and(|used| used.count == count);
        all.reports("pager", &format!("used by {count}"), fits).await.used_by.unwrap().webhooks
    };
    let names = used(52).await;
    assert_eq!((names.len(), &*names[0], &*names[49]), (50, "w00", "w49"));
    let webhooks = t.of::<snaphook::crd::Webhook>();
    webhooks.patch("w00", &json!({ "spec": { "delivery": { "credentialRef": { "name": "other" } } } })).await;
    webhooks.patch("w01", &json!({ "spec": { "delivery": { "credentialRef": null } } })).await;
    webhooks.api().delete("w02", &DeleteParams::default()).await.unwrap();
    assert_eq!(used(49).await[0], "w03");
    webhooks.patch("w00", &json!({ "spec": { "delivery": { "credentialRef": { "name": "pager" } } } })).await;
    assert_eq!(used(50).await[0], "w00");
}
