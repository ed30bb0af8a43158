//! Flow 1: the watches: what they keep in memory, and which resources an event is about.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Deref,
    sync::Arc,
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        reflector::{self, ObjectRef, Store},
        utils::Backoff,
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::SetOnce;

use super::app_credential::fetch::{CONSUMER_LABEL, CONSUMER_VALUE, OWNER_ANNOTATION, consumer_name};
use crate::{
    crd::{ALLOW_REFERENCE_LABEL, AppCredential},
    record::{self, ClientRecord, Kind},
};

/// The resources as watches see them: one that does not parse is still one, and can be deleted.
pub type Guarded = DeserializeGuard<AppCredential>;
/// Resources to be looked at.
pub type Triggers = stream::BoxStream<'static, ObjectRef<Guarded>>;

/// Load balancers cut connections that are silent for four minutes.
const WATCH_SECONDS: u32 = 110;

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Quick at first, and never slower than an API server that restarts: everybody waits for it.
#[derive(Default)]
struct WatchBackoff(u32);

impl Iterator for WatchBackoff {
    type Item = std::time::Duration;

    fn next(&mut self) -> Option<Self::Item> {
        self.0 = (self.0 + 1).min(5);
        let jitter = u64::from(rand::random::<u8>());
        Some(std::time::Duration::from_millis(100 * 2_u64.pow(self.0) + jitter))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// What a watch has seen.
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    listed: Listed,
}

/// Set when everything that there is was seen once. A store's own `wait_until_ready` wakes only the last who waits for it.
pub type Listed = Arc<SetOnce<()>>;

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// Whether everything that there is was seen once.
    #[must_use]
    pub fn listed(&self) -> &Listed {
        &self.listed
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Deref for Cache<K> {
    type Target = Store<K>;

    fn deref(&self) -> &Store<K> {
        &self.store
    }
}

/// A watch that fills a cache, and its events. `trim` drops what we never read.
fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &'static str,
    trim: fn(&mut K),
) -> (Cache<K>, impl Stream<Item = watcher::Event<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let cache = Cache { store, listed: Listed::default() };
    let listed = cache.listed.clone();
    let events = watcher(api, config).backoff(WatchBackoff::default()).modify(trim).reflect(writer);
    let events = events.inspect_ok(move |event| {
        if matches!(event, watcher::Event::InitDone) {
            // Not the first time after a break.
            let _ = listed.set(());
        }
    });
    (cache, loud(events, what))
}

/// Errors are said once until the watch is well again; the watch itself goes on.
fn loud<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    what: &'static str,
) -> impl Stream<Item = watcher::Event<K>> + Send + 'static {
    let mut failing = false;
    events.filter_map(move |event| {
        let event = match event {
            Ok(event) => {
                if failing {
                    tracing::info!(what, "the watch is well again");
                }
                failing = false;
                Some(event)
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(what, error = &error as &dyn std::error::Error, "a watch failed; trying again");
                }
                failing = true;
                None
            }
        };
        future::ready(event)
    })
}

fn objects<K: Send + 'static>(
    events: impl Stream<Item = watcher::Event<K>> + Send + 'static,
) -> impl Stream<Item = K> + Send {
    events.filter_map(|event| {
        future::ready(match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) | watcher::Event::Delete(object) => {
                Some(object)
            }
            watcher::Event::Init | watcher::Event::InitDone => None,
        })
    })
}

/// The resources. A deletion also wakes the ones that it stood in the way of.
#[must_use]
pub fn resources(api: Api<Guarded>) -> (Cache<Guarded>, Triggers) {
    let (store, events) = watch(api, config(), "AppCredentials", |guarded| guarded.meta_mut().managed_fields = None);
    let all = store.clone();
    let mut seen = HashMap::new();
    let triggers = new_first(events).flat_map(move |event| {
        stream::iter(match event {
            watcher::Event::Delete(object) => {
                seen.remove(&ObjectRef::from_obj(&object));
                all.state()
                    .iter()
                    .filter(|other| is_held_up(other))
                    .map(|other| ObjectRef::from_obj(&**other))
                    .collect()
            }
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                let (reference, asked) = (ObjectRef::from_obj(&object), what_is_asked(&object));
                if seen.insert(reference.clone(), asked) == Some(asked) { Vec::new() } else { vec![reference] }
            }
            watcher::Event::Init | watcher::Event::InitDone => Vec::new(),
        })
    });
    (store, triggers.boxed())
}

/// What users say of a resource: our own finalizer and status change nothing in it, and need no second look.
fn what_is_asked(object: &Guarded) -> u64 {
    let metadata = object.meta();
    let mut hasher = DefaultHasher::new();
    metadata.uid.hash(&mut hasher);
    metadata.generation.hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    metadata.labels.hash(&mut hasher);
    metadata.annotations.hash(&mut hasher);
    hasher.finish()
}

/// Holds an initial list back until it is whole: what was never reported on goes first, as people wait for it.
fn new_first(
    events: impl Stream<Item = watcher::Event<Guarded>> + Send + 'static,
) -> impl Stream<Item = watcher::Event<Guarded>> + Send + 'static {
    let mut waiting = Vec::new();
    events.flat_map(move |event| {
        stream::iter(match event {
            watcher::Event::InitApply(object) => {
                waiting.push(object);
                Vec::new()
            }
            watcher::Event::InitDone => {
                waiting.sort_by_key(|object| {
                    object
                        .0
                        .as_ref()
                        .is_ok_and(|resource| resource.status.as_ref().is_some_and(|status| status.client_id.is_some()))
                });
                waiting.drain(..).map(watcher::Event::Apply).collect()
            }
            event => vec![event],
        })
    })
}

fn is_held_up(guarded: &Guarded) -> bool {
    let status = guarded.0.as_ref().ok().and_then(|resource| resource.status.as_ref());
    status.is_some_and(|status| status.conditions.iter().any(|condition| condition.type_ == "Stalled"))
}

/// Client records in the realm, of resources in one namespace or in all: a trigger is the resource that a record was made from.
pub fn records(client: &Client, realm_namespace: &str, of_namespace: Option<&str>) -> (Cache<Secret>, Triggers) {
    let of_namespace = of_namespace.map(|name| format!(",{}={name}", record::NAMESPACE_LABEL)).unwrap_or_default();
    let selector = format!("{}={}{of_namespace}", record::LABEL, Kind::Client.as_str());
    let api = Api::namespaced(client.clone(), realm_namespace);
    let (store, events) = watch(api, config().labels(&selector), "records", trim_record);
    let triggers = objects(events).filter_map(|secret| future::ready(source_of(&secret)));
    (store, triggers.boxed())
}

fn trim_record(secret: &mut Secret) {
    secret.metadata.managed_fields = None;
    secret.metadata.labels = None;
}

fn source_of(secret: &Secret) -> Option<ObjectRef<Guarded>> {
    let json = secret.data.as_ref()?.get(record::DATA_KEY)?;
    let source = record::parse::<ClientRecord>(&json.0).ok()?.source;
    Some(ObjectRef::new(&source.name).within(&source.namespace))
}

/// Secrets for apps: a trigger is the resource that the owner annotation names. A deletion also wakes those that waited for the name.
#[must_use]
pub fn consumers(api: Api<Secret>, resources: Cache<Guarded>) -> (Cache<Secret>, Triggers) {
    let selector = format!("{CONSUMER_LABEL}={CONSUMER_VALUE}");
    let (store, events) =
        watch(api, config().labels(&selector), "Secrets for apps", |secret| secret.metadata.managed_fields = None);
    let triggers = events.flat_map(move |event| {
        stream::iter(match event {
            watcher::Event::Apply(secret) | watcher::Event::InitApply(secret) => Vec::from_iter(made_for(&secret)),
            watcher::Event::Delete(secret) => {
                made_for(&secret).into_iter().chain(waiting_for(&secret, &resources)).collect()
            }
            watcher::Event::Init | watcher::Event::InitDone => Vec::new(),
        })
    });
    (store, triggers.boxed())
}

fn made_for(secret: &Secret) -> Option<ObjectRef<Guarded>> {
    let (_, name) = secret.annotations().get(OWNER_ANNOTATION)?.split_once('/')?;
    Some(ObjectRef::new(name).within(&secret.namespace().unwrap_or_default()))
}

fn waiting_for(secret: &Secret, resources: &Cache<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let waits = |guarded: &Guarded| {
        let wanted = guarded.0.as_ref().is_ok_and(|resource| consumer_name(resource) == secret.name_any());
        wanted && guarded.meta().namespace == secret.metadata.namespace && is_held_up(guarded)
    };
    let all = resources.state();
    all.iter().filter(|guarded| waits(guarded)).map(|guarded| ObjectRef::from_obj(&**guarded)).collect()
}

/// Secrets that may be referred to: triggers are the resources that do.
#[must_use]
pub fn references(api: Api<Secret>, resources: Cache<Guarded>) -> (Cache<Secret>, Triggers) {
    let selector = format!("{ALLOW_REFERENCE_LABEL}=true");
    let (store, events) = watch(api, config().labels(&selector), "Secrets that may be referred to", |secret| {
        secret.metadata.managed_fields = None;
    });
    let triggers = objects(events).flat_map(move |secret| {
        let refers = |guarded: &Guarded| {
            let from = guarded.0.as_ref().ok().and_then(|resource| resource.spec.secret_from.as_ref());
            guarded.meta().namespace == secret.metadata.namespace
                && from.is_some_and(|from| from.secret_key_ref.name == secret.name_any())
        };
        let found: Vec<_> = resources
            .state()
            .iter()
            .filter(|guarded| refers(guarded))
            .map(|guarded| ObjectRef::from_obj(&**guarded))
            .collect();
        stream::iter(found)
    });
    (store, triggers.boxed())
}

/// Namespaces with their labels only: triggers are the resources in them.
#[must_use]
pub fn namespaces(client: &Client, resources: Cache<Guarded>) -> (Cache<PartialObjectMeta<Namespace>>, Triggers) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let (store, events) = watch(api, config(), "Namespaces", |namespace| {
        namespace.metadata.managed_fields = None;
        namespace.metadata.annotations = None;
    });
    let triggers = objects(events).flat_map(move |namespace| {
        let within = |guarded: &Guarded| guarded.meta().namespace == namespace.metadata.name;
        let found: Vec<_> = resources
            .state()
            .iter()
            .filter(|guarded| within(guarded))
            .map(|guarded| ObjectRef::from_obj(&**guarded))
            .collect();
        stream::iter(found)
    });
    (store, triggers.boxed())
}
