//! Resources in all their states, their status from the controller's own steps.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use snaphook::{
    config::Config,
    controller::{
        app_credential::fetch::Around as AroundAppCredential,
        fetch::{Observed, Rivals},
        steps::{Entropy, Steps},
        webhook::fetch::Around as AroundWebhook,
        webhook_credential::fetch::Around as AroundWebhookCredential,
    },
    crd::{AppCredential, Webhook, WebhookCredential},
};

/// What a person should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// What the spec declares is in force.
    Good,
    /// It waits for something.
    Waiting,
    /// A person has to do something.
    Bad,
}

/// A resource, and what is to be seen of it.
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) object: Value,
    pub(crate) health: Health,
    /// What the message says.
    pub(crate) says: &'static str,
}

/// Of every resource here.
const GENERATION: i64 = 3;

/// All states.
pub(crate) fn all() -> Vec<State> {
    let states = [reported(), unreported(), outdated()];
    states.into_iter().flatten().collect()
}

fn state(name: &'static str, object: Value, health: Health, says: &'static str) -> State {
    State { name, object, health, says }
}

/// What the controller says.
fn reported() -> Vec<State> {
    use Health::{Bad, Good, Waiting};
    let app = |spec| with_status::<AppCredential>(&spec, AroundAppCredential::default());
    let credential = |spec| with_status::<WebhookCredential>(&spec, AroundWebhookCredential::default());
    let missing = json!({ "secretKeyRef": { "name": "missing", "key": "value" } });
    let sent =
        |field: &str| json!({ "type": "ClientId", "fieldName": field, "location": "Header", "clientId": "link" });
    let from = json!({ "type": "ClientId", "fieldName": "clientid", "location": "Header", "clientIdFrom": missing });
    vec![
        state("a client", app(json!({ "scopes": ["orders:read"] })), Good, "Active"),
        state("a revoked client", app(json!({ "revoked": true })), Good, "Revoked"),
        state("an expired client", app(json!({ "expiresAt": "2020-01-01T00:00:00Z" })), Good, "Expired"),
        state(
            "a client that waits for its secret",
            app(json!({ "secretFrom": missing })),
            Waiting,
            "ReferenceNotAvailable",
        ),
        state("a client that policy refuses", app(json!({ "scopes": ["snaphook:x"] })), Bad, "NotAllowedByPolicy"),
        state("a credential", credential(sent("clientid")), Good, "Active"),
        state("a credential that waits for its value", credential(from), Waiting, "ReferenceNotAvailable"),
        state("a credential in a reserved header", credential(sent("Host")), Bad, "FieldNotAllowed"),
        state("a webhook without a credential", webhook(json!({}), json!({}), false), Good, "Active"),
        state("a webhook with its credential", webhook(json!({}), named(), true), Good, "Active"),
        state("a webhook whose credential is gone", webhook(json!({}), named(), false), Waiting, "CredentialMissing"),
        state("an inactive webhook", webhook(json!({ "active": false }), json!({}), false), Good, "Inactive"),
        state("a webhook that waits for its Service", to_service(), Waiting, "ServiceNotFound"),
        state("a webhook with a broken filter", broken(), Bad, "ExpressionNotAllowed"),
    ]
}

/// Before the controller has said anything, and when everything is over.
fn unreported() -> Vec<State> {
    let mut new = object::<AppCredential>(&json!({}));
    new["status"] = json!({ "observedGeneration": -1 });
    let mut going = good();
    going["metadata"]["deletionTimestamp"] = json!("2026-11-22T10:00:00Z");
    vec![
        state("a resource that no controller has seen", new, Health::Waiting, "controller"),
        state("a resource that is being deleted", going, Health::Waiting, "deleted"),
    ]
}

/// What was said of an earlier generation says nothing of this one.
fn outdated() -> Vec<State> {
    let mut edited = good();
    edited["metadata"]["generation"] = json!(GENERATION + 1);
    let mut half = edited.clone();
    half["status"]["observedGeneration"] = json!(GENERATION + 1);
    let mut without = good();
    without["status"]["conditions"] = json!([]);
    let mut mended = good();
    let past = json!({
        "type": "Stalled", "status": "True", "observedGeneration": GENERATION - 1,
        "lastTransitionTime": "2026-11-22T10:00:00Z", "reason": "SecretExists", "message": "is past",
    });
    mended["status"]["conditions"].as_array_mut().unwrap().push(past.clone());
    let mut lacking = mended.clone();
    lacking["status"]["conditions"][1]["type"] = json!("Authenticated");
    lacking["status"]["conditions"][1]["status"] = json!("False");
    vec![
        state("an edit that no controller has seen", edited, Health::Waiting, "controller"),
        state("conditions of an earlier generation", half, Health::Waiting, "controller"),
        state("a status without conditions", without, Health::Waiting, "controller"),
        state("a mended resource", mended, Health::Good, "Active"),
        state("a lack of an earlier generation", lacking, Health::Good, "Active"),
    ]
}

fn good() -> Value {
    with_status::<AppCredential>(&json!({}), AroundAppCredential::default())
}

fn named() -> Value {
    json!({ "credentialRef": { "name": "pager" } })
}

fn webhook(mut spec: Value, mut delivery: Value, has_credential: bool) -> Value {
    delivery["url"] = json!("https://hooks.example.net/in");
    spec["delivery"] = delivery;
    spec["verification"] = json!({ "type": "GitHub" });
    with_status::<Webhook>(&spec, AroundWebhook { has_credential, ..AroundWebhook::default() })
}

fn to_service() -> Value {
    let delivery = json!({ "service": { "name": "missing", "port": 80 } });
    let spec = json!({ "delivery": delivery, "verification": { "type": "GitHub" } });
    with_status::<Webhook>(&spec, AroundWebhook::default())
}

fn broken() -> Value {
    webhook(json!({ "handler": { "type": "Json", "filter": "body.status ==" } }), json!({}), false)
}

fn object<K: Steps + Serialize>(spec: &Value) -> Value {
    let metadata = json!({
        "name": "alerts", "namespace": "team", "uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "generation": GENERATION, "creationTimestamp": "2026-11-01T00:00:00Z",
    });
    json!({ "apiVersion": "snaphook.dev/v1alpha1", "kind": K::KIND, "metadata": metadata, "spec": spec })
}

/// The resource as the controller leaves it.
fn with_status<K: Steps + Serialize>(spec: &Value, around: K::Around) -> Value {
    let mut resource: K = serde_json::from_value(object::<K>(spec)).unwrap();
    let observed = Observed {
        record: None,
        consumers: Vec::new(),
        foreign: None,
        references: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        rivals: Rivals::default(),
        contested_by: None,
        around,
    };
    let config = Config::parse("realm: {issuer: 'https://auth.example.com', namespace: snaphook-system}").unwrap();
    let entropy = Entropy { secret: [1; 32], generation: [2; 16], url: [3; 32], signing: [4; 32] };
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let plan = resource.plan(&observed, &config, now, entropy);
    *resource.status_mut() = Some(plan.status);
    serde_json::to_value(resource).unwrap()
}
