//! What a user does with an inbound endpoint while the controller is killed; no app ever holds a URL or secret that the record refuses.

use std::collections::BTreeMap;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use snaphook::{
    controller::versions::Version,
    crd::{Webhook, webhook::EndpointState},
    record::{
        Confidential, EndpointRecord,
        endpoint::{EndpointSecret, UrlVersion},
    },
};

use self::WebhookScenario::{
    Create, Deactivate, Delete, Edit, Recreate, RecreateRetained, RotateSecrets, RotateUrl, SecretDeleted,
};
use super::{NAME, Scenario, is_in_use, sweep};
use crate::{
    harness::{Tenant, until, value},
    routes::paths_of,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WebhookScenario {
    Create,
    RotateUrl,
    RotateSecrets,
    SecretDeleted,
    Edit,
    Deactivate,
    Delete,
    Recreate,
    RecreateRetained,
}

#[tokio::test]
async fn a_crash_while_creating_leaves_no_trace() {
    sweep(Create).await;
}

#[tokio::test]
async fn a_crash_while_rotating_the_url_leaves_no_trace() {
    sweep(RotateUrl).await;
}

#[tokio::test]
async fn a_crash_while_rotating_the_secrets_leaves_no_trace() {
    sweep(RotateSecrets).await;
}

#[tokio::test]
async fn a_crash_while_replacing_a_deleted_secret_leaves_no_trace() {
    sweep(SecretDeleted).await;
}

#[tokio::test]
async fn a_crash_while_following_an_edit_leaves_no_trace() {
    sweep(Edit).await;
}

#[tokio::test]
async fn a_crash_while_deactivating_leaves_no_trace() {
    sweep(Deactivate).await;
}

#[tokio::test]
async fn a_crash_while_deleting_leaves_no_trace() {
    sweep(Delete).await;
}

#[tokio::test]
async fn a_crash_while_deleting_and_making_anew_leaves_no_trace() {
    sweep(Recreate).await;
}

#[tokio::test]
async fn a_crash_while_making_anew_over_a_retained_secret_leaves_no_trace() {
    sweep(RecreateRetained).await;
}

const SECRET: &str = "app-webhook";

/// What an app has, from its Secret.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    url: String,
    internal_url: String,
    secret: String,
    previous_secret: Option<String>,
    delivery_secret: String,
}

impl Held {
    fn of(secret: &k8s_openapi::api::core::v1::Secret) -> Self {
        Self {
            url: id(&value(secret, "url")),
            internal_url: id(&value(secret, "internal-url")),
            secret: value(secret, "signing-secret"),
            previous_secret: Some(value(secret, "signing-secret-previous")).filter(|value| !value.is_empty()),
            delivery_secret: value(secret, "delivery-signing-secret"),
        }
    }

    /// Whether a server with this record takes posts from whoever has it, and signs so that he can verify.
    fn is_accepted_by(&self, record: &EndpointRecord) -> bool {
        let Self { url, internal_url, secret, previous_secret, delivery_secret } = self;
        let known = |id: &String| lives(&record.urls, |url: &UrlVersion| &url.id, id);
        let accepted = |value: &String| lives(&record.secrets, |secret: &EndpointSecret| &secret.value, value);
        let signs =
            |value: &String| lives(&record.delivery.signing_secrets, |secret: &EndpointSecret| &secret.value, value);
        [url, internal_url].into_iter().all(known)
            && [secret].into_iter().chain(previous_secret).all(accepted)
            && signs(delivery_secret)
    }
}

fn lives<V: Version>(versions: &[V], of: impl Fn(&V) -> &Confidential, value: &str) -> bool {
    let now = jiff::Timestamp::now();
    let live = versions.iter().filter(|version| version.not_after().is_none_or(|end| end > now));
    live.into_iter().any(|version| of(version).expose() == value)
}

/// The id in a URL.
fn id(url: &str) -> String {
    url.rsplit_once("/hooks/").map(|(_, id)| id.to_owned()).unwrap_or_default()
}

/// The paths of its route, if it has one.
async fn routed(t: &Tenant<'_>) -> Option<Vec<String>> {
    t.ingresses().get_opt(&t.route_name(NAME)).await.unwrap().map(|it| paths_of(&it))
}

impl WebhookScenario {
    fn manifest(self) -> Value {
        let policy = if self == RecreateRetained { "Retain" } else { "Delete" };
        json!({
            "kind": "Webhook",
            "metadata": { "name": NAME },
            "spec": {
                "verification": { "type": "StandardWebhooks" },
                "delivery": { "url": "https://hooks.example.net/in", "sign": true },
                "rotation": { "urlNonce": "1", "secretNonce": "1" },
                "deletionPolicy": policy,
            },
        })
    }

    fn change(self) -> Value {
        match self {
            RotateUrl => json!({ "rotation": { "urlNonce": "2" } }),
            RotateSecrets => json!({ "rotation": { "secretNonce": "2" } }),
            Edit => {
                json!({ "delivery": { "url": "https://other.example.net/in" }, "handler": { "type": "Json", "filter": "body.a == 1" } })
            }
            Deactivate => json!({ "active": false }),
            Create | SecretDeleted | Delete | Recreate | RecreateRetained => json!({}),
        }
    }
}

impl Scenario for WebhookScenario {
    type Kind = Webhook;
    type Before = Held;

    fn prefix(self) -> &'static str {
        match self {
            Create => "create-hook",
            RotateUrl => "rotate-url",
            RotateSecrets => "rotate-secrets",
            SecretDeleted => "hook-secret-deleted",
            Edit => "edit-hook",
            Deactivate => "deactivate-hook",
            Delete => "delete-hook",
            Recreate => "recreate-hook",
            RecreateRetained => "retained-hook",
        }
    }

    fn is_racy(self) -> bool {
        matches!(self, Delete | Recreate | RecreateRetained)
    }

    async fn prepare(self, t: &Tenant<'_>) -> Held {
        if self == Create {
            return Held::default();
        }
        t.apply(&self.manifest().to_string()).await;
        t.of::<Webhook>().ready(NAME).await;
        t.event(NAME, "Created").await;
        Held::of(&t.secret(SECRET).await)
    }

    async fn act(self, t: &Tenant<'_>) {
        let webhooks = t.of::<Webhook>();
        match self {
            Create => t.apply(&self.manifest().to_string()).await,
            RotateUrl | RotateSecrets | Edit | Deactivate => {
                webhooks.patch(NAME, &json!({ "spec": self.change() })).await;
            }
            SecretDeleted => drop(t.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap()),
            Delete | Recreate | RecreateRetained => {
                webhooks.delete(NAME).await;
                assert!(webhooks.record(NAME).await.is_none(), "the resource is gone, and its URL still works");
                if self != Delete {
                    t.apply(&self.manifest().to_string()).await;
                }
            }
        }
    }

    async fn done(self, t: &Tenant<'_>, before: &Held) {
        let secret = async || t.secrets().get_opt(SECRET).await.unwrap();
        match self {
            Delete => until("the Secret goes", || async { secret().await.is_none() }).await,
            SecretDeleted => until("the Secret comes back", || async { secret().await.is_some() }).await,
            Recreate => {
                t.of::<Webhook>().ready(NAME).await;
                let is_new = |it| Held::of(&it).url != before.url;
                until("the Secret has a new URL", || async { secret().await.is_some_and(is_new) }).await;
            }
            Create | RotateUrl | RotateSecrets | Edit | Deactivate | RecreateRetained => {
                drop(t.of::<Webhook>().ready(NAME).await);
            }
        }
    }

    fn last_write(self) -> &'static str {
        match self {
            Delete => "/webhooks/app",
            SecretDeleted => "/secrets",
            Edit => "/webhooks/app/status",
            _ => "/events",
        }
    }

    /// The record accepts what every app holds and what is reported, and what is reported as inactive is.
    async fn check_moment(t: &Tenant<'_>, _: &Held) {
        // In this order: nothing may be newer than the record that it is compared with.
        let status = t.of::<Webhook>().api().get_opt(NAME).await.unwrap().and_then(|it| it.status).unwrap_or_default();
        let Some(secret) = t.secrets().get_opt(SECRET).await.unwrap() else { return };
        let routed = routed(t).await.unwrap_or_default();
        let record = t.of::<Webhook>().record(NAME).await;
        let holds = |what: &dyn Fn(&EndpointRecord) -> bool| record.as_ref().is_some_and(what);
        let accepted = holds(&|record| Held::of(&secret).is_accepted_by(record));
        let reported = [&status.url, &status.internal_url].into_iter().flatten();
        let mut urls = reported.chain(&routed).map(|url| id(url));
        let known = urls.all(|url| holds(&|record| lives(&record.urls, |it| &it.id, &url)));
        let stopped = status.state != Some(EndpointState::Inactive) || holds(&|record| !record.active);
        if !(accepted && known && stopped) && is_in_use::<Self>(t, &secret).await {
            assert!(accepted, "an app holds a URL or a secret that the record refuses");
            assert!(known, "a URL is reported or routed that the record does not know");
            assert!(stopped, "it is reported as inactive, and is not");
        }
    }

    async fn facts(t: &Tenant<'_>, before: &Held) -> BTreeMap<&'static str, String> {
        let mut facts = BTreeMap::new();
        let resource = t.of::<Webhook>().api().get_opt(NAME).await.unwrap();
        let uid = resource.as_ref().and_then(|it| it.metadata.uid.clone());
        let status = resource.and_then(|it| it.status).unwrap_or_default();
        facts.insert("state, auth, delivery", format!("{:?}", (status.state, status.auth, status.delivery)));
        let (urls, secrets) = (status.former_url_until, status.former_secret_until);
        facts.insert("former URL, secret end", format!("{:?}", (urls.is_some(), secrets.is_some())));
        let (urls, secrets) = (status.url_rotated_at, status.secret_rotated_at);
        facts.insert("URL, secret were rotated", format!("{:?}", (urls.is_some(), secrets.is_some())));
        let routed = routed(t).await;
        facts.insert("number of routed URLs", format!("{:?}", routed.as_ref().map(Vec::len)));
        let Some(record) = t.of::<Webhook>().record(NAME).await else { return facts };
        let urls = record.urls.iter().rev().map(|it| it.id.expose());
        let ids = routed.iter().flatten().map(|path| id(path));
        facts.insert("what is routed is the record's", ids.eq(urls).to_string());
        facts.insert("record is of this resource", (Some(&record.source.uid) == uid.as_ref()).to_string());
        facts.insert(
            "active, handler, target",
            format!("{:?}", (record.active, &record.handler, &record.delivery.target)),
        );
        let urls = record.urls.iter().map(|it| (it.not_after.is_some(), it.id.expose() == before.url, &it.nonce));
        facts.insert("URLs: ends, of before, nonce", format!("{:?}", urls.collect::<Vec<_>>()));
        let secrets = |all: &[EndpointSecret], before: &str| {
            let all = all.iter().map(|it| (it.not_after.is_some(), it.value.expose() == before, it.nonce.clone()));
            format!("{:?}", all.collect::<Vec<_>>())
        };
        facts.insert("secrets: ends, of before, nonce", secrets(&record.secrets, &before.secret));
        let signing = secrets(&record.delivery.signing_secrets, &before.delivery_secret);
        facts.insert("secrets of deliveries: ends, of before, nonce", signing);
        let Some(secret) = t.secrets().get_opt(SECRET).await.unwrap() else { return facts };
        let newest = Held {
            url: record.urls.last().unwrap().id.expose().to_owned(),
            internal_url: id(&status.internal_url.unwrap()),
            secret: record.secrets.last().unwrap().value.expose().to_owned(),
            previous_secret: record.secrets.iter().rev().nth(1).map(|it| it.value.expose().to_owned()),
            delivery_secret: record.delivery.signing_secrets.last().unwrap().value.expose().to_owned(),
        };
        facts.insert("the Secret is the record's", (Held::of(&secret) == newest).to_string());
        facts.insert("the reported URL is the record's", (id(&status.url.unwrap()) == newest.url).to_string());
        facts
    }
}
