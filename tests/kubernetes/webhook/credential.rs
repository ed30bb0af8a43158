//! The credential that calls are sent with comes and goes, and the Webhooks that name it show it at once.

use serde_json::json;
use snaphook::crd::{Webhook, WebhookCredential, WebhookStatus};

use super::webhook;
use crate::harness::Tenant;

const PAGER: &str = "{kind: WebhookCredential, metadata: {name: pager}, spec: {type: ClientId, fieldName: clientid, location: Header, clientId: link}}";

fn authenticated(status: &WebhookStatus) -> Option<(&str, &str)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == "Authenticated")?;
    Some((&found.reason, &found.message))
}

#[tokio::test]
async fn a_credential_that_is_deleted_while_in_use_is_no_auth_within_a_second() {
    let t = Tenant::new("noauth").await;
    let (webhooks, credentials) = (t.of::<Webhook>(), t.of::<WebhookCredential>());
    t.apply(PAGER).await;
    credentials.ready("pager").await;
    let delivery = |on_missing: &str| json!({ "delivery": { "url": "https://hooks.example.net/in", "credentialRef": { "name": "pager" }, "onMissingCredential": on_missing } });
    for (name, on_missing) in [("sends", "SendUnauthenticated"), ("holds", "Hold"), ("drops", "DeadLetter")] {
        t.apply(&webhook(name, &delivery(on_missing))).await;
    }
    for name in ["sends", "holds", "drops"] {
        let status = webhooks.reports(name, "with the credential", |it| it.auth.as_deref() == Some("pager")).await;
        assert_eq!(authenticated(&status).unwrap().0, "CredentialFound");
    }

    credentials.delete("pager").await;
    for (name, effect) in [("sends", "sent without"), ("holds", "wait for it"), ("drops", "become dead letters")] {
        let status = webhooks.reports(name, "without", |it| it.auth.as_deref() == Some("No Auth")).await;
        let (reason, message) = authenticated(&status).unwrap();
        assert!(reason == "CredentialMissing" && message.contains("pager") && message.contains(effect), "{message}");
        webhooks.ready(name).await;
    }
    assert!(t.event("sends", "CredentialMissing").await.contains("pager"));
    let table = t.plane.kubectl(&["-n", &t.namespace, "get", "webhook", "sends"]).await.unwrap().success().unwrap();
    assert!(table.contains("No Auth"), "{table}");

    t.apply(PAGER).await;
    webhooks.reports("sends", "with it again", |it| it.auth.as_deref() == Some("pager")).await;
    t.event("sends", "CredentialFound").await;
}

#[tokio::test]
async fn one_that_is_not_ready_is_no_credential_and_one_that_is_not_named_is_no_condition() {
    let t = Tenant::new("unready").await;
    let webhooks = t.of::<Webhook>();
    let waiting = "{kind: WebhookCredential, metadata: {name: pager}, spec: {type: ClientId, fieldName: a, location: Header, clientIdFrom: {secretKeyRef: {name: vault, key: id}}}}";
    t.apply(waiting).await;
    t.apply(&webhook(
        "named",
        &json!({ "delivery": { "url": "https://a.example/", "credentialRef": { "name": "pager" } } }),
    ))
    .await;
    let status = webhooks.ready("named").await.status.unwrap();
    assert_eq!((status.auth.as_deref(), authenticated(&status).unwrap().0), (Some("No Auth"), "CredentialMissing"));
    t.apply("{kind: Secret, metadata: {name: vault, labels: {snaphook.dev/allow-reference: 'true'}}, stringData: {id: link}}").await;
    webhooks.reports("named", "with it", |it| it.auth.as_deref() == Some("pager")).await;
    t.apply(&webhook("plain", &json!({}))).await;
    let status = webhooks.ready("plain").await.status.unwrap();
    assert_eq!((status.auth.as_deref(), authenticated(&status)), (Some("No Auth"), None));
}
