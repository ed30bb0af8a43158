//! What a user does with a credential for outgoing calls while the controller is killed; no app ever holds what was never sent.

use std::collections::BTreeMap;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use snaphook::{
    controller::webhook_credential::build::{MODIFIED_ANNOTATION, location},
    crd::{Webhook, WebhookCredential, condition::Time},
};

use self::WebhookCredentialScenario::{Create, DeleteInUse, Edit, Recreate, SecretDeleted};
use super::{NAME, Scenario, is_in_use, sweep};
use crate::harness::{Tenant, until, value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WebhookCredentialScenario {
    Create,
    Edit,
    SecretDeleted,
    DeleteInUse,
    Recreate,
}

#[tokio::test]
async fn a_crash_while_creating_leaves_no_trace() {
    sweep(Create).await;
}

#[tokio::test]
async fn a_crash_while_following_an_edit_leaves_no_trace() {
    sweep(Edit).await;
}

#[tokio::test]
async fn a_crash_while_replacing_a_deleted_secret_leaves_no_trace() {
    sweep(SecretDeleted).await;
}

#[tokio::test]
async fn a_crash_while_one_in_use_is_deleted_leaves_no_trace() {
    sweep(DeleteInUse).await;
}

#[tokio::test]
async fn a_crash_while_deleting_and_making_anew_leaves_no_trace() {
    sweep(Recreate).await;
}

const SECRET: &str = "app-webhook-credential";
/// The Webhook that sends with it.
const USER: &str = "user";

/// Field, location and value.
type Sent = [String; 3];

async fn held(t: &Tenant<'_>) -> Option<(k8s_openapi::api::core::v1::Secret, Sent)> {
    let secret = t.secrets().get_opt(SECRET).await.unwrap()?;
    let sent = ["field-name", "location", "value"].map(|key| value(&secret, key));
    Some((secret, sent))
}

async fn recorded(t: &Tenant<'_>) -> Option<Sent> {
    let record = t.of::<WebhookCredential>().record(NAME).await?;
    Some([record.field_name, location(record.location).to_owned(), record.value.expose().to_owned()])
}

fn manifest(client_id: &str) -> String {
    let spec = json!({ "type": "ClientId", "fieldName": "clientid", "location": "Header", "clientId": client_id });
    json!({ "kind": "WebhookCredential", "metadata": { "name": NAME }, "spec": spec }).to_string()
}

fn user() -> Value {
    let delivery = json!({ "url": "https://hooks.example.net/in", "credentialRef": { "name": NAME } });
    let spec = json!({ "verification": { "type": "GitHub" }, "delivery": delivery });
    json!({ "kind": "Webhook", "metadata": { "name": USER }, "spec": spec })
}

impl Scenario for WebhookCredentialScenario {
    type Kind = WebhookCredential;
    /// What the Secret held.
    type Before = Option<Sent>;

    fn prefix(self) -> &'static str {
        match self {
            Create => "create-whcred",
            Edit => "edit-whcred",
            SecretDeleted => "whcred-secret-deleted",
            DeleteInUse => "delete-whcred",
            Recreate => "recreate-whcred",
        }
    }

    fn is_racy(self) -> bool {
        matches!(self, DeleteInUse | Recreate)
    }

    async fn prepare(self, t: &Tenant<'_>) -> Option<Sent> {
        if self == Create {
            return None;
        }
        t.apply(&manifest("link")).await;
        t.of::<WebhookCredential>().ready(NAME).await;
        t.event(NAME, "Created").await;
        if self == DeleteInUse {
            t.apply(&user().to_string()).await;
            t.of::<Webhook>().reports(USER, "with it", |it| it.auth.as_deref() == Some(NAME)).await;
            t.event(USER, "Created").await;
            let used = |it: &WebhookCredential| it.status.as_ref().unwrap().used_by.as_ref().unwrap().count == 1;
            t.of::<WebhookCredential>().when(NAME, "used", used).await;
        }
        held(t).await.map(|(_, sent)| sent)
    }

    async fn act(self, t: &Tenant<'_>) {
        let credentials = t.of::<WebhookCredential>();
        match self {
            Create => t.apply(&manifest("link")).await,
            Edit => {
                let spec = json!({ "fieldName": "key", "location": "QueryParam", "clientId": "epona" });
                credentials.patch(NAME, &json!({ "spec": spec })).await;
            }
            SecretDeleted => drop(t.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap()),
            DeleteInUse | Recreate => {
                credentials.delete(NAME).await;
                assert!(credentials.record(NAME).await.is_none(), "the resource is gone, and is still sent");
                if self == Recreate {
                    t.apply(&manifest("epona")).await;
                }
            }
        }
    }

    async fn done(self, t: &Tenant<'_>, before: &Option<Sent>) {
        match self {
            Create | Edit => drop(t.of::<WebhookCredential>().ready(NAME).await),
            SecretDeleted => until("the Secret comes back", || async { held(t).await.is_some() }).await,
            DeleteInUse => {
                until("the Secret goes", || async { held(t).await.is_none() }).await;
                t.of::<Webhook>().reports(USER, "without it", |it| it.auth.as_deref() == Some("No Auth")).await;
            }
            Recreate => {
                t.of::<WebhookCredential>().ready(NAME).await;
                let is_new = |(_, sent)| Some(sent) != *before;
                until("the Secret has the new value", || async { held(t).await.is_some_and(is_new) }).await;
            }
        }
    }

    fn last_write(self) -> &'static str {
        if self == SecretDeleted { "/secrets" } else { "/events" }
    }

    /// An app holds what is sent, or what was sent until the record changed; never what is not sent yet.
    async fn check_moment(t: &Tenant<'_>, before: &Option<Sent>) {
        // In this order: the Secret must not be newer than the record that it is compared with.
        let Some((secret, sent)) = held(t).await else { return };
        let recorded = recorded(t).await;
        let fits = recorded.is_some() && (recorded.as_ref() == Some(&sent) || before.as_ref() == Some(&sent));
        assert!(fits || !is_in_use::<Self>(t, &secret).await, "an app holds what is not sent");
    }

    async fn facts(t: &Tenant<'_>, before: &Option<Sent>) -> BTreeMap<&'static str, String> {
        let mut facts = BTreeMap::new();
        let resource = t.of::<WebhookCredential>().api().get_opt(NAME).await.unwrap();
        let uid = resource.as_ref().and_then(|it| it.metadata.uid.clone());
        let status = resource.and_then(|it| it.status).unwrap_or_default();
        facts.insert("used by", format!("{:?}", status.used_by));
        let user = t.of::<Webhook>().api().get_opt(USER).await.unwrap().and_then(|it| it.status);
        facts.insert("auth of its user", format!("{:?}", user.map(|it| it.auth)));
        let record = t.of::<WebhookCredential>().record(NAME).await;
        facts.insert("record is of this resource", (record.map(|it| it.source.uid) == uid).to_string());
        facts.insert("sent", format!("{:?}", recorded(t).await));
        let Some((secret, sent)) = held(t).await else { return facts };
        facts.insert("the Secret's", format!("{sent:?}"));
        facts.insert("changed", (before.as_ref() != Some(&sent)).to_string());
        let modified = secret.metadata.annotations.and_then(|mut all| all.remove(MODIFIED_ANNOTATION)?.parse().ok());
        let reported =
            status.last_modified.zip(modified).is_some_and(|(reported, modified)| reported >= Time(modified));
        facts.insert("the moment is reported, or one after a crash", reported.to_string());
        facts
    }
}
