//! How many writes the controller makes, counted by the API server's audit log.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;
use snaphook::crd::{AppCredential, AppCredentialSpec};

use crate::harness::{Tenant, until};

#[tokio::test]
async fn a_new_credential_costs_five_writes_and_an_unchanged_one_none() {
    let t = Tenant::new("budget").await;
    let start = t.plane.audit().mark().unwrap();
    t.apply("{kind: AppCredential, metadata: {name: billing}, spec: {scopes: [orders:read]}}").await;
    t.ready("billing").await;
    t.event("billing", "Created").await;
    let made = t.writes_since(start);
    let mut verbs: Vec<_> = made.iter().map(|it| format!("{} {}/{}", it.verb, it.resource, it.subresource)).collect();
    verbs.sort();
    let expected = [
        "create events/",
        "create secrets/",
        "create secrets/",
        "patch appcredentials/",
        "patch appcredentials/status",
    ];
    assert_eq!(verbs, expected);

    let mark = t.plane.audit().mark().unwrap();
    t.touch("billing").await;
    t.patch_secret("billing-credential", &json!({ "metadata": { "annotations": { "note": "mine" } } })).await;
    t.touch("billing").await;
    assert_eq!(t.writes_since(mark), [], "nothing has changed");
}

/// Under load the watches lag behind our own writes; no credential costs more for that.
#[tokio::test]
async fn many_new_credentials_at_once_cost_five_writes_each() {
    const MANY: usize = 300;
    let t = Tenant::alone("crowd").await;
    let _controller = t.controller().await;
    t.sentinel().await;
    let mark = t.plane.audit().mark().unwrap();
    let create = |index: usize| {
        let api = t.resources();
        let resource = AppCredential::new(&format!("c{index}"), AppCredentialSpec::default());
        async move { drop(api.create(&PostParams::default(), &resource).await.unwrap()) }
    };
    stream::iter(0..MANY).map(create).buffer_unordered(32).collect::<()>().await;
    until("every Event is published", || async {
        let events = Api::<Event>::namespaced(t.client.clone(), &t.namespace);
        let list = events.list(&ListParams::default()).await.unwrap().items;
        list.iter().filter(|it| it.reason.as_deref() == Some("Created")).count() >= MANY
    })
    .await;
    t.sentinel().await;
    let mut sorts = BTreeMap::<_, usize>::new();
    for it in t.writes_since(mark) {
        *sorts.entry(format!("{} {}/{} {}", it.verb, it.resource, it.subresource, it.code)).or_default() += 1;
    }
    let expected = [
        ("create events/ 201", MANY),
        ("create secrets/ 201", 2 * MANY),
        ("patch appcredentials/ 200", MANY),
        ("patch appcredentials/status 200", MANY),
    ];
    assert_eq!(sorts, expected.map(|(sort, count)| (sort.to_owned(), count)).into());
}

#[tokio::test]
async fn a_controller_that_starts_again_over_unchanged_resources_writes_nothing() {
    let t = Tenant::alone("restart").await;
    let first = t.controller().await;
    for index in 0..50 {
        // One of each sort that a controller could be tempted to report on again.
        let spec = match index % 5 {
            0 => "{scopes: [orders:read]}",
            1 => "{rotation: {interval: 720h, nonce: a}}",
            2 => "{revoked: true, tokensNotBefore: '2026-01-01T00:00:00Z'}",
            3 => "{scopes: ['snaphook:introspect']}",
            _ => "{secretFrom: {secretKeyRef: {name: missing, key: value}}}",
        };
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: c{index}}}, spec: {spec}}}")).await;
    }
    for index in 0..50 {
        let name = format!("c{index}");
        match index % 5 {
            0..3 => drop(t.ready(&name).await),
            3 => drop(t.stalled(&name, "NotAllowedByPolicy").await),
            _ => drop(t.waiting(&name, "SecretNotFound").await),
        }
    }
    until("every Event is published", || async {
        let mut without = 0;
        for index in 0..50 {
            without += usize::from(t.events(&format!("c{index}")).await.is_empty());
        }
        without == 0
    })
    .await;
    first.stop().await;

    let mark = t.plane.audit().mark().unwrap();
    let _second = t.controller().await;
    t.sentinel().await;
    t.sentinel().await;
    assert_eq!(t.writes_since(mark), []);
}
