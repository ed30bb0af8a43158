//! What a user does with a client while the controller is killed; no app ever holds a secret that the record refuses.

use std::collections::BTreeMap;

use kube::api::DeleteParams;
use serde_json::json;
use snaphook::{
    crd::{AppCredential, app_credential::State},
    record::{GenerationId, SecretVersion},
};

use self::AppCredentialScenario::{Create, Delete, Recreate, RecreateRetained, Rename, Revoke, Rotate, SecretDeleted};
use super::{NAME, Scenario, is_in_use, sweep};
use crate::harness::{Tenant, hash_of, until, value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AppCredentialScenario {
    Create,
    Rotate,
    Revoke,
    Delete,
    Recreate,
    RecreateRetained,
    SecretDeleted,
    Rename,
}

#[tokio::test]
async fn a_crash_while_creating_leaves_no_trace() {
    sweep(Create).await;
}

#[tokio::test]
async fn a_crash_while_rotating_leaves_no_trace() {
    sweep(Rotate).await;
}

#[tokio::test]
async fn a_crash_while_revoking_leaves_no_trace() {
    sweep(Revoke).await;
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

#[tokio::test]
async fn a_crash_while_replacing_a_deleted_secret_leaves_no_trace() {
    sweep(SecretDeleted).await;
}

#[tokio::test]
async fn a_crash_while_moving_the_secret_to_another_name_leaves_no_trace() {
    sweep(Rename).await;
}

#[derive(Default)]
struct Before {
    secret: String,
    generation: Option<GenerationId>,
}

impl AppCredentialScenario {
    fn yaml(self) -> String {
        let policy = if self == RecreateRetained { "Retain" } else { "Delete" };
        format!(
            "{{kind: AppCredential, metadata: {{name: {NAME}}}, spec: {{scopes: [orders:read], deletionPolicy: {policy}, rotation: {{nonce: '1'}}}}}}"
        )
    }
}

impl Scenario for AppCredentialScenario {
    type Kind = AppCredential;
    type Before = Before;

    fn prefix(self) -> &'static str {
        match self {
            Create => "create",
            Rotate => "rotate",
            Revoke => "revoke",
            Delete => "delete",
            Recreate => "recreate",
            RecreateRetained => "retained",
            SecretDeleted => "secret-deleted",
            Rename => "rename",
        }
    }

    fn is_racy(self) -> bool {
        matches!(self, Delete | Recreate | RecreateRetained)
    }

    async fn prepare(self, t: &Tenant<'_>) -> Before {
        if self == Create {
            return Before::default();
        }
        t.apply(&self.yaml()).await;
        t.ready(NAME).await;
        t.event(NAME, "Created").await;
        Before {
            secret: value(&t.secret("app-credential").await, "client-secret"),
            generation: t.record(NAME).await.map(|record| record.generation),
        }
    }

    async fn act(self, t: &Tenant<'_>) {
        match self {
            Create => t.apply(&self.yaml()).await,
            Rotate => t.patch(NAME, &json!({ "spec": { "rotation": { "nonce": "2" } } })).await,
            Revoke => t.patch(NAME, &json!({ "spec": { "revoked": true } })).await,
            Delete => t.delete(NAME).await,
            Recreate | RecreateRetained => {
                t.delete(NAME).await;
                t.apply(&self.yaml()).await;
            }
            SecretDeleted => {
                drop(t.secrets().delete("app-credential", &DeleteParams::default()).await.unwrap());
            }
            Rename => t.patch(NAME, &json!({ "spec": { "secretTemplate": { "name": "other" } } })).await,
        }
    }

    async fn done(self, t: &Tenant<'_>, before: &Before) {
        let versions = |resource: &AppCredential| resource.status.as_ref().map_or(0, |it| it.versions.len());
        match self {
            Delete => {
                until("the Secret goes", || async { t.secrets().get_opt("app-credential").await.unwrap().is_none() })
                    .await;
            }
            Create | Rename | RecreateRetained => drop(t.ready(NAME).await),
            Recreate => {
                t.ready(NAME).await;
                t.new_value("app-credential", &before.secret).await;
            }
            Rotate => {
                t.when(NAME, "rotated", |it| versions(it) == 2).await;
                t.ready(NAME).await;
            }
            Revoke => {
                let revoked = |it: &AppCredential| it.status.as_ref().unwrap().state == Some(State::Revoked);
                t.when(NAME, "revoked", revoked).await;
            }
            SecretDeleted => {
                t.when(NAME, "replaced", |it| versions(it) == 2).await;
                t.new_value("app-credential", &before.secret).await;
            }
        }
    }

    fn last_write(self) -> &'static str {
        match self {
            Delete => "/appcredentials/app",
            Rename => "/appcredentials/app/status",
            _ => "/events",
        }
    }

    /// The record accepts the secret of every app, and what is reported as revoked is.
    /// Where the Secret was written before the record, this failed while creating, making anew, replacing and rotating.
    async fn check_moment(t: &Tenant<'_>, _: &Before) {
        // In this order: nothing may be newer than the record that it is compared with.
        let reported = t.resources().get_opt(NAME).await.unwrap().and_then(|it| it.status?.state);
        for name in ["app-credential", "other"] {
            let Some(secret) = t.secrets().get_opt(name).await.unwrap() else { continue };
            let held = value(&secret, "client-secret");
            let record = t.record(NAME).await;
            let accepted = record.as_ref().is_some_and(|record| {
                let now = jiff::Timestamp::now();
                let works = |it: &&SecretVersion| it.not_after.is_none_or(|end| end > now);
                record.secrets.iter().filter(works).any(|it| it.hash == hash_of(&held))
            });
            let revoked = reported != Some(State::Revoked) || record.is_some_and(|record| record.revoked);
            if !(accepted && revoked) && is_in_use::<Self>(t, &secret).await {
                assert!(accepted, "an app holds a secret that the record refuses");
                assert!(revoked, "it is reported as revoked, and is not");
            }
        }
    }

    async fn facts(t: &Tenant<'_>, before: &Before) -> BTreeMap<&'static str, String> {
        let resource = t.resources().get_opt(NAME).await.unwrap();
        let uid = resource.as_ref().and_then(|it| it.metadata.uid.clone());
        let mut facts = BTreeMap::new();
        let status = resource.and_then(|it| it.status).unwrap_or_default();
        let reported = status.versions.iter().map(|it| (it.id, it.not_after.is_some()));
        facts.insert("state", format!("{:?}", status.state));
        facts.insert("reported as rotated", status.last_rotated_at.is_some().to_string());
        facts.insert("reported versions: id, ends", format!("{:?}", reported.collect::<Vec<_>>()));
        let Some(record) = t.record(NAME).await else { return facts };
        let newest = record.secrets.last().map(|it| it.hash);
        let versions =
            record.secrets.iter().map(|it| (it.id, it.not_after.is_some(), it.hash == hash_of(&before.secret)));
        facts.insert("versions: id, ends, of before", format!("{:?}", versions.collect::<Vec<_>>()));
        facts.insert(
            "record has the generation of before",
            (Some(&record.generation) == before.generation.as_ref()).to_string(),
        );
        facts.insert("record is of this resource", (Some(&record.source.uid) == uid.as_ref()).to_string());
        facts.insert("revoked, suspended, scopes", format!("{:?}", (record.revoked, record.suspended, record.scopes)));
        let Some(secret) = t.secrets().get_opt(&status.secret_name.unwrap_or_default()).await.unwrap() else {
            return facts;
        };
        let (current, previous) = (value(&secret, "client-secret"), value(&secret, "client-secret-previous"));
        facts.insert("the Secret has the newest version", (Some(hash_of(&current)) == newest).to_string());
        facts.insert(
            "the Secret has what was before, and as previous",
            format!("{:?}", (current == before.secret, previous == before.secret)),
        );
        facts
    }
}
