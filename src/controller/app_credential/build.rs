//! Flow 1, step 3, pure: what has to be written, in an order that a crash cannot harm.
//!
//! 1. the record with the new hash beside the old ones, so that no app ever holds a secret that the server refuses;
//! 2. the Secret for the app;
//! 3. the record with an end to what was replaced, where something was.
//!
//! A version whose Secret was not seen yet is unconfirmed. After a crash between 1 and 2 nobody can hold its secret, so the next run
//! drops it and starts over; a confirmed version stays until its overlap ends. Confirming alone is not worth a write: being listed in
//! the status, or being held by the Secret, confirms as well.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    secret_value,
    validate::{Validated, WantedSecret},
};
use crate::{
    controller::{
        apply::Desired,
        consumer::{Consumer, Data},
        fetch::{self, Observed},
        refusal::Refusal,
        steps::Entropy,
        versions::{self, after, whole_seconds},
    },
    crd::AppCredential,
    record::{self, ClientRecord, GenerationId, Origin, SecretHash, SecretVersion},
};

/// What has to be written, and told.
pub struct Built {
    /// The writes.
    pub desired: Desired<AppCredential>,
    /// What a person would want to hear of.
    pub news: Vec<News>,
    /// When something changes by itself.
    pub next: Option<Timestamp>,
}

/// A transition, for an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The credential was made.
    Created,
    /// The secret was replaced because it was time or asked for.
    Rotated,
    /// The Secret was deleted or its value changed by hand: a new value was generated.
    SecretReplaced,
    /// A secret of the user's own changed.
    SecretChanged,
    /// Revoked.
    Revoked,
    /// No longer revoked.
    Reinstated,
    /// Its time is over.
    Expired,
}

/// Computes every write.
///
/// # Errors
/// A refusal that only shows here: too many versions, or a Secret that would have to change and cannot.
pub fn build(
    valid: &Validated,
    observed: &Observed<AppCredential>,
    now: Timestamp,
    entropy: Entropy,
) -> Result<Built, Refusal> {
    let prior = observed.prior(&valid.source);
    let held = held_values(observed);
    let mut versions = surviving(prior, observed, &held, now);
    let decision = decide(valid, observed, &versions, &held, now);
    let mut news = Vec::new();
    let mut fresh = None;
    if let Some(cause) = decision {
        let (version, value) = new_version(valid, prior, &versions, &cause, now, entropy);
        versions::make_room(&mut versions, matches!(cause, Cause::Due), "spec.rotation")?;
        versions.push(version);
        fresh = value;
        news.push(cause.news(prior.is_some()));
    }
    let record = record_of(valid, prior, versions, now, entropy);
    news.extend(revocation_news(prior, &record));
    let settled = settle(&record, valid.overlap, now);
    let consumer = consumer(valid, &settled, &held, fresh.as_ref());
    consumer.check_immutable(observed)?;
    let outdated_consumers = consumer.outdated(observed);
    let next = next_change(valid, &settled, now);
    Ok(Built { desired: Desired { record, consumer, settled, outdated_consumers }, news, next })
}

/// Every value in our Secrets, by its hash: whatever key and name it lies under.
type Held<'a> = HashMap<SecretHash, &'a [u8]>;

fn held_values(observed: &Observed<AppCredential>) -> Held<'_> {
    let values = observed.consumers.iter().flat_map(|secret| fetch::data(secret).values());
    values.map(|value| (SecretHash::of(&value.0), value.0.as_slice())).collect()
}

fn is_held(held: &Held<'_>, version: &SecretVersion) -> bool {
    held.contains_key(&version.hash)
}

/// Prior versions that have not ended, without what a crash left over, and with what is known to be in use confirmed.
fn surviving(
    prior: Option<&ClientRecord>,
    observed: &Observed<AppCredential>,
    held: &Held<'_>,
    now: Timestamp,
) -> Vec<SecretVersion> {
    let mut versions = prior.map(|prior| versions::live(&prior.secrets, now)).unwrap_or_default();
    for version in &mut versions {
        version.confirmed |= is_held(held, version) || observed.around.reported_versions.contains(&version.id);
    }
    versions.retain(|version| version.confirmed);
    versions
}

/// The record less the secrets that nobody can hold: what a crash or a refused write left over, and what has ended.
#[must_use]
pub fn without_leftovers(record: &ClientRecord, observed: &Observed<AppCredential>, now: Timestamp) -> ClientRecord {
    ClientRecord { secrets: surviving(Some(record), observed, &held_values(observed), now), ..record.clone() }
}

/// Why a new version is made.
enum Cause<'a> {
    First,
    /// The record was lost, and our Secret still has a generated value.
    Found(&'a [u8]),
    Due,
    Lost,
    Referenced(&'a SecretString),
    Declared(SecretHash),
}

impl Cause<'_> {
    fn news(&self, known: bool) -> News {
        match self {
            Self::Due => News::Rotated,
            Self::Lost => News::SecretReplaced,
            Self::Referenced(_) | Self::Declared(_) if known => News::SecretChanged,
            Self::First | Self::Found(_) | Self::Referenced(_) | Self::Declared(_) => News::Created,
        }
    }
}

/// Whether the current secret has to be replaced.
fn decide<'a>(
    valid: &'a Validated,
    observed: &'a Observed<AppCredential>,
    versions: &[SecretVersion],
    held: &Held<'a>,
    now: Timestamp,
) -> Option<Cause<'a>> {
    let current = versions::current(versions);
    match &valid.secret {
        WantedSecret::Referenced(value) => {
            let hash = SecretHash::of(value.expose_secret().as_bytes());
            current.is_none_or(|current| current.hash != hash).then_some(Cause::Referenced(value))
        }
        WantedSecret::Declared(hash) => {
            current.is_none_or(|current| current.hash != *hash).then_some(Cause::Declared(*hash))
        }
        WantedSecret::Generated { interval, nonce } => {
            let Some(current) = current else {
                return Some(found_value(valid, observed).map_or(Cause::First, Cause::Found));
            };
            if current.origin != Origin::Generated {
                return Some(Cause::Due);
            }
            if !is_held(held, current) {
                return Some(Cause::Lost);
            }
            let asked = nonce.is_some() && current.nonce != *nonce;
            let idle = valid.revoked || valid.expires_at.is_some_and(|end| end <= now);
            let old = interval.is_some_and(|interval| now >= after(current.created_at, interval));
            (asked || (old && !idle)).then_some(Cause::Due)
        }
    }
}

/// A value that survived the loss of its record: with `Retain`, or where the records' namespace was lost. Only what has the form of a
/// generated secret counts, so that a value typed in by hand is never adopted.
fn found_value<'a>(valid: &Validated, observed: &'a Observed<AppCredential>) -> Option<&'a [u8]> {
    let secret = observed.consumer(&valid.consumer.name)?;
    let left_by_another = secret.owner_references().iter().any(|owner| owner.uid != valid.source.uid);
    let value = fetch::data(secret).get(&valid.keys.client_secret)?.0.as_slice();
    let generated = std::str::from_utf8(value).is_ok_and(secret_value::is_generated);
    (generated && !left_by_another).then_some(value)
}

fn new_version(
    valid: &Validated,
    prior: Option<&ClientRecord>,
    versions: &[SecretVersion],
    cause: &Cause<'_>,
    now: Timestamp,
    entropy: Entropy,
) -> (SecretVersion, Option<SecretString>) {
    // The id of a version that nobody ever had is free again, so that a crash leaves no gap.
    let handed_out = |version: &&SecretVersion| version.confirmed || version.not_after.is_some();
    let earlier = prior.iter().flat_map(|prior| &prior.secrets).filter(handed_out);
    let known = earlier.chain(versions);
    let id = known.map(|version| version.id).max().unwrap_or(0).saturating_add(1);
    let nonce = match &valid.secret {
        WantedSecret::Generated { nonce, .. } => {
            nonce.clone().or_else(|| versions.last().and_then(|version| version.nonce.clone()))
        }
        _ => None,
    };
    let version = |hash, origin, confirmed| SecretVersion {
        id,
        hash,
        created_at: whole_seconds(now),
        not_after: None,
        origin,
        nonce,
        confirmed,
    };
    match cause {
        Cause::First | Cause::Due | Cause::Lost => {
            let value = secret_value::generate(&entropy.secret);
            let hash = SecretHash::of(value.expose_secret().as_bytes());
            (version(hash, Origin::Generated, false), Some(value))
        }
        Cause::Found(value) => (version(SecretHash::of(value), Origin::Generated, true), None),
        Cause::Referenced(value) => {
            let hash = SecretHash::of(value.expose_secret().as_bytes());
            (version(hash, Origin::Referenced, true), Some((*value).clone()))
        }
        Cause::Declared(hash) => (version(*hash, Origin::Declared, true), None),
    }
}

fn record_of(
    valid: &Validated,
    prior: Option<&ClientRecord>,
    secrets: Vec<SecretVersion>,
    now: Timestamp,
    entropy: Entropy,
) -> ClientRecord {
    ClientRecord {
        version: record::VERSION,
        source: valid.source.clone(),
        client_id: valid.client_id.clone(),
        generation: generation(prior, valid.revoked, entropy),
        secrets,
        scopes: valid.scopes.clone(),
        audiences: valid.audiences.clone(),
        token_lifetime_seconds: valid.token_lifetime,
        expires_at: valid.expires_at,
        tokens_not_before: tokens_not_before(prior, valid.tokens_not_before, now),
        revoked: valid.revoked,
        suspended: false,
        introspect_audiences: valid.introspect_audiences.clone(),
    }
}

/// A new id at creation and at each revocation: tokens from before stay dead whatever comes later.
fn generation(prior: Option<&ClientRecord>, revoked: bool, entropy: Entropy) -> GenerationId {
    match prior {
        Some(prior) if prior.revoked || !revoked => prior.generation.clone(),
        _ => GenerationId::from_random(entropy.generation),
    }
}

/// Once such a moment has come it is never taken back; one in the future is the spec's to move.
fn tokens_not_before(prior: Option<&ClientRecord>, wanted: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    prior.and_then(|prior| prior.tokens_not_before).filter(|moment| *moment <= now).max(wanted)
}

/// What an unbuildable resource still takes from its spec: everything that ends tokens. `suspend` where the policy refuses it.
#[must_use]
pub fn restrict(
    prior: &ClientRecord,
    spec: &crate::crd::AppCredentialSpec,
    suspend: bool,
    now: Timestamp,
    entropy: Entropy,
) -> ClientRecord {
    let revoked = spec.revoked.unwrap_or_default();
    ClientRecord {
        generation: generation(Some(prior), revoked, entropy),
        revoked,
        suspended: suspend,
        expires_at: spec.expires_at.map(|time| time.0),
        tokens_not_before: tokens_not_before(Some(prior), spec.tokens_not_before.map(|time| time.0), now),
        ..prior.clone()
    }
}

fn revocation_news(prior: Option<&ClientRecord>, record: &ClientRecord) -> Option<News> {
    match (prior.is_some_and(|prior| prior.revoked), record.revoked) {
        (false, true) => Some(News::Revoked),
        (true, false) => Some(News::Reinstated),
        _ => None,
    }
}

/// The record once the Secret is written: the newest version is the current one, the others end with the overlap.
fn settle(record: &ClientRecord, overlap: SignedDuration, now: Timestamp) -> ClientRecord {
    let mut secrets = versions::settled(&record.secrets, overlap, now);
    for version in &mut secrets {
        version.confirmed = true;
    }
    ClientRecord { secrets, ..record.clone() }
}

fn consumer(valid: &Validated, settled: &ClientRecord, held: &Held<'_>, fresh: Option<&SecretString>) -> Consumer {
    let (keys, mut data) = (&valid.keys, Data::default());
    let url = |path: &str| format!("{}{path}", valid.app_url);
    data.put(&keys.client_id, &valid.client_id);
    data.put(&keys.issuer, &valid.issuer);
    data.put(&keys.token_url, url("/oauth/token"));
    data.put(&keys.introspection_url, url("/oauth/introspect"));
    data.put(&keys.jwks_url, url("/oauth/jwks"));
    let mut newest_first = settled.secrets.iter().rev();
    if let Some(current) = newest_first.next() {
        let value = match &valid.secret {
            WantedSecret::Declared(_) => None,
            WantedSecret::Referenced(value) => Some(value.expose_secret().as_bytes()),
            WantedSecret::Generated { .. } => {
                fresh.map(|value| value.expose_secret().as_bytes()).or_else(|| held.get(&current.hash).copied())
            }
        };
        if let Some(value) = value {
            data.put(&keys.client_secret, value);
        }
    }
    if let Some(previous) = newest_first.next().and_then(|previous| held.get(&previous.hash)) {
        data.put(&keys.client_secret_previous, previous);
    }
    valid.consumer.with(data)
}

/// When something changes by itself: a rotation, the end of a version, the expiry.
fn next_change(valid: &Validated, settled: &ClientRecord, now: Timestamp) -> Option<Timestamp> {
    let ends = settled.secrets.iter().filter_map(|version| version.not_after);
    ends.chain(valid.expires_at).chain(next_rotation(valid, settled, now)).filter(|moment| *moment > now).min()
}

/// When the current secret is replaced.
#[must_use]
pub fn next_rotation(valid: &Validated, settled: &ClientRecord, now: Timestamp) -> Option<Timestamp> {
    let WantedSecret::Generated { interval: Some(interval), .. } = valid.secret else { return None };
    if valid.revoked || valid.expires_at.is_some_and(|end| end <= now) {
        return None;
    }
    Some(after(settled.secrets.last()?.created_at, interval))
}
