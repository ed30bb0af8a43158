//! What the controller may do, and that it needs no more.

use std::collections::BTreeSet;

use control_plane::AuditEvent;
use serde_json::{Value, json};
use snaphook::crd::{Webhook, WebhookCredential};

use crate::{
    harness::{CONTROLLER_RULES, Controller, REALM_RULES, Tenant, until, value},
    routes::gateway_crds,
};

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
    // Everybody may look at discovery, which is about no object and in no namespace.
    let objects = events.iter().filter(|event| !event.resource.is_empty());
    let places: BTreeSet<_> = objects.map(|event| event.namespace.as_str()).collect();
    assert_eq!(places, [&*one.realm, &*one.namespace, &*two.namespace].into_iter().collect());
    let status = stranger.resources().get("app").await.unwrap().status.unwrap();
    assert_eq!((status.observed_generation, status.conditions.len()), (Some(-1), 0), "a namespace that is not listed");
}

/// Verb and resource, as a rule has them.
fn rights(rules: &str) -> BTreeSet<String> {
    let rules: Vec<Value> = serde_yaml::from_str(rules).unwrap();
    let texts =
        |value: &Value| value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    rules
        .iter()
        .flat_map(|rule| {
            let (resources, verbs) = (texts(&rule["resources"]), texts(&rule["verbs"]));
            resources.into_iter().flat_map(move |it| verbs.clone().into_iter().map(move |verb| format!("{verb} {it}")))
        })
        .collect()
}

fn used(events: &[AuditEvent], account: &str, namespace: &str) -> BTreeSet<String> {
    let by =
        |event: &&AuditEvent| event.user == account && event.namespace == namespace && !matches!(event.code, 401 | 403);
    events.iter().filter(by).map(AuditEvent::right).collect()
}

#[tokio::test]
async fn no_right_is_granted_that_nothing_needs() {
    let t = Tenant::alone("needed").await;
    let kubeconfig = t.plane.account(&t.realm, Some(&[&t.namespace])).await;
    let mark = t.plane.audit().mark().unwrap();
    t.plane.install_crds(&gateway_crds(|_| true)).await.unwrap();
    let config = t.config("").replacen("namespace:", "service: {name: hooks, port: 8080}, namespace:", 1);
    let first = Controller::start(&t.plane, &kubeconfig, &config);
    for name in ["app", "orphan"] {
        t.apply(&format!("{{kind: AppCredential, metadata: {{name: {name}}}, spec: {{}}}}")).await;
        t.ready(name).await;
    }
    t.apply("{kind: Service, metadata: {name: receiver}, spec: {selector: {app: receiver}, ports: [{port: 80}]}}")
        .await;
    t.apply("{kind: WebhookCredential, metadata: {name: pager}, spec: {type: ClientId, fieldName: clientid, location: Header, clientId: link}}").await;
    t.apply("{kind: Webhook, metadata: {name: hook}, spec: {verification: {type: GitHub}, delivery: {service: {name: receiver, port: 80}, credentialRef: {name: pager}}}}").await;
    let (pagers, hooks) = (t.of::<WebhookCredential>(), t.of::<Webhook>());
    pagers.ready("pager").await;
    hooks.ready("hook").await;
    pagers.patch("pager", &json!({ "spec": { "clientId": "epona" } })).await;
    hooks.patch("hook", &json!({ "spec": { "displayName": "A hook" } })).await;
    pagers.ready("pager").await;
    hooks.ready("hook").await;
    // Its route is made, changed, replaced by one of the other kind, changed and removed.
    let name = hooks.record_name("hook");
    let (ingresses, http_routes) = (t.ingresses(), t.http_routes());
    until("an Ingress", || async { ingresses.get_opt(&name).await.unwrap().is_some() }).await;
    hooks.patch("hook", &json!({ "spec": { "rotation": { "urlNonce": "1" } } })).await;
    hooks.reports("hook", "rotated", |it| it.url_rotated_at.is_some()).await;
    let route = json!({ "type": "HTTPRoute", "parentRefs": [{ "name": "edge" }] });
    hooks.patch("hook", &json!({ "spec": { "route": route } })).await;
    until("an HTTPRoute instead", || async {
        let (ingress, route) = (ingresses.get_opt(&name).await.unwrap(), http_routes.get_opt(&name).await.unwrap());
        ingress.is_none() && route.is_some()
    })
    .await;
    let two_parents = json!({ "parentRefs": [{ "name": "edge" }, { "name": "other" }] });
    hooks.patch("hook", &json!({ "spec": { "route": two_parents } })).await;
    until("two parents", || async {
        http_routes.get_opt(&name).await.unwrap().is_some_and(|it| it.spec.parent_refs.len() == 2)
    })
    .await;
    hooks.delete("hook").await;
    // One Event twice is one Event that is counted.
    for nonce in ["1", "2"] {
        let former = value(&t.secret("app-credential").await, "client-secret");
        t.patch("app", &json!({ "spec": { "rotation": { "nonce": nonce } } })).await;
        t.new_value("app-credential", &former).await;
        t.ready("app").await;
        t.event("app", "Rotated").await;
    }
    t.patch("app", &json!({ "spec": { "secretTemplate": { "name": "other" } } })).await;
    t.ready("app").await;
    let account = format!("system:serviceaccount:{}:snaphook-controller", t.realm);
    let repeated = |events: &[AuditEvent]| used(events, &account, &t.namespace).contains("patch events");
    t.plane.audit().wait_for(mark, crate::harness::SOON, repeated).await.unwrap();
    first.stop().await;
    t.patch("orphan", &json!({ "metadata": { "finalizers": null } })).await;
    t.delete("orphan").await;
    let _second = Controller::start(&t.plane, &kubeconfig, &config);
    until("the orphan goes", || async { t.record("orphan").await.is_none() }).await;

    let events = t.plane.audit().since(mark).unwrap();
    assert_eq!(used(&events, &account, &t.namespace), rights(CONTROLLER_RULES));
    assert_eq!(used(&events, &account, &t.realm), rights(REALM_RULES));
}
