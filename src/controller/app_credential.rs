//! Flow 1: from an `AppCredential` to a record, a Secret for the app, and a status.
//!
//! | step | | client required |
//! |---|---|---|
//! | [`fetch`] | everything that the verdict depends on | yes, behind [`World`] |
//! | [`validate`] | the resource as types that cannot be wrong, or the refusal | no |
//! | [`build`] | the writes, in an order that a crash cannot harm | no |
//! | [`apply`] | those that make a difference | yes, behind [`World`] |
//! | [`status`] | what to report | no |
//!
//! `kubectl delete` takes the other way: [`cleanup`].

pub mod apply;
pub mod build;
pub mod cleanup;
pub mod fetch;
pub mod secret_value;
pub mod status;
pub mod validate;

use jiff::Timestamp;

use crate::{config::Config, crd::AppCredential};
pub use apply::{ApplyError, World};
pub use build::Entropy;
pub use fetch::{Depth, Observed, StoredRecord};

/// The kind, as it stands in records, owner references and messages.
pub const KIND: &str = "AppCredential";

/// Brings one resource's record, Secret and status to what its spec says. Returns when to look again.
///
/// The first look is at caches. Where it finds something to do on a resource that was seen before, a second look asks the API
/// server itself: a cache that lags must never be the reason for a new secret.
///
/// # Errors
/// What kept a write from being done; the next run starts over.
pub async fn reconcile<W: World>(
    world: &W,
    resource: &AppCredential,
    config: &Config,
    now: Timestamp,
    entropy: impl Fn() -> Entropy,
) -> Result<Option<Timestamp>, ApplyError> {
    let cached = world.fetch(resource, Depth::Cached).await?;
    let first = plan(resource, &cached, config, now, entropy());
    if !first.writes_anything(resource, &cached) {
        return Ok(first.next);
    }
    if cached.is_new(resource) {
        match first.carry_out(world, resource, &cached).await {
            Err(ApplyError::Conflict { .. }) => {}
            done => return done,
        }
    }
    let live = world.fetch(resource, Depth::Live).await?;
    plan(resource, &live, config, now, entropy()).carry_out(world, resource, &live).await
}

/// The pure middle: what to write, in which order, and what to report when it is written.
fn plan(
    resource: &AppCredential,
    observed: &Observed,
    config: &Config,
    now: Timestamp,
    entropy: Entropy,
) -> apply::Plan {
    match validate::validate(resource, observed, config) {
        Ok(valid) => match build::build(&valid, observed, now, entropy) {
            Ok(desired) => status::plan_of_desired(resource, &valid, desired, now),
            Err(refusal) => status::plan_of_refusal(resource, observed, config, &refusal, now, entropy),
        },
        Err(refusal) => status::plan_of_refusal(resource, observed, config, &refusal, now, entropy),
    }
}
