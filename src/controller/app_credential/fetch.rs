//! Flow 1, step 1: everything that a verdict depends on. Filled in by a [`World`](super::World); nothing later asks for more.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource as _, ResourceExt as _};

use super::KIND;
use crate::{
    crd::{ALLOW_REFERENCE_LABEL, AppCredential},
    record::ClientRecord,
};

/// On a Secret for an app: marks it as ours, so that one label-selected watch sees them all. The value is [`CONSUMER_VALUE`].
pub const CONSUMER_LABEL: &str = "snaphook.dev/consumer";
/// The value of [`CONSUMER_LABEL`] on what this kind makes.
pub const CONSUMER_VALUE: &str = "app-credential";
/// On a Secret for an app: `<kind>/<name>` of the resource that it was made for. It outlives the resource with `Retain`.
pub const OWNER_ANNOTATION: &str = "snaphook.dev/owner";
/// On a foreign Secret, set by its owner: `<kind>/<name>` of the resource that may take it over.
pub const ADOPT_ANNOTATION: &str = "snaphook.dev/adopt";

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// At caches, which may lag.
    Cached,
    /// At the API server itself.
    Live,
}

/// A record with what a write needs to find it unchanged.
#[derive(Clone)]
pub struct StoredRecord {
    /// The document; absent where it does not parse, which counts as lost.
    pub document: Option<ClientRecord>,
    /// The Secret that holds it.
    pub version: ObjectVersion,
}

/// An object at one moment: a precondition of later writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// What a reconcile knows about the world.
pub struct Observed {
    /// The record.
    pub record: Option<StoredRecord>,
    /// Secrets made for this resource, under whatever name.
    pub consumers: Vec<Secret>,
    /// A Secret under the wanted name that is not ours. Seen by a live look only.
    pub foreign: Option<Secret>,
    /// The Secret that `secretFrom` names. One without the label is seen by a live look only.
    pub referenced: Option<Secret>,
    /// Labels of the namespace, where the policy asks for any.
    pub namespace_labels: BTreeMap<String, String>,
    /// Other resources that want the same.
    pub rivals: Rivals,
    /// The field manager that keeps rewriting the Secret, where one does.
    pub contested_by: Option<String>,
    /// Ids of the versions that the status lists: their secrets were handed out.
    pub reported_versions: Vec<u32>,
}

/// Ids of the versions in the status.
#[must_use]
pub fn reported_versions(resource: &AppCredential) -> Vec<u32> {
    let versions = resource.status.iter().flat_map(|status| &status.versions);
    versions.filter_map(|version| u32::try_from(version.id).ok()).collect()
}

/// Resources that stand in the way: those that have what this one wants, and where nobody has it yet, older ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rivals {
    /// The name of a resource of this namespace that has the wanted Secret, or wants it and is older.
    pub secret_name: Option<String>,
    /// `namespace/name` of the resource that the wanted client id belongs to.
    pub client_id: Option<String>,
    /// How many older resources the namespace has.
    pub older_in_namespace: usize,
}

impl Observed {
    /// Nothing was ever made for this resource, as far as this look can tell: writes that create will find out if it errs.
    #[must_use]
    pub fn is_new(&self, resource: &AppCredential) -> bool {
        let reported = resource.status.as_ref().is_some_and(|status| status.client_id.is_some());
        self.record.is_none() && self.consumers.is_empty() && !reported
    }

    /// Our Secret under the wanted name.
    #[must_use]
    pub fn consumer(&self, name: &str) -> Option<&Secret> {
        self.consumers.iter().find(|secret| secret.metadata.name.as_deref() == Some(name))
    }
}

/// The Secret that the app mounts: its name.
#[must_use]
pub fn consumer_name(resource: &AppCredential) -> String {
    let template = resource.spec.secret_template.as_ref().and_then(|template| template.name.clone());
    template.unwrap_or_else(|| format!("{}-credential", resource.name_any()))
}

/// The client id: chosen, or `<namespace>.<name>`.
#[must_use]
pub fn client_id(resource: &AppCredential) -> String {
    let default = || format!("{}.{}", resource.namespace().unwrap_or_default(), resource.name_any());
    resource.spec.client_id.clone().unwrap_or_else(default)
}

/// The value of [`OWNER_ANNOTATION`] and of [`ADOPT_ANNOTATION`] that means this resource.
#[must_use]
pub fn owner_mark(resource: &AppCredential) -> String {
    format!("{KIND}/{}", resource.name_any())
}

/// Whether a Secret was made for this resource.
#[must_use]
pub fn is_ours(secret: &Secret, resource: &AppCredential) -> bool {
    secret.labels().get(CONSUMER_LABEL).is_some_and(|value| value == CONSUMER_VALUE)
        && secret.annotations().get(OWNER_ANNOTATION) == Some(&owner_mark(resource))
}

/// Whether a Secret may be referred to.
#[must_use]
pub fn allows_reference(secret: &Secret) -> bool {
    secret.labels().get(ALLOW_REFERENCE_LABEL).is_some_and(|value| value == "true")
}

/// The data of a Secret.
#[must_use]
pub fn data(secret: &Secret) -> &BTreeMap<String, ByteString> {
    static EMPTY: BTreeMap<String, ByteString> = BTreeMap::new();
    secret.data.as_ref().unwrap_or(&EMPTY)
}

/// The older resource goes first; of two made in one second, the one whose name comes first.
fn is_older(other: &AppCredential, resource: &AppCredential) -> bool {
    let age = |resource: &AppCredential| {
        let created = resource.meta().creation_timestamp.as_ref().map(|time| time.0);
        (created, resource.namespace(), resource.name_any())
    };
    age(other) < age(resource)
}

/// Whether a client secret was handed out for a resource: what it has is in use.
fn is_established(resource: &AppCredential) -> bool {
    resource.status.as_ref().is_some_and(|status| !status.versions.is_empty())
}

/// Whether a resource has its Secret, and not only wants it.
fn has_secret(resource: &AppCredential, name: &str) -> bool {
    let reported = resource.status.as_ref().and_then(|status| status.secret_name.as_deref());
    is_established(resource) && reported == Some(name)
}

/// Who has a client id keeps it; of two that both have it, or both do not, the older goes first.
fn goes_first(other: &AppCredential, resource: &AppCredential) -> bool {
    match (is_established(other), is_established(resource)) {
        (true, false) => true,
        (false, true) => false,
        _ => is_older(other, resource),
    }
}

/// Who among all resources stands in this one's way.
pub fn rivals<'a>(resource: &AppCredential, all: impl Iterator<Item = &'a AppCredential>) -> Rivals {
    let (namespace, secret_name) = (resource.namespace(), consumer_name(resource));
    let mut rivals = Rivals::default();
    for other in all.filter(|other| other.meta().uid != resource.meta().uid) {
        if other.meta().namespace == namespace {
            let older = is_older(other, resource);
            rivals.older_in_namespace += usize::from(older);
            if has_secret(other, &secret_name) || (older && consumer_name(other) == secret_name) {
                rivals.secret_name = Some(other.name_any());
            }
        }
        // A default id has a dot and names its resource, so only chosen ones can meet.
        let same_id = resource.spec.client_id.is_some() && resource.spec.client_id == other.spec.client_id;
        if same_id && goes_first(other, resource) {
            rivals.client_id = Some(format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()));
        }
    }
    rivals
}
