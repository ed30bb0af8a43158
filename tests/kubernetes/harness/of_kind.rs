//! The resources of one kind in a tenant's namespace, and their records.

use std::{fmt::Debug, marker::PhantomData, time::Instant};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::Value;
use snaphook::{
    controller::steps::{StatusOf, Steps},
    crd::{Kind, Report as _, condition::ConditionStatus},
    record::{self, Document as _},
};

use super::{SOON, Tenant, until, until_some};

/// The resources of one kind.
pub(crate) struct OfKind<'a, K> {
    tenant: &'a Tenant<'a>,
    kind: PhantomData<K>,
}

impl<'a> Tenant<'a> {
    /// Its resources of one kind.
    pub(crate) fn of<K: Kind>(&'a self) -> OfKind<'a, K> {
        OfKind { tenant: self, kind: PhantomData }
    }
}

impl<K: Kind> OfKind<'_, K>
where
    StatusOf<K>: Debug,
{
    pub(crate) fn api(&self) -> Api<K> {
        Api::namespaced(self.tenant.client.clone(), &self.tenant.namespace)
    }

    /// `kubectl patch --type merge`.
    pub(crate) async fn patch(&self, name: &str, patch: &Value) {
        self.api().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// `kubectl delete`: returns when the resource is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.api().delete(name, &DeleteParams::default()).await.unwrap();
        until(&format!("{name} is gone"), || async { self.api().get_opt(name).await.unwrap().is_none() }).await;
    }

    /// Waits until a resource looks as wanted.
    pub(crate) async fn when(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K {
        let mut last = None;
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(found) = self.api().get_opt(name).await.unwrap() {
                if wanted(&found) {
                    return found;
                }
                last = found.status().cloned();
            }
            assert!(Instant::now() < deadline, "{name} is never {what}; its status: {last:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        }
    }

    /// Waits until what is reported of a resource is as wanted.
    pub(crate) async fn reports(&self, name: &str, what: &str, wanted: impl Fn(&StatusOf<K>) -> bool) -> StatusOf<K> {
        let found = self.when(name, what, |found| found.status().is_some_and(&wanted)).await;
        found.status().unwrap().clone()
    }

    /// Waits until a resource is `Ready` at its present generation.
    pub(crate) async fn ready(&self, name: &str) -> K {
        self.when(name, "ready", |found| condition(found, "Ready", ConditionStatus::True).is_some()).await
    }

    /// Waits until a resource is not ready, and has this condition for a reason; returns the message.
    pub(crate) async fn refused(&self, name: &str, type_: &str, reason: &str) -> String {
        let fits = |found: &K| {
            condition(found, type_, ConditionStatus::True).is_some_and(|(found, _)| found == reason)
                && condition(found, "Ready", ConditionStatus::False).is_some()
        };
        let found = self.when(name, &format!("{type_} for {reason}"), fits).await;
        condition(&found, type_, ConditionStatus::True).unwrap().1
    }
}

impl<K: Steps> OfKind<'_, K> {
    pub(crate) fn record_name(&self, name: &str) -> String {
        record::secret_name(K::KIND, &self.tenant.namespace, name)
    }

    /// The record, wherever it is kept; of two, that in the shared realm.
    pub(crate) async fn record(&self, name: &str) -> Option<K::Record> {
        let shared = self.shared_record(name).await;
        let file = record::file_name(K::Record::KIND, &self.record_name(name));
        let bundles = if shared.is_some() { Vec::new() } else { self.tenant.bundles().await };
        let elsewhere = bundles.into_iter().rev().find_map(|bundle| {
            let json = bundle.data?.remove(&file)?;
            Some(record::parse(&json.0).unwrap())
        });
        shared.or(elsewhere)
    }

    /// The record in the shared realm.
    pub(crate) async fn shared_record(&self, name: &str) -> Option<K::Record> {
        let secret = self.tenant.records().get_opt(&self.record_name(name)).await.unwrap()?;
        Some(record::parse(&secret.data.unwrap()[record::DATA_KEY].0).unwrap())
    }

    /// Waits until a record looks as wanted.
    pub(crate) async fn record_when(&self, name: &str, what: &str, wanted: impl Fn(&K::Record) -> bool) -> K::Record {
        until_some(what, || async { self.record(name).await.filter(|record| wanted(record)) }).await
    }
}

/// Reason and message of a condition that has this status at the resource's present generation.
fn condition<K: Kind>(resource: &K, type_: &str, status: ConditionStatus) -> Option<(String, String)> {
    let current = |generation: Option<i64>| generation == resource.meta().generation;
    let found = resource.status()?.conditions().iter().find(|it| it.type_ == type_ && it.status == status)?;
    current(Some(found.observed_generation)).then(|| (found.reason.clone(), found.message.clone()))
}
