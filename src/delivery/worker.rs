//! Flow 3, after the 2xx: takes what is due from the queue and delivers it: within the limits of each endpoint, and fair between them.
//!
//! ```text
//! queue ──claim──▶ lane of the endpoint ──▶ prepare ▶ send ▶ settle ──▶ queue
//! ```
//!
//! Everything that counts at an attempt (URL, headers, limits, credential) is looked up when it begins, so edits count for what is
//! queued already.

mod lane;
mod upkeep;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    future::{Future, pending},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use self::{
    lane::{Lane, Seen, Where},
    upkeep::Upkeep,
};
use super::{
    attempt::{self, Auth, Outgoing, prepare, settle},
    egress::Egress,
    message::{Attempt, EndpointRef, Label, MessageId},
    queue::{Claimed, Outcome, Queue, Settled, Settlement, Unavailable},
    verdict::{self, DeadReason, FailureKind, Verdict},
};
use crate::{
    inbound::{Endpoint, trace},
    record::{EndpointRecord, InjectionRecord},
    store::Store,
    telemetry::metrics::hooks::Hooks,
};

/// Calls of all endpoints at once.
const MAX_CALLS: usize = 1024;
/// Settlements that go to the queue together.
const MAX_SETTLEMENTS: usize = 256;
/// The longest that one of them waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// How often endpoints that changed or went are looked for.
const TICK: Duration = Duration::from_millis(250);
/// How long to leave a queue alone that is not available.
const PAUSE: Duration = Duration::from_millis(500);
/// For calls under way when the program ends. What is cut off is delivered again.
const GRACE: Duration = Duration::from_secs(10);

/// Delivers for as long as it runs.
pub struct Worker {
    queue: Arc<dyn Queue>,
    store: Arc<Store>,
    egress: Egress,
    metrics: Hooks,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What is under way.
#[derive(Default)]
struct State {
    lanes: HashMap<EndpointRef, Lane>,
    /// Endpoints that may have something to begin; whose turn is next is in front.
    turns: VecDeque<EndpointRef>,
    /// When endpoints may have something again. A time that no longer holds does no harm.
    timers: BinaryHeap<Reverse<(Instant, EndpointRef)>>,
    calls: FuturesUnordered<BoxFuture<'static, Called>>,
    fetches: FuturesUnordered<BoxFuture<'static, Fetched>>,
    settlements: Vec<Called>,
    /// When the first of them came.
    first_settlement: Option<Instant>,
    settling: Option<BoxFuture<'static, Result<(), Unavailable>>>,
    /// Of what is being settled, what is held, and the records that it is held for.
    holds: Vec<(EndpointRef, Seen)>,
}

/// What became of a message.
struct Called {
    endpoint: EndpointRef,
    settlement: Settlement,
    /// It was the time limit that ended the call.
    late: bool,
    /// What it was prepared from.
    records: Seen,
    /// Why it ended undelivered.
    dead: Option<DeadReason>,
}

/// What has happened.
enum Event {
    Called(Called),
    Fetched(Fetched),
    Settled(Result<(), Unavailable>),
    Timer,
}

/// What the queue has for an endpoint.
struct Fetched {
    endpoint: EndpointRef,
    result: Result<(Vec<Claimed>, Option<Timestamp>), Unavailable>,
}

impl Worker {
    /// Nothing is delivered yet.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, store: Arc<Store>, egress: Egress, metrics: Hooks) -> Self {
        Self { queue, store, egress, metrics }
    }

    /// Delivers until `stop`; then finishes the calls under way.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut state = State::default();
        let mut upkeep = Upkeep::new(self.queue.clone(), self.store.clone(), self.metrics.clone());
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        let queue = self.queue.clone();
        let mut changed = queue.changed();
        loop {
            self.fill(&mut state);
            tokio::select! {
                () = &mut stop => break,
                endpoints = &mut changed => {
                    changed = queue.changed();
                    state.ask(&endpoints);
                }
                event = state.next() => self.note(&mut state, event).await,
                _ = tick.tick() => {
                    let awake = upkeep.tick(&mut state.lanes);
                    state.ask(&awake);
                }
            }
        }
        drop(changed);
        self.finish(state).await;
    }

    async fn note(&self, state: &mut State, event: Event) {
        match event {
            Event::Called(called) => state.called(called),
            Event::Fetched(fetched) => state.fetched(fetched),
            Event::Settled(Ok(())) => state.held(),
            // The claims are back, so these are delivered again; there is no hurry while the queue is away.
            Event::Settled(Err(Unavailable)) => sleep(PAUSE).await,
            Event::Timer => state.wake(),
        }
    }

    /// Starts what may be started: one call for each endpoint in turn, until none has anything that it may begin.
    fn fill(&self, state: &mut State) {
        let snapshot = self.store.load_full();
        let now = Instant::now();
        while let free @ 1.. = MAX_CALLS.saturating_sub(state.calls.len())
            && let Some(turn) = state.turns.pop_front()
        {
            let Some(lane) = state.lanes.get_mut(&turn) else { continue };
            lane.has_turn = false;
            let endpoint = snapshot.endpoints.get(&*lane.path);
            let endpoint = endpoint.filter(|found| found.record().active && *found.record().source.uid == *turn.uid);
            let Some(endpoint) = endpoint else {
                lane.let_go();
                continue;
            };
            let begun = lane.begin(endpoint, now, free);
            if lane.wants_more() {
                state.fetches.push(self.fetch(turn.clone(), lane.fetching()));
            }
            if let Some(pause) = lane.paused_until() {
                state.timers.push(Reverse((pause, turn.clone())));
            }
            if let Some(claimed) = begun {
                let credential = credential(&snapshot.injections, endpoint);
                let destination = lane.destination(endpoint);
                state.calls.push(self.call(turn.clone(), endpoint.clone(), destination, credential, claimed));
                state.give_turn(&turn);
            }
        }
        self.metrics.calling(state.calls.len());
        self.hand_over(state);
    }

    fn fetch(&self, endpoint: EndpointRef, limit: usize) -> BoxFuture<'static, Fetched> {
        let queue = self.queue.clone();
        async move {
            let fetch = async {
                let claimed = queue.claim(&endpoint, Timestamp::now(), limit).await?;
                let next = if claimed.len() < limit { queue.next_due(&endpoint).await? } else { None };
                Ok((claimed, next))
            };
            let result = fetch.await;
            Fetched { endpoint, result }
        }
        .boxed()
    }

    /// One attempt, from the records as they are now to what the queue is to note.
    fn call(
        &self,
        turn: EndpointRef,
        endpoint: Arc<Endpoint>,
        destination: Where,
        credential: Option<Arc<InjectionRecord>>,
        claimed: Claimed,
    ) -> BoxFuture<'static, Called> {
        let (egress, metrics) = (self.egress.clone(), self.metrics.clone());
        async move {
            let Claimed { claim, message, content } = claimed;
            let outgoing = Outgoing {
                id: message.id.to_string(),
                accepted_at: message.since(),
                attempts: message.attempts,
                headers: headers(&content),
                body: content.body().clone(),
            };
            let trace_id: Option<Box<str>> = trace::trace_id(&outgoing.headers).map(Box::from);
            let destination = destination.as_deref().map_err(|reason| *reason);
            let prepared = prepare(endpoint.record(), destination, credential.as_deref(), outgoing, Timestamp::now());
            let (attempt, verdict, late) = match prepared {
                Err(verdict) => (None, verdict, false),
                Ok(prepared) => {
                    let sent = egress.send(prepared).await;
                    let attempt::Settled { verdict, attempt } = settle(&sent, Timestamp::now(), rand::random());
                    metrics.call(attempt.duration, attempt.outcome.as_str());
                    (Some(noted(&attempt)), verdict, is_late(&attempt, endpoint.record()))
                }
            };
            log(&turn, message.id, trace_id.as_deref(), attempt.as_ref(), &verdict);
            let dead = if let Verdict::DeadLetter(reason) = verdict { Some(reason) } else { None };
            let settlement = Settlement { claim, attempt, outcome: outcome(verdict, &metrics) };
            Called { endpoint: turn, settlement, late, records: (endpoint, credential), dead }
        }
        .boxed()
    }

    /// Gives the queue what has ended, unless it is busy with the last lot, or as many may come along: a lot has one sync.
    fn hand_over(&self, state: &mut State) {
        if state.settling.is_some() || state.settlements.is_empty() {
            return;
        }
        let few = state.settlements.len() < state.calls.len().min(MAX_SETTLEMENTS);
        if few && state.first_settlement.is_some_and(|first| first.elapsed() < GATHER) {
            return;
        }
        state.first_settlement = None;
        let count = state.settlements.len().min(MAX_SETTLEMENTS);
        let (mut settlements, mut dead_letters) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for Called { endpoint, settlement, late: _, records, dead } in state.settlements.drain(..count) {
            dead_letters.push(dead);
            if settlement.outcome == Outcome::Hold {
                state.holds.push((endpoint, records));
            }
            settlements.push(settlement);
        }
        let (queue, metrics) = (self.queue.clone(), self.metrics.clone());
        let settle = async move {
            let settled = queue.settle(settlements, Timestamp::now()).await?;
            let on_disk = dead_letters.into_iter().zip(settled).filter(|(_, settled)| *settled == Settled::Applied);
            for reason in on_disk.filter_map(|(dead, _)| dead) {
                metrics.dead_letter(reason.as_str());
            }
            Ok(())
        };
        state.settling = Some(settle.boxed());
    }

    async fn finish(&self, mut state: State) {
        let finish = async {
            while let Some(called) = state.calls.next().await {
                state.called(called);
            }
            loop {
                self.hand_over(&mut state);
                let Some(settling) = state.settling.take() else { break };
                if settling.await.is_err() {
                    break;
                }
            }
        };
        if timeout(GRACE, finish).await.is_err() {
            tracing::warn!("deliveries were still under way when the program ended: they are made again");
        }
    }
}

impl State {
    /// What happens next. Where nothing is under way, nothing does.
    async fn next(&mut self) -> Event {
        let Self { calls, fetches, settling, timers, first_settlement, .. } = self;
        let gathered = first_settlement.filter(|_| settling.is_none()).map(|first| first + GATHER);
        let settled = async {
            match settling {
                Some(under_way) => under_way.await,
                None => pending().await,
            }
        };
        let timer = timers.peek().map(|Reverse((at, _))| *at).into_iter().chain(gathered).min();
        let timer = async {
            match timer {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        let event = tokio::select! {
            Some(called) = calls.next() => Event::Called(called),
            Some(fetched) = fetches.next() => Event::Fetched(fetched),
            result = settled => Event::Settled(result),
            () = timer => Event::Timer,
        };
        if matches!(event, Event::Settled(_)) {
            self.settling = None;
        }
        event
    }

    /// There may be more in the queue for these endpoints.
    fn ask(&mut self, endpoints: &[EndpointRef]) {
        for endpoint in endpoints {
            self.lanes.entry(endpoint.clone()).or_insert_with(|| Lane::new(endpoint)).ask();
            self.give_turn(endpoint);
        }
    }

    fn give_turn(&mut self, endpoint: &EndpointRef) {
        if let Some(lane) = self.lanes.get_mut(endpoint).filter(|lane| !lane.has_turn) {
            lane.has_turn = true;
            self.turns.push_back(endpoint.clone());
        }
    }

    fn called(&mut self, called: Called) {
        let (endpoint, late) = (called.endpoint.clone(), called.late);
        self.settlements.push(called);
        self.first_settlement.get_or_insert_with(Instant::now);
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.ended(late);
        }
        self.give_turn(&endpoint);
    }

    /// Messages are held now. If what they wait for came while that was written, they were not among those that it freed: so what
    /// they are held for is what the next look compares with.
    fn held(&mut self) {
        for (endpoint, records) in self.holds.drain(..) {
            if let Some(lane) = self.lanes.get_mut(&endpoint) {
                lane.seen = Some(records);
            }
        }
    }

    fn fetched(&mut self, Fetched { endpoint, result }: Fetched) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        let again = match result {
            Ok((claimed, next)) => lane.fetched(claimed, next, Timestamp::now(), Instant::now()),
            Err(Unavailable) => lane.not_fetched(Instant::now() + PAUSE),
        };
        if let Some(again) = again {
            self.timers.push(Reverse((again, endpoint.clone())));
        }
        self.give_turn(&endpoint);
    }

    fn wake(&mut self) {
        let now = Instant::now();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now)
            && let Some(Reverse((_, endpoint))) = self.timers.pop()
        {
            if let Some(lane) = self.lanes.get_mut(&endpoint) {
                lane.wake(now);
            }
            self.give_turn(&endpoint);
        }
    }
}

/// The credential that an endpoint names, as it is now.
fn credential(
    injections: &HashMap<Box<str>, Arc<InjectionRecord>>,
    endpoint: &Endpoint,
) -> Option<Arc<InjectionRecord>> {
    let record = endpoint.record();
    let name = record.delivery.credential.as_ref()?;
    injections.get(format!("{}/{name}", record.source.namespace).as_str()).cloned()
}

fn headers(content: &super::message::Content) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(content.headers().len());
    for header in content.headers() {
        let name = HeaderName::try_from(&*header.name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&header.value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Whether a receiver held a call for as long as it could, by answering nothing or a byte now and then.
fn is_late(attempt: &attempt::Attempt, record: &EndpointRecord) -> bool {
    let limit = Duration::from_secs(record.delivery.timeout_seconds.max(1).into());
    attempt.outcome == verdict::Outcome::Failed(FailureKind::TimedOut) || attempt.duration >= limit
}

/// What is kept of a call, for the delivery list.
fn noted(attempt: &attempt::Attempt) -> Attempt {
    let auth = if attempt.auth == Auth::Missing { " (No Auth)" } else { "" };
    let failure = attempt.failure.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let outcome = Label::from(format!("{}{auth}{failure}", attempt.outcome.as_str()).as_str());
    Attempt { at: attempt.at, outcome, status: attempt.status }
}

/// A line for each call would be too many by default: those that ended for good and undelivered are what an operator looks for.
fn log(turn: &EndpointRef, message: MessageId, trace_id: Option<&str>, attempt: Option<&Attempt>, verdict: &Verdict) {
    let EndpointRef { namespace, name: webhook, uid: _ } = turn;
    let (namespace, webhook) = (&**namespace, &**webhook);
    let status = attempt.and_then(|attempt| attempt.status);
    match verdict {
        Verdict::Delivered => tracing::debug!(namespace, webhook, %message, trace_id, status, "delivered"),
        Verdict::RetryAt(at) => {
            tracing::debug!(namespace, webhook, %message, trace_id, status, %at, "not delivered: to be tried again");
        }
        Verdict::Hold(reason) => {
            tracing::debug!(namespace, webhook, %message, trace_id, reason = reason.as_str(), "held");
        }
        Verdict::DeadLetter(reason) => {
            let reason = reason.as_str();
            tracing::warn!(namespace, webhook, %message, trace_id, status, reason, "a message is a dead letter");
        }
    }
}

fn outcome(verdict: Verdict, metrics: &Hooks) -> Outcome {
    match verdict {
        Verdict::Delivered => Outcome::Delivered,
        Verdict::RetryAt(at) => Outcome::Retry { at },
        Verdict::DeadLetter(reason) => Outcome::DeadLetter(Label::from(reason.as_str())),
        Verdict::Hold(reason) => {
            metrics.hold(reason.as_str());
            Outcome::Hold
        }
    }
}
