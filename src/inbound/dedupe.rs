//! Flow 3, pure: which posts are repeats of one that is stored already.
//!
//! In two steps, as storing takes time and may fail: a post that is to be stored **claims** its key, and with the durable write
//! the claim is **committed**; a failed write **releases** it. What an operator replays claims nothing.
//!
//! # Caveats
//! Kept in memory and bounded, so a repeat may be taken for new: once the first is older than [`Limits::age`], or when so many
//! came since that it was dropped. Delivery is at least once anyway.

use std::collections::{BTreeSet, HashMap, hash_map};

use aws_lc_rs::digest::{self, SHA256};
use jiff::{SignedDuration, Timestamp};

/// By what a post and its repeats are known: the provider's delivery id and the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u64; 4]); // numbers, as those compare faster than bytes

impl Key {
    /// From the provider's delivery id, of any length, and the [`body_hash`] of what it is the id of. The id alone would not do:
    /// GitHub and others do not sign it, so whoever saw one post could block others under their ids.
    #[must_use]
    pub fn new(delivery_id: &str, body_hash: &[u8; 32]) -> Self {
        // The hash has a fixed length, so no other id and body make the same bytes.
        let bytes = [body_hash.as_slice(), delivery_id.as_bytes()].concat();
        let hash = sha256(&bytes);
        let (numbers, _) = hash.as_chunks();
        Self(std::array::from_fn(|index| u64::from_be_bytes(numbers[index])))
    }
}

/// SHA-256 of a body.
#[must_use]
pub fn body_hash(body: &[u8]) -> [u8; 32] {
    sha256(body)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    hash
}

/// The endpoint that a post came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// Its namespace: no other one's posts push out what is known of its own.
    pub namespace: &'a str,
    /// The uid of its resource: one made anew has seen nothing.
    pub uid: &'a str,
}

/// How much is remembered. An entry takes some 200 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys of one endpoint; then its oldest go.
    pub per_endpoint: usize,
    /// Keys of all endpoints; then the oldest go of the namespace that has the most.
    pub total: usize,
    /// How long a key is remembered.
    pub age: SignedDuration,
    /// How long a claim holds that is neither committed nor released: whoever had it is gone.
    pub claim: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_endpoint: 10_000,
            total: 100_000,
            age: SignedDuration::from_hours(24),
            claim: SignedDuration::from_secs(60),
        }
    }
}

/// While a key is remembered, so often what is too old is dropped everywhere.
const SWEEPS: i32 = 24;

/// What is known of the posts of the last time. `M` is the id of a message.
#[derive(Debug)]
pub struct Dedupe<M> {
    limits: Limits,
    endpoints: HashMap<Box<str>, Seen<M>>,
    /// Of all endpoints.
    entries: usize,
    last_serial: u64,
    last_sweep: Timestamp,
}

/// What is known of the posts to one endpoint. Both collections hold the same keys.
#[derive(Debug)]
struct Seen<M> {
    namespace: Box<str>,
    entries: HashMap<Key, Entry<M>>,
    by_age: BTreeSet<(Timestamp, Key)>,
}

#[derive(Debug)]
struct Entry<M> {
    at: Timestamp,
    state: State<M>,
}

#[derive(Debug)]
enum State<M> {
    Pending { serial: u64 },
    Stored(M),
}

/// What a claim brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<M> {
    /// Nobody has stored it: store it, then [`Dedupe::commit`] or [`Dedupe::release`].
    New(Ticket),
    /// It is being stored now, and may yet fail: the sender should come again.
    Pending,
    /// It is stored, as this message.
    Duplicate(M),
}

/// The right to store a post.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the claim lasts until it is committed or released"]
pub struct Ticket {
    namespace: Box<str>,
    uid: Box<str>,
    key: Key,
    serial: u64,
}

impl Ticket {
    /// What is claimed.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }
}

impl<M: Clone> Dedupe<M> {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, endpoints: HashMap::new(), entries: 0, last_serial: 0, last_sweep: Timestamp::UNIX_EPOCH }
    }

    /// Claims a key for storing.
    pub fn claim(&mut self, endpoint: Endpoint<'_>, key: Key, now: Timestamp) -> Claim<M> {
        let Limits { age, claim, .. } = self.limits;
        // The clock may have been wrong before.
        if now.duration_since(self.last_sweep).abs() >= age / SWEEPS {
            self.sweep(now);
        }
        let known = self.within(endpoint, |seen| {
            seen.expire(now, age);
            match seen.entries.get(&key) {
                Some(Entry { state: State::Stored(message), .. }) => Some(Claim::Duplicate(message.clone())),
                Some(Entry { at, .. }) if now.duration_since(*at) < claim => Some(Claim::Pending),
                _ => None,
            }
        });
        known.unwrap_or_else(|| {
            self.last_serial += 1;
            let serial = self.last_serial;
            self.insert(endpoint, key, Entry { at: now, state: State::Pending { serial } });
            Claim::New(Ticket { namespace: endpoint.namespace.into(), uid: endpoint.uid.into(), key, serial })
        })
    }

    /// The post is stored, durably, as this message.
    pub fn commit(&mut self, ticket: Ticket, message: M, now: Timestamp) {
        let Ticket { namespace, uid, key, serial: _ } = ticket;
        self.insert(
            Endpoint { namespace: &namespace, uid: &uid },
            key,
            Entry { at: now, state: State::Stored(message) },
        );
    }

    /// The post is not stored: the next one with this key may try.
    pub fn release(&mut self, ticket: Ticket) {
        let Ticket { namespace, uid, key, serial } = ticket;
        self.within(Endpoint { namespace: &namespace, uid: &uid }, |seen| {
            // It may be another's by now, or even stored.
            let is_own = |entry: &Entry<M>| matches!(entry.state, State::Pending { serial: own } if own == serial);
            if seen.entries.get(&key).is_some_and(is_own) {
                seen.remove(&key);
            }
        });
    }

    /// A message is in the queue since that time: so the memory is filled again at start, in any order.
    pub fn remember(&mut self, endpoint: Endpoint<'_>, key: Key, message: M, at: Timestamp) {
        let known = self.endpoints.get(endpoint.uid).and_then(|seen| seen.entries.get(&key));
        // A key that was stored again after it was forgotten is in the queue twice: the latest counts.
        if known.is_some_and(|entry| entry.at > at && matches!(entry.state, State::Stored(_))) {
            return;
        }
        self.insert(endpoint, key, Entry { at, state: State::Stored(message) });
    }

    /// Drops what is too old, of endpoints too that are gone or to which nobody posts. For memory alone: what is too old never counts.
    fn sweep(&mut self, now: Timestamp) {
        self.last_sweep = now;
        for seen in self.endpoints.values_mut() {
            seen.expire(now, self.limits.age);
            // It would keep the room of its busiest time.
            seen.entries.shrink_to(2 * seen.entries.len());
        }
        self.endpoints.retain(|_, seen| !seen.entries.is_empty());
        self.entries = self.endpoints.values().map(|seen| seen.entries.len()).sum();
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn insert(&mut self, endpoint: Endpoint<'_>, key: Key, entry: Entry<M>) {
        let limit = self.limits.per_endpoint;
        self.within(endpoint, |seen| {
            seen.insert(key, entry);
            while seen.entries.len() > limit {
                seen.remove_oldest();
            }
        });
        while self.entries > self.limits.total {
            self.remove_oldest();
        }
    }

    /// Looks at all endpoints, but only when everything is full, and one walk over them is short beside a durable write.
    fn remove_oldest(&mut self) {
        let largest = self.largest_namespace();
        let of_largest = |seen: &&mut Seen<M>| seen.namespace == largest && !seen.entries.is_empty();
        let oldest = self.endpoints.values_mut().filter(of_largest);
        if let Some(seen) = oldest.min_by_key(|seen| seen.by_age.first().copied()) {
            seen.remove_oldest();
        }
        self.entries -= 1;
    }

    /// The one that has the most entries.
    fn largest_namespace(&self) -> Box<str> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for seen in self.endpoints.values() {
            *counts.entry(&*seen.namespace).or_default() += seen.entries.len();
        }
        let largest = counts.into_iter().max_by_key(|(_, count)| *count);
        largest.map(|(namespace, _)| namespace.into()).unwrap_or_default()
    }

    /// Changes what is known of an endpoint, and the count with it.
    fn within<R>(&mut self, endpoint: Endpoint<'_>, change: impl FnOnce(&mut Seen<M>) -> R) -> R {
        let seen = match self.endpoints.get_mut(endpoint.uid) {
            Some(seen) => seen,
            None => self.endpoints.entry(endpoint.uid.into()).or_insert_with(|| Seen::new(endpoint.namespace)),
        };
        self.entries -= seen.entries.len();
        let result = change(seen);
        self.entries += seen.entries.len();
        result
    }
}

impl<M> Seen<M> {
    fn new(namespace: &str) -> Self {
        Self { namespace: namespace.into(), entries: HashMap::new(), by_age: BTreeSet::new() }
    }

    fn insert(&mut self, key: Key, entry: Entry<M>) {
        match self.entries.entry(key) {
            hash_map::Entry::Occupied(mut known) => {
                let before = known.insert(entry).at;
                let at = known.get().at;
                if at != before {
                    self.by_age.remove(&(before, key));
                    self.by_age.insert((at, key));
                }
            }
            hash_map::Entry::Vacant(place) => {
                self.by_age.insert((entry.at, key));
                place.insert(entry);
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_age.remove(&(entry.at, *key));
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_first() {
            self.entries.remove(&key);
        }
    }

    fn expire(&mut self, now: Timestamp, age: SignedDuration) {
        while self.by_age.first().is_some_and(|(at, _)| now.duration_since(*at) >= age) {
            self.remove_oldest();
        }
    }
}

#[cfg(test)]
mod tests;
