//! Flow 1: a watch of objects of which there are many, and of which one is read now and then: kept as JSON, they take a third of the
//! memory that their maps and strings would take one by one.

use std::{borrow::Cow, marker::PhantomData};

use futures::{Stream, TryStreamExt as _};
use kube::{
    Resource,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Lookup, ObjectRef, Store},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::cache::{Listed, loud, note_listed};

/// What a watch has seen, packed.
pub struct PackedCache<K: Resource<DynamicType = ()> + 'static> {
    store: Store<Packed<K>>,
    listed: Listed,
}

impl<K: Resource<DynamicType = ()>> Clone for PackedCache<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), listed: self.listed.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> PackedCache<K> {
    /// Whether everything that there is was seen once.
    #[must_use]
    pub fn listed(&self) -> &Listed {
        &self.listed
    }

    /// The object of that name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        self.store.get(&ObjectRef::new(name).within(namespace))?.unpack()
    }

    /// All that there are, unpacked one after the other.
    pub fn all(&self) -> impl Iterator<Item = K> + use<K> {
        self.store.state().into_iter().filter_map(|packed| packed.unpack())
    }
}

/// An object as JSON.
struct Packed<K> {
    namespace: Option<Box<str>>,
    name: Box<str>,
    json: Box<[u8]>,
    of: PhantomData<fn() -> K>,
}

impl<K> Clone for Packed<K> {
    fn clone(&self) -> Self {
        let Self { namespace, name, json, of } = self;
        Self { namespace: namespace.clone(), name: name.clone(), json: json.clone(), of: *of }
    }
}

impl<K: Resource + Serialize> Packed<K> {
    fn new(object: &K) -> Self {
        let meta = object.meta();
        Self {
            namespace: meta.namespace.as_deref().map(Box::from),
            name: meta.name.as_deref().unwrap_or_default().into(),
            json: serde_json::to_vec(object).unwrap_or_else(|error| lost::<K, _>(&error)).into(),
            of: PhantomData,
        }
    }
}

impl<K: DeserializeOwned> Packed<K> {
    fn unpack(&self) -> Option<K> {
        serde_json::from_slice(&self.json).map_err(|error| lost::<K, ()>(&error)).ok()
    }
}

/// What was JSON a moment ago is JSON again: this would be a bug of the types.
fn lost<K, T: Default>(error: &serde_json::Error) -> T {
    tracing::error!(of = std::any::type_name::<K>(), %error, "an object does not survive JSON: it counts as absent");
    T::default()
}

impl<K: Resource<DynamicType = ()>> Lookup for Packed<K> {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        self.namespace.as_deref().map(Cow::Borrowed)
    }

    // The keys of the cache need neither.
    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Events that fill a cache, and those that are no errors. `trim` drops what we never read.
pub(super) fn pack<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    what: &'static str,
    trim: fn(&mut K),
) -> (PackedCache<K>, impl Stream<Item = watcher::Event<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Serialize + Send + Sync + 'static,
{
    let (store, mut writer) = reflector::store();
    let cache = PackedCache { store, listed: Listed::default() };
    let listed = cache.listed.clone();
    let events = events.modify(trim).inspect_ok(move |event| {
        writer.apply_watcher_event(&packed(event));
        note_listed(&listed, event);
    });
    (cache, loud(events, what))
}

fn packed<K: Resource + Serialize>(event: &watcher::Event<K>) -> watcher::Event<Packed<K>> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(Packed::new(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(Packed::new(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(Packed::new(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    fn secret(name: &str, value: &str) -> Secret {
        let metadata = json!({
            "name": name, "namespace": "team", "uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-11-26T21:05:58Z",
            "labels": { "a": "b" }, "managedFields": [{ "manager": "kubectl" }],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "2" }],
        });
        serde_json::from_value(json!({ "metadata": metadata, "data": { "key": value }, "type": "Opaque" })).unwrap()
    }

    #[tokio::test]
    async fn what_comes_out_is_what_came_in() {
        let (one, other) = (secret("one", "AAECAw=="), secret("other", "/w=="));
        let changed = secret("one", "BA==");
        let events = [
            watcher::Event::Init,
            watcher::Event::InitApply(one),
            watcher::Event::InitApply(other.clone()),
            watcher::Event::InitDone,
            watcher::Event::Apply(changed.clone()),
        ];
        let trim = |secret: &mut Secret| secret.metadata.managed_fields = None;
        let (cache, mut events) = pack(stream::iter(events.map(Ok)), "Secrets", trim);
        assert!(cache.listed().get().is_none());
        let mut seen = 0;
        while events.next().await.is_some() {
            seen += 1;
        }
        assert_eq!((seen, cache.listed().get()), (5, Some(&())));
        let trimmed = |mut secret: Secret| {
            secret.metadata.managed_fields = None;
            secret
        };
        assert_eq!(cache.get("team", "one"), Some(trimmed(changed)));
        assert_eq!(cache.get("team", "other"), Some(trimmed(other)));
        assert_eq!(cache.get("elsewhere", "one"), None);
        assert_eq!(cache.all().count(), 2);
    }

    #[tokio::test]
    async fn what_is_deleted_is_gone() {
        let events = [watcher::Event::Apply(secret("one", "AA==")), watcher::Event::Delete(secret("one", "AA=="))];
        let (cache, events) = pack(stream::iter(events.map(Ok)), "Secrets", |_| {});
        events.collect::<Vec<_>>().await;
        assert_eq!(cache.all().count(), 0);
    }
}
