//! What is there in the end, without what is random or a moment in time.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt as _, api::ListParams};
use snaphook::{controller::webhook_credential::build::MODIFIED_ANNOTATION, crd::Report as _};

use super::{NAME, Scenario};
use crate::harness::Tenant;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct EndState {
    secrets: Vec<String>,
    records: usize,
    resource: Option<Resource>,
    consumer: Option<Consumer>,
    /// Of this kind alone.
    facts: BTreeMap<&'static str, String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Resource {
    finalizers: Vec<String>,
    /// Type, reason and message.
    conditions: Vec<[String; 3]>,
    secret_name: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Consumer {
    keys: Vec<String>,
    owned: bool,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl EndState {
    pub(super) async fn of<S: Scenario>(t: &Tenant<'_>, before: &S::Before) -> Self {
        let secrets = t.secrets().list(&ListParams::default()).await.unwrap();
        let records = ListParams::default().labels("snaphook.dev/record in (client,endpoint,injection)");
        let records = t.records().list(&records).await.unwrap();
        let resource = t.of::<S::Kind>().api().get_opt(NAME).await.unwrap();
        let uid = resource.as_ref().and_then(kube::ResourceExt::uid);
        let resource = resource.map(|it| Resource::of(&it));
        let secret = match resource.as_ref().and_then(|it| it.secret_name.as_ref()) {
            Some(name) => t.secrets().get_opt(name).await.unwrap(),
            None => None,
        };
        // The garbage collector may still be at the one by which the end was awaited.
        let names = secrets.iter().map(kube::ResourceExt::name_any).filter(|name| !name.starts_with("sentinel"));
        Self {
            secrets: names.collect(),
            records: records.items.len(),
            consumer: secret.map(|it| Consumer::of(&it, uid.as_ref())),
            resource,
            facts: S::facts(t, before).await,
        }
    }
}

impl Resource {
    fn of<K: snaphook::crd::Kind>(resource: &K) -> Self {
        let conditions = resource.conditions().iter();
        Self {
            finalizers: resource.finalizers().to_vec(),
            conditions: conditions.map(|it| [it.type_.clone(), it.reason.clone(), it.message.clone()]).collect(),
            secret_name: resource.status().and_then(|status| status.secret_name()).map(str::to_owned),
        }
    }
}

impl Consumer {
    fn of(secret: &Secret, owner: Option<&String>) -> Self {
        let mut annotations = secret.annotations().clone();
        annotations.entry(MODIFIED_ANNOTATION.to_owned()).and_modify(|moment| "a moment".clone_into(moment));
        Self {
            keys: secret.data.iter().flat_map(|data| data.keys()).cloned().collect(),
            owned: secret.owner_references().iter().any(|it| Some(&it.uid) == owner),
            labels: secret.labels().clone(),
            annotations,
        }
    }
}
