//! Flow 1: a watch of objects of which there are many, and of which one is read now and then: what is kept of them takes a third of the
//! memory that their maps and strings would take one by one.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use futures::{Stream, TryStreamExt as _};
use kube::{
    Resource,
    runtime::{
        reflector::{self, Lookup, ObjectRef, Store},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::cache::{Listed, loud, note_listed};

/// What is kept of an object.
pub trait Form: Clone + Send + Sync + 'static {
    /// The object.
    type Of: Resource<DynamicType = ()>;

    /// Keeps it.
    fn of(object: &Self::Of) -> Self;
}

/// What a watch has seen, in a form.
pub struct FormCache<F: Form> {
    store: Store<Kept<F>>,
    listed: Listed,
}

/// What a watch has seen, packed.
pub type PackedCache<K> = FormCache<Packed<K>>;

impl<F: Form> Clone for FormCache<F> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), listed: self.listed.clone() }
    }
}

impl<F: Form> FormCache<F> {
    /// Whether everything that there is was seen once.
    #[must_use]
    pub fn listed(&self) -> &Listed {
        &self.listed
    }

    /// What is kept of the object of that name.
    #[must_use]
    pub fn kept(&self, namespace: &str, name: &str) -> Option<Arc<Kept<F>>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// What is kept of all that there are.
    #[must_use]
    pub fn all_kept(&self) -> Vec<Arc<Kept<F>>> {
        self.store.state()
    }
}

impl<K: Packable> PackedCache<K> {
    /// The object of that name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        self.kept(namespace, name)?.form.unpack()
    }

    /// All that there are, unpacked one after the other.
    pub fn all(&self) -> impl Iterator<Item = K> + use<K> {
        self.all_kept().into_iter().filter_map(|kept| kept.form.unpack())
    }
}

/// What is kept of an object, and its name.
#[derive(Clone)]
pub struct Kept<F> {
    namespace: Option<Box<str>>,
    /// The name.
    pub name: Box<str>,
    /// What is kept.
    pub form: F,
}

impl<F: Form> Kept<F> {
    fn of(object: &F::Of) -> Self {
        let meta = object.meta();
        let (namespace, name) =
            (meta.namespace.as_deref().map(Box::from), meta.name.as_deref().unwrap_or_default().into());
        Self { namespace, name, form: F::of(object) }
    }
}

impl<F: Form> Lookup for Kept<F> {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        <F::Of as Resource>::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        <F::Of as Resource>::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <F::Of as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        <F::Of as Resource>::plural(&())
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

/// An object that JSON can hold.
pub trait Packable: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + 'static {}

impl<K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + 'static> Packable for K {}

/// A whole object, as JSON.
#[derive(Clone)]
pub struct Packed<K> {
    json: Box<[u8]>,
    of: PhantomData<fn() -> K>,
}

impl<K: Packable> Form for Packed<K> {
    type Of = K;

    fn of(object: &K) -> Self {
        let json = serde_json::to_vec(object).unwrap_or_else(|error| lost::<K, _>(&error));
        Self { json: json.into(), of: PhantomData }
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

/// Events that fill a cache, and those that are no errors.
pub(super) fn keep<F: Form>(
    events: impl Stream<Item = watcher::Result<watcher::Event<F::Of>>> + Send + 'static,
    what: &'static str,
) -> (FormCache<F>, impl Stream<Item = watcher::Event<F::Of>> + Send + 'static)
where
    F::Of: Send + Sync + 'static,
{
    let (store, mut writer) = reflector::store();
    let cache = FormCache { store, listed: Listed::default() };
    let listed = cache.listed.clone();
    let events = events.inspect_ok(move |event| {
        writer.apply_watcher_event(&kept(event));
        note_listed(&listed, event);
    });
    (cache, loud(events, what))
}

fn kept<F: Form>(event: &watcher::Event<F::Of>) -> watcher::Event<Kept<F>> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(Kept::of(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(Kept::of(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(Kept::of(object)),
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
        let (cache, mut events) = keep::<Packed<Secret>>(stream::iter(events.map(Ok)), "Secrets");
        assert!(cache.listed().get().is_none());
        let mut seen = 0;
        while events.next().await.is_some() {
            seen += 1;
        }
        assert_eq!((seen, cache.listed().get()), (5, Some(&())));
        assert_eq!(cache.get("team", "one"), Some(changed));
        assert_eq!(cache.get("team", "other"), Some(other));
        assert_eq!(cache.get("elsewhere", "one"), None);
        assert_eq!(cache.all().count(), 2);
    }

    #[tokio::test]
    async fn what_is_deleted_is_gone() {
        let events = [watcher::Event::Apply(secret("one", "AA==")), watcher::Event::Delete(secret("one", "AA=="))];
        let (cache, events) = keep::<Packed<Secret>>(stream::iter(events.map(Ok)), "Secrets");
        events.collect::<Vec<_>>().await;
        assert_eq!(cache.all().count(), 0);
    }
}
