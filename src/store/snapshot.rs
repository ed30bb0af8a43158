//! Flow 2: what is known at one moment, and how long ago that was proved.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;

use super::url_hash::UrlHash;
use crate::{
    inbound::Endpoint,
    record::{InjectionRecord, Kind},
    token::{Client, KeySet},
};

/// Everything that the server knows, swapped as a whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Clients by client id.
    pub clients: HashMap<Box<str>, Arc<Client>>,
    /// Issuer and keys; absent until the controller has published them, and while they cannot be used.
    pub keys: Option<Arc<KeySet>>,
    /// Endpoints by the resource that they were made from: `<namespace>/<name>`.
    pub endpoints: HashMap<Box<str>, Arc<Endpoint>>,
    /// Endpoints by the hash of each id that leads to them, also of one that is over: see [`Self::endpoint`].
    pub urls: HashMap<UrlHash, Arc<Endpoint>>,
    /// Credentials for outgoing calls by the resource that they were made from: `<namespace>/<name>`.
    pub injections: HashMap<Box<str>, Arc<InjectionRecord>>,
    /// How many records this was made from.
    pub counts: Counts,
}

/// Records by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clients that are served.
    pub clients: usize,
    /// Records of signing keys that are served: one or none.
    pub signing_keys: usize,
    /// Endpoints that are served.
    pub endpoints: usize,
    /// Credentials for outgoing calls that are served.
    pub injections: usize,
    /// Records of any kind that are there and not served: they do not parse, or claim the same as another.
    pub unusable: usize,
}

impl Snapshot {
    /// The endpoint behind `/hooks/{id}`. A wrong id is hashed before it is looked up, so that the time tells nothing about right ones.
    #[must_use]
    pub fn endpoint(&self, id: &str, now: Timestamp) -> Option<&Arc<Endpoint>> {
        let hash = UrlHash::of(id);
        let endpoint = self.urls.get(&hash)?;
        let mut current = endpoint.record().urls.iter().filter(|url| url.not_after.is_none_or(|end| end > now));
        current.any(|url| UrlHash::of(url.id.expose()) == hash).then_some(endpoint)
    }
}

/// Which records a server needs. It does not even parse the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Those for tokens: of clients and keys.
    Tokens,
    /// All: a Webhook may ask for tokens as well.
    Everything,
}

impl Needs {
    /// Whether those of a kind are needed.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Client | Kind::SigningKeys => true,
            Kind::Endpoint | Kind::Injection => self == Self::Everything,
        }
    }
}

/// The current snapshot, and when the source of the records last proved itself.
#[derive(Debug)]
pub struct Store {
    needs: Needs,
    current: ArcSwap<Snapshot>,
    epoch: Instant,
    /// Nanoseconds from `epoch` to the last proof, plus one; 0 before the first. A number, as every event proves.
    proved: AtomicU64,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(Needs::Everything)
    }
}

impl Store {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(needs: Needs) -> Self {
        Self { needs, current: ArcSwap::default(), epoch: Instant::now(), proved: AtomicU64::new(0) }
    }

    /// Which records go into the snapshots.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// The snapshot as it is now. Cheap: no lock, no count.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The snapshot as it is now, for longer than a moment.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Notes that the source of the records proved itself at `now`, and that what it told is published. Cheap.
    pub fn prove(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        self.proved.fetch_max(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, Ordering::AcqRel);
    }

    /// How long ago the source last proved itself; absent before the first complete read.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let since = self.proved.load(Ordering::Acquire).checked_sub(1)?;
        Some(now.saturating_duration_since(self.epoch).saturating_sub(Duration::from_nanos(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_counts_from_the_latest_proof() {
        let (store, now) = (Store::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(store.age(at(1)), None);
        store.prove(at(3));
        store.prove(at(2));
        assert_eq!(store.age(at(10)), Some(Duration::from_secs(7)));
        assert_eq!(store.age(at(1)), Some(Duration::ZERO));
    }

    #[test]
    fn a_proof_at_the_very_start_counts() {
        let store = Store::default();
        store.prove(store.epoch);
        assert_eq!(store.age(store.epoch), Some(Duration::ZERO));
    }
}
