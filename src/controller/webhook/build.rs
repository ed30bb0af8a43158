//! Flow 1, step 3, pure: what has to be written, in an order that a crash cannot harm.
//!
//! 1. the record with what is new beside what it replaces, so that nobody ever holds a URL or secret that the server refuses;
//! 2. the Secret for the app;
//! 3. the record with an end to what was replaced, where something was.
//!
//! The record has the values themselves, so a Secret that was deleted or changed by hand gets them back: a URL never changes by itself.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::{
    fetch::retained_id,
    hook_id::{self, url},
    route::Outcome,
    validate::{Validated, WantedSecret},
};
use crate::{
    controller::{
        apply::Desired,
        consumer::{Consumer, Data},
        fetch::{self, Observed},
        refusal::Refusal,
        steps::Entropy,
        versions::{self, Version as _, whole_seconds},
    },
    crd::Webhook,
    inbound::verify,
    record::{
        self, Confidential, EndpointRecord,
        endpoint::{Delivery, EndpointSecret, UrlVersion, Verification},
    },
};

/// What has to be written, and told.
pub struct Built {
    /// The writes.
    pub desired: Desired<Webhook>,
    /// What a person would want to hear of.
    pub news: Vec<News>,
    /// When something changes by itself.
    pub next: Option<Timestamp>,
    /// The route.
    pub route: Outcome,
}

/// A transition, for an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The endpoint was made.
    Created,
    /// It was made with the URL of an earlier life.
    Restored,
    /// The URL was replaced.
    UrlRotated,
    /// The URL was replaced at once: it is a credential now, and was shown before.
    UrlReplaced,
    /// Generated secrets were replaced.
    SecretRotated,
    /// Another secret counts: of the user's own, or generated instead.
    SecretChanged,
    /// Posts are taken and delivered again.
    Activated,
    /// Posts are no longer taken and delivered.
    Deactivated,
}

/// Values that survived the loss of their record, in a Secret of ours. Only what has the form of something generated counts, so that
/// what was typed in by hand is never adopted.
#[derive(Default)]
struct Found {
    id: Option<Confidential>,
    secret: Option<Confidential>,
    signing_secret: Option<Confidential>,
}

/// One run's view, so that the parts of the record need not be told all of it.
struct Builder<'a> {
    valid: &'a Validated,
    prior: Option<&'a EndpointRecord>,
    found: Found,
    now: Timestamp,
    entropy: Entropy,
    news: Vec<News>,
}

/// Computes every write.
///
/// # Errors
/// A refusal that only shows here: too many versions, or a Secret that would have to change and cannot.
pub fn build(
    resource: &Webhook,
    valid: &Validated,
    observed: &Observed<Webhook>,
    now: Timestamp,
    entropy: Entropy,
) -> Result<Built, Refusal> {
    let prior = observed.prior(&valid.source);
    let secret = observed.consumer(&valid.consumer.name).filter(|_| prior.is_none());
    let found = secret.map(|secret| Found::within(resource, valid, secret)).unwrap_or_default();
    let mut builder = Builder { valid, prior, found, now, entropy, news: Vec::new() };
    let record = builder.record()?;
    builder.tell(&record);
    let settled = settle(&record, valid, now);
    let consumer = consumer(valid, &settled);
    consumer.check_immutable(observed)?;
    let outdated_consumers = consumer.outdated(observed);
    let next = next_change(&settled);
    let route = valid.route.outcome(&settled.urls, &observed.around.routes);
    let news = builder.news;
    Ok(Built { desired: Desired { record, consumer, settled, outdated_consumers }, news, next, route })
}

impl Found {
    fn within(resource: &Webhook, valid: &Validated, secret: &Secret) -> Self {
        let Some(id) = retained_id(resource, secret) else { return Self::default() };
        let generated = |key: &str| hook_id::secret_of(&fetch::data(secret).get(key)?.0);
        // Beside a secret to verify with, the URL was shown.
        let was_shown = fetch::data(secret).contains_key(&valid.keys.signing_secret);
        Self {
            id: Some(id).filter(|_| valid.verification != Verification::None || !was_shown),
            secret: generated(&valid.keys.signing_secret),
            signing_secret: generated(&valid.keys.delivery_signing_secret),
        }
    }
}

impl Builder<'_> {
    fn record(&mut self) -> Result<EndpointRecord, Refusal> {
        let (urls, secrets, signing_secrets) = (self.urls()?, self.secrets()?, self.signing_secrets()?);
        let valid = self.valid;
        Ok(EndpointRecord {
            version: record::VERSION,
            source: valid.source.clone(),
            urls,
            active: valid.active,
            inactive_mode: valid.inactive_mode,
            max_body_bytes: valid.max_body_bytes,
            verification: valid.verification.clone(),
            secrets,
            handler: valid.handler.clone(),
            delivery: Delivery { signing_secrets, ..valid.delivery.clone() },
            limits: valid.limits,
        })
    }

    fn urls(&mut self) -> Result<Vec<UrlVersion>, Refusal> {
        let mut urls = self.prior.map(|prior| versions::live(&prior.urls, self.now)).unwrap_or_default();
        let is_credential = self.valid.verification == Verification::None;
        if is_credential && self.prior.is_some_and(|prior| prior.verification != Verification::None) {
            let nonce = self.valid.url_nonce.clone().or_else(|| urls.pop().and_then(|url| url.nonce));
            self.news.push(News::UrlReplaced);
            return Ok(vec![self.url(hook_id::new_id(&self.entropy.url), nonce)]);
        }
        let current = versions::current(&urls);
        let asked = current.is_some_and(|url| is_asked(self.valid.url_nonce.as_ref(), url.nonce.as_ref()));
        if current.is_some() && !asked {
            return Ok(urls);
        }
        let nonce = self.valid.url_nonce.clone().or_else(|| current.and_then(|url| url.nonce.clone()));
        let id = self.found.id.clone().unwrap_or_else(|| hook_id::new_id(&self.entropy.url));
        versions::make_room(&mut urls, asked, "spec.rotation.urlNonce")?;
        urls.push(self.url(id, nonce));
        if asked {
            self.news.push(News::UrlRotated);
        }
        Ok(urls)
    }

    fn url(&self, id: Confidential, nonce: Option<String>) -> UrlVersion {
        UrlVersion { id, created_at: whole_seconds(self.now), not_after: None, nonce }
    }

    /// Former secrets of another kind of verification may be none at all now.
    fn secrets(&mut self) -> Result<Vec<EndpointSecret>, Refusal> {
        let usable =
            |secret: &EndpointSecret| verify::check_secret(&self.valid.verification, secret.value.expose()).is_ok();
        let mut secrets = self.prior.map(|prior| versions::live(&prior.secrets, self.now)).unwrap_or_default();
        secrets.retain(usable);
        match &self.valid.secret {
            WantedSecret::Unneeded => Ok(Vec::new()),
            WantedSecret::Referenced(value) => self.referenced(secrets, value),
            WantedSecret::Generated => {
                let fresh = self.found.secret.clone().unwrap_or_else(|| hook_id::new_secret(&self.entropy.secret));
                self.generated(secrets, fresh)
            }
        }
    }

    fn referenced(
        &mut self,
        mut secrets: Vec<EndpointSecret>,
        value: &Confidential,
    ) -> Result<Vec<EndpointSecret>, Refusal> {
        let current = versions::current(&secrets);
        if current.is_some_and(|current| !current.generated && current.value == *value) {
            return Ok(secrets);
        }
        if current.is_some() {
            self.news.push(News::SecretChanged);
        }
        versions::make_room(&mut secrets, false, "spec.verification.secretFrom")?;
        // What comes back is current again, and not also about to end.
        secrets.retain(|secret| secret.value != *value);
        secrets.push(self.secret(value.clone(), false, None));
        Ok(secrets)
    }

    fn generated(
        &mut self,
        mut secrets: Vec<EndpointSecret>,
        fresh: Confidential,
    ) -> Result<Vec<EndpointSecret>, Refusal> {
        let current = versions::current(&secrets);
        let asked = current.is_some_and(|secret| {
            secret.generated && is_asked(self.valid.secret_nonce.as_ref(), secret.nonce.as_ref())
        });
        if current.is_some_and(|secret| secret.generated) && !asked {
            return Ok(secrets);
        }
        let news = if asked { News::SecretRotated } else { News::SecretChanged };
        if current.is_some() && !self.news.contains(&news) {
            self.news.push(news);
        }
        let nonce = self.valid.secret_nonce.clone().or_else(|| current.and_then(|secret| secret.nonce.clone()));
        versions::make_room(&mut secrets, asked, "spec.rotation.secretNonce")?;
        secrets.push(self.secret(fresh, true, nonce));
        Ok(secrets)
    }

    fn signing_secrets(&mut self) -> Result<Vec<EndpointSecret>, Refusal> {
        if !self.valid.sign {
            return Ok(Vec::new());
        }
        let prior = self.prior.map(|prior| versions::live(&prior.delivery.signing_secrets, self.now));
        let fresh = self.found.signing_secret.clone().unwrap_or_else(|| hook_id::new_secret(&self.entropy.signing));
        self.generated(prior.unwrap_or_default(), fresh)
    }

    fn secret(&self, value: Confidential, generated: bool, nonce: Option<String>) -> EndpointSecret {
        EndpointSecret { value, generated, created_at: whole_seconds(self.now), not_after: None, nonce }
    }

    fn tell(&mut self, record: &EndpointRecord) {
        match self.prior {
            None if self.found.id.is_some() => self.news.push(News::Restored),
            None => self.news.push(News::Created),
            Some(prior) if prior.active && !record.active => self.news.push(News::Deactivated),
            Some(prior) if !prior.active && record.active => self.news.push(News::Activated),
            Some(_) => {}
        }
    }
}

fn is_asked(wanted: Option<&String>, current: Option<&String>) -> bool {
    wanted.is_some() && wanted != current
}

/// The record once the Secret is written.
fn settle(record: &EndpointRecord, valid: &Validated, now: Timestamp) -> EndpointRecord {
    let signing_secrets = versions::settled(&record.delivery.signing_secrets, valid.overlap, now);
    EndpointRecord {
        urls: versions::settled(&record.urls, valid.overlap, now),
        secrets: versions::settled(&record.secrets, valid.overlap, now),
        delivery: Delivery { signing_secrets, ..record.delivery.clone() },
        ..record.clone()
    }
}

fn consumer(valid: &Validated, settled: &EndpointRecord) -> Consumer {
    let (keys, mut data) = (&valid.keys, Data::default());
    if let Some(current) = settled.urls.last() {
        data.put(&keys.url, url(&valid.address.external, &current.id));
        data.put(&keys.internal_url, url(&valid.address.internal, &current.id));
    }
    let mut newest_first = settled.secrets.iter().rev().map(|secret| secret.value.expose());
    if let Some(current) = newest_first.next() {
        data.put(&keys.signing_secret, current);
    }
    if let Some(previous) = newest_first.next() {
        data.put(&keys.signing_secret_previous, previous);
    }
    if let Some(current) = settled.delivery.signing_secrets.last() {
        data.put(&keys.delivery_signing_secret, current.value.expose());
    }
    valid.consumer.with(data)
}

fn next_change(settled: &EndpointRecord) -> Option<Timestamp> {
    let urls = settled.urls.iter().filter_map(UrlVersion::not_after);
    let secrets = settled.secrets.iter().chain(&settled.delivery.signing_secrets).filter_map(EndpointSecret::not_after);
    urls.chain(secrets).min()
}
