//! A record ends with its resource, also where somebody has taken the finalizer away.

use std::fmt::Debug;

use kube::core::object::HasStatus;
use serde_json::json;
use snaphook::crd::{AppCredential, Kind, Webhook, WebhookCredential};

use crate::harness::{Server, Tenant, eventually, manifest, until, value};

#[tokio::test]
async fn a_finalizer_that_is_taken_away_comes_back_at_once() {
    let t = Tenant::new("stripped").await;
    comes_back::<AppCredential>(&t).await;
    comes_back::<Webhook>(&t).await;
    comes_back::<WebhookCredential>(&t).await;
}

async fn comes_back<K: Kind + HasStatus<Status: Debug>>(t: &Tenant<'_>) {
    let all = t.of::<K>();
    t.apply(&manifest::<K>("app")).await;
    all.ready("app").await;
    all.patch("app", &json!({ "metadata": { "finalizers": null } })).await;
    all.when("app", "held by its finalizer", |it| !it.meta().finalizers.as_deref().unwrap_or_default().is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_without_its_finalizer_ends_as_well() {
    let t = Tenant::alone("orphans").await;
    let controller = t.controller().await;
    let server = Server::start(&t.plane, &t.plane.server_account(&t.realm).await, &t.realm, &[]).await;
    for kind in [manifest::<AppCredential>("app"), manifest::<Webhook>("app"), manifest::<WebhookCredential>("app")] {
        t.apply(&kind).await;
    }
    t.of::<AppCredential>().ready("app").await;
    t.of::<Webhook>().ready("app").await;
    t.of::<WebhookCredential>().ready("app").await;
    let secret = t.secret("app-credential").await;
    let credentials = (value(&secret, "client-id"), value(&secret, "client-secret"));
    eventually("a token", async || server.token(&credentials).0 == 200).await;

    // The controller learns of both at once: it is too late for its cleanup.
    controller.process.signal("STOP").unwrap();
    strip_and_delete::<AppCredential>(&t).await;
    strip_and_delete::<Webhook>(&t).await;
    strip_and_delete::<WebhookCredential>(&t).await;
    assert!(t.of::<AppCredential>().record("app").await.is_some(), "nobody has removed it yet");
    controller.process.signal("CONT").unwrap();
    until("no record is left", || async {
        t.of::<AppCredential>().record("app").await.is_none()
            && t.of::<Webhook>().record("app").await.is_none()
            && t.of::<WebhookCredential>().record("app").await.is_none()
    })
    .await;
    eventually("the client is refused", async || server.token(&credentials).0 == 401).await;
    let (_, metrics) = controller.probe("/metrics").await;
    assert!(metrics.contains("snaphook_orphan_records_total 3"), "{metrics}");

    // Made anew, it is another one.
    t.apply(&manifest::<AppCredential>("app")).await;
    t.of::<AppCredential>().ready("app").await;
    eventually("the former secret is dead", async || server.token(&credentials).0 == 401).await;
}

async fn strip_and_delete<K: Kind + HasStatus<Status: Debug>>(t: &Tenant<'_>) {
    let all = t.of::<K>();
    all.patch("app", &json!({ "metadata": { "finalizers": null } })).await;
    all.delete("app").await;
}
