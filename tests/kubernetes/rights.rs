//! What the controller may do, and that it needs no more.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Controller, Tenant, until, value};

#[tokio::test]
async fn a_controller_for_some_namespaces_works_with_roles_alone_and_leaves_others_be() {
    let (one, mut two) = (Tenant::alone("lane").await, Tenant::alone("lane").await);
    two.realm.clone_from(&one.realm);
    let stranger = Tenant::alone("stranger").await;
    let kubeconfig = one.plane.account(&one.realm, Some(&[&one.namespace, &two.namespace])).await;
    let config = format!(
        "realm: {{issuer: 'https://auth.example.com', namespace: {}}}\nwatchNamespaces: [{}, {}]",
        one.realm, one.namespace, two.namespace
    );
    let mark = one.plane.audit().mark().unwrap();
    let controller = Controller::start(&one.plane, &kubeconfig, &config);
    let app = "{kind: AppCredential, metadata: {name: app}, spec: {rotation: {nonce: '1'}}}";
    for t in [&stranger, &one, &two] {
        t.apply(app).await;
    }
    // All of its work.
    for t in [&one, &two] {
        t.ready("app").await;
        let first = value(&t.secret("app-credential").await, "client-secret");
        t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await;
        t.new_value("app-credential", &first).await;
        t.patch("app", &json!({ "spec": { "secretTemplate": { "name": "other" } } })).await;
        t.ready("app").await;
        until("renamed", || async { t.secrets().get_opt("app-credential").await.unwrap().is_none() }).await;
        t.patch("app", &json!({ "spec": { "revoked": true } })).await;
        t.ready("app").await;
        t.event("app", "Revoked").await;
        t.delete("app").await;
    }
    assert!(controller.stop().await.success());

    let account = format!("system:serviceaccount:{}:snaphook-controller", one.realm);
    let events = one.plane.audit().since(mark).unwrap();
    let events: Vec<_> = events.into_iter().filter(|event| event.user == account).collect();
    let refused: Vec<_> = events.iter().filter(|event| matches!(event.code, 401 | 403)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let places: BTreeSet<_> = events.iter().map(|event| event.namespace.as_str()).collect();
    assert_eq!(places, [&*one.realm, &*one.namespace, &*two.namespace].into_iter().collect());
    let status = stranger.resources().get("app").await.unwrap().status.unwrap();
    assert_eq!((status.observed_generation, status.conditions.len()), (Some(-1), 0), "a namespace that is not listed");
}
