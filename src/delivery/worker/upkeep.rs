//! Flow 3: what is done beside the deliveries: messages are freed when what they waited for has changed, buried when their endpoint
//! has gone, and pruned when they ended long ago.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::task::JoinHandle;

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
    /// What is done beside the deliveries, one lot at a time.
    work: Option<JoinHandle<Result<Vec<EndpointFigures>, Unavailable>>>,
    /// What the last lot found in the queue.
    figures: Vec<EndpointFigures>,
}

/// What is to be done.
enum Chore {
    Release(EndpointRef),
    Bury(EndpointRef),
}

impl Upkeep {
    pub(super) fn new(queue: Arc<dyn Queue>, store: Arc<Store>, metrics: Hooks) -> Self {
        let (last_round, missing, reviewed) = (None, HashMap::new(), HashMap::new());
        Self { queue, store, metrics, last_round, missing, reviewed, work: None, figures: Vec::new() }
    }

    /// Called often. Does nothing that takes time: what does is done beside. Names the endpoints that may go on.
    pub(super) fn tick(&mut self, lanes: &mut HashMap<EndpointRef, Lane>) -> Vec<EndpointRef> {
        if self.is_busy(lanes) {
            return Vec::new();
        }
        let now = Instant::now();
        let (chores, awake) = self.chores(lanes, now);
        let round = self.last_round.is_none_or(|last| now.duration_since(last) >= ROUND);
        if round {
            self.last_round = Some(now);
        }
        if round || !chores.is_empty() {
            let (queue, metrics) = (self.queue.clone(), self.metrics.clone());
            self.work = Some(tokio::spawn(async move { work(&*queue, chores, round, &metrics).await }));
        }
        awake
    }

    /// Takes over what the last lot of work found, if it has ended.
    fn is_busy(&mut self, lanes: &mut HashMap<EndpointRef, Lane>) -> bool {
        match self.work.as_mut().map(futures::FutureExt::now_or_never) {
            Some(None) => return true,
            Some(Some(Ok(Ok(figures)))) => self.figures = figures,
            // The queue was away: whatever was to be done is found again.
            Some(Some(_)) => lanes.values_mut().for_each(|lane| lane.seen = None),
            None => {}
        }
        self.work = None;
        false
    }

    fn chores(&mut self, lanes: &mut HashMap<EndpointRef, Lane>, now: Instant) -> (Vec<Chore>, Vec<EndpointRef>) {
        let figures = std::mem::take(&mut self.figures);
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
                    self.reviewed.remove(endpoint);
                    chores.push(Chore::Bury(endpoint.clone()));
                }
                None => {}
            }
        }
        self.figures = figures;
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
) -> Result<Vec<EndpointFigures>, Unavailable> {
    let now = Timestamp::now();
    for chore in chores {
        match chore {
            Chore::Release(endpoint) => {
                queue.release(&endpoint).await?;
            }
            Chore::Bury(endpoint) => {
                let count = queue.bury(&endpoint, Label::from(DELETED), now).await?;
                metrics.dead_letters(DELETED, count);
                let (namespace, webhook) = (&*endpoint.namespace, &*endpoint.name);
                tracing::info!(namespace, webhook, count, "a Webhook is gone: its messages are dead letters");
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
    Ok(found)
}
