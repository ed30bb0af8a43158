//! Flow 1: one watch: what it keeps in memory, and how it goes on when the API server does not answer.

use std::{ops::Deref, sync::Arc};

use futures::{Stream, StreamExt as _, TryStreamExt as _, future};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        utils::Backoff,
        watcher,
    },
};
use tokio::sync::SetOnce;

use super::lean::{Lean, Parse};

/// Load balancers cut connections that are silent for four minutes.
const WATCH_SECONDS: u32 = 110;

pub(super) fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Quick at first, and never slower than an API server that restarts: everybody waits for it.
#[derive(Default)]
pub(super) struct WatchBackoff(u32);

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
pub(super) fn watch<K>(
    api: Api<Lean<K>>,
    config: watcher::Config,
    what: &'static str,
    trim: fn(&mut K),
) -> (Cache<K>, impl Stream<Item = watcher::Event<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Parse + std::fmt::Debug + Send + Sync + 'static,
{
    follow(watched(api, config), what, trim, |_, _| {})
}

/// The events of a watch, which goes on after errors.
pub(super) fn watched<K>(
    api: Api<Lean<K>>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Parse + std::fmt::Debug + Send + Sync + 'static,
{
    watcher(api, config).backoff(WatchBackoff::default()).map_ok(bare)
}

fn bare<K>(event: watcher::Event<Lean<K>>) -> watcher::Event<K> {
    match event {
        watcher::Event::Apply(Lean(object)) => watcher::Event::Apply(object),
        watcher::Event::Delete(Lean(object)) => watcher::Event::Delete(object),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(Lean(object)) => watcher::Event::InitApply(object),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// Events that fill a cache, and those that are no errors. `also` is told each before anybody who waits for the first list.
pub(super) fn follow<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    what: &'static str,
    trim: fn(&mut K),
    also: impl Fn(&watcher::Event<K>, &Store<K>) + Send + 'static,
) -> (Cache<K>, impl Stream<Item = watcher::Event<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let cache = Cache { store, listed: Listed::default() };
    let Cache { store, listed } = cache.clone();
    let events = events.modify(trim).reflect(writer).inspect_ok(move |event| {
        also(event, &store);
        note_listed(&listed, event);
    });
    (cache, loud(events, what))
}

pub(super) fn note_listed<K>(listed: &Listed, event: &watcher::Event<K>) {
    if matches!(event, watcher::Event::InitDone) {
        // Not the first time after a break.
        let _ = listed.set(());
    }
}

/// Without the first list: every resource is looked at after it anyway, when all that it depends on was listed.
pub(super) fn news<K: Send + 'static>(
    events: impl Stream<Item = watcher::Event<K>> + Send + 'static,
) -> impl Stream<Item = watcher::Event<K>> + Send + 'static {
    let mut listed = false;
    events.filter(move |event| {
        listed |= matches!(event, watcher::Event::InitDone);
        future::ready(listed)
    })
}

/// Errors are said once until the watch is well again; the watch itself goes on.
pub(super) fn loud<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    what: &'static str,
) -> impl Stream<Item = watcher::Event<K>> + Send + 'static {
    let mut failing = false;
    events.filter_map(move |event| {
        let event = match event {
            // It has not asked anything yet.
            Ok(event @ watcher::Event::Init) => Some(event),
            Ok(event) => {
                if failing {
                    tracing::info!(what, "the watch is well again");
                }
                failing = false;
                Some(event)
            }
            // The next list is whole.
            Err(error) if is_expired(&error) => None,
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

/// The API server no longer keeps what has happened since the last event, as after a CRD came or etcd was compacted: the watcher
/// lists again, so nothing has failed.
fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use kube::runtime::watcher::Event::{Apply, Init, InitApply, InitDone};

    use kube::{core::Status, runtime::watcher};

    use super::{is_expired, news};

    #[test]
    fn an_expired_resource_version_is_no_failure() {
        let told = |code| watcher::Error::WatchError(Box::new(Status { code, ..Status::default() }));
        assert!(is_expired(&told(410)));
        assert!(!is_expired(&told(500)) && !is_expired(&watcher::Error::NoResourceVersion));
    }

    #[tokio::test]
    async fn the_first_list_is_no_news_and_a_later_one_is() {
        // A list that is broken off begins anew.
        let first = [Init, InitApply("a"), Init, InitApply("a"), InitApply("b"), InitDone];
        let then = [Apply("c"), Init, InitApply("d"), InitDone];
        let told = news(stream::iter(first.into_iter().chain(then))).filter_map(async |event| match event {
            Apply(object) | InitApply(object) => Some(object),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>().await, ["c", "d"]);
    }
}
