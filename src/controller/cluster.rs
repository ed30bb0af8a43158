//! Flow 1: the Kubernetes cluster as the steps see it: looks at caches or at the API server, and writes with preconditions.

pub mod around;
mod world;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, PartialObjectMeta},
    runtime::{events::Recorder, reflector::ObjectRef},
};

use super::{
    api::call_opt,
    apply::ApplyError,
    contest::Contests,
    fetch::{self, Depth, ObjectVersion, StoredRecord},
    secrets,
    steps::StatusOf,
    wakes::Wakes,
    watches::{Cache, Listed, Of, Resources},
};
use crate::{
    crd::{FIELD_MANAGER, Kind, Report as _},
    record::{self, Document},
};

/// What the watches keep in memory. Each holds our own objects only.
pub struct Caches {
    /// The resources.
    pub resources: Resources,
    /// Records.
    pub records: Cache<Secret>,
    /// Secrets for apps.
    pub consumers: Cache<Secret>,
    /// Secrets that may be referred to.
    pub references: Cache<Secret>,
    /// Namespaces, where the policy asks for their labels.
    pub namespaces: Option<Cache<PartialObjectMeta<Namespace>>>,
}

impl Caches {
    /// Whether each was filled.
    pub fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.resources.listed().into_iter().chain(self.shared())
    }

    /// Whether those were filled that every kind depends on.
    pub fn shared(&self) -> impl Iterator<Item = &Listed> {
        let Self { resources: _, records, consumers, references, namespaces } = self;
        let secrets = [records, consumers, references].into_iter().map(Cache::listed);
        secrets.chain(namespaces.as_ref().map(Cache::listed))
    }
}

/// The cluster, with one realm in it.
pub struct Cluster {
    /// The client, without retries of its own.
    pub client: Client,
    /// Where the records are.
    pub realm_namespace: String,
    /// What the watches know.
    pub caches: Caches,
    /// The resources of every namespace that is looked after, also those of other lanes.
    pub all_resources: Arc<[Resources]>,
    /// The records of every namespace that is looked after, also those of other lanes.
    pub all_records: Arc<[Cache<Secret>]>,
    /// Publishes Events.
    pub recorder: Recorder,
    /// Who rewrites our Secrets.
    pub contests: Contests,
    /// How long Secrets took.
    pub wakes: Wakes,
}

impl Cluster {
    fn records(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.realm_namespace)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn resources<K: Kind>(&self, resource: &K) -> Api<K> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }

    async fn record_secret(&self, name: &str, depth: Depth) -> Result<Option<Arc<Secret>>, ApplyError> {
        match depth {
            Depth::Cached => Ok(self.caches.records.get(&ObjectRef::new(name).within(&self.realm_namespace))),
            Depth::Live => call_opt("the record", self.records().get(name)).await.map(|secret| secret.map(Arc::new)),
        }
    }

    async fn secret(
        &self,
        cache: &Cache<Secret>,
        namespace: &str,
        name: &str,
        depth: Depth,
    ) -> Result<Option<Secret>, ApplyError> {
        match depth {
            Depth::Cached => {
                let cached = cache.get(&ObjectRef::new(name).within(namespace));
                Ok(cached.map(|secret| (*secret).clone()))
            }
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

    fn rivals<K: Kind>(&self, resource: &K) -> fetch::Rivals
    where
        Resources: Of<K>,
    {
        let all: Vec<_> = self.all_resources.iter().flat_map(|resources| resources.of().state()).collect();
        fetch::rivals(resource, all.iter().filter_map(|guarded| guarded.0.as_ref().ok()))
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

    /// Removes a record that is still as it was seen.
    ///
    /// # Errors
    /// What kept it.
    pub async fn delete_orphan(&self, secret: &Secret) -> Result<(), ApplyError> {
        self.delete_unchanged("an orphaned record", &self.records(), secret).await
    }

    async fn delete_unchanged(&self, what: &str, api: &Api<Secret>, secret: &Secret) -> Result<(), ApplyError> {
        let ObjectVersion { uid, resource_version } = version_of(secret);
        let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        call_opt(what, api.delete(&secret.name_any(), &params)).await.map(drop)
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

fn version_of(secret: &Secret) -> ObjectVersion {
    ObjectVersion {
        uid: secret.uid().unwrap_or_default(),
        resource_version: secret.resource_version().unwrap_or_default(),
    }
}

/// Reads a record; one that does not parse counts as lost.
#[must_use]
pub fn stored_record<R: Document>(secret: &Secret) -> StoredRecord<R> {
    let json = fetch::data(secret).get(record::DATA_KEY);
    let document = json.and_then(|json| record::parse::<R>(&json.0).ok());
    StoredRecord { document, version: version_of(secret) }
}

fn record_name<K: Kind>(resource: &K) -> String {
    record::secret_name(K::KIND, &resource.namespace().unwrap_or_default(), &resource.name_any())
}

fn record_secret<R: Document>(document: &R, realm_namespace: &str) -> Result<Secret, ApplyError> {
    let source = document.source();
    let name = record::secret_name(&source.kind, &source.namespace, &source.name);
    secrets::record(&name, realm_namespace, R::KIND, Some(source), document)
        .map_err(|error| ApplyError::Unreachable { object: "the record".into(), source: error.into() })
}

fn create_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

fn merge_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}
