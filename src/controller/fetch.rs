//! Flow 1, step 1: everything that a verdict depends on. Filled in by a [`World`](super::apply::World); nothing later asks for more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, ResourceExt};

use super::steps::Steps;
use crate::{
    crd::{ALLOW_REFERENCE_LABEL, Kind, Report},
    record::{Document as _, Source},
};

/// On a Secret for an app: marks it as ours, so that one label-selected watch sees them all. The value tells the kind.
pub const CONSUMER_LABEL: &str = "snaphook.dev/consumer";
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
pub struct StoredRecord<R> {
    /// The document; absent where it does not parse, which counts as lost.
    pub document: Option<R>,
    /// What holds it where it belongs. Absent where it is only where it belonged before.
    pub version: Option<ObjectVersion>,
    /// Something lies where it belonged before.
    pub left_behind: bool,
}

impl<R> StoredRecord<R> {
    /// Whether it has to be made where it belongs, or removed from where it belonged before.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.version.is_none() || self.left_behind
    }

    /// Whether it is good for nothing but to be removed from where it belonged before.
    #[must_use]
    pub fn is_mere_leftover(&self) -> bool {
        self.version.is_none() && self.document.is_none()
    }
}

/// An object at one moment: a precondition of later writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

impl ObjectVersion {
    /// An object as it is now.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        Self { uid: object.uid().unwrap_or_default(), resource_version: object.resource_version().unwrap_or_default() }
    }
}

/// What a reconcile knows about the world.
pub struct Observed<K: Steps> {
    /// The record.
    pub record: Option<StoredRecord<K::Record>>,
    /// Secrets made for this resource, under whatever name.
    pub consumers: Vec<Secret>,
    /// A Secret under the wanted name that is not ours. Seen by a live look only.
    pub foreign: Option<Secret>,
    /// The Secrets that the spec refers to, by name. One without the label is seen by a live look only.
    pub references: BTreeMap<String, Secret>,
    /// Labels of the namespace, where the policy asks for any.
    pub namespace_labels: BTreeMap<String, String>,
    /// Other resources that want the same.
    pub rivals: Rivals,
    /// The field manager that keeps rewriting the Secret, where one does.
    pub contested_by: Option<String>,
    /// What only this kind depends on.
    pub around: K::Around,
}

/// Resources of the same kind that stand in the way: those that have what this one wants, and where nobody has it yet, older ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rivals {
    /// The name of a resource of this namespace that has the wanted Secret, or wants it and is older.
    pub secret_name: Option<String>,
    /// How many older resources the namespace has.
    pub older_in_namespace: usize,
}

impl<K: Steps> Observed<K> {
    /// Nothing was ever made for this resource, as far as this look can tell: writes that create will find out if it errs.
    #[must_use]
    pub fn is_new(&self, resource: &K) -> bool {
        let reported = resource.status().is_some_and(|status| status.secret_name().is_some());
        self.record.is_none() && self.consumers.is_empty() && !reported
    }

    /// Our Secret under the wanted name.
    #[must_use]
    pub fn consumer(&self, name: &str) -> Option<&Secret> {
        self.consumers.iter().find(|secret| secret.metadata.name.as_deref() == Some(name))
    }

    /// The record of this very resource: one of a resource deleted and made anew is another's.
    #[must_use]
    pub fn prior(&self, source: &Source) -> Option<&K::Record> {
        let document = self.record.as_ref()?.document.as_ref()?;
        (document.source() == source).then_some(document)
    }
}

/// The resource, as records name it.
#[must_use]
pub fn source<K: Kind>(resource: &K) -> Source {
    Source {
        kind: K::KIND.to_owned(),
        namespace: resource.namespace().unwrap_or_default(),
        name: resource.name_any(),
        uid: resource.uid().unwrap_or_default(),
    }
}

/// Whether a Secret was made for this resource.
#[must_use]
pub fn is_ours<K: Kind>(secret: &Secret, resource: &K) -> bool {
    secret.labels().get(CONSUMER_LABEL).is_some_and(|value| value == K::CONSUMER)
        && secret.annotations().get(OWNER_ANNOTATION) == Some(&resource.owner_mark())
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
fn is_older<K: Kind>(other: &K, resource: &K) -> bool {
    age(other) < age(resource)
}

/// What the order of two resources goes by. Resources are compared with many others: nothing is copied for it.
#[must_use]
pub fn age(resource: &impl Resource) -> (Option<Timestamp>, Option<&str>, Option<&str>) {
    let ObjectMeta { creation_timestamp, namespace, name, .. } = resource.meta();
    (creation_timestamp.as_ref().map(|time| time.0), namespace.as_deref(), name.as_deref())
}

fn is_established<K: Kind>(resource: &K) -> bool {
    resource.status().is_some_and(Report::is_established)
}

/// Whether a resource has its Secret, and not only wants it.
fn has_secret<K: Kind>(resource: &K, name: &str) -> bool {
    is_established(resource) && resource.status().and_then(Report::secret_name) == Some(name)
}

/// Who has something keeps it; of two that both have it, or both do not, the older goes first.
#[must_use]
pub fn goes_first<K: Kind>(other: &K, resource: &K) -> bool {
    match (is_established(other), is_established(resource)) {
        (true, false) => true,
        (false, true) => false,
        _ => is_older(other, resource),
    }
}

/// Who among all resources stands in this one's way.
pub fn rivals<'a, K: Kind>(resource: &K, all: impl Iterator<Item = &'a K>) -> Rivals {
    let (namespace, secret_name) = (resource.namespace(), resource.consumer_name());
    let mut rivals = Rivals::default();
    let here = |other: &&K| other.meta().uid != resource.meta().uid && other.meta().namespace == namespace;
    for other in all.filter(here) {
        let older = is_older(other, resource);
        rivals.older_in_namespace += usize::from(older);
        if has_secret(other, &secret_name) || (older && other.consumer_name() == secret_name) {
            rivals.secret_name = Some(other.name_any());
        }
    }
    rivals
}
