//! Flow 1: resources by namespace. What stands in a resource's way, or needs it, is in the same one: a look at thousands of
//! resources one after the other must not be a walk over all of them each time.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, PoisonError, RwLock},
};

use kube::{
    Resource, ResourceExt as _,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher,
    },
};

use super::cache::Cache;

/// What a watch has seen, also by namespace.
#[derive(Clone)]
pub struct Indexed<K: Resource<DynamicType = ()> + Clone + 'static> {
    cache: Cache<K>,
    namespaces: Namespaces<K>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Indexed<K> {
    pub(super) fn new(cache: Cache<K>, namespaces: Namespaces<K>) -> Self {
        Self { cache, namespaces }
    }

    /// Those in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Vec<Arc<K>> {
        let namespaces = self.namespaces.0.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(namespace).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Deref for Indexed<K> {
    type Target = Cache<K>;

    fn deref(&self) -> &Cache<K> {
        &self.cache
    }
}

/// Objects by namespace and name, the very ones of a store.
pub(super) struct Namespaces<K>(Arc<RwLock<HashMap<String, Named<K>>>>);

type Named<K> = HashMap<String, Arc<K>>;

impl<K> Clone for Namespaces<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Namespaces<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Namespaces<K> {
    /// Follows an event that the store has taken in.
    pub(super) fn follow(&self, event: &watcher::Event<K>, store: &Store<K>) {
        let mut namespaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            // A store shows a new list when it is whole.
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
            watcher::Event::InitDone => {
                namespaces.clear();
                for object in store.state() {
                    namespaces.entry(namespace(&*object)).or_default().insert(object.name_any(), object);
                }
            }
            watcher::Event::Apply(object) => {
                if let Some(stored) = store.get(&ObjectRef::from_obj(object)) {
                    namespaces.entry(namespace(object)).or_default().insert(object.name_any(), stored);
                }
            }
            watcher::Event::Delete(object) => {
                let of = namespace(object);
                if let Some(objects) = namespaces.get_mut(&of) {
                    objects.remove(&object.name_any());
                    if objects.is_empty() {
                        namespaces.remove(&of);
                    }
                }
            }
        }
    }
}

fn namespace(object: &impl Resource) -> String {
    object.namespace().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::{core::ObjectMeta, runtime::reflector};

    use super::*;

    fn secret(namespace: &str, name: &str, version: &str) -> Secret {
        let [namespace, name, version] = [namespace, name, version].map(|text| Some(text.to_owned()));
        let metadata = ObjectMeta { namespace, name, resource_version: version, ..ObjectMeta::default() };
        Secret { metadata, ..Secret::default() }
    }

    #[test]
    fn it_shows_what_the_store_has() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let (store, mut writer) = reflector::store::<Secret>();
        let namespaces = Namespaces::<Secret>::default();
        let names = |namespace: &str| {
            let all = namespaces.0.read().unwrap();
            let found = all.get(namespace).into_iter().flatten();
            let mut names: Vec<String> =
                found.map(|(name, object)| format!("{name} {}", object.resource_version().unwrap())).collect();
            names.sort();
            names
        };
        let mut take = |event: watcher::Event<Secret>| {
            writer.apply_watcher_event(&event);
            namespaces.follow(&event, &store);
        };
        [Init, InitApply(secret("a", "one", "1")), InitApply(secret("b", "two", "2"))].into_iter().for_each(&mut take);
        assert_eq!(names("a"), [""; 0], "the list is not whole");
        [InitDone, Apply(secret("a", "three", "3")), Apply(secret("a", "one", "4"))].into_iter().for_each(&mut take);
        assert_eq!((names("a"), names("b")), (vec!["one 4".into(), "three 3".into()], vec!["two 2".into()]));
        take(Delete(secret("a", "one", "5")));
        take(Delete(secret("b", "two", "6")));
        assert_eq!((names("a"), names("b")), (vec!["three 3".into()], vec![]));
        [Init, InitApply(secret("c", "four", "7")), InitDone].into_iter().for_each(&mut take);
        assert_eq!((names("a"), names("c")), (vec![], vec!["four 7".into()]));
    }
}
