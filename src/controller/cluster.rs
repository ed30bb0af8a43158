//! Flow 1: the Kubernetes cluster as the steps see it: looks at caches or at the API server, and writes with preconditions.

use std::{collections::BTreeMap, sync::Arc};

use futures::try_join;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, PartialObjectMeta},
    runtime::{
        events::{Event, EventType, Recorder},
        reflector::ObjectRef,
    },
};
use serde_json::json;

use super::{
    api::{call, call_opt},
    app_credential::{
        ApplyError, Depth, KIND, Observed, StoredRecord, World,
        apply::FINALIZER,
        build::Consumer,
        fetch::{self, ObjectVersion},
        status::Note,
    },
    contest::Contests,
    secrets,
    watches::{Cache, Guarded, Listed},
};
use crate::{
    crd::{AppCredential, AppCredentialStatus, FIELD_MANAGER},
    record::{self, ClientRecord, Kind},
};

/// What the watches keep in memory. Each holds our own objects only.
pub struct Caches {
    /// The resources.
    pub resources: Cache<Guarded>,
    /// Client records.
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
        let Self { resources, records, consumers, references, namespaces } = self;
        let secrets = [records, consumers, references].into_iter().map(Cache::listed);
        std::iter::once(resources.listed()).chain(secrets).chain(namespaces.as_ref().map(Cache::listed))
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
    pub all_resources: Arc<[Cache<Guarded>]>,
    /// Publishes Events.
    pub recorder: Recorder,
    /// Who rewrites our Secrets.
    pub contests: Contests,
}

impl Cluster {
    fn records(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.realm_namespace)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn resources(&self, resource: &AppCredential) -> Api<AppCredential> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }

    async fn record_secret(&self, name: &str, depth: Depth) -> Result<Option<Arc<Secret>>, ApplyError> {
        match depth {
            Depth::Cached => Ok(self.caches.records.get(&ObjectRef::new(name).within(&self.realm_namespace))),
            Depth::Live => call_opt("the record", self.records().get(name)).await.map(|secret| secret.map(Arc::new)),
        }
    }

    /// Our Secrets for the resource, and a foreign one under the wanted name.
    async fn consumers(
        &self,
        resource: &AppCredential,
        depth: Depth,
    ) -> Result<(Vec<Secret>, Option<Secret>), ApplyError> {
        let (namespace, wanted) = (resource.namespace().unwrap_or_default(), fetch::consumer_name(resource));
        // Default names can be looked up; only a status knows of another.
        let former = resource.status.as_ref().and_then(|status| status.secret_name.clone());
        let names = std::iter::once(wanted.clone()).chain(former.filter(|former| *former != wanted));
        let (mut ours, mut foreign) = (Vec::new(), None);
        for name in names {
            let found = match depth {
                Depth::Cached => {
                    let cached = self.caches.consumers.get(&ObjectRef::new(&name).within(&namespace));
                    cached.map(|secret| (*secret).clone())
                }
                Depth::Live => call_opt(&format!("the Secret {name}"), self.secrets(&namespace).get(&name)).await?,
            };
            match found {
                Some(secret) if fetch::is_ours(&secret, resource) => ours.push(secret),
                Some(secret) if name == wanted && depth == Depth::Live => foreign = Some(secret),
                _ => {}
            }
        }
        Ok((ours, foreign))
    }

    async fn referenced(&self, resource: &AppCredential, depth: Depth) -> Result<Option<Secret>, ApplyError> {
        let Some(from) = &resource.spec.secret_from else { return Ok(None) };
        let (namespace, name) = (resource.namespace().unwrap_or_default(), &from.secret_key_ref.name);
        match depth {
            Depth::Cached => {
                let cached = self.caches.references.get(&ObjectRef::new(name).within(&namespace));
                Ok(cached.map(|secret| (*secret).clone()))
            }
            Depth::Live => call_opt(&format!("the Secret {name}"), self.secrets(&namespace).get(name)).await,
        }
    }

    fn namespace_labels(&self, resource: &AppCredential) -> BTreeMap<String, String> {
        let namespace = resource.namespace().unwrap_or_default();
        let cached = self.caches.namespaces.as_ref().and_then(|store| store.get(&ObjectRef::new(&namespace)));
        cached.map(|namespace| namespace.labels().clone()).unwrap_or_default()
    }

    fn rivals(&self, resource: &AppCredential) -> fetch::Rivals {
        let all: Vec<_> = self.all_resources.iter().flat_map(|resources| resources.state()).collect();
        fetch::rivals(resource, all.iter().filter_map(|guarded| guarded.0.as_ref().ok()))
    }

    /// Whether the very resource that a record was made from is there.
    ///
    /// # Errors
    /// The API server did not say.
    pub async fn resource_exists(&self, source: &record::Source) -> Result<bool, ApplyError> {
        let api: Api<AppCredential> = Api::namespaced(self.client.clone(), &source.namespace);
        let found = call_opt("a record's resource", api.get_metadata(&source.name)).await?;
        Ok(found.is_some_and(|found| found.metadata.uid.as_ref() == Some(&source.uid)))
    }

    /// The status of a resource whose spec does not parse. One that does not parse either counts as none.
    ///
    /// # Errors
    /// The API server did not say.
    pub async fn reported(&self, resource: &AppCredential) -> Result<AppCredentialStatus, ApplyError> {
        let kind = ApiResource::erase::<AppCredential>(&());
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
        self.delete_unchanged("an orphaned record", secret).await
    }

    async fn delete_unchanged(&self, what: &str, secret: &Secret) -> Result<(), ApplyError> {
        let ObjectVersion { uid, resource_version } = version_of(secret);
        let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        call_opt(what, self.records().delete(&secret.name_any(), &params)).await.map(drop)
    }

    async fn patch_finalizers(
        &self,
        resource: &AppCredential,
        operations: serde_json::Value,
    ) -> Result<(), ApplyError> {
        let object = format!("the finalizer of {KIND} {}", resource.name_any());
        let patch: json_patch::Patch = serde_json::from_value(operations)
            .map_err(|error| ApplyError::Unreachable { object: object.clone(), source: error.into() })?;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let api = self.resources(resource);
        let (name, patch) = (resource.name_any(), Patch::Json::<()>(patch));
        match call_opt(&object, api.patch_metadata(&name, &params, &patch)).await {
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
pub fn stored_record(secret: &Secret) -> StoredRecord {
    let json = fetch::data(secret).get(record::DATA_KEY);
    let document = json.and_then(|json| record::parse::<ClientRecord>(&json.0).ok());
    StoredRecord { document, version: version_of(secret) }
}

fn record_name(resource: &AppCredential) -> String {
    record::secret_name(KIND, &resource.namespace().unwrap_or_default(), &resource.name_any())
}

fn record_secret(document: &ClientRecord, realm_namespace: &str) -> Result<Secret, ApplyError> {
    let name = record::secret_name(&document.source.kind, &document.source.namespace, &document.source.name);
    secrets::record(&name, realm_namespace, Kind::Client, Some(&document.source), document)
        .map_err(|error| ApplyError::Unreachable { object: "the record".into(), source: error.into() })
}

fn create_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

fn merge_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

impl World for Cluster {
    async fn fetch(&self, resource: &AppCredential, depth: Depth) -> Result<Observed, ApplyError> {
        let name = record_name(resource);
        // Boxed, as every reconcile would be three requests larger.
        let (record, (consumers, foreign), referenced) = try_join!(
            Box::pin(self.record_secret(&name, depth)),
            Box::pin(self.consumers(resource, depth)),
            Box::pin(self.referenced(resource, depth))
        )?;
        Ok(Observed {
            record: record.as_deref().map(stored_record),
            consumers,
            foreign,
            referenced,
            namespace_labels: self.namespace_labels(resource),
            rivals: self.rivals(resource),
            contested_by: self
                .contests
                .winner(&resource.namespace().unwrap_or_default(), &fetch::consumer_name(resource)),
            reported_versions: fetch::reported_versions(resource),
        })
    }

    async fn read_again(&self, resource: &AppCredential) -> Result<AppCredential, ApplyError> {
        let object = format!("{KIND} {}", resource.name_any());
        let found = call_opt(&object, self.resources(resource).get(&resource.name_any())).await?;
        let same = |found: &AppCredential| found.uid() == resource.uid() && found.meta().deletion_timestamp.is_none();
        found.filter(same).ok_or(ApplyError::Going { object })
    }

    async fn add_finalizer(&self, resource: &AppCredential) -> Result<(), ApplyError> {
        let mut operations = vec![json!({ "op": "test", "path": "/metadata/uid", "value": resource.uid() })];
        if resource.finalizers().is_empty() {
            // The list is made as a whole, so nobody else may have made one meanwhile.
            let version = resource.resource_version();
            operations.push(json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version }));
            operations.push(json!({ "op": "add", "path": "/metadata/finalizers", "value": [FINALIZER] }));
        } else {
            operations.push(json!({ "op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER }));
        }
        self.patch_finalizers(resource, operations.into()).await
    }

    async fn remove_finalizer(&self, resource: &AppCredential) -> Result<(), ApplyError> {
        let position = resource.finalizers().iter().position(|finalizer| finalizer == FINALIZER);
        let Some(index) = position else { return Ok(()) };
        let path = format!("/metadata/finalizers/{index}");
        let operations = json!([
            { "op": "test", "path": "/metadata/uid", "value": resource.uid() },
            { "op": "test", "path": path, "value": FINALIZER },
            { "op": "remove", "path": path },
        ]);
        self.patch_finalizers(resource, operations).await
    }

    async fn create_record(&self, document: &ClientRecord) -> Result<ObjectVersion, ApplyError> {
        let secret = record_secret(document, &self.realm_namespace)?;
        let created = call("the record", self.records().create(&create_params(), &secret)).await?;
        Ok(version_of(&created))
    }

    async fn update_record(&self, document: &ClientRecord, seen: &ObjectVersion) -> Result<ObjectVersion, ApplyError> {
        let secret = record_secret(document, &self.realm_namespace)?;
        let patch = Patch::Merge(secrets::record_patch(&secret, seen));
        let updated = call("the record", self.records().patch(&secret.name_any(), &merge_params(), &patch)).await?;
        Ok(version_of(&updated))
    }

    async fn delete_record(&self, resource: &AppCredential) -> Result<(), ApplyError> {
        let Some(secret) = self.record_secret(&record_name(resource), Depth::Live).await? else { return Ok(()) };
        // A cache that lags shows a resource that was deleted and made anew: the record is its successor's.
        let of_another = |record: ClientRecord| Some(&record.source.uid) != resource.meta().uid.as_ref();
        if stored_record(&secret).document.is_some_and(of_another) {
            return Ok(());
        }
        self.delete_unchanged("the record", &secret).await
    }

    async fn create_consumer(&self, consumer: &Consumer) -> Result<(), ApplyError> {
        let secret = secrets::consumer(consumer);
        let object = format!("the Secret {}", consumer.name);
        call(&object, self.secrets(&consumer.namespace).create(&create_params(), &secret)).await.map(drop)
    }

    async fn update_consumer(&self, consumer: &Consumer, seen: &Secret) -> Result<bool, ApplyError> {
        let Some(patch) = secrets::consumer_patch(consumer, seen) else { return Ok(false) };
        if let Some(rival) = secrets::rewritten_by(consumer, seen) {
            self.contests.note(&consumer.namespace, &consumer.name, &rival);
        }
        let object = format!("the Secret {}", consumer.name);
        let secrets = self.secrets(&consumer.namespace);
        call(&object, secrets.patch(&consumer.name, &merge_params(), &Patch::Merge(patch))).await?;
        Ok(true)
    }

    async fn delete_consumer(&self, seen: &Secret) -> Result<(), ApplyError> {
        let ObjectVersion { uid, resource_version } = version_of(seen);
        let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let secrets = self.secrets(&seen.namespace().unwrap_or_default());
        call_opt("the former Secret", secrets.delete(&seen.name_any(), &params)).await.map(drop)
    }

    async fn write_status(&self, resource: &AppCredential, status: &AppCredentialStatus) -> Result<(), ApplyError> {
        let patch = json!({
            "apiVersion": AppCredential::api_version(&()),
            "kind": KIND,
            "metadata": { "name": resource.name_any(), "uid": resource.uid() },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let object = format!("the status of {KIND} {}", resource.name_any());
        let api = self.resources(resource);
        call_opt(&object, api.patch_status(&resource.name_any(), &params, &Patch::Apply(patch))).await.map(drop)
    }

    async fn publish(&self, resource: &AppCredential, note: &Note) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.into(),
            note: Some(note.message.clone()),
            action: "Reconcile".into(),
            secondary: None,
        };
        let reference = resource.object_ref(&());
        if let Err(error) = call("an Event", self.recorder.publish(&event, &reference)).await {
            tracing::debug!(reason = error.reason(), "an Event was not published");
        }
    }
}
