//! How many writes the controller makes, counted by the API server's audit log.

use std::{collections::BTreeMap, fmt::Debug};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{ListParams, PostParams},
    core::object::HasStatus,
};
use serde_json::json;
use snaphook::crd::{AppCredential, Kind, Webhook, WebhookCredential};

use crate::harness::{Tenant, manifest, until};

/// What a new resource of a kind costs: its finalizer, the record and the Secret, the status, one Event.
fn cost<K: Kind>() -> BTreeMap<String, usize> {
    let plural = K::plural(&());
    let own = [format!("patch {plural}/ 200"), format!("patch {plural}/status 200")].map(|sort| (sort, 1));
    let others = [("create secrets/ 201".to_owned(), 2), ("create events/ 201".to_owned(), 1)];
    own.into_iter().chain(others).collect()
}

fn sorts(writes: &[control_plane::AuditEvent]) -> BTreeMap<String, usize> {
    let mut sorts = BTreeMap::new();
    for it in writes {
        *sorts.entry(format!("{} {}/{} {}", it.verb, it.resource, it.subresource, it.code)).or_default() += 1;
    }
    sorts
}

#[tokio::test]
async fn a_new_credential_costs_five_writes_and_an_unchanged_one_none() {
    costs::<AppCredential>("budget").await;
}

#[tokio::test]
async fn a_new_webhook_costs_five_writes_and_an_unchanged_one_none() {
    costs::<Webhook>("hook-budget").await;
}

#[tokio::test]
async fn a_new_webhook_credential_costs_five_writes_and_an_unchanged_one_none() {
    costs::<WebhookCredential>("whcred-budget").await;
}

async fn costs<K: Kind + HasStatus<Status: Debug>>(prefix: &str) {
    let t = Tenant::new(prefix).await;
    let start = t.plane.audit().mark().unwrap();
    t.apply(&manifest::<K>("billing")).await;
    t.of::<K>().ready("billing").await;
    t.event("billing", "Created").await;
    assert_eq!(sorts(&t.writes_once(start, cost::<K>().values().sum()).await), cost::<K>());

    let mark = t.plane.audit().mark().unwrap();
    t.of::<K>().touch("billing").await;
    let note = json!({ "metadata": { "annotations": { "note": "mine" } } });
    t.patch_secret(&format!("billing-{}", K::SUFFIX), &note).await;
    t.of::<K>().touch("billing").await;
    assert_eq!(t.writes_since(mark), [], "nothing has changed");
}

/// Under load the watches lag behind our own writes; no credential costs more for that.
#[tokio::test]
async fn many_new_credentials_at_once_cost_five_writes_each() {
    at_once::<AppCredential>("crowd").await;
}

#[tokio::test]
async fn many_new_webhooks_at_once_cost_five_writes_each() {
    at_once::<Webhook>("hook-crowd").await;
}

async fn at_once<K: Kind + HasStatus<Status: Debug>>(prefix: &str) {
    const MANY: usize = 300;
    let t = Tenant::alone(prefix).await;
    let _controller = t.controller().await;
    t.of::<K>().sentinel().await;
    let mark = t.plane.audit().mark().unwrap();
    let create = |index: usize| {
        let (api, manifest) = (t.of::<K>().api(), manifest::<K>(&format!("c{index}")));
        async move {
            let resource: K = serde_yaml::from_str(&manifest).unwrap();
            api.create(&PostParams::default(), &resource).await.unwrap();
        }
    };
    stream::iter(0..MANY).map(create).buffer_unordered(32).collect::<()>().await;
    until("every Event is published", || async {
        let events = Api::<Event>::namespaced(t.client.clone(), &t.namespace);
        let list = events.list(&ListParams::default()).await.unwrap().items;
        list.iter().filter(|it| it.reason.as_deref() == Some("Created")).count() >= MANY
    })
    .await;
    t.of::<K>().sentinel().await;
    let expected: BTreeMap<_, _> = cost::<K>().into_iter().map(|(sort, count)| (sort, MANY * count)).collect();
    assert_eq!(sorts(&t.writes_once(mark, expected.values().sum()).await), expected);
}

/// The condition that says why a resource is not ready, and its reason.
type Refused = Option<(&'static str, &'static str)>;

/// What a controller could be tempted to report on again: kind, spec, and why it is not ready.
const SORTS: [(&str, &str, Refused); 11] = [
    ("AppCredential", "{scopes: [orders:read]}", None),
    ("AppCredential", "{rotation: {interval: 720h, nonce: a}}", None),
    ("AppCredential", "{revoked: true, tokensNotBefore: '2026-01-01T00:00:00Z'}", None),
    ("AppCredential", "{scopes: ['snaphook:introspect']}", Some(("Stalled", "NotAllowedByPolicy"))),
    (
        "AppCredential",
        "{secretFrom: {secretKeyRef: {name: missing, key: value}}}",
        Some(("Reconciling", "ReferenceNotAvailable")),
    ),
    (
        "Webhook",
        "{verification: {type: GitHub}, delivery: {url: 'https://a.example/', credentialRef: {name: c9}, sign: true}}",
        None,
    ),
    (
        "Webhook",
        "{active: false, verification: {type: None}, delivery: {url: 'https://a.example/', credentialRef: {name: missing}}}",
        None,
    ),
    (
        "Webhook",
        "{verification: {type: GitHub}, delivery: {service: {name: missing, port: 80}}}",
        Some(("Reconciling", "ServiceNotFound")),
    ),
    (
        "Webhook",
        "{verification: {type: GitHub}, delivery: {url: 'https://a.example/'}, handler: {type: Json, filter: 'body ='}}",
        Some(("Stalled", "ExpressionNotAllowed")),
    ),
    ("WebhookCredential", "{type: ClientId, fieldName: clientid, location: Header, clientId: link}", None),
    (
        "WebhookCredential",
        "{type: ClientId, fieldName: clientid, location: Header, clientIdFrom: {secretKeyRef: {name: missing, key: id}}}",
        Some(("Reconciling", "ReferenceNotAvailable")),
    ),
];

async fn settles<K: Kind + HasStatus<Status: Debug>>(t: &Tenant<'_>, name: &str, refusal: Refused) {
    match refusal {
        None => drop(t.of::<K>().ready(name).await),
        Some((type_, reason)) => drop(t.of::<K>().refused(name, type_, reason).await),
    }
}

#[tokio::test]
async fn a_controller_that_starts_again_over_unchanged_resources_writes_nothing() {
    let t = Tenant::alone("restart").await;
    let first = t.controller().await;
    let all: Vec<_> = SORTS.iter().cycle().take(5 * SORTS.len()).enumerate().collect();
    for (index, (kind, spec, _)) in &all {
        t.apply(&format!("{{kind: {kind}, metadata: {{name: c{index}}}, spec: {spec}}}")).await;
    }
    for (index, (kind, _, refusal)) in &all {
        let name = format!("c{index}");
        match *kind {
            Webhook::KIND => settles::<Webhook>(&t, &name, *refusal).await,
            WebhookCredential::KIND => settles::<WebhookCredential>(&t, &name, *refusal).await,
            _ => settles::<AppCredential>(&t, &name, *refusal).await,
        }
    }
    let used = |it: &WebhookCredential| it.status.as_ref().unwrap().used_by.as_ref().unwrap().count == 5;
    t.of::<WebhookCredential>().when("c9", "used by all", used).await;
    until("every Event is published", || async {
        let mut without = 0;
        for (index, _) in &all {
            without += usize::from(t.events(&format!("c{index}")).await.is_empty());
        }
        without == 0
    })
    .await;
    first.stop().await;

    let mark = t.plane.audit().mark().unwrap();
    let _second = t.controller().await;
    for _ in 0..2 {
        t.of::<AppCredential>().sentinel().await;
        t.of::<Webhook>().sentinel().await;
        t.of::<WebhookCredential>().sentinel().await;
    }
    assert_eq!(t.writes_since(mark), []);
}
