//! Flow 1: the Kubernetes cluster as the steps see it: looks at caches or at the API server, and writes with preconditions.

pub mod around;
mod routes;
mod world;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    networking::v1::Ingress,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DynamicObject, Patch},
    core::{ApiResource, PartialObjectMeta},
    runtime::{events::Recorder, reflector::ObjectRef},
};

use serde::de::DeserializeOwned;

use super::{
    api::{call_opt, merge_params},
    apply::ApplyError,
    contest::Contests,
    fetch::{self, Depth, ObjectVersion},
    records::{Id, RecordCaches, Records, unchanged},
    route::HttpRoute,
    steps::{StatusOf, Steps},
    wakes::Wakes,
    watches::{Cache, Listed, PackedCache, Resources, Routes},
};
use crate::{
    config,
    crd::{Kind, Report as _},
    record,
};
pub use routes::RouteFailures;

/// What the watches keep in memory. Each holds our own objects only.
pub struct Caches {
    /// The resources.
    pub resources: Resources,
    /// Secrets for apps.
    pub consumers: PackedCache<Secret>,
    /// Secrets that may be referred to.
    pub references: PackedCache<Secret>,
    /// Namespaces, where the policy asks for their labels.
    pub namespaces: Option<Cache<PartialObjectMeta<Namespace>>>,
    /// Routes.
    pub ingresses: Routes<Ingress>,
    /// Routes, where the API server has that kind.
    pub http_routes: Routes<HttpRoute>,
}

impl Caches {
    /// Whether those were filled that every kind depends on.
    pub fn shared(&self) -> impl Iterator<Item = &Listed> {
        let Self { resources: _, consumers, references, namespaces, ingresses: _, http_routes: _ } = self;
        let secrets = [consumers, references].into_iter().map(PackedCache::listed);
        secrets.chain(namespaces.as_ref().map(Cache::listed))
    }
}

/// The cluster, with all realms in it.
pub struct Cluster {
    /// The client, without retries of its own.
    pub client: Client,
    /// The records of what is looked after.
    pub records: Records,
    /// What the watches know.
    pub caches: Caches,
    /// The resources of every namespace that is looked after, also those of other lanes.
    pub all_resources: Arc<[Resources]>,
    /// The records of every namespace that is looked after, also those of other lanes.
    pub all_records: Arc<[RecordCaches]>,
    /// Publishes Events.
    pub recorder: Recorder,
    /// Who rewrites our Secrets and routes.
    pub contests: Contests,
    /// Where routes are made: the shared realm's namespace.
    pub realm_namespace: String,
    /// Which routes are wanted by those who do not say.
    pub routes: config::Routes,
    /// Which of them could not be written.
    pub route_failures: RouteFailures,
    /// How long Secrets took.
    pub wakes: Wakes,
}

impl Cluster {
    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn resources<K: Kind>(&self, resource: &K) -> Api<K> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }

    /// What has to be listed before anything is judged.
    pub fn needs(&self) -> impl Iterator<Item = &Listed> {
        self.caches.shared().chain(self.records.caches().listed())
    }

    async fn secret(
        &self,
        cache: &PackedCache<Secret>,
        namespace: &str,
        name: &str,
        depth: Depth,
    ) -> Result<Option<Secret>, ApplyError> {
        match depth {
            Depth::Cached => Ok(cache.get(namespace, name)),
            Depth::Live => call_opt(&format!("the Secret {name}"), self.secrets(namespace).get(name)).await,
        }
    }

    /// Our Secrets for the resource, and a foreign one under the wanted name.
    async fn consumers<K: Kind>(
        &self,
        resource: &K,
        depth: Depth,
    ) -> Result<(Vec<Secret>, Option<Secret>), ApplyError> {
        let (namespace, wanted) = (resource.namespace().unwrap_or_default(), resource.consumer_name());
        // Default names can be looked up; only a status knows of another.
        let former = resource.status().and_then(|status| status.secret_name().map(str::to_owned));
        let names = std::iter::once(wanted.clone()).chain(former.filter(|former| *former != wanted));
        let (mut ours, mut foreign) = (Vec::new(), None);
        for name in names {
            match self.secret(&self.caches.consumers, &namespace, &name, depth).await? {
                Some(secret) if fetch::is_ours(&secret, resource) => ours.push(secret),
                Some(secret) if name == wanted && depth == Depth::Live => foreign = Some(secret),
                _ => {}
            }
        }
        Ok((ours, foreign))
    }

    async fn references<K: Kind>(&self, resource: &K, depth: Depth) -> Result<BTreeMap<String, Secret>, ApplyError> {
        let namespace = resource.namespace().unwrap_or_default();
        let mut found = BTreeMap::new();
        for from in resource.references() {
            let name = &from.secret_key_ref.name;
            if let Some(secret) = self.secret(&self.caches.references, &namespace, name, depth).await? {
                found.insert(name.clone(), secret);
            }
        }
        Ok(found)
    }

    fn namespace_labels<K: Kind>(&self, resource: &K) -> BTreeMap<String, String> {
        let namespace = resource.namespace().unwrap_or_default();
        let cached = self.caches.namespaces.as_ref().and_then(|store| store.get(&ObjectRef::new(&namespace)));
        cached.map(|namespace| namespace.labels().clone()).unwrap_or_default()
    }

    /// Whether the very resource that a record was made from is there.
    ///
    /// # Errors
    /// The API server did not say.
    pub async fn resource_exists<K: Kind>(&self, source: &record::Source) -> Result<bool, ApplyError> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &source.namespace);
        let found = call_opt("a record's resource", api.get_metadata(&source.name)).await?;
        Ok(found.is_some_and(|found| found.metadata.uid.as_ref() == Some(&source.uid)))
    }

    /// The status of a resource whose spec does not parse. One that does not parse either counts as none.
    ///
    /// # Errors
    /// The API server did not say.
    pub async fn reported<K: Kind>(&self, resource: &K) -> Result<StatusOf<K>, ApplyError> {
        let kind = ApiResource::erase::<K>(&());
        let namespace = resource.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &kind);
        let found = call_opt("a resource that does not parse", api.get(&resource.name_any())).await?;
        let status = found.and_then(|found| serde_json::from_value(found.data.get("status")?.clone()).ok());
        Ok(status.unwrap_or_default())
    }

    async fn delete_unchanged<O>(&self, what: &str, api: &Api<O>, seen: &O) -> Result<(), ApplyError>
    where
        O: Resource + Clone + DeserializeOwned + Debug,
    {
        call_opt(what, api.delete(&seen.name_any(), &unchanged(&ObjectVersion::of(seen)))).await.map(drop)
    }

    async fn patch_finalizers<K: Kind>(&self, resource: &K, operations: serde_json::Value) -> Result<(), ApplyError> {
        let object = format!("the finalizer of {} {}", K::KIND, resource.name_any());
        let patch: json_patch::Patch = serde_json::from_value(operations)
            .map_err(|error| ApplyError::Unreachable { object: object.clone(), source: error.into() })?;
        let api = self.resources(resource);
        let (name, patch) = (resource.name_any(), Patch::Json::<()>(patch));
        match call_opt(&object, api.patch_metadata(&name, &merge_params(), &patch)).await {
            // A test that fails is answered as an invalid patch.
            Err(ApplyError::Refused { object, .. }) => Err(ApplyError::Conflict { object }),
            result => result.map(drop),
        }
    }
}

fn record_id<K: Steps>(resource: &K) -> Id {
    Id::of::<K::Record>(K::KIND, &resource.namespace().unwrap_or_default(), &resource.name_any())
}
