//! Flow 3: what is known of one endpoint's deliveries: what waits here, how much is under way, and when to look again.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use jiff::Timestamp;

use crate::{
    delivery::{message::EndpointRef, queue::Claimed},
    inbound::Endpoint,
    record::{InjectionRecord, endpoint::RateLimit},
};

/// Messages that are claimed at once at most: their bodies are in memory.
const MOST: usize = 64;

/// One endpoint's deliveries.
pub(super) struct Lane {
    /// `<namespace>/<name>`.
    pub(super) path: Box<str>,
    /// What its last release was for; see [`super::upkeep`].
    pub(super) seen: Option<(Arc<Endpoint>, Option<Arc<InjectionRecord>>)>,
    waiting: VecDeque<Claimed>,
    in_flight: usize,
    max_in_flight: usize,
    /// There may be more in the queue.
    ask: bool,
    fetching: bool,
    next_due: Option<Instant>,
    rate: Option<(RateLimit, DefaultDirectRateLimiter)>,
    /// Until the rate allows another call.
    paused_until: Option<Instant>,
    /// It is among those whose turn comes.
    pub(super) has_turn: bool,
}

impl Lane {
    pub(super) fn new(endpoint: &EndpointRef) -> Self {
        Self {
            path: format!("{}/{}", endpoint.namespace, endpoint.name).into(),
            seen: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            max_in_flight: 1,
            ask: true,
            fetching: false,
            next_due: None,
            rate: None,
            paused_until: None,
            has_turn: false,
        }
    }

    /// The next message, if the endpoint may be called now.
    pub(super) fn begin(&mut self, endpoint: &Endpoint, now: Instant) -> Option<Claimed> {
        let record = endpoint.record();
        self.max_in_flight = usize::try_from(record.delivery.max_in_flight.max(1)).unwrap_or(usize::MAX);
        let may = self.in_flight < self.max_in_flight && !self.waiting.is_empty();
        if !may
            || self.paused_until.is_some_and(|until| until > now)
            || !self.rate_allows(record.delivery.rate_limit, now)
        {
            return None;
        }
        self.in_flight += 1;
        self.waiting.pop_front()
    }

    fn rate_allows(&mut self, limit: Option<RateLimit>, now: Instant) -> bool {
        self.paused_until = None;
        if self.rate.as_ref().map(|(limit, _)| *limit) != limit {
            self.rate = limit.and_then(|limit| Some((limit, RateLimiter::direct(quota(limit)?))));
        }
        let Some((_, limiter)) = &self.rate else { return true };
        match limiter.check() {
            Ok(()) => true,
            Err(until) => {
                self.paused_until = Some(now + until.wait_time_from(DefaultClock::default().now()));
                false
            }
        }
    }

    /// Gives back what waits: somebody else says when it is its time again.
    pub(super) fn let_go(&mut self) {
        self.waiting.clear();
        self.ask = false;
        self.next_due = None;
    }

    /// There may be more in the queue than when it was last asked.
    pub(super) fn ask(&mut self) {
        self.ask = true;
    }

    pub(super) fn wants_more(&self) -> bool {
        self.ask && !self.fetching && self.waiting.len() < self.room()
    }

    /// Notes that the queue is being asked, and tells for how many.
    pub(super) fn fetching(&mut self) -> usize {
        self.fetching = true;
        self.ask = false;
        self.next_due = None;
        (2 * self.room()).saturating_sub(self.waiting.len()).max(1)
    }

    fn room(&self) -> usize {
        self.max_in_flight.min(MOST)
    }

    /// Takes over what the queue had. Tells when it will have more.
    pub(super) fn fetched(
        &mut self,
        claimed: Vec<Claimed>,
        next: Option<Timestamp>,
        now: Timestamp,
        instant: Instant,
    ) -> Option<Instant> {
        self.fetching = false;
        if !claimed.is_empty() && next.is_none() {
            self.ask = true;
        }
        self.waiting.extend(claimed);
        self.next_due = next.map(|next| instant + Duration::try_from(next.duration_since(now)).unwrap_or_default());
        self.next_due
    }

    pub(super) fn not_fetched(&mut self, again: Instant) -> Option<Instant> {
        self.fetching = false;
        self.next_due = Some(again);
        self.next_due
    }

    pub(super) fn ended(&mut self) {
        self.in_flight -= 1;
    }

    /// Until when the rate allows no call.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(super) fn wake(&mut self, now: Instant) {
        if self.next_due.is_some_and(|due| due <= now) {
            self.next_due = None;
            self.ask = true;
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }

    /// Nothing is here and nothing under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0 && !self.fetching
    }
}

fn quota(limit: RateLimit) -> Option<Quota> {
    let RateLimit { requests, per_seconds } = limit;
    let requests = NonZeroU32::new(requests)?;
    let between = Duration::from_secs(per_seconds.into()).checked_div(requests.get())?;
    Some(Quota::with_period(between)?.allow_burst(requests))
}
