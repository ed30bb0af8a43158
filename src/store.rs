//! Flow 2: records become an immutable snapshot behind an atomic pointer, from which every request is answered.

pub mod dir;
pub mod kube;
mod notice;
mod records;
mod snapshot;
mod url_hash;

pub use records::{Ambiguity, Document, Notice, Problem, Records, Refusal};
pub use snapshot::{Counts, Needs, Snapshot, Store};
pub use url_hash::UrlHash;

use std::time::Instant;

/// Publishes what changed, and only then counts the proof: a snapshot must not pass for fresh before it is there.
fn publish(records: &mut Records, store: &Store, proved: Instant) {
    let snapshot = records.snapshot();
    for notice in records.take_notices() {
        notice::log(&notice);
    }
    if let Some(snapshot) = snapshot {
        store.publish(snapshot);
    }
    store.prove(proved);
}
