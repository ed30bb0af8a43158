//! Flow 1, pure: our Secrets as the API server wants them: whole for the first write, only our fields for later ones.
//!
//! The first write is a create, since server-side apply would merge our keys into a foreign object. What a create sets belongs to our
//! field manager through `Update`, which a later apply cannot take away again; so later writes are merge patches with the uid and the
//! resource version as preconditions, and null for what we own and no longer want. What others added stays theirs.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference},
};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::{
    consumer::Consumer,
    fetch::{ObjectVersion, data},
};
use crate::{
    crd::FIELD_MANAGER,
    record::{self, Kind, Source},
};

/// Of every kind.
const API_VERSION: &str = "snaphook.dev/v1alpha1";

/// A record as a Secret.
#[must_use]
pub fn record(name: &str, namespace: &str, kind: Kind, source: Option<&Source>, json: ByteString) -> Secret {
    let labels = record_labels(kind.as_str(), source.map(|source| source.namespace.as_str()));
    of_records(name, namespace, labels, BTreeMap::from([(record::DATA_KEY.to_owned(), json)]))
}

/// Records as a Secret.
#[must_use]
pub fn bundle(name: &str, namespace: &str, data: BTreeMap<String, ByteString>) -> Secret {
    of_records(name, namespace, bundle_labels(namespace), data)
}

/// By which a bundle is recognised.
#[must_use]
pub fn bundle_labels(namespace: &str) -> BTreeMap<String, String> {
    record_labels(record::bundle::LABEL_VALUE, Some(namespace))
}

fn record_labels(value: &str, namespace: Option<&str>) -> BTreeMap<String, String> {
    let labels = [(record::LABEL, value), ("app.kubernetes.io/managed-by", "snaphook")];
    let labels = labels.into_iter().chain(namespace.map(|namespace| (record::NAMESPACE_LABEL, namespace)));
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn of_records(
    name: &str,
    namespace: &str,
    labels: BTreeMap<String, String>,
    data: BTreeMap<String, ByteString>,
) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        type_: Some(record::SECRET_TYPE.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// Changes some records in a bundle that is still as it was seen.
#[must_use]
pub fn bundle_patch(namespace: &str, edit: &BTreeMap<String, Option<ByteString>>, seen: &ObjectVersion) -> Value {
    json!({
        "metadata": {
            "uid": seen.uid,
            "resourceVersion": seen.resource_version,
            "labels": bundle_labels(namespace),
        },
        "data": edit,
    })
}

/// Replaces a record that is still as it was seen.
#[must_use]
pub fn record_patch(secret: &Secret, seen: &ObjectVersion) -> Value {
    json!({
        "metadata": {
            "uid": seen.uid,
            "resourceVersion": seen.resource_version,
            "labels": secret.metadata.labels,
        },
        "data": secret.data,
    })
}

/// The Secret for an app, whole.
#[must_use]
pub fn consumer(wanted: &Consumer) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(wanted.name.clone()),
            namespace: Some(wanted.source.namespace.clone()),
            labels: Some(wanted.labels.clone()),
            annotations: Some(wanted.annotations.clone()),
            owner_references: wanted.owned.then(|| vec![owner_reference(&wanted.source)]),
            ..ObjectMeta::default()
        },
        type_: Some(wanted.type_.clone()),
        data: Some(wanted.data.clone()),
        ..Secret::default()
    }
}

/// `blockOwnerDeletion` is left out: it needs a right on the owner's finalizers.
fn owner_reference(owner: &Source) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// What turns a Secret into the wanted one, if anything has to change.
#[must_use]
pub fn consumer_patch(wanted: &Consumer, seen: &Secret) -> Option<Value> {
    let owned = OwnedFields::of(seen.meta().managed_fields.as_deref().unwrap_or_default());
    let leftovers = |owned: &BTreeSet<String>, wanted: &dyn Fn(&String) -> bool, there: &dyn Fn(&String) -> bool| {
        owned.iter().filter(|key| !wanted(key) && there(key)).cloned().collect::<Vec<_>>()
    };
    let stale_data = leftovers(&owned.data, &|key| wanted.data.contains_key(key), &|key| data(seen).contains_key(key));
    let stale_labels =
        leftovers(&owned.labels, &|key| wanted.labels.contains_key(key), &|key| seen.labels().contains_key(key));
    let stale_annotations = leftovers(&owned.annotations, &|key| wanted.annotations.contains_key(key), &|key| {
        seen.annotations().contains_key(key)
    });
    let nothing_stale = stale_data.is_empty() && stale_labels.is_empty() && stale_annotations.is_empty();
    if nothing_stale && !wanted.differs_from(seen) {
        return None;
    }
    let mut patch = json!({
        "metadata": {
            "uid": seen.uid(),
            "resourceVersion": seen.resource_version(),
            "labels": wanted.labels,
            "annotations": wanted.annotations,
            "ownerReferences": owner_references(wanted, seen),
        },
        "data": wanted.data,
    });
    let mut erase = |path: &str, keys: Vec<String>| {
        if let Some(Value::Object(fields)) = patch.pointer_mut(path) {
            fields.extend(keys.into_iter().map(|key| (key, Value::Null)));
        }
    };
    erase("/data", stale_data);
    erase("/metadata/labels", stale_labels);
    erase("/metadata/annotations", stale_annotations);
    Some(patch)
}

/// Ours replaced, others kept.
fn owner_references(wanted: &Consumer, seen: &Secret) -> Vec<OwnerReference> {
    let others = seen.owner_references().iter().filter(|owner| owner.kind != wanted.source.kind).cloned();
    others.chain(wanted.owned.then(|| owner_reference(&wanted.source))).collect()
}

/// Another field manager that owns data which we set, if there is one: who rewrote our Secret.
#[must_use]
pub fn rewritten_by(wanted: &Consumer, seen: &Secret) -> Option<String> {
    let foreign = other_managers(seen.meta().managed_fields.as_deref().unwrap_or_default());
    let mut touching =
        foreign.filter(|entry| OwnedFields::of_entry(entry).data.iter().any(|key| wanted.data.contains_key(key)));
    touching.next().and_then(|entry| entry.manager.clone())
}

/// The entries of others.
pub(super) fn other_managers(entries: &[ManagedFieldsEntry]) -> impl Iterator<Item = &ManagedFieldsEntry> {
    entries.iter().filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
}

/// The fields that our field manager owns.
#[derive(Default)]
pub(super) struct OwnedFields {
    data: BTreeSet<String>,
    labels: BTreeSet<String>,
    /// Keys of annotations.
    pub(super) annotations: BTreeSet<String>,
}

impl OwnedFields {
    pub(super) fn of(entries: &[ManagedFieldsEntry]) -> Self {
        let ours = entries.iter().filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
        ours.map(Self::of_entry).fold(Self::default(), |mut all, one| {
            all.data.extend(one.data);
            all.labels.extend(one.labels);
            all.annotations.extend(one.annotations);
            all
        })
    }

    fn of_entry(entry: &ManagedFieldsEntry) -> Self {
        let Some(fields) = &entry.fields_v1 else { return Self::default() };
        let keys = |path: &str| {
            let fields = fields.0.pointer(path).and_then(Value::as_object);
            fields
                .into_iter()
                .flat_map(|fields| fields.keys())
                .filter_map(|key| Some(key.strip_prefix("f:")?.to_owned()))
                .collect()
        };
        Self {
            data: keys("/f:data"),
            labels: keys("/f:metadata/f:labels"),
            annotations: keys("/f:metadata/f:annotations"),
        }
    }
}
