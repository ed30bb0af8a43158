//! Flow 3: from a verified post to messages on disk.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, header::CONTENT_TYPE, request::Parts},
};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{answer::Answer, pool::Pool, rates::Rates};
use crate::{
    delivery::{
        message::{Content, DuplicateKey, EndpointRef, Entry, Header, Label, MessageId, NewMessage, OrderingKey},
        passed_on,
        queue::{Arrival, Queue, Recent, Stored, Unavailable},
    },
    inbound::{
        Endpoint,
        dedupe::{self, Claim, Dedupe, Key, Limits, Ticket, body_hash},
        handler::{Event, Verdict},
        trace,
    },
    record::{EndpointRecord, Source, endpoint::HandlerType},
    telemetry::metrics::hooks::Hooks as Metrics,
};

/// Slack waits 3 seconds for an answer, Shopify 5.
const LONGEST_WAIT: Duration = Duration::from_millis(1800);
/// Bodies without expressions are looked at at once up to here: it takes less time than to hand them over.
const SMALL: usize = 64 * 1024;

type Duplicates = Dedupe<MessageId>;

/// Takes posts in.
pub(in crate::http) struct Intake {
    queue: Arc<dyn Queue>,
    duplicates: Arc<Mutex<Duplicates>>,
    pool: Pool,
    rates: Rates,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// Remembers what the queue has of the last day.
    pub(in crate::http) async fn new(
        queue: Arc<dyn Queue>,
        metrics: Metrics,
        now: Timestamp,
    ) -> Result<Self, Unavailable> {
        let limits = Limits::default();
        let since = now.checked_sub(limits.age).unwrap_or(now);
        let recent = queue.recent(since, limits.per_endpoint).await?;
        let mut duplicates = Duplicates::new(limits);
        for Recent { id, endpoint, accepted_at, duplicate } in recent.into_iter().rev() {
            let DuplicateKey { id: delivery_id, hash } = duplicate;
            let owner = dedupe::Endpoint { namespace: &endpoint.namespace, uid: &endpoint.uid };
            duplicates.remember(owner, Key::new(&delivery_id, &hash), id, accepted_at);
        }
        let duplicates = Arc::new(Mutex::new(duplicates));
        let (pool, rates, metrics) = (Pool::default(), Rates::default(), Arc::new(metrics));
        Ok(Self { queue, duplicates, pool, rates, metrics })
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Lets a post in, unless its endpoint had too many.
    pub(super) fn admit(&self, record: &EndpointRecord) -> Result<(), Answer> {
        let drops_429 = record.handler.type_ == HandlerType::Alertmanager;
        let admitted = self.rates.admit(&record.source.uid, record.limits.posts_per_second);
        admitted.map_err(|wait| Answer::RateLimited { wait, drops_429 })
    }

    /// Deduplicates, filters, transforms and stores a verified post.
    pub(super) async fn take(
        &self,
        endpoint: Arc<Endpoint>,
        parts: Parts,
        body: Bytes,
        delivery_id: Option<String>,
        now: Timestamp,
    ) -> Result<Answer, Answer> {
        let deadline = Instant::now() + LONGEST_WAIT;
        let mut claims = Claims::new(self.duplicates.clone(), &endpoint.record().source);
        let trace_id = trace::trace_id(&parts.headers).map(Box::from);
        let of_post = delivery_id.map(|id| DuplicateKey { id: id.into(), hash: body_hash(&body) });
        let id = new_id(now);
        if let Some(key) = &of_post
            && let Some(earlier) = claims.claim(key, id, now)?
        {
            return Ok(Answer::Duplicate(earlier));
        }
        let (endpoint, events) = self.process(endpoint, parts, body, deadline).await?;
        let mut messages = Vec::with_capacity(events.len());
        let mut failures = Vec::new();
        let mut answer = Answer::Filtered;
        for event in events {
            let Some(entry) = entry(&event, endpoint.record()) else { continue };
            let id = if messages.is_empty() { id } else { new_id(now) };
            let duplicate = match (&of_post, &event.dedupe_id) {
                (None, Some(own)) => {
                    let key = DuplicateKey { id: own.as_str().into(), hash: body_hash(&event.body) };
                    if let Some(earlier) = claims.claim(&key, id, now)? {
                        answer = Answer::Duplicate(earlier);
                        continue;
                    }
                    Some(key)
                }
                (of_post, _) => of_post.clone(),
            };
            if let Verdict::Failed(failure) = &event.verdict {
                failures.push((id, failure.reason.name()));
            }
            messages.push(message(id, event, entry, duplicate, now));
        }
        if messages.is_empty() {
            return Ok(answer);
        }
        let noted = Noted { endpoint, trace_id, claims, failures, metrics: self.metrics.clone() };
        self.store(messages, noted, now, deadline).await
    }

    async fn process(
        &self,
        endpoint: Arc<Endpoint>,
        parts: Parts,
        body: Bytes,
        deadline: Instant,
    ) -> Result<(Arc<Endpoint>, Vec<Event>), Answer> {
        let source = endpoint.record().source.clone();
        let costly = endpoint.handler().has_expressions() || body.len() > SMALL;
        let work = move || {
            let outcome = endpoint.handler().process(&super::incoming(&parts, &body));
            outcome.map(|outcome| (endpoint, outcome.events)).map_err(Answer::Invalid)
        };
        if costly { self.pool.run(&source, deadline, work).await.map_err(Answer::Unavailable)? } else { work() }
    }

    async fn store(
        &self,
        messages: Vec<NewMessage>,
        noted: Noted,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Answer, Answer> {
        let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
        let record = noted.endpoint.record();
        let (endpoint, limits) = (EndpointRef::from(&record.source), record.limits);
        let stored = Stored::new({
            let ids = ids.clone();
            move || noted.commit(&ids, now)
        });
        let storing = self.queue.enqueue(Arrival { endpoint, limits, messages, stored });
        timeout_at(deadline, storing).await.map_err(|_| Answer::Unavailable("queue_slow"))??;
        Ok(Answer::Stored(ids))
    }
}

/// What is noted once a post is on disk.
struct Noted {
    endpoint: Arc<Endpoint>,
    trace_id: Option<Box<str>>,
    claims: Claims,
    /// Those of its messages that are dead letters from the start, and why.
    failures: Vec<(MessageId, &'static str)>,
    metrics: Arc<Metrics>,
}

impl Noted {
    fn commit(self, ids: &[MessageId], now: Timestamp) {
        let Self { endpoint, trace_id, claims, failures, metrics } = self;
        let Source { kind: _, namespace, name: webhook, uid: _ } = &endpoint.record().source;
        claims.commit(now);
        for message in ids {
            tracing::debug!(namespace, webhook, %message, trace_id, "stored");
        }
        for (message, reason) in failures {
            metrics.dead_letter(reason);
            tracing::warn!(namespace, webhook, %message, trace_id, reason, "a message is a dead letter");
        }
    }
}

/// What a post has claimed among duplicates. Given back when dropped, unless it is committed.
struct Claims {
    duplicates: Arc<Mutex<Duplicates>>,
    namespace: Box<str>,
    uid: Box<str>,
    held: Vec<(Ticket, MessageId)>,
}

impl Claims {
    fn new(duplicates: Arc<Mutex<Duplicates>>, source: &Source) -> Self {
        let Source { kind: _, namespace, name: _, uid } = source;
        let (namespace, uid) = (namespace.as_str().into(), uid.as_str().into());
        Self { duplicates, namespace, uid, held: Vec::new() }
    }

    /// Nothing where nobody has it; the earlier message where it is stored, or in the same post.
    fn claim(&mut self, key: &DuplicateKey, id: MessageId, now: Timestamp) -> Result<Option<MessageId>, Answer> {
        let key = Key::new(&key.id, &key.hash);
        let endpoint = dedupe::Endpoint { namespace: &self.namespace, uid: &self.uid };
        let claim = lock(&self.duplicates).claim(endpoint, key, now);
        match claim {
            Claim::New(ticket) => {
                self.held.push((ticket, id));
                Ok(None)
            }
            Claim::Duplicate(earlier) => Ok(Some(earlier)),
            Claim::Pending => {
                // A batch may have an event twice.
                let own = self.held.iter().find(|(ticket, _)| ticket.key() == key);
                own.map(|(_, id)| Some(*id)).ok_or(Answer::Unavailable("being_stored"))
            }
        }
    }

    fn commit(mut self, now: Timestamp) {
        let mut duplicates = lock(&self.duplicates);
        for (ticket, id) in std::mem::take(&mut self.held) {
            duplicates.commit(ticket, id, now);
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let mut duplicates = lock(&self.duplicates);
        for (ticket, _) in self.held.drain(..) {
            duplicates.release(ticket);
        }
    }
}

fn lock(duplicates: &Mutex<Duplicates>) -> MutexGuard<'_, Duplicates> {
    duplicates.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_id(now: Timestamp) -> MessageId {
    MessageId::new(now, rand::random()) // unique, and no secret
}

/// Where an event starts in the queue. None: the filter drops it.
fn entry(event: &Event, record: &EndpointRecord) -> Option<Entry> {
    match &event.verdict {
        Verdict::Filtered => None,
        Verdict::Failed(failure) => Some(Entry::DeadLetter(Label::from(failure.to_string().as_str()))),
        Verdict::Kept if record.active => Some(Entry::Due),
        Verdict::Kept => Some(Entry::Held),
    }
}

fn message(
    id: MessageId,
    event: Event,
    entry: Entry,
    duplicate: Option<DuplicateKey>,
    accepted_at: Timestamp,
) -> NewMessage {
    let content_type = event.content_type.as_ref().map(|value| (&CONTENT_TYPE, value));
    let header = |(name, value): (&HeaderName, &HeaderValue)| Header {
        name: name.as_str().into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let headers = passed_on(&event.headers).chain(content_type).map(header).collect();
    let content = Content::new(headers, event.body);
    let key = event.key.as_deref().map(OrderingKey::of);
    NewMessage { id, accepted_at, content, key, duplicate, entry }
}
