//! A namespace is given a realm of its own, and loses it again.

use kube::api::ListParams;
use snaphook::{
    crd::{AppCredential, Webhook},
    record::{self, bundle},
};

use super::{
    apply_app, is_active,
    pod::{Sidecar, credentials, records},
    row, with_realms,
};
use crate::harness::{Controller, Server, Tenant, eventually, until, value};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_urls_survive_a_move_and_tokens_of_the_old_issuer_do_not() {
    let t = Tenant::alone("mover").await;
    let mount = records(&t);
    let sidecar = Sidecar::mounted(&t, &mount, &[]).await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let controller = Controller::start(&t.plane, &kubeconfig, &with_realms(&t, &[]));
    apply_app(&t, "app", "{scopes: ['snaphook:introspect']}").await;
    apply_app(&t, "refused", "{}").await;
    t.apply("{kind: Webhook, metadata: {name: hook}, spec: {verification: {type: GitHub}, delivery: {url: 'https://hooks.example.net/'}}}").await;
    t.ready("app").await;
    t.ready("refused").await;
    t.of::<Webhook>().ready("hook").await;
    let server = Server::start(&t.plane, &t.plane.server_account(&t.realm).await, &t.realm, &[]).await;
    let app = credentials(&t.secret("app-credential").await);
    eventually("a token", async || server.token(&app).0 == 200).await;
    let token = server.access_token(&app);
    let before = t.record("app").await.unwrap();
    let id = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
    let url = id(&value(&t.secret("hook-webhook").await, "url"));
    // One that the policy would refuse is moved with what it had.
    t.patch(
        "refused",
        &serde_json::json!({ "spec": { "secretFrom": { "secretKeyRef": { "name": "none", "key": "x" } } } }),
    )
    .await;
    t.waiting("refused", "ReferenceNotAvailable").await;

    controller.configure(&with_realms(&t, &[row(&t, "https://own.example.com", &sidecar.url)]));
    let moved = || async { value(&t.secret("app-credential").await, "issuer") == "https://own.example.com" };
    until("the Secret leads to the sidecar", moved).await;
    let none_left = || async {
        let left = ListParams::default().labels(&format!("{}={}", record::NAMESPACE_LABEL, t.namespace));
        t.records().list(&left).await.unwrap().items.is_empty()
    };
    until("the shared realm has nothing of it", none_left).await;
    assert_eq!(t.record("app").await.unwrap().generation, before.generation);
    assert_eq!(credentials(&t.secret("app-credential").await), app);
    assert!(t.record("refused").await.is_some());
    let status = t
        .of::<Webhook>()
        .reports("hook", "moved", |it| it.url.as_ref().is_some_and(|it| it.starts_with("http://localhost")))
        .await;
    assert_eq!(id(&status.url.unwrap()), url);
    eventually("the shared realm does not know the client", async || server.token(&app).0 == 401).await;
    mount.sync().await;
    eventually("the sidecar does", async || sidecar.token(&t.secret("app-credential").await) == 200).await;
    assert!(!is_active(&sidecar.server.introspect(&app, &token)), "the old issuer's tokens have ended");
    let own = sidecar.server.access_token(&app);

    controller.configure(&with_realms(&t, &[]));
    until("the bundles are gone", || async { t.bundles().await.is_empty() }).await;
    eventually("a token of the shared realm", async || server.token(&app).0 == 200).await;
    assert!(t.of::<AppCredential>().shared_record("app").await.is_some());
    assert!(!is_active(&server.introspect(&app, &own)));
    assert_eq!(credentials(&t.secret("app-credential").await), app);
    until("the URL is back", || async {
        value(&t.secret("hook-webhook").await, "url").starts_with("https://auth.example.com/hooks/")
    })
    .await;
    assert_eq!(id(&value(&t.secret("hook-webhook").await, "url")), url);
}

#[tokio::test]
async fn a_realm_that_is_made_smaller_keeps_its_records() {
    let t = Tenant::alone("smaller").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let config = |bundles: u8| {
        let row = format!("{{namespace: {}, issuer: 'https://own.example.com', bundles: {bundles}}}", t.namespace);
        with_realms(&t, &[row])
    };
    let controller = Controller::start(&t.plane, &kubeconfig, &config(2));
    apply_app(&t, "app", "{}").await;
    t.ready("app").await;
    let before = t.record("app").await.unwrap();
    // As if the first had been full when it was made.
    let first = t.secret(&bundle::name(0)).await;
    let file = record::file_name(record::Kind::Client, &t.record_name("app"));
    let moved = first.data.unwrap()[&file].clone();
    controller.stop().await;
    let second = format!(
        "{{kind: Secret, metadata: {{name: {}, labels: {{snaphook.dev/record: bundle}}}}, type: {}, data: {{{file}: {}}}}}",
        bundle::name(1),
        record::SECRET_TYPE,
        serde_json::to_string(&moved).unwrap(),
    );
    t.apply(&second).await;
    let _controller = controller.another(&kubeconfig);
    controller.configure(&config(1));
    until("the record is in the first alone", || async {
        let has = |secret: &k8s_openapi::api::core::v1::Secret| {
            secret.data.as_ref().is_some_and(|data| data.contains_key(&file))
        };
        t.bundles().await.iter().map(has).collect::<Vec<_>>() == [true, false]
    })
    .await;
    assert_eq!(t.record("app").await.unwrap(), before);
}
