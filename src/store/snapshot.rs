//! Flow 2: what is known at one moment, and how long ago that was proved.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};

use crate::token::{Client, KeySet};

/// Everything that the server knows, swapped as a whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Clients by client id.
    pub clients: HashMap<Box<str>, Arc<Client>>,
    /// Issuer and keys; absent until the controller has published them.
    pub keys: Option<Arc<KeySet>>,
}

/// The current snapshot, and when the source of the records last proved itself.
#[derive(Debug)]
pub struct Store {
    current: ArcSwap<Snapshot>,
    proved: ArcSwap<Option<Instant>>,
}

impl Default for Store {
    fn default() -> Self {
        Self { current: ArcSwap::default(), proved: ArcSwap::from_pointee(None) }
    }
}

impl Store {
    /// The snapshot as it is now. Cheap: no lock, no count.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Notes that the source of the records has just proved itself.
    pub fn prove(&self, now: Instant) {
        self.proved.store(Arc::new(Some(now)));
    }

    /// How long ago the source last proved itself; absent before the first complete read.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.proved.load().map(|proved| now.saturating_duration_since(proved))
    }
}
