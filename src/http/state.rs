//! Flow 2: what every handler of the server shares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::Guard;
use axum::http::request::Parts;

use super::{error::HttpError, probes::Probed, rate_limit::RateLimit, seen::SeenTokens};
use crate::{
    store::{Snapshot, Store},
    telemetry::metrics::server::Metrics,
};

/// State of the server.
#[derive(Debug)]
pub(super) struct App {
    pub(super) store: Arc<Store>,
    pub(super) metrics: Metrics,
    pub(super) seen: SeenTokens,
    pub(super) rate_limit: Option<RateLimit>,
    max_staleness: Duration,
    /// Whether tokens are served: without keys there are none.
    tokens: bool,
    draining: Arc<AtomicBool>,
}

impl App {
    pub(super) fn new(store: Arc<Store>, max_staleness: Duration, rate_limit: Option<RateLimit>, tokens: bool) -> Self {
        let metrics = Metrics::new(store.clone());
        let draining = Arc::default();
        Self { store, metrics, seen: SeenTokens::default(), rate_limit, max_staleness, tokens, draining }
    }

    /// Lets a request in, unless its source has sent too many.
    pub(super) fn admit(&self, parts: &Parts) -> Result<(), HttpError> {
        self.rate_limit.as_ref().map_or(Ok(()), |limit| limit.admit(parts))
    }

    /// The snapshot, if what it says may still be believed.
    pub(super) fn fresh(&self) -> Result<Guard<Arc<Snapshot>>, HttpError> {
        match self.store.age(Instant::now()) {
            Some(age) if age <= self.max_staleness => Ok(self.store.load()),
            _ => Err(HttpError::Stale),
        }
    }

    /// Whether the server is to end soon.
    pub(super) fn draining(&self) -> Arc<AtomicBool> {
        self.draining.clone()
    }

    /// From now on the server is not ready.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

impl Probed for App {
    /// Whether requests should be sent here.
    fn ready(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("shutting down");
        }
        match self.store.age(Instant::now()) {
            None => Err("the records were not read completely yet"),
            Some(age) if self.tokens && age > self.max_staleness => Err("the records are older than --max-staleness"),
            Some(_) if self.tokens && self.store.load().keys.is_none() => Err("there are no usable signing keys yet"),
            Some(_) => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        self.metrics.encode()
    }
}
