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
use apply::Plan;
pub use apply::{ApplyError, World};
pub use build::Entropy;
pub use fetch::{Depth, Observed, StoredRecord};
use validate::{Reason, Refusal};

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
    entropy: impl Fn() -> Entropy + Send + Sync,
) -> Result<Option<Timestamp>, ApplyError> {
    let cached = world.fetch(resource, Depth::Cached).await?;
    let first = plan(resource, &cached, config, now, entropy());
    if !first.doubtful && !first.writes_anything(resource, &cached) {
        return Ok(first.next);
    }
    if cached.is_new(resource) && first.needs_no_closer_look() {
        match first.carry_out(world, resource, &cached).await {
            Err(ApplyError::Conflict { .. }) => {}
            done => return report_refused(world, resource, &cached, now, done).await,
        }
    }
    // What was written to it last, by ourselves too, may not have come back yet: a status would be written twice.
    let resource = &world.read_again(resource).await?;
    let live = world.fetch(resource, Depth::Live).await?;
    let done = plan(resource, &live, config, now, entropy()).carry_out(world, resource, &live).await;
    report_refused(world, resource, &live, now, done).await
}

/// The pure middle: what to write, in which order, and what to report when it is written.
fn plan(resource: &AppCredential, observed: &Observed, config: &Config, now: Timestamp, entropy: Entropy) -> Plan {
    let desired = validate::validate(resource, observed, config)
        .and_then(|valid| build::build(&valid, observed, now, entropy).map(|desired| (valid, desired)));
    match desired {
        Ok((valid, desired)) => status::plan_of_desired(resource, &valid, desired, now),
        Err(refusal) => status::plan_of_refusal(resource, observed, config, &refusal, now, entropy),
    }
}

/// What the API server refused for good stands in the status, once; the error itself makes the next try wait.
async fn report_refused<W: World>(
    world: &W,
    resource: &AppCredential,
    observed: &Observed,
    now: Timestamp,
    done: Result<Option<Timestamp>, ApplyError>,
) -> Result<Option<Timestamp>, ApplyError> {
    if let Err(ApplyError::Refused { object, message }) = &done {
        let message = format!("{object} was refused by the API server: {message}");
        let refusal = Refusal { reason: Reason::WriteRefused, message };
        let report = status::plan_of_report(resource, observed, &refusal, now);
        if report.writes_anything(resource, observed) {
            report.carry_out(world, resource, observed).await?;
        }
    }
    done
}
