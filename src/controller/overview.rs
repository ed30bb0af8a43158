//! Flow 1: what probes and metrics ask of a controller: whether it works, has seen everything, and what is reported.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    report,
    watches::{Cache, Guarded, Listed, Resources},
};
use crate::{
    crd::Kind,
    telemetry::metrics::controller::{Condition, State},
};

/// What a controller has before it: nothing while it waits for the Lease.
#[derive(Default)]
pub struct Overview(Mutex<Vec<Watched>>);

/// The resources of one namespace, or of all.
pub struct Watched {
    /// Those that were seen.
    pub resources: Resources,
    /// Everything that a verdict on them depends on.
    pub listed: Vec<Listed>,
}

/// Until this is dropped the controller works.
pub struct AtWork<'a>(&'a Overview);

impl Overview {
    /// Work begins on these.
    pub fn work(&self, watched: Vec<Watched>) -> AtWork<'_> {
        *self.lock() = watched;
        AtWork(self)
    }

    /// Whether it can do its part: a candidate that waits for the Lease can.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn ready(&self) -> Result<(), &'static str> {
        let whole = self.lock().iter().flat_map(|watched| &watched.listed).all(|listed| listed.initialized());
        if whole { Ok(()) } else { Err("the resources and their Secrets were not listed completely yet") }
    }

    /// The state for the metrics.
    #[must_use]
    pub fn state(&self) -> State {
        let watched = self.lock();
        let mut conditions = BTreeMap::new();
        for Watched { resources, .. } in &*watched {
            let Resources { app_credentials, webhooks, webhook_credentials } = resources;
            count(app_credentials, &mut conditions);
            count(webhooks, &mut conditions);
            count(webhook_credentials, &mut conditions);
        }
        State { leading: !watched.is_empty(), conditions }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.lock().clear();
    }
}

fn count<K: Kind>(resources: &Cache<Guarded<K>>, conditions: &mut BTreeMap<Condition, i64>) {
    for resource in resources.state() {
        let words = match &resource.0 {
            Ok(resource) => report::words(resource.conditions()),
            Err(_) => report::WORDS_OF_UNREADABLE.into(),
        };
        for (condition, status, reason) in words {
            *conditions.entry(Condition { kind: K::KIND, condition, status, reason }).or_default() += 1;
        }
    }
}
