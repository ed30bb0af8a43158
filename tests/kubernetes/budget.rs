//! How many writes the controller makes, counted by the API server's audit log.

use serde_json::json;

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
