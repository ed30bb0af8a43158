//! Flow 1: the steps that every kind goes through. What a kind is made of and how it is judged is its own; this is the order.
//!
//! | step | | client required |
//! |---|---|---|
//! | [`fetch`](super::fetch) | everything that the verdict depends on | yes, behind [`World`] |
//! | `validate` | the resource as types that cannot be wrong, or the refusal | no |
//! | `build` | the writes, in an order that a crash cannot harm | no |
//! | [`apply`](super::apply) | those that make a difference | yes, behind [`World`] |
//! | `status` | what to report | no |
//!
//! `kubectl delete` takes the other way: [`cleanup`](super::cleanup).

use jiff::Timestamp;

use kube::core::object::HasStatus;

use super::{
    apply::{ApplyError, Plan, World},
    fetch::{Depth, Observed},
    refusal::{Reason, Refusal},
};
use crate::{config::Config, crd::Kind, record::Document};

/// How a kind goes through its steps.
pub trait Steps: Kind {
    /// The document that the server reads.
    type Record: Document;
    /// What else the verdict depends on.
    type Around: Send + Sync;

    /// The pure middle: what to write, in which order, and what to report when it is written.
    fn plan(&self, observed: &Observed<Self>, config: &Config, now: Timestamp, entropy: Entropy) -> Plan<Self>;

    /// The report of a write that the API server refused for good: nothing else is touched.
    fn report(&self, observed: &Observed<Self>, config: &Config, refusal: &Refusal, now: Timestamp) -> Plan<Self>;

    /// Whether two records differ in what is worth a write.
    #[must_use]
    fn differs(old: &Self::Record, new: &Self::Record) -> bool {
        old != new
    }
}

/// What is reported of a kind.
pub type StatusOf<K> = <K as HasStatus>::Status;

/// Fresh random bytes, drawn by the driver.
#[derive(Clone, Copy)]
pub struct Entropy {
    /// For a secret.
    pub secret: [u8; 32],
    /// For a generation id.
    pub generation: [u8; 16],
    /// For the id in a URL, which must tell nothing about the secret.
    pub url: [u8; 32],
    /// For the secret that signs outgoing calls.
    pub signing: [u8; 32],
}

/// Brings one resource's record, Secret and status to what its spec says. Returns when to look again.
///
/// The first look is at caches. Where it finds something to do on a resource that was seen before, a second look asks the API
/// server itself: a cache that lags must never be the reason for a new secret.
///
/// # Errors
/// What kept a write from being done; the next run starts over.
pub async fn reconcile<K: Steps, W: World<K>>(
    world: &W,
    resource: &K,
    config: &Config,
    now: Timestamp,
    entropy: impl Fn() -> Entropy + Send + Sync,
) -> Result<Option<Timestamp>, ApplyError> {
    let cached = world.fetch(resource, Depth::Cached).await?;
    let first = resource.plan(&cached, config, now, entropy());
    if !first.doubtful && !first.writes_anything(resource, &cached) {
        return Ok(first.next);
    }
    if cached.is_new(resource) && first.needs_no_closer_look() {
        match first.carry_out(world, resource, &cached).await {
            Err(ApplyError::Conflict { .. }) => {}
            done => return report_refused(world, resource, &cached, config, now, done).await,
        }
    }
    // What was written to it last, by ourselves too, may not have come back yet: a status would be written twice.
    let resource = &world.read_again(resource).await?;
    let live = world.fetch(resource, Depth::Live).await?;
    let done = resource.plan(&live, config, now, entropy()).carry_out(world, resource, &live).await;
    report_refused(world, resource, &live, config, now, done).await
}

/// What the API server refused for good stands in the status, once; the error itself makes the next try wait.
async fn report_refused<K: Steps, W: World<K>>(
    world: &W,
    resource: &K,
    observed: &Observed<K>,
    config: &Config,
    now: Timestamp,
    done: Result<Option<Timestamp>, ApplyError>,
) -> Result<Option<Timestamp>, ApplyError> {
    if let Some(message) = done.as_ref().err().and_then(ApplyError::for_people) {
        let refusal = Refusal { reason: Reason::WriteRefused, message };
        let report = resource.report(observed, config, &refusal, now);
        if report.writes_anything(resource, observed) {
            report.carry_out(world, resource, observed).await?;
        }
    }
    done
}
