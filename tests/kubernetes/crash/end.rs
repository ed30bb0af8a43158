//! What is there in the end, without what is random or a moment in time.

use std::collections::BTreeMap;

use kube::{ResourceExt as _, api::ListParams};
use snaphook::record::GenerationId;

use crate::harness::{Tenant, hash_of, value};

/// What was there before the user acted.
#[derive(Default)]
pub(super) struct Before {
    pub(super) secret: String,
    pub(super) generation: Option<GenerationId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct EndState {
    secrets: Vec<String>,
    records: usize,
    resource: Option<Resource>,
    record: Option<Record>,
    consumer: Option<Consumer>,
}

#[derive(Debug, PartialEq, Eq)]
struct Resource {
    finalizers: Vec<String>,
    conditions: Vec<(String, String, String)>,
    state: String,
    secret_name: Option<String>,
    rotated: bool,
    versions: Vec<(i64, bool)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    facts: Vec<&'static str>,
    /// Id, ended, the one from before.
    versions: Vec<(u32, bool, bool)>,
    scopes: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Consumer {
    keys: Vec<String>,
    facts: Vec<&'static str>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Those that hold.
fn facts<const N: usize>(all: [(&'static str, bool); N]) -> Vec<&'static str> {
    all.into_iter().filter_map(|(fact, holds)| holds.then_some(fact)).collect()
}

impl EndState {
    pub(super) async fn of(t: &Tenant<'_>, before: &Before) -> Self {
        let secrets = t.secrets().list(&ListParams::default()).await.unwrap();
        let records = t.records().list(&ListParams::default().labels("snaphook.dev/record=client")).await.unwrap();
        let resource = t.resources().get_opt("app").await.unwrap();
        let uid = resource.as_ref().and_then(|it| it.metadata.uid.clone());
        let record = t.record("app").await;
        let name = resource.as_ref().and_then(|it| it.status.as_ref()?.secret_name.clone());
        let secret = match &name {
            Some(name) => t.secrets().get_opt(name).await.unwrap(),
            None => None,
        };
        let newest = record.as_ref().and_then(|it| it.secrets.last()).map(|it| it.hash);
        Self {
            // The garbage collector may still be at the one by which the end was awaited.
            secrets: secrets
                .items
                .iter()
                .map(kube::ResourceExt::name_any)
                .filter(|name| !name.starts_with("sentinel"))
                .collect(),
            records: records.items.len(),
            resource: resource.as_ref().map(|it| {
                let status = it.status.clone().unwrap_or_default();
                let conditions = status.conditions.iter();
                Resource {
                    finalizers: it.finalizers().to_vec(),
                    conditions: conditions
                        .map(|it| (it.type_.clone(), it.reason.clone(), it.message.clone()))
                        .collect(),
                    state: format!("{:?}", status.state),
                    secret_name: status.secret_name,
                    rotated: status.last_rotated_at.is_some(),
                    versions: status.versions.iter().map(|it| (it.id, it.not_after.is_some())).collect(),
                }
            }),
            record: record.map(|it| Record {
                facts: facts([
                    ("the generation of before", Some(&it.generation) == before.generation.as_ref()),
                    ("revoked", it.revoked),
                    ("suspended", it.suspended),
                    ("of this resource", Some(&it.source.uid) == uid.as_ref()),
                ]),
                versions: it
                    .secrets
                    .iter()
                    .map(|version| (version.id, version.not_after.is_some(), version.hash == hash_of(&before.secret)))
                    .collect(),
                scopes: it.scopes,
            }),
            consumer: secret.map(|secret| Consumer {
                keys: secret.data.iter().flat_map(|data| data.keys()).cloned().collect(),
                facts: facts([
                    ("the value of before", value(&secret, "client-secret") == before.secret),
                    ("the former value of before", value(&secret, "client-secret-previous") == before.secret),
                    ("the newest version", Some(hash_of(&value(&secret, "client-secret"))) == newest),
                    ("owned", secret.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref())),
                ]),
                labels: secret.labels().clone(),
                annotations: secret.annotations().clone(),
            }),
        }
    }
}
