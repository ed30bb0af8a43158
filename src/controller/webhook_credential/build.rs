//! Flow 1, step 3, pure: what has to be written. The record lies first, so that an app never holds what the server does not send.
//!
//! When a value was first seen has to survive a crash between the writes, and no status may tell anything about a value: so the
//! moment lies as an annotation beside the value itself, in the Secret for the app.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::validate::Validated;
use crate::{
    controller::{
        apply::Desired,
        consumer::{Consumer, Data},
        fetch::{self, Observed},
        refusal::Refusal,
    },
    crd::{WebhookCredential, condition::Time},
    record::{self, InjectionRecord, Location},
};

/// On the Secret for the app: when what is sent was first seen.
pub const MODIFIED_ANNOTATION: &str = "snaphook.dev/last-modified";

/// What has to be written, and told.
pub struct Built {
    /// The writes.
    pub desired: Desired<WebhookCredential>,
    /// When what is sent was first seen.
    pub modified: Time,
    /// What a person would want to hear of.
    pub news: Option<News>,
}

/// A transition, for an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The credential was made.
    Created,
    /// What is sent has changed.
    Changed,
}

/// Computes every write.
///
/// # Errors
/// A Secret that would have to change and cannot.
pub fn build(
    resource: &WebhookCredential,
    valid: &Validated,
    observed: &Observed<WebhookCredential>,
    now: Timestamp,
) -> Result<Built, Refusal> {
    let record = InjectionRecord {
        version: record::VERSION,
        source: valid.source.clone(),
        location: valid.location,
        field_name: valid.field_name.clone(),
        value: valid.value.clone(),
    };
    let prior = observed.prior(&valid.source);
    let news = match prior {
        None => Some(News::Created),
        Some(prior) => (*prior != record).then_some(News::Changed),
    };
    let mut consumer = consumer(valid);
    let reported = resource.status.as_ref().and_then(|status| status.last_modified);
    let known = modified(&consumer, observed).or_else(|| reported.filter(|_| news.is_none()));
    let modified = known.unwrap_or_else(|| Time::new(now));
    consumer.annotations.insert(MODIFIED_ANNOTATION.into(), modified.0.to_string());
    consumer.check_immutable(observed)?;
    let outdated_consumers = consumer.outdated(observed);
    let settled = record.clone();
    Ok(Built { desired: Desired { record, consumer, settled, outdated_consumers }, modified, news })
}

fn consumer(valid: &Validated) -> Consumer {
    let mut data = Data::default();
    data.put(&valid.keys.field_name, &valid.field_name);
    data.put(&valid.keys.location, location(valid.location));
    data.put(&valid.keys.value, valid.value.expose());
    valid.consumer.with(data)
}

/// As the spec writes it.
#[must_use]
pub fn location(location: Location) -> &'static str {
    match location {
        Location::Header => "Header",
        Location::QueryParam => "QueryParam",
    }
}

/// When what the Secret holds was first seen, if it holds what it should.
fn modified(wanted: &Consumer, observed: &Observed<WebhookCredential>) -> Option<Time> {
    let holds = |secret: &&Secret| wanted.data.iter().all(|(key, value)| fetch::data(secret).get(key) == Some(value));
    let secret = observed.consumers.iter().find(holds)?;
    secret.annotations().get(MODIFIED_ANNOTATION)?.parse().ok().map(Time::new)
}
