//! What a user does while the controller is killed.

use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use serde_json::json;
use snaphook::crd::{AppCredential, app_credential::State};

use super::end::Before;
use crate::harness::{Proxy, SOON, Tenant, until, value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Create,
    Rotate,
    Revoke,
    Delete,
    Recreate,
    RecreateRetained,
    SecretDeleted,
    Rename,
}

impl Scenario {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rotate => "rotate",
            Self::Revoke => "revoke",
            Self::Delete => "delete",
            Self::Recreate => "recreate",
            Self::RecreateRetained => "retained",
            Self::SecretDeleted => "secret-deleted",
            Self::Rename => "rename",
        }
    }

    /// The number of writes may differ by one: the garbage collector takes part, or the event of the record's end comes
    /// before that of the resource's, and a second removal of the finalizer finds nothing.
    pub(super) fn is_racy(self) -> bool {
        matches!(self, Self::Delete | Self::Recreate | Self::RecreateRetained)
    }

    fn yaml(self) -> String {
        let policy = if self == Self::RecreateRetained { "Retain" } else { "Delete" };
        format!(
            "{{kind: AppCredential, metadata: {{name: app}}, spec: {{scopes: [orders:read], deletionPolicy: {policy}, rotation: {{nonce: '1'}}}}}}"
        )
    }

    /// What is there before.
    pub(super) async fn prepare(self, t: &Tenant<'_>) -> Before {
        if self == Self::Create {
            return Before::default();
        }
        t.apply(&self.yaml()).await;
        t.ready("app").await;
        t.event("app", "Created").await;
        Before {
            secret: value(&t.secret("app-credential").await, "client-secret"),
            generation: t.record("app").await.map(|record| record.generation),
        }
    }

    pub(super) async fn act(self, t: &Tenant<'_>) {
        match self {
            Self::Create => t.apply(&self.yaml()).await,
            Self::Rotate => t.patch("app", &json!({ "spec": { "rotation": { "nonce": "2" } } })).await,
            Self::Revoke => t.patch("app", &json!({ "spec": { "revoked": true } })).await,
            Self::Delete => t.delete("app").await,
            Self::Recreate | Self::RecreateRetained => {
                t.delete("app").await;
                t.apply(&self.yaml()).await;
            }
            Self::SecretDeleted => {
                drop(t.secrets().delete("app-credential", &DeleteParams::default()).await.unwrap());
            }
            Self::Rename => t.patch("app", &json!({ "spec": { "secretTemplate": { "name": "other" } } })).await,
        }
    }

    /// Waits until the user sees what he asked for.
    pub(super) async fn done(self, t: &Tenant<'_>, before: &Before) {
        let versions = |resource: &AppCredential| resource.status.as_ref().map_or(0, |it| it.versions.len());
        match self {
            Self::Delete => {
                until("the Secret goes", || async { t.secrets().get_opt("app-credential").await.unwrap().is_none() })
                    .await;
            }
            Self::Create | Self::Rename | Self::RecreateRetained => drop(t.ready("app").await),
            Self::Recreate => {
                t.ready("app").await;
                t.new_value("app-credential", &before.secret).await;
            }
            Self::Rotate => {
                t.when("app", "rotated", |it| versions(it) == 2).await;
                t.ready("app").await;
            }
            Self::Revoke => {
                let revoked = |it: &AppCredential| it.status.as_ref().unwrap().state == Some(State::Revoked);
                t.when("app", "revoked", revoked).await;
            }
            Self::SecretDeleted => {
                t.when("app", "replaced", |it| versions(it) == 2).await;
                t.new_value("app-credential", &before.secret).await;
            }
        }
    }

    /// In an undisturbed run: the write after which nothing comes.
    pub(super) async fn last_write(self, proxy: &Proxy) {
        let last = match self {
            Self::Delete => "/appcredentials/app",
            Self::Rename => "/appcredentials/app/status",
            _ => "/events",
        };
        let there = || proxy.writes().last().is_some_and(|write| write.ends_with(last));
        let deadline = Instant::now() + SOON;
        while !there() {
            assert!(Instant::now() < deadline, "{self:?} does not end with {last}: {:#?}", proxy.writes());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
