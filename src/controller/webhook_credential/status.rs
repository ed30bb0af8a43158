//! Flow 1, step 5, pure: what to report: status, conditions, and Events on transitions only.

use jiff::Timestamp;
use kube::Resource as _;

use super::{
    build::{Built, News},
    validate::{Validated, display_name},
};
use crate::{
    controller::{
        apply::{Plan, Writes},
        fetch::Observed,
        refusal::{Reason, Refusal},
        report::{self, LOOK_AGAIN, Note, READY, Verdict},
        route::RouteWrites,
    },
    crd::{
        Kind as _, WebhookCredential, WebhookCredentialStatus,
        condition::{ConditionStatus, Time},
    },
    record::Location,
};

/// The plan for a resource that can be built.
#[must_use]
pub fn plan_of_built(
    resource: &WebhookCredential,
    valid: &Validated,
    observed: &Observed<WebhookCredential>,
    built: Built,
    now: Timestamp,
) -> Plan<WebhookCredential> {
    let Built { desired, modified, news } = built;
    let ready = Verdict::new(ConditionStatus::True, "Active", format!("calls are sent with the {}", place(valid)));
    let status = WebhookCredentialStatus {
        observed_generation: Some(valid.generation),
        conditions: report::conditions(resource.conditions(), valid.generation, [(READY, ready)], now),
        display_name: Some(valid.display_name.clone()),
        secret_name: Some(valid.consumer.name.clone()),
        binding: Some(valid.consumer.binding()),
        last_modified: Some(last_modified(resource, now).max(modified)),
        used_by: Some(observed.around.used_by.clone()),
    };
    let notes = news.map(|news| note(news, valid)).into_iter().collect();
    let (writes, routes) = (Writes::All(Box::new(desired)), RouteWrites::default());
    Plan { writes, routes, status, notes, next: None, doubtful: false }
}

/// The plan for a resource that cannot be built: the last good state stays.
#[must_use]
pub fn plan_of_refusal(
    resource: &WebhookCredential,
    observed: &Observed<WebhookCredential>,
    refusal: &Refusal,
    now: Timestamp,
) -> Plan<WebhookCredential> {
    let generation = resource.meta().generation.unwrap_or_default();
    let before = resource.status.clone().unwrap_or_default();
    let conditions = report::conditions(&before.conditions, generation, report::conditions_of_refusal(refusal), now);
    let status = WebhookCredentialStatus {
        observed_generation: Some(generation),
        conditions,
        display_name: Some(display_name(resource)),
        secret_name: before.secret_name.clone().or_else(|| Some(resource.consumer_name())),
        binding: before.binding,
        last_modified: Some(last_modified(resource, now)),
        used_by: Some(observed.around.used_by.clone()),
    };
    Plan {
        status,
        notes: report::notes_of_refusal(&before.conditions, refusal),
        // What stands in the way may be something that no watch shows, such as a foreign Secret.
        next: now.checked_add(LOOK_AGAIN).ok(),
        writes: Writes::Nothing,
        routes: RouteWrites::default(),
        // A Secret without the label is in no cache.
        doubtful: refusal.reason == Reason::ReferenceNotAvailable,
    }
}

/// When the spec was first seen: now, where it is another than the one that was last reported on.
fn last_modified(resource: &WebhookCredential, now: Timestamp) -> Time {
    let same = resource.status.as_ref().filter(|status| status.observed_generation == resource.meta().generation);
    same.and_then(|status| status.last_modified).unwrap_or_else(|| Time::new(now))
}

fn place(valid: &Validated) -> String {
    match valid.location {
        Location::Header => format!("header {}", valid.field_name),
        Location::QueryParam => format!("query parameter {}", valid.field_name),
    }
}

fn note(news: News, valid: &Validated) -> Note {
    let (reason, message) = match news {
        News::Created => ("Created", format!("the Secret {} is ready to be mounted", valid.consumer.name)),
        News::Changed => ("Changed", format!("calls are sent with the new {} from the next attempt on", place(valid))),
    };
    Note { warning: false, reason, message }
}
