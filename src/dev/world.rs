//! Flow 1 without a cluster: files as the steps see them, behind the same seam as a cluster.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::{
    Key,
    around::Surroundings,
    layout::Layout,
    mounts::{self, Mounts},
    objects::{self, Objects, ObjectsError},
    records::Records,
    resources::{Of, Resources},
};
use crate::{
    controller::{
        apply::{ApplyError, FINALIZER, World},
        consumer::Consumer,
        fetch::{self, Depth, ObjectVersion, Observed},
        report::Note,
        route::RouteWrite,
        steps::{StatusOf, Steps},
    },
    crd::{Kind, Report as _},
    record::{self, Document},
};

/// DIR and its state.
#[derive(Debug)]
pub struct Directory {
    /// Where everything lies; holds the lock.
    pub layout: Layout,
    /// Secrets for apps.
    pub mounts: Mounts,
    /// Records.
    pub records: Records,
    /// The stored resources.
    pub resources: Resources,
    declared: Mutex<Declared>,
    notes: Mutex<Vec<Note>>,
}

/// What else the files in DIR declare.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Secrets that resources may refer to, or collide with.
    pub secrets: BTreeMap<Key, Secret>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Every Service that a Webhook names is taken to be there, as it should be.
    pub services_assumed: bool,
}

impl Directory {
    /// Reads what an earlier run left.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn open(layout: Layout) -> Result<Self, ObjectsError> {
        Ok(Self {
            mounts: Mounts::new(layout.secrets()),
            records: Records::new(layout.records()),
            resources: Resources::open(&layout.status())?,
            declared: Mutex::default(),
            notes: Mutex::default(),
            layout,
        })
    }

    /// The stored resources of one kind.
    pub fn objects<K: Kind>(&self) -> MutexGuard<'_, Objects<K>>
    where
        Resources: Of<K>,
    {
        self.resources.of()
    }

    /// Takes over what the files declare besides resources.
    pub fn declare(&self, declared: Declared) {
        *lock(&self.declared) = declared;
    }

    /// Whether Services that nobody declares count as there.
    pub(super) fn assumes_services(&self) -> bool {
        lock(&self.declared).services_assumed
    }

    /// The transitions since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut *lock(&self.notes))
    }

    /// Our Secrets for the resource, and a foreign one under the wanted name.
    fn consumers<K: Kind>(&self, resource: &K) -> Result<(Vec<Secret>, Option<Secret>), ApplyError> {
        let (namespace, wanted) = (resource.namespace().unwrap_or_default(), resource.consumer_name());
        let former = resource.status().and_then(|status| status.secret_name().map(str::to_owned));
        let (mut ours, mut foreign) = (Vec::new(), None);
        for name in std::iter::once(wanted.clone()).chain(former.filter(|former| *former != wanted)) {
            match self.secret(&namespace, &name)? {
                Some(secret) if fetch::is_ours(&secret, resource) => ours.push(secret),
                Some(secret) if name == wanted => foreign = Some(secret),
                _ => {}
            }
        }
        if foreign.is_none() && ours.iter().all(|secret| secret.name_any() != wanted) {
            foreign = lock(&self.declared).secrets.get(&(namespace, wanted)).cloned();
        }
        Ok((ours, foreign))
    }

    fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, ApplyError> {
        self.mounts.read(namespace, name).map_err(failed(format!("the Secret {name}")))
    }

    fn write_consumer(&self, consumer: &Consumer) -> Result<bool, ApplyError> {
        self.mounts.write(consumer).map_err(failed(format!("the Secret {}", consumer.name)))
    }

    fn write_record<R: Document>(
        &self,
        document: &R,
        seen: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion, ApplyError> {
        const OBJECT: &str = "the record";
        let source = document.source();
        let name = record::secret_name(&source.kind, &source.namespace, &source.name);
        let written = self.records.write(&name, document, seen).map_err(failed(OBJECT.into()))?;
        written.ok_or_else(|| ApplyError::Conflict { object: OBJECT.into() })
    }

    fn change<K: Kind>(&self, resource: &K, change: impl FnOnce(&mut K)) -> Result<(), ApplyError>
    where
        Resources: Of<K>,
    {
        let object = format!("{} {}", K::KIND, resource.name_any());
        let changed = self.objects().change(resource, change).map_err(failed(object.clone()))?;
        changed.ok_or(ApplyError::Going { object })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(object: String) -> impl FnOnce(io::Error) -> ApplyError {
    move |error| ApplyError::Unreachable { object, source: error.into() }
}

/// The name of a resource's record.
pub(super) fn record_name<K: Kind>(resource: &K) -> String {
    record::secret_name(K::KIND, &resource.namespace().unwrap_or_default(), &resource.name_any())
}

impl<K: Steps> World<K> for Directory
where
    Directory: Surroundings<K>,
    Resources: Of<K>,
{
    /// There is no cache that could lag.
    async fn read_again(&self, resource: &K) -> Result<K, ApplyError> {
        Ok(resource.clone())
    }

    /// Files are never behind: both depths are one.
    async fn fetch(&self, resource: &K, _: Depth) -> Result<Observed<K>, ApplyError> {
        let namespace = resource.namespace().unwrap_or_default();
        let (consumers, foreign) = self.consumers(resource)?;
        let record = self.records.read::<K::Record>(&record_name(resource)).map_err(failed("the record".into()))?;
        // Each looks at resources, so one after the other.
        let rivals = fetch::rivals(resource, self.objects::<K>().iter());
        let around = self.around(resource).map_err(failed("what it depends on".into()))?;
        let declared = lock(&self.declared);
        let names = resource.references().into_iter().map(|from| from.secret_key_ref.name.clone());
        let declared_secret = |name| declared.secrets.get(&(namespace.clone(), name)).cloned();
        Ok(Observed {
            record,
            consumers,
            foreign,
            references: names.filter_map(|name| Some((name.clone(), declared_secret(name)?))).collect(),
            namespace_labels: declared.namespaces.get(&namespace).cloned().unwrap_or_default(),
            rivals,
            contested_by: None,
            around,
        })
    }

    async fn add_finalizer(&self, resource: &K) -> Result<(), ApplyError> {
        self.change(resource, |stored| stored.finalizers_mut().push(FINALIZER.into()))
    }

    async fn remove_finalizer(&self, resource: &K) -> Result<(), ApplyError> {
        let key = objects::key(resource);
        self.objects::<K>().remove(&key).map_err(failed(format!("{} {}", K::KIND, key.1)))
    }

    async fn create_record(&self, document: &K::Record) -> Result<ObjectVersion, ApplyError> {
        self.write_record(document, None)
    }

    async fn update_record(&self, document: &K::Record, seen: &ObjectVersion) -> Result<ObjectVersion, ApplyError> {
        self.write_record(document, Some(seen))
    }

    /// There is one directory of records.
    async fn leave_former_place(&self, _: &K) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn delete_record(&self, resource: &K) -> Result<(), ApplyError> {
        let (name, uid) = (record_name(resource), resource.meta().uid.as_ref());
        let stored = self.records.read::<K::Record>(&name).map_err(failed("the record".into()))?;
        let document = stored.and_then(|stored| stored.document);
        if document.is_some_and(|document| Some(&document.source().uid) != uid) {
            return Ok(());
        }
        self.records.remove::<K::Record>(&name).map_err(failed("the record".into()))
    }

    /// A directory takes everything.
    async fn try_consumer(&self, _: &Consumer, _: Option<&Secret>) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn create_consumer(&self, consumer: &Consumer) -> Result<(), ApplyError> {
        if self.secret(&consumer.source.namespace, &consumer.name)?.is_some() {
            return Err(ApplyError::Conflict { object: format!("the Secret {}", consumer.name) });
        }
        self.write_consumer(consumer).map(drop)
    }

    async fn update_consumer(&self, consumer: &Consumer, seen: &Secret) -> Result<bool, ApplyError> {
        let present = self.secret(&consumer.source.namespace, &consumer.name)?;
        if present.is_some_and(|present| !mounts::same(&present, seen)) {
            return Err(ApplyError::Conflict { object: format!("the Secret {}", consumer.name) });
        }
        self.write_consumer(consumer)
    }

    async fn delete_consumer(&self, seen: &Secret) -> Result<(), ApplyError> {
        let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
        self.mounts.remove(&namespace, &name).map_err(failed(format!("the Secret {name}")))
    }

    /// The configuration names no Service, so no route is wanted.
    async fn write_route(&self, _: &RouteWrite) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn delete_routes(&self, _: &K) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn write_status(&self, resource: &K, status: &StatusOf<K>) -> Result<(), ApplyError> {
        self.change(resource, |stored| *stored.status_mut() = Some(status.clone()))
    }

    async fn publish(&self, _: &K, note: &Note) {
        lock(&self.notes).push(note.clone());
    }
}
