//! Flow 1: a realm's signing keys: made at first, published some time before they sign, kept as long as a token of theirs lives.
//!
//! Servers choose by their own clocks from what the record says, so nothing breaks while the controller is away: the newest
//! key goes on signing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    apply::ApplyError,
    records::{Entry, Id, Place},
};
use crate::{
    config::Config,
    record::{self, Kind, SIGNING_KEYS_SECRET, SigningKeyEntry, SigningKeysRecord},
    token::{GeneratedKey, KeysError, generate},
};

/// Servers and resource servers that cache the JWKS learn of a key this long before it signs.
const PUBLISHED_AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// The longest token, and a minute for clocks.
const LONGEST_USE: SignedDuration = SignedDuration::from_secs(24 * 3600 + 60);
/// How often the keys are looked at: they change by the day.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);

/// What the record should say now, or nothing where it says so already.
///
/// # Errors
/// A key that could not be generated.
pub fn next_record(
    seen: Option<&SigningKeysRecord>,
    issuer: &str,
    config: &Config,
    now: Timestamp,
    generate: impl FnOnce() -> Result<GeneratedKey, KeysError>,
) -> Result<Option<SigningKeysRecord>, KeysError> {
    let (wanted, policies) = (&config.signing_keys, config.forward_auth.policies.clone());
    let mut keys = seen.map(|record| record.keys.clone()).unwrap_or_default();
    keys.retain(|key| key.verify_until.is_none_or(|end| end > now));
    let successor_due = keys.last().is_none_or(|newest| {
        newest.algorithm != wanted.algorithm || now >= plus(newest.sign_from, wanted.rotation_interval.into())
    });
    if successor_due {
        let sign_from = if keys.is_empty() { now } else { plus(now, PUBLISHED_AHEAD) };
        for key in keys.iter_mut().filter(|key| key.verify_until.is_none()) {
            key.verify_until = Some(plus(sign_from, LONGEST_USE));
        }
        let GeneratedKey { kid, pkcs8 } = generate()?;
        let algorithm = wanted.algorithm;
        keys.push(SigningKeyEntry { kid, algorithm, created_at: now, sign_from, verify_until: None, pkcs8 });
    }
    let record = SigningKeysRecord { version: record::VERSION, issuer: issuer.to_owned(), policies, keys };
    Ok((seen != Some(&record)).then_some(record))
}

fn plus(moment: Timestamp, duration: SignedDuration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// Why the keys could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum KeysUpdateError {
    /// The API server.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// No key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Keys that this program cannot read. Replacing them would end every token, so a person decides.
    #[error(
        "{0} does not hold a record that this version reads: restore it, or delete it to start with new keys (all tokens end)"
    )]
    Unreadable(String),
}

/// Keeps the keys of one realm up to date, for as long as it is polled.
pub async fn maintain(place: Place, issuer: String, config: Config) {
    let (mut complaint, mut retry) = (String::new(), RETRY);
    loop {
        let pause = match update(&place, &issuer, &config, Timestamp::now()).await {
            Ok(()) => {
                (complaint, retry) = (String::new(), RETRY);
                LOOK_AGAIN
            }
            Err(error) => {
                let text = error.to_string();
                if complaint != text {
                    tracing::warn!(
                        issuer,
                        error = &error as &dyn std::error::Error,
                        "the signing keys could not be brought up to date"
                    );
                    complaint = text;
                }
                retry = (retry * 2).min(LOOK_AGAIN);
                retry
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn update(place: &Place, issuer: &str, config: &Config, now: Timestamp) -> Result<(), KeysUpdateError> {
    let id = Id { kind: Kind::SigningKeys, name: SIGNING_KEYS_SECRET.to_owned() };
    let seen = place.read(&id).await?;
    let document = match &seen {
        None => None,
        Some(stored) => {
            let document = record::parse::<SigningKeysRecord>(&stored.json.0);
            Some(document.map_err(|_| KeysUpdateError::Unreadable(place.describe(&id)))?)
        }
    };
    let algorithm = config.signing_keys.algorithm;
    let record = next_record(document.as_ref(), issuer, config, now, || generate(algorithm))?;
    let Some(record) = record else { return Ok(()) };
    place.write(&Entry::new(id, None, &record)?, seen.as_ref().map(|stored| &stored.version)).await?;
    tracing::info!(issuer, keys = record.keys.len(), "signing keys written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Algorithm;

    const ISSUER: &str = "https://auth.example.com";

    fn config(more: &str) -> Config {
        Config::parse(&format!("realm: {{issuer: '{ISSUER}'}}\n{more}")).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn make() -> Result<GeneratedKey, KeysError> {
        generate(Algorithm::EdDSA)
    }

    #[test]
    fn the_first_key_signs_at_once_and_nothing_changes_until_it_is_old() {
        let (config, start) = (config("signingKeys: {algorithm: EdDSA}"), at("2026-01-01T00:00:00Z"));
        let record = next_record(None, ISSUER, &config, start, make).unwrap().unwrap();
        assert_eq!(record.keys[0].sign_from, start);
        assert_eq!(record.keys[0].verify_until, None);
        assert_eq!(next_record(Some(&record), ISSUER, &config, at("2026-01-30T23:59:59Z"), make).unwrap(), None);
    }

    #[test]
    fn a_successor_is_published_ahead_and_the_old_key_outlives_its_tokens() {
        let (config, start) = (config("signingKeys: {algorithm: EdDSA}"), at("2026-01-01T00:00:00Z"));
        let first = next_record(None, ISSUER, &config, start, make).unwrap().unwrap();
        let second = next_record(Some(&first), ISSUER, &config, at("2026-01-31T00:00:00Z"), make).unwrap().unwrap();
        assert_eq!(second.keys[1].sign_from, at("2026-01-31T00:10:00Z"));
        assert_eq!(second.keys[0].verify_until, Some(at("2026-02-01T00:11:00Z")));
        assert_eq!(next_record(Some(&second), ISSUER, &config, at("2026-02-01T00:10:59Z"), make).unwrap(), None);
        let third = next_record(Some(&second), ISSUER, &config, at("2026-02-01T00:11:00Z"), make).unwrap().unwrap();
        assert_eq!(third.keys.len(), 1);
        assert_eq!(third.keys[0].kid, second.keys[1].kid);
    }

    #[test]
    fn another_algorithm_or_issuer_or_policy_takes_effect_without_losing_a_key() {
        let start = at("2026-01-01T00:00:00Z");
        let first =
            next_record(None, ISSUER, &config("signingKeys: {algorithm: EdDSA}"), start, make).unwrap().unwrap();
        let second =
            next_record(Some(&first), ISSUER, &config(""), start, || generate(Algorithm::ES256)).unwrap().unwrap();
        assert_eq!(
            second.keys.iter().map(|key| key.algorithm).collect::<Vec<_>>(),
            [Algorithm::EdDSA, Algorithm::ES256]
        );
        let other = "https://other.example.com";
        let third = next_record(Some(&second), other, &config(""), start, make).unwrap().unwrap();
        assert_eq!(third.issuer, other);
        assert_eq!(third.keys, second.keys);
        let more = config("forwardAuth: {policies: {orders: {audience: 'https://api.example.com'}}}");
        let fourth = next_record(Some(&second), ISSUER, &more, start, make).unwrap().unwrap();
        assert_eq!((fourth.policies.len(), &fourth.keys), (1, &second.keys));
    }
}
