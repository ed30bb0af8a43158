//! Flow 1, step 1: what only the verdict on a `Webhook` depends on.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt as _;

use super::{hook_id, route};
use crate::{
    controller::{consumer::key, fetch},
    crd::{Kind as _, Webhook},
    record::{Confidential, EndpointRecord},
};

/// What else a reconcile knows.
#[derive(Clone, Default)]
pub struct Around {
    /// There is a record of the credential that the spec names: calls are sent with it.
    pub has_credential: bool,
    /// The Service that the spec names.
    pub service: Option<Service>,
    /// `namespace/name` of another Webhook that has the id which a Secret of this one, left from an earlier life, holds.
    pub has_url: Option<String>,
    /// Routes.
    pub routes: route::Around,
}

/// The id that a Secret from an earlier life holds, if it is to be used again.
#[must_use]
pub fn retained_id(resource: &Webhook, secret: &Secret) -> Option<Confidential> {
    let keys = resource.secret_template().and_then(|template| template.keys.clone()).unwrap_or_default();
    let url = fetch::data(secret).get(&key(keys.url, "url"))?;
    let left_by_another =
        secret.owner_references().iter().any(|owner| Some(&owner.uid) != resource.metadata.uid.as_ref());
    hook_id::id_of(&url.0).filter(|_| !left_by_another)
}

/// Which Webhook has an id.
#[must_use]
pub fn holder(id: &Confidential, record: &EndpointRecord, resource: &Webhook) -> Option<String> {
    let (source, own) = (&record.source, fetch::source(resource));
    let other = (&source.namespace, &source.name) != (&own.namespace, &own.name);
    (other && record.urls.iter().any(|url| url.id == *id)).then(|| format!("{}/{}", source.namespace, source.name))
}
