//! Flow 3: what is done beside the deliveries: messages are freed when what they waited for has changed, buried when their endpoint
//! has gone, and pruned when they ended long ago.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    credential,
    lane::{Lane, Seen},
};
use crate::{
    delivery::{
        message::{EndpointRef, Label},
        queue::{EndpointFigures, Queue, Unavailable},
    },
    inbound::Endpoint,
    store::{Snapshot, Store},
    telemetry::metrics::hooks::Hooks,
};

/// How often the queue is counted and pruned.
const ROUND: Duration = Duration::from_secs(5);
/// Held messages are looked at this often even where nothing has changed: they may have expired.
const REVIEW: Duration = Duration::from_mins(30);
/// Nobody is buried on older records than this.
const FRESH: Duration = Duration::from_mins(1);
/// A record is away for a moment where it is replaced by hand: that is no deletion.
const BURIAL: Duration = Duration::from_secs(2);
/// The reason of those who are.
const DELETED: &str = "EndpointDeleted";

/// Looks after the queue.
pub(super) struct Upkeep {
    queue: Arc<dyn Queue>,
    store: Arc<Store>,
    metrics: Hooks,
    last_round: Option<Instant>,
    /// Endpoints that are not in the snapshot, and since when.
    missing: HashMap<EndpointRef, Instant>,
    reviewed: HashMap<EndpointRef, Instant>,
    /// One piece of work at a time, besides the deliveries.
    busy: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
    figures: Arc<Mutex<Vec<EndpointFigures>>>,
}

/// What is to be done.
enum Chore {
    Release(EndpointRef),
    Bury(EndpointRef),
}

impl Upkeep {
    pub(super) fn new(queue: Arc<dyn Queue>, store: Arc<Store>, metrics: Hooks) -> Self {
        let (last_round, missing, reviewed) = (None, HashMap::new(), HashMap::new());
        Self { queue, store, metrics, last_round, missing, reviewed, busy: Arc::default(), figures: Arc::default() }
    }

    /// Called often. Does nothing that takes time: what does is done beside. Names the endpoints that may go on.
    pub(super) fn tick(&mut self, lanes: &mut HashMap<EndpointRef, Lane>) -> Vec<EndpointRef> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.as_ref().is_some_and(|work| !work.is_finished()) {
            return Vec::new();
        }
        *busy = None;
        drop(busy);
        let now = Instant::now();
        let (chores, awake) = self.chores(lanes, now);
        let round = self.last_round.is_none_or(|last| now.duration_since(last) >= ROUND);
        if chores.is_empty() && !round {
            return awake;
        }
        if round {
            self.last_round = Some(now);
        }
        let (queue, metrics, figures) = (self.queue.clone(), self.metrics.clone(), self.figures.clone());
        let work = tokio::spawn(async move {
            // An error says that the queue is away; everything is looked at again.
            let _ = work(&*queue, chores, round, &metrics, &figures).await;
        });
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        awake
    }

    fn chores(&mut self, lanes: &mut HashMap<EndpointRef, Lane>, now: Instant) -> (Vec<Chore>, Vec<EndpointRef>) {
        let figures = std::mem::take(&mut *self.figures.lock().unwrap_or_else(PoisonError::into_inner));
        let snapshot = self.store.load_full();
        let (mut chores, mut awake) = (Vec::new(), Vec::new());
        for EndpointFigures { endpoint, .. } in figures.iter().filter(|figures| figures.queued.messages > 0) {
            match present(&snapshot, endpoint) {
                Some(found) => {
                    self.missing.remove(endpoint);
                    // It has none yet where all of its messages were stored as held, or came before the records did.
                    let lane = lanes.entry(endpoint.clone()).or_insert_with(|| Lane::new(endpoint));
                    if self.is_to_be_released(&snapshot, endpoint, found, lane, now) {
                        chores.push(Chore::Release(endpoint.clone()));
                        awake.push(endpoint.clone());
                    }
                }
                None if self.is_gone(&snapshot, endpoint, now) => {
                    self.missing.remove(endpoint);
                    chores.push(Chore::Bury(endpoint.clone()));
                }
                None => {}
            }
        }
        // For the next tick; a round renews them.
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        lanes.retain(|endpoint, lane| !lane.is_idle() || present(&snapshot, endpoint).is_some());
        (chores, awake)
    }

    /// The records of the endpoint changed since its held messages were last freed, or that was long ago.
    fn is_to_be_released(
        &mut self,
        snapshot: &Snapshot,
        endpoint: &EndpointRef,
        found: &Arc<Endpoint>,
        lane: &mut Lane,
        now: Instant,
    ) -> bool {
        let current = (found.clone(), credential(&snapshot.injections, found));
        let changed = lane.seen.as_ref().is_none_or(|seen| !same(seen, &current));
        let last = *self.reviewed.entry(endpoint.clone()).or_insert(now);
        let due = changed || now.duration_since(last) >= REVIEW;
        if due {
            lane.seen = Some(current);
            self.reviewed.insert(endpoint.clone(), now);
        }
        due && found.record().active
    }

    /// Its `Webhook` was deleted: the records are complete, current and whole, and have been without it for a moment. One record that does
    /// not parse could be its.
    fn is_gone(&mut self, snapshot: &Snapshot, endpoint: &EndpointRef, now: Instant) -> bool {
        let fresh = self.store.age(now).is_some_and(|age| age <= FRESH);
        if !fresh || snapshot.counts.unusable > 0 {
            self.missing.remove(endpoint);
            return false;
        }
        let since = *self.missing.entry(endpoint.clone()).or_insert(now);
        now.duration_since(since) >= BURIAL
    }
}

fn present<'a>(snapshot: &'a Snapshot, endpoint: &EndpointRef) -> Option<&'a Arc<Endpoint>> {
    let path = format!("{}/{}", endpoint.namespace, endpoint.name);
    snapshot.endpoints.get(path.as_str()).filter(|found| *found.record().source.uid == *endpoint.uid)
}

fn same(left: &Seen, right: &Seen) -> bool {
    let credentials = match (&left.1, &right.1) {
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        (None, None) => true,
        _ => false,
    };
    credentials && Arc::ptr_eq(&left.0, &right.0)
}

async fn work(
    queue: &dyn Queue,
    chores: Vec<Chore>,
    round: bool,
    metrics: &Hooks,
    figures: &Mutex<Vec<EndpointFigures>>,
) -> Result<(), Unavailable> {
    let now = Timestamp::now();
    for chore in chores {
        match chore {
            Chore::Release(endpoint) => {
                queue.release(&endpoint).await?;
            }
            Chore::Bury(endpoint) => {
                let count = queue.bury(&endpoint, Label::from(DELETED), now).await?;
                metrics.dead_letters(DELETED, count);
                tracing::info!(
                    namespace = &*endpoint.namespace,
                    webhook = &*endpoint.name,
                    count,
                    "its messages are dead letters"
                );
            }
        }
    }
    if round {
        queue.prune(now).await?;
    }
    let found = queue.endpoints().await?;
    let messages = found.iter().map(|figures| figures.queued.messages).sum();
    let oldest = found.iter().filter_map(|figures| figures.oldest).min();
    let age = oldest.map_or(0, |oldest| now.duration_since(oldest).as_secs().try_into().unwrap_or(0));
    metrics.queue(messages, age);
    *figures.lock().unwrap_or_else(PoisonError::into_inner) = found;
    Ok(())
}
