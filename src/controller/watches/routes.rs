//! Flow 1: the watches of routes: one for each kind, of ours alone, in the realm's namespace.

use std::fmt::Debug;

use futures::{StreamExt as _, stream};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{WatchStreamExt as _, watcher},
};

use super::{
    Listed, Packable, PackedCache, Resources, Trigger, Triggers,
    cache::config,
    packed::keep,
    served::{Served, watch_while_served},
};
use crate::{
    controller::route::{self, ALL_NAMESPACES, LABEL, OF_ALL, OF_WEBHOOK},
    crd::FIELD_MANAGER,
    record,
};

/// The routes of one kind.
pub struct Routes<K: Packable> {
    cache: PackedCache<K>,
    served: Served,
    namespace: String,
}

impl<K: Packable> Routes<K> {
    /// Whether the API server has the kind.
    #[must_use]
    pub fn are_served(&self) -> bool {
        self.served.get()
    }

    /// Whether it was looked at once.
    #[must_use]
    pub fn listed(&self) -> &Listed {
        self.cache.listed()
    }

    /// The one of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<K> {
        self.cache.get(&self.namespace, name)
    }

    /// All of ours.
    pub fn all(&self) -> impl Iterator<Item = K> + use<K> {
        self.cache.all()
    }
}

/// The routes of one kind, of Webhooks in one namespace or in all: a trigger is the Webhook that one was made for. All of them, where
/// the kind came or went, or something happened to the one for all.
#[must_use]
pub fn routes<K>(
    client: &Client,
    namespace: &str,
    of_namespace: Option<&str>,
    resources: Resources,
    what: &'static str,
) -> (Routes<K>, Triggers)
where
    K: Packable + Resource<Scope = NamespaceResourceScope> + Debug + Send + Sync,
{
    let of_namespace = of_namespace
        .map(|name| format!(",{} in ({name},{ALL_NAMESPACES})", record::NAMESPACE_LABEL))
        .unwrap_or_default();
    let selector = format!("{LABEL} in ({OF_WEBHOOK},{OF_ALL}){of_namespace}");
    let api = Api::namespaced(client.clone(), namespace);
    let (served, events) = watch_while_served(client.clone(), api, config().labels(&selector), what);
    let (cache, events) = keep(events.modify(trim), what);
    let (now, mut before) = (served.clone(), None);
    let triggers = events.flat_map(move |event| {
        stream::iter(match &event {
            watcher::Event::Apply(route) | watcher::Event::InitApply(route) | watcher::Event::Delete(route) => {
                made_for(route, &resources)
            }
            // At first everything is looked at anyway.
            watcher::Event::InitDone if before.replace(now.get()).is_some_and(|before| before != now.get()) => {
                webhooks(&resources)
            }
            watcher::Event::Init | watcher::Event::InitDone => Vec::new(),
        })
    });
    (Routes { cache, served, namespace: namespace.to_owned() }, triggers.boxed())
}

/// What is ours shows in the managed fields; what others manage is not read here.
fn trim<K: Resource>(route: &mut K) {
    let entries = route.meta_mut().managed_fields.iter_mut();
    entries.for_each(|entries| entries.retain(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER)));
}

fn made_for<K: Resource>(route: &K, resources: &Resources) -> Vec<Trigger> {
    if route::is_of_all(route) {
        return webhooks(resources);
    }
    let owner = route::owner(route);
    owner.and_then(|owner| Trigger::named(&owner.kind, &owner.namespace, &owner.name)).into_iter().collect()
}

fn webhooks(resources: &Resources) -> Vec<Trigger> {
    resources.webhooks.state().iter().map(|webhook| Trigger::of(webhook)).collect()
}
