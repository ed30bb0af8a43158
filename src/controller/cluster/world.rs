//! Flow 1, steps 1 and 4: looks and writes of every kind.

use futures::try_join;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::events::{Event, EventType},
};
use serde_json::json;

use super::{Cluster, around::Surroundings, record_id};
use crate::{
    controller::{
        api::{call, call_opt, create_params, merge_params},
        apply::{ApplyError, FINALIZER, World},
        consumer::Consumer,
        fetch::{Depth, ObjectVersion, Observed, source},
        records::{Entry, unchanged},
        report::Note,
        route::RouteWrite,
        secrets,
        steps::{StatusOf, Steps},
        watches::{Of, Resources},
    },
    crd::FIELD_MANAGER,
    record::{Document as _, Source},
};

impl<K: Steps> World<K> for Cluster
where
    Cluster: Surroundings<K>,
    Resources: Of<K>,
{
    async fn fetch(&self, resource: &K, depth: Depth) -> Result<Observed<K>, ApplyError> {
        let (namespace, id) = (resource.namespace().unwrap_or_default(), record_id(resource));
        // Boxed, as every reconcile would be several requests larger.
        let (record, (consumers, foreign), references, around) = try_join!(
            Box::pin(self.records.find(&namespace, &id, depth)),
            Box::pin(self.consumers(resource, depth)),
            Box::pin(self.references(resource, depth)),
            Box::pin(self.around(resource, depth))
        )?;
        Ok(Observed {
            record,
            consumers,
            foreign,
            references,
            namespace_labels: self.namespace_labels(resource),
            rivals: self.caches.resources.of().rivals(resource),
            contested_by: self.contests.winner(&namespace, &resource.consumer_name()),
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
        self.records.place(&document.source().namespace).write(&Entry::of(document)?, None).await
    }

    async fn update_record(&self, document: &K::Record, seen: &ObjectVersion) -> Result<ObjectVersion, ApplyError> {
        self.records.place(&document.source().namespace).write(&Entry::of(document)?, Some(seen)).await
    }

    async fn leave_former_place(&self, resource: &K) -> Result<(), ApplyError> {
        let Source { namespace, uid, .. } = source(resource);
        self.records.leave_former_place::<K::Record>(&namespace, &record_id(resource), &uid).await
    }

    async fn delete_record(&self, resource: &K) -> Result<(), ApplyError> {
        let Source { namespace, uid, .. } = source(resource);
        self.records.delete::<K::Record>(&namespace, &record_id(resource), &uid).await
    }

    async fn try_consumer(&self, consumer: &Consumer, seen: Option<&Secret>) -> Result<(), ApplyError> {
        let (object, secrets) = (format!("the Secret {}", consumer.name), self.secrets(&consumer.source.namespace));
        let Some(seen) = seen else {
            let params = PostParams { dry_run: true, ..create_params() };
            return call(&object, secrets.create(&params, &secrets::consumer(consumer))).await.map(drop);
        };
        let Some(patch) = secrets::consumer_patch(consumer, seen) else { return Ok(()) };
        let params = PatchParams { dry_run: true, ..merge_params() };
        call(&object, secrets.patch(&consumer.name, &params, &Patch::Merge(patch))).await.map(drop)
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
        let params = unchanged(&ObjectVersion::of(seen));
        call_opt("the former Secret", secrets.delete(&seen.name_any(), &params)).await.map(drop)
    }

    async fn write_route(&self, write: &RouteWrite) -> Result<(), ApplyError> {
        self.carry_out_route(write).await
    }

    async fn delete_routes(&self, resource: &K) -> Result<(), ApplyError> {
        Surroundings::delete_routes(self, resource).await
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
