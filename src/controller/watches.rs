//! Flow 1: the watches, and which resources an event is about.

mod cache;
mod lean;
mod namespaces;
mod packed;
mod resources;
mod routes;
mod served;
mod told;

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc, future, stream};
use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{reflector::ObjectRef, watcher},
};

pub use self::{
    cache::{Cache, Listed},
    lean::Lean,
    namespaces::Indexed,
    packed::{Form, FormCache, Kept, Packable, PackedCache},
    resources::{Guarded, Of, Resources, Trigger},
    routes::{Routes, routes},
};
use self::{
    cache::{config, follow, news, watch, watched},
    namespaces::Namespaces,
    packed::keep,
};
use super::{
    apply::has_finalizer,
    fetch::{CONSUMER_LABEL, OWNER_ANNOTATION},
};
use crate::{
    crd::{ALLOW_REFERENCE_LABEL, Kind, Report as _, Webhook, WebhookCredential},
    record,
};
use resources::{Credential, Gone, Referable, Within, is_held_up};
use told::Told;

/// What client-side `kubectl apply` notes.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// A count of users may be that late.
const GATHER: Duration = Duration::from_millis(300);

/// Resources to be looked at.
pub type Triggers = stream::BoxStream<'static, Trigger>;

/// What an event makes to be looked at: `on` is told the object, and whether it is gone.
fn triggers<K: Send + 'static>(
    events: impl Stream<Item = watcher::Event<K>> + Send + 'static,
    mut on: impl FnMut(&K, bool) -> Vec<Trigger> + Send + 'static,
) -> Triggers {
    let triggers = events.flat_map(move |event| {
        stream::iter(match &event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => on(object, false),
            watcher::Event::Delete(object) => on(object, true),
            watcher::Event::Init | watcher::Event::InitDone => Vec::new(),
        })
    });
    triggers.boxed()
}

/// The resources of a kind. A deletion names the resource that is gone, and wakes the ones that it stood in the way of.
#[must_use]
pub fn resources<K: Kind>(api: Api<Lean<Guarded<K>>>, what: &'static str) -> (Indexed<K>, Triggers) {
    resources_and(api, what, |_, _| {})
}

/// The Webhooks, and the credentials that they name or have named.
#[must_use]
pub fn webhooks(api: Api<Lean<Guarded<Webhook>>>) -> (Indexed<Webhook>, Triggers, Triggers) {
    let (sender, credentials) = mpsc::unbounded();
    let mut last = HashMap::new();
    let (cache, triggers) = resources_and(api, "Webhooks", move |webhook: &Guarded<Webhook>, gone| {
        let object = ObjectRef::from_obj(webhook);
        let credential = webhook.0.as_ref().ok().filter(|_| !gone).and_then(Kind::credential).map(str::to_owned);
        let former = match &credential {
            Some(name) => last.insert(object, name.clone()),
            None => last.remove(&object),
        };
        let namespace = webhook.namespace().unwrap_or_default();
        let changed = [&credential, &former].into_iter().flatten().filter(|_| credential != former);
        for name in changed {
            // A queue that is gone: so is everything here in a moment.
            let _ = sender.unbounded_send(Trigger::named(WebhookCredential::KIND, &namespace, name));
        }
    });
    (cache, triggers, gathered(credentials.filter_map(future::ready)))
}

/// Many Webhooks that come at once make one look at the credential that they name.
fn gathered(triggers: impl Stream<Item = Trigger> + Send + 'static) -> Triggers {
    let batches = stream::unfold(Box::pin(triggers), |mut triggers| async {
        let mut batch = BTreeSet::from([triggers.next().await?]);
        tokio::time::sleep(GATHER).await;
        while let Some(Some(trigger)) = triggers.next().now_or_never() {
            batch.insert(trigger);
        }
        Some((stream::iter(batch), triggers))
    });
    batches.flatten().boxed()
}

fn resources_and<K: Kind>(
    api: Api<Lean<Guarded<K>>>,
    what: &'static str,
    mut also: impl FnMut(&Guarded<K>, bool) + Send + 'static,
) -> (Indexed<K>, Triggers) {
    let (namespaces, events) = (Namespaces::default(), watched(api, config()));
    let index = namespaces.clone();
    let (cache, events) = follow(events, what, trim_resource, move |event, store| index.follow(event, store));
    let (all, mut seen) = (cache.clone(), HashMap::new());
    let triggers = triggers(new_first(events, cache.clone()), move |resource, gone| {
        also(resource, gone);
        if gone {
            seen.remove(&resource.uid());
            let all = all.state();
            let held_up = all.iter().filter(|other| is_held_up(other)).map(|other| Trigger::of(other));
            return held_up.chain([Trigger::of(resource)]).collect();
        }
        let look = Look { asked: what_is_asked(resource), has_finalizer: has_finalizer(&**resource) };
        let before = seen.insert(resource.uid(), look);
        if before.is_some_and(|before| before.asked == look.asked && before.has_finalizer <= look.has_finalizer) {
            return Vec::new();
        }
        vec![Trigger::of(resource)]
    });
    (Indexed::new(cache, namespaces), triggers)
}

/// `kubectl apply` repeats the whole resource in an annotation, which says nothing that the resource does not.
fn trim_resource<K: Kind>(resource: &mut Guarded<K>) {
    let metadata = resource.meta_mut();
    metadata.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// What was last seen of a resource. That our finalizer comes is our own doing; that it goes is not.
#[derive(Clone, Copy)]
struct Look {
    asked: u64,
    has_finalizer: bool,
}

/// What users say of a resource: our own finalizer and status change nothing in it, and need no second look.
pub(super) fn what_is_asked<K: Kind>(object: &Guarded<K>) -> u64 {
    let metadata = object.meta();
    let mut hasher = DefaultHasher::new();
    metadata.uid.hash(&mut hasher);
    metadata.generation.hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    metadata.labels.hash(&mut hasher);
    metadata.annotations.hash(&mut hasher);
    hasher.finish()
}

/// Holds a list back until it is whole: what was never reported on goes first, as people wait for it. Until then it is in the cache
/// alone. What a later list lacks was deleted while no watch was there to say so.
fn new_first<K: Kind>(
    events: impl Stream<Item = watcher::Event<Guarded<K>>> + Send + 'static,
    all: Cache<Guarded<K>>,
) -> impl Stream<Item = watcher::Event<Arc<Guarded<K>>>> + Send + 'static {
    let is_reported = |resource: &K| resource.status().is_some_and(|status| status.secret_name().is_some());
    let mut known = BTreeSet::new();
    events.flat_map(move |event| {
        stream::iter(match event {
            watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
            watcher::Event::InitDone => {
                let mut listed = all.state();
                listed.sort_by_key(|object| object.0.as_ref().is_ok_and(is_reported));
                let before = std::mem::replace(&mut known, listed.iter().map(|object| identity(object)).collect());
                let gone = before.difference(&known).map(|it| watcher::Event::Delete(Arc::new(nothing_but(it))));
                gone.collect::<Vec<_>>().into_iter().chain(listed.into_iter().map(watcher::Event::Apply)).collect()
            }
            watcher::Event::Apply(object) => {
                known.insert(identity(&object));
                vec![watcher::Event::Apply(Arc::new(object))]
            }
            watcher::Event::Delete(object) => {
                known.remove(&identity(&object));
                vec![watcher::Event::Delete(Arc::new(object))]
            }
        })
    })
}

/// Namespace, name and uid.
type Identity = [String; 3];

fn identity<K: Kind>(object: &Guarded<K>) -> Identity {
    [object.namespace(), Some(object.name_any()), object.uid()].map(Option::unwrap_or_default)
}

/// A resource of which nothing else is known any more.
fn nothing_but<K: Kind>([namespace, name, uid]: &Identity) -> Guarded<K> {
    let metadata = ObjectMeta {
        namespace: Some(namespace.clone()),
        name: Some(name.clone()),
        uid: Some(uid.clone()),
        ..ObjectMeta::default()
    };
    DeserializeGuard(Ok(K::unreadable(metadata)))
}

/// Records in the realm, of resources in one namespace or in all: a trigger is the resource that a record was made from, and those
/// whose calls are sent with it.
#[must_use]
pub fn records<F: Form<Of = Secret>>(
    client: &Client,
    realm_namespace: &str,
    of_namespace: Option<&str>,
    resources: Resources,
) -> (FormCache<F>, Triggers) {
    let of_namespace = of_namespace.map(|name| format!(",{}={name}", record::NAMESPACE_LABEL)).unwrap_or_default();
    let selector = format!("{} in (client,endpoint,injection){of_namespace}", record::LABEL);
    let api = Api::namespaced(client.clone(), realm_namespace);
    let (cache, events) = keep(watched(api, config().labels(&selector)), "records");
    let triggers = triggers(news(events), move |secret: &Secret, _| {
        let json = secret.data.as_ref().and_then(|data| data.get(record::DATA_KEY));
        json.map(|json| record_triggers(json, &resources)).unwrap_or_default()
    });
    (cache, triggers)
}

/// Records of namespaces with realms of their own: triggers are as those of [`records`], for those alone that have changed.
#[must_use]
pub fn bundles(api: Api<Lean<Secret>>, resources: Resources) -> (Cache<Secret>, Triggers) {
    let selector = format!("{}={}", record::LABEL, record::bundle::LABEL_VALUE);
    let (cache, events) =
        watch(api, config().labels(&selector), "bundles of records", |secret| secret.metadata.labels = None);
    let mut told = Told::default();
    let triggers = triggers(events, move |secret, gone| {
        let changed = told.changed(secret, gone).into_iter();
        changed.flat_map(|source| of_record(source, &resources)).collect()
    });
    (cache, triggers)
}

fn record_triggers(json: &ByteString, resources: &Resources) -> Vec<Trigger> {
    made_from(json).map(|source| of_record(source, resources)).unwrap_or_default()
}

/// Whose record it is, and those whose calls are sent with it.
fn of_record(source: Trigger, resources: &Resources) -> Vec<Trigger> {
    let is_credential = source.kind == WebhookCredential::KIND;
    let users = if is_credential { resources.concerned(&Credential(&source)) } else { Vec::new() };
    users.into_iter().chain([source]).collect()
}

fn made_from(json: &ByteString) -> Option<Trigger> {
    let source = record::source_of(&json.0)?;
    Trigger::named(&source.kind, &source.namespace, &source.name)
}

/// Secrets for apps: a trigger is the resource that the owner annotation names. A deletion also wakes those that waited for the name.
#[must_use]
pub fn consumers(api: Api<Lean<Secret>>, resources: Resources) -> (PackedCache<Secret>, Triggers) {
    let (cache, events) = keep(watched(api, config().labels(CONSUMER_LABEL)), "Secrets for apps");
    let triggers = triggers(news(events), move |secret, gone| {
        let waiting = if gone { resources.concerned(&Gone(secret)) } else { Vec::new() };
        made_for(secret).into_iter().chain(waiting).collect()
    });
    (cache, triggers)
}

fn made_for(secret: &Secret) -> Option<Trigger> {
    let (kind, name) = secret.annotations().get(OWNER_ANNOTATION)?.split_once('/')?;
    Trigger::named(kind, &secret.namespace().unwrap_or_default(), name)
}

/// Secrets that may be referred to: triggers are the resources that do.
#[must_use]
pub fn references(api: Api<Lean<Secret>>, resources: Resources) -> (PackedCache<Secret>, Triggers) {
    let selector = format!("{ALLOW_REFERENCE_LABEL}=true");
    let events = watched(api, config().labels(&selector));
    let (cache, events) = keep(events, "Secrets that may be referred to");
    let triggers = triggers(news(events), move |secret, _| resources.concerned(&Referable(secret)));
    (cache, triggers)
}

/// Namespaces with their labels only: triggers are the resources in them.
#[must_use]
pub fn namespaces(client: &Client, resources: Resources) -> (Cache<PartialObjectMeta<Namespace>>, Triggers) {
    let api: Api<Lean<PartialObjectMeta<Namespace>>> = Api::all(client.clone());
    let (cache, events) = watch(api, config(), "Namespaces", |namespace| {
        namespace.metadata.annotations = None;
    });
    let triggers = triggers(news(events), move |namespace, _| resources.concerned(&Within(&namespace.name_any())));
    (cache, triggers)
}
