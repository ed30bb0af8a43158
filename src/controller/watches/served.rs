//! Flow 1: a watch of a kind that the API server may not have, or not let us see, or not yet: discovery is looked at again until it is there.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client, Resource,
    core::{NamespaceResourceScope, Status},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::cache::WatchBackoff;
use crate::controller::{
    api::{NOT_FOUND, call_opt},
    apply::ApplyError,
};

/// How often discovery is looked at where the kind is missing.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How soon where it could not be looked at.
const RETRY: Duration = Duration::from_secs(5);
/// So many failures are borne before the first success: some seconds, with the pauses between them.
const PATIENCE: u32 = 4;

type Item<K> = watcher::Result<watcher::Event<K>>;

/// Whether the API server has the kind, as far as its watch knows.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    /// Whether it has.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Returns whether that is new.
    fn set(&self, served: bool) -> bool {
        self.0.swap(served, Ordering::AcqRel) != served
    }
}

/// One kind.
struct Kind<K> {
    client: Client,
    api: Api<K>,
    config: watcher::Config,
    what: &'static str,
    served: Served,
    /// That it cannot be watched was said.
    told: AtomicBool,
}

/// What is done next.
enum Step<K> {
    /// Looking at discovery, after a pause.
    Look(Duration),
    /// Watching, after so many failures since the last success.
    Watch(BoxStream<'static, Item<K>>, u32),
}

/// Watches for as long as the kind is there; where it is not, there are no objects of it.
pub(super) fn watch_while_served<K>(
    client: Client,
    api: Api<K>,
    config: watcher::Config,
    what: &'static str,
) -> (Served, impl Stream<Item = Item<K>> + Send + 'static)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let served = Served::default();
    let kind = Arc::new(Kind { client, api, config, what, served: served.clone(), told: AtomicBool::default() });
    let steps = stream::unfold(Step::Look(Duration::ZERO), move |step| {
        let kind = kind.clone();
        async move { Some(kind.go_on(step).await) }
    });
    (served, steps.flat_map(stream::iter))
}

impl<K> Kind<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    async fn go_on(&self, step: Step<K>) -> (Vec<Item<K>>, Step<K>) {
        match step {
            Step::Look(pause) => {
                sleep(pause).await;
                self.look().await
            }
            Step::Watch(mut events, failures) => match events.next().await {
                Some(Err(error)) if self.is_hopeless(&error, failures) => {
                    if !self.told.swap(true, Ordering::AcqRel) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(what = self.what, error, "they cannot be watched; looking again every minute");
                    }
                    (self.nothing(), Step::Look(LOOK_AGAIN))
                }
                // Said by the one who gives up.
                Some(Err(_)) if !self.served.get() => (Vec::new(), Step::Watch(events, failures + 1)),
                Some(event) => {
                    if matches!(event, Ok(watcher::Event::InitDone)) && self.served.set(true) {
                        self.told.store(false, Ordering::Release);
                        tracing::info!(what = self.what, "the API server has them");
                    }
                    // With Init it has not asked anything yet.
                    let failures = if matches!(event, Ok(watcher::Event::Init)) { failures } else { 0 };
                    (vec![event], Step::Watch(events, failures))
                }
                None => (Vec::new(), Step::Look(Duration::ZERO)),
            },
        }
    }

    async fn look(&self) -> (Vec<Item<K>>, Step<K>) {
        match self.is_served().await {
            Ok(true) => {
                let events = watcher(self.api.clone(), self.config.clone()).backoff(WatchBackoff::default());
                (Vec::new(), Step::Watch(events.boxed(), 0))
            }
            // A cluster that hides its discovery.
            Ok(false) | Err(ApplyError::Refused { .. }) => (self.nothing(), Step::Look(LOOK_AGAIN)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(what = self.what, error, "discovery could not be looked at; trying again");
                (Vec::new(), Step::Look(RETRY))
            }
        }
    }

    async fn is_served(&self) -> Result<bool, ApplyError> {
        let group = K::api_version(&());
        let found = call_opt("discovery", self.client.list_api_group_resources(&group)).await?;
        Ok(found.is_some_and(|found| found.resources.iter().any(|resource| resource.name == K::plural(&()))))
    }

    /// The kind is gone; or it never could be listed: a right is missing, or a webhook that converts it does not answer. What could
    /// be watched once fails for a moment only.
    fn is_hopeless(&self, error: &watcher::Error, failures: u32) -> bool {
        answer(error).is_some_and(|status| status.code == NOT_FOUND) || (!self.served.get() && failures >= PATIENCE)
    }

    /// An empty list, which ends what was there before.
    fn nothing(&self) -> Vec<Item<K>> {
        if self.served.set(false) {
            tracing::warn!(what = self.what, "the API server no longer has them");
        }
        vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)]
    }
}

/// What the API server has answered, where it has.
fn answer(error: &watcher::Error) -> Option<&Status> {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => Some(status),
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => None,
    }
}
