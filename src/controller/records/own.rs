//! Flow 1, steps 1 and 4: records of the shared realm: a Secret for each.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, Preconditions},
};

use super::{Entry, Found, Id, Place, RECORD, Stored};
use crate::{
    controller::{
        api::{call, call_opt, create_params, merge_params},
        apply::ApplyError,
        fetch::{self, ObjectVersion},
        secrets,
        watches::{Form, FormCache, Kept},
    },
    record,
};

/// What is kept of a record's Secret.
#[derive(Clone)]
pub struct OwnRecord {
    /// What its label says that it is.
    pub(super) kind: Option<record::Kind>,
    pub(super) stored: Stored,
}

impl Form for OwnRecord {
    type Of = Secret;

    fn of(secret: &Secret) -> Self {
        let kind = secret.labels().get(record::LABEL).and_then(|label| record::Kind::from_label(label));
        Self { kind, stored: stored(secret) }
    }
}

/// A namespace of record Secrets.
pub struct OwnSecrets {
    api: Api<Secret>,
    namespace: String,
    cache: FormCache<OwnRecord>,
}

impl OwnSecrets {
    /// Those in a namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, cache: FormCache<OwnRecord>) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), cache }
    }

    pub(super) fn cached(&self, id: &Id) -> Option<Stored> {
        self.cache.kept(&self.namespace, &id.name).map(|kept| kept.form.stored.clone())
    }

    pub(super) fn has(&self, id: &Id) -> bool {
        self.cache.kept(&self.namespace, &id.name).is_some()
    }

    pub(super) async fn read(&self, id: &Id) -> Result<Option<Stored>, ApplyError> {
        Ok(call_opt(RECORD, self.api.get(&id.name)).await?.map(|secret| stored(&secret)))
    }

    pub(super) async fn write(&self, entry: &Entry, seen: Option<&ObjectVersion>) -> Result<ObjectVersion, ApplyError> {
        let Entry { id, source, json } = entry;
        let secret = secrets::record(&id.name, &self.namespace, id.kind, source.as_ref(), json.clone());
        let written = match seen {
            None => call(RECORD, self.api.create(&create_params(), &secret)).await?,
            Some(seen) => {
                let patch = Patch::Merge(secrets::record_patch(&secret, seen));
                call(RECORD, self.api.patch(&id.name, &merge_params(), &patch)).await?
            }
        };
        Ok(ObjectVersion::of(&written))
    }

    pub(super) async fn delete(&self, id: &Id, seen: &ObjectVersion) -> Result<bool, ApplyError> {
        let deleted = call_opt(RECORD, self.api.delete(&id.name, &unchanged(seen))).await?;
        Ok(deleted.is_some())
    }

    pub(super) fn found(self: Arc<Self>, kept: &Kept<OwnRecord>) -> Option<Found> {
        let stored = kept.form.stored.clone();
        let kind = record::Kind::made_from(&record::source_of(&stored.json.0)?.kind)?;
        let id = Id { kind, name: kept.name.clone().into() };
        Some(Found { place: Place::Own(self), of_namespace: None, id, stored })
    }
}

/// Deletes what is still as it was seen.
pub(in crate::controller) fn unchanged(seen: &ObjectVersion) -> DeleteParams {
    let ObjectVersion { uid, resource_version } = seen.clone();
    let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

fn stored(secret: &Secret) -> Stored {
    let json = fetch::data(secret).get(record::DATA_KEY).cloned().unwrap_or_default();
    Stored { json, version: ObjectVersion::of(secret) }
}
