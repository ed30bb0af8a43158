//! Flow 1, steps 1 and 4: looks and writes of every kind.

use futures::try_join;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::json;

use super::{
    Cluster, around::Surroundings, create_params, merge_params, record_name, record_secret, stored_record, version_of,
};
use crate::{
    controller::{
        api::{call, call_opt},
        apply::{ApplyError, FINALIZER, World},
        consumer::Consumer,
        fetch::{Depth, ObjectVersion, Observed},
        report::Note,
        secrets,
        steps::{StatusOf, Steps},
        watches::{Of, Resources},
    },
    crd::FIELD_MANAGER,
    record::Document as _,
};

impl<K: Steps> World<K> for Cluster
where
    Cluster: Surroundings<K>,
    Resources: Of<K>,
{
    async fn fetch(&self, resource: &K, depth: Depth) -> Result<Observed<K>, ApplyError> {
        let name = record_name(resource);
        // Boxed, as every reconcile would be several requests larger.
        let (record, (consumers, foreign), references, around) = try_join!(
            Box::pin(self.record_secret(&name, depth)),
            Box::pin(self.consumers(resource, depth)),
            Box::pin(self.references(resource, depth)),
            Box::pin(self.around(resource, depth))
        )?;
        Ok(Observed {
            record: record.as_deref().map(stored_record),
            consumers,
            foreign,
            references,
            namespace_labels: self.namespace_labels(resource),
            rivals: self.rivals(resource),
            contested_by: self.contests.winner(&resource.namespace().unwrap_or_default(), &resource.consumer_name()),
            around,
        })
    }

    async fn read_again(&self, resource: &K) -> Result<K, ApplyError> {
        let object = format!("{} {}", K::KIND, resource.name_any());
        let found = call_opt(&object, self.resources(resource).get(&resource.name_any())).await?;
        let same = |found: &K| found.uid() == resource.uid() && found.meta().deletion_timestamp.is_none();
        found.filter(same).ok_or(ApplyError::Going { object })
    }

    async fn add_finalizer(&self, resource: &K) -> Result<(), ApplyError> {
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

    async fn remove_finalizer(&self, resource: &K) -> Result<(), ApplyError> {
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

    async fn create_record(&self, document: &K::Record) -> Result<ObjectVersion, ApplyError> {
        let secret = record_secret(document, &self.realm_namespace)?;
        let created = call("the record", self.records().create(&create_params(), &secret)).await?;
        Ok(version_of(&created))
    }

    async fn update_record(&self, document: &K::Record, seen: &ObjectVersion) -> Result<ObjectVersion, ApplyError> {
        let secret = record_secret(document, &self.realm_namespace)?;
        let patch = Patch::Merge(secrets::record_patch(&secret, seen));
        let updated = call("the record", self.records().patch(&secret.name_any(), &merge_params(), &patch)).await?;
        Ok(version_of(&updated))
    }

    async fn delete_record(&self, resource: &K) -> Result<(), ApplyError> {
        let Some(secret) = self.record_secret(&record_name(resource), Depth::Live).await? else { return Ok(()) };
        // A cache that lags shows a resource that was deleted and made anew: the record is its successor's.
        let of_another = |record: K::Record| Some(&record.source().uid) != resource.meta().uid.as_ref();
        if stored_record::<K::Record>(&secret).document.is_some_and(of_another) {
            return Ok(());
        }
        self.delete_unchanged("the record", &self.records(), &secret).await
    }

    async fn create_consumer(&self, consumer: &Consumer) -> Result<(), ApplyError> {
        let secret = secrets::consumer(consumer);
        let object = format!("the Secret {}", consumer.name);
        call(&object, self.secrets(&consumer.source.namespace).create(&create_params(), &secret)).await?;
        self.wakes.secret_written(&consumer.source);
        Ok(())
    }

    async fn update_consumer(&self, consumer: &Consumer, seen: &Secret) -> Result<bool, ApplyError> {
        let Some(patch) = secrets::consumer_patch(consumer, seen) else { return Ok(false) };
        if let Some(rival) = secrets::rewritten_by(consumer, seen) {
            self.contests.note(&consumer.source.namespace, &consumer.name, &rival);
        }
        let object = format!("the Secret {}", consumer.name);
        let secrets = self.secrets(&consumer.source.namespace);
        call(&object, secrets.patch(&consumer.name, &merge_params(), &Patch::Merge(patch))).await?;
        self.wakes.secret_written(&consumer.source);
        Ok(true)
    }

    async fn delete_consumer(&self, seen: &Secret) -> Result<(), ApplyError> {
        let secrets = self.secrets(&seen.namespace().unwrap_or_default());
        self.delete_unchanged("the former Secret", &secrets, seen).await
    }

    async fn write_status(&self, resource: &K, status: &StatusOf<K>) -> Result<(), ApplyError> {
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::KIND,
            "metadata": { "name": resource.name_any(), "uid": resource.uid() },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let object = format!("the status of {} {}", K::KIND, resource.name_any());
        let api = self.resources(resource);
        call_opt(&object, api.patch_status(&resource.name_any(), &params, &Patch::Apply(patch))).await.map(drop)
    }

    async fn publish(&self, resource: &K, note: &Note) {
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
