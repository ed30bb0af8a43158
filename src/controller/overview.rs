//! Flow 1: what probes and metrics ask of a controller: whether it works, has seen everything, and what is reported.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    app_credential::{KIND, status},
    watches::{Cache, Guarded, Listed},
};
use crate::telemetry::metrics::controller::{Condition, State};

/// What a controller has before it: nothing while it waits for the Lease.
#[derive(Default)]
pub struct Overview(Mutex<Vec<Watched>>);

/// The resources of one namespace, or of all.
pub struct Watched {
    /// Those that were seen.
    pub resources: Cache<Guarded>,
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
        for resource in watched.iter().flat_map(|watched| watched.resources.state()) {
            for condition in conditions_of(&resource) {
                *conditions.entry(condition).or_default() += 1;
            }
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

fn conditions_of(guarded: &Guarded) -> Vec<Condition> {
    let words = match &guarded.0 {
        Ok(resource) => status::words(resource.status.as_ref()),
        Err(_) => status::WORDS_OF_UNREADABLE.into(),
    };
    let condition = |(condition, status, reason)| Condition { kind: KIND, condition, status, reason };
    words.into_iter().map(condition).collect()
}
