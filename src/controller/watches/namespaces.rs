//! Flow 1: resources by namespace. What stands in a resource's way, or needs it, is in the same one: a look at thousands of
//! resources one after the other must not be a walk over all of them each time.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Deref,
    sync::{Arc, PoisonError, RwLock},
};

use kube::{
    ResourceExt as _,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher,
    },
};

use super::{cache::Cache, resources::Guarded};
use crate::{
    controller::fetch::{self, Rivals},
    crd::{Kind, Report as _},
};

/// What a watch has seen, also by namespace.
#[derive(Clone)]
pub struct Indexed<K: Kind> {
    cache: Cache<Guarded<K>>,
    namespaces: Namespaces<K>,
}

impl<K: Kind> Indexed<K> {
    pub(super) fn new(cache: Cache<Guarded<K>>, namespaces: Namespaces<K>) -> Self {
        Self { cache, namespaces }
    }

    /// Those in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Vec<Arc<Guarded<K>>> {
        let near = |space: &Space<K>| space.named.values().cloned().collect();
        self.namespaces.look(namespace, near).unwrap_or_default()
    }

    /// Who stands in a resource's way.
    #[must_use]
    pub fn rivals(&self, resource: &K) -> Rivals {
        let namespace = resource.namespace().unwrap_or_default();
        self.namespaces.look(&namespace, |space| space.rivals(resource)).unwrap_or_default()
    }
}

impl<K: Kind> Deref for Indexed<K> {
    type Target = Cache<Guarded<K>>;

    fn deref(&self) -> &Cache<Guarded<K>> {
        &self.cache
    }
}

/// The resources of a store, by namespace.
pub(super) struct Namespaces<K: Kind>(Arc<RwLock<HashMap<String, Space<K>>>>);

/// Those of one namespace.
struct Space<K: Kind> {
    /// The very ones of the store.
    named: HashMap<String, Arc<Guarded<K>>>,
    /// Names of Secrets that are wanted or had, and who does.
    claims: BTreeSet<(String, String)>,
    /// All that parse, the oldest first.
    by_age: Vec<Arc<Guarded<K>>>,
}

impl<K: Kind> Clone for Namespaces<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Kind> Default for Namespaces<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Kind> Namespaces<K> {
    /// Follows an event that the store has taken in.
    pub(super) fn follow(&self, event: &watcher::Event<Guarded<K>>, store: &Store<Guarded<K>>) {
        let mut spaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            // A store shows a new list when it is whole.
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
            watcher::Event::InitDone => {
                spaces.clear();
                let mut all = store.state();
                // Each is then the youngest so far, and its place the last.
                all.sort_unstable_by(|one, other| fetch::age(&**one).cmp(&fetch::age(&**other)));
                for object in all {
                    spaces.entry(object.namespace().unwrap_or_default()).or_default().set(object);
                }
            }
            watcher::Event::Apply(object) => {
                let space = spaces.entry(object.namespace().unwrap_or_default()).or_default();
                if let Some(stored) = store.get(&ObjectRef::from_obj(object)) {
                    space.set(stored);
                }
            }
            watcher::Event::Delete(object) => {
                let of = object.namespace().unwrap_or_default();
                if let Some(space) = spaces.get_mut(&of) {
                    space.remove(&object.name_any());
                    if space.named.is_empty() {
                        spaces.remove(&of);
                    }
                }
            }
        }
    }

    fn look<T>(&self, namespace: &str, look: impl FnOnce(&Space<K>) -> T) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(namespace).map(look)
    }
}

impl<K: Kind> Default for Space<K> {
    fn default() -> Self {
        Self { named: HashMap::new(), claims: BTreeSet::new(), by_age: Vec::new() }
    }
}

impl<K: Kind> Space<K> {
    /// The same as if all were looked at.
    fn rivals(&self, resource: &K) -> Rivals {
        let wanted = resource.consumer_name();
        let claims = self.claims.range((wanted.clone(), String::new())..);
        let claims = claims.take_while(|(secret, _)| *secret == wanted).filter_map(|(_, name)| self.named.get(name));
        let rivals = fetch::rivals(resource, claims.filter_map(|guarded| guarded.0.as_ref().ok()));
        Rivals { older_in_namespace: self.older(resource), ..rivals }
    }

    fn older(&self, resource: &K) -> usize {
        let age = fetch::age(resource);
        self.by_age.partition_point(|other| fetch::age(&**other) < age)
    }

    fn set(&mut self, object: Arc<Guarded<K>>) {
        self.remove(&object.name_any());
        if let Ok(resource) = &object.0 {
            self.by_age.insert(self.older(resource), object.clone());
            self.claims.extend(claims(resource));
        }
        self.named.insert(object.name_any(), object);
    }

    fn remove(&mut self, name: &str) {
        let Some(object) = self.named.remove(name) else { return };
        let Ok(resource) = &object.0 else { return };
        self.by_age.remove(self.older(resource));
        for claim in claims(resource) {
            self.claims.remove(&claim);
        }
    }
}

fn claims<K: Kind>(resource: &K) -> impl Iterator<Item = (String, String)> {
    let had = resource.status().and_then(|status| status.secret_name().map(str::to_owned));
    let name = resource.name_any();
    [Some(resource.consumer_name()), had].into_iter().flatten().map(move |secret| (secret, name.clone()))
}

#[cfg(test)]
mod tests;
