//! Flow 1, step 2, pure: the resource as types that cannot be wrong, or the refusal. After this nobody looks at the spec again.
//!
//! What the schema and the CEL rules refuse never comes here; this is what needs another object or the configuration. The
//! checks run in the order of [`CHECKS`], and the first refusal is the one that is reported.

use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use secrecy::SecretString;

use super::fetch::client_id;
use crate::{
    config::Config,
    controller::{
        checks,
        consumer::{Consumer, key},
        fetch::{self, Observed},
        policy::{self, INTROSPECT_SCOPE},
        refusal::{Reason, Refusal, refuse},
    },
    crd::{AppCredential, DeletionPolicy, Kind as _, SecretFrom, app_credential::SecretKeys},
    record::{ClientRecord, SecretHash, Source},
};

/// Shorter secrets could be guessed, and are only hashed once.
pub const MIN_SECRET_CHARS: usize = 32;
const DEFAULT_TOKEN_LIFETIME: u32 = 300;
const DEFAULT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// A resource that can be built.
pub struct Validated {
    /// The resource.
    pub source: Source,
    /// `metadata.generation`.
    pub generation: i64,
    /// For people.
    pub display_name: String,
    /// The OAuth client id.
    pub client_id: String,
    /// Scopes, without repeats.
    pub scopes: Vec<String>,
    /// Audiences, without repeats.
    pub audiences: Vec<String>,
    /// Seconds.
    pub token_lifetime: u32,
    /// From then on it is expired.
    pub expires_at: Option<Timestamp>,
    /// Revoked.
    pub revoked: bool,
    /// Tokens from before are dead.
    pub tokens_not_before: Option<Timestamp>,
    /// Where the client secret comes from.
    pub secret: WantedSecret,
    /// How long a replaced secret still works.
    pub overlap: SignedDuration,
    /// The Secret for the app, without its data.
    pub consumer: Consumer,
    /// Names of its keys.
    pub keys: Keys,
    /// What a client that may introspect sees; absent: all.
    pub introspect_audiences: Option<Vec<String>>,
    /// The issuer as configured.
    pub issuer: String,
    /// Where apps reach the server, without a slash at the end.
    pub app_url: String,
}

/// Where the client secret comes from.
pub enum WantedSecret {
    /// Generated here.
    Generated {
        /// Replaced at this age.
        interval: Option<SignedDuration>,
        /// Replaced when this changes.
        nonce: Option<String>,
    },
    /// From a Secret of the user's.
    Referenced(SecretString),
    /// Only its hash is known.
    Declared(SecretHash),
}

/// Names of the keys in the Secret for the app.
pub struct Keys {
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: String,
    /// The former client secret.
    pub client_secret_previous: String,
    /// The issuer.
    pub issuer: String,
    /// The token endpoint.
    pub token_url: String,
    /// The introspection endpoint.
    pub introspection_url: String,
    /// The JWKS.
    pub jwks_url: String,
}

type Check = fn(&AppCredential, &Observed<AppCredential>, &Config) -> Result<(), Refusal>;

/// The checks, in the order in which they run: what the operator forbids, then what others have, then what stands in the way.
const CHECKS: [Check; 3] =
    [check_policy, check_client_id, |resource, observed, _| checks::check_secret(resource, observed)];

/// Checks a resource against everything that was fetched.
///
/// # Errors
/// The first refusal.
pub fn validate(
    resource: &AppCredential,
    observed: &Observed<AppCredential>,
    config: &Config,
) -> Result<Validated, Refusal> {
    CHECKS.iter().try_for_each(|check| check(resource, observed, config))?;
    let spec = &resource.spec;
    let verdict = policy_of(resource, observed, config);
    let scopes = spec.scopes.clone().unwrap_or_default();
    let introspects = scopes.iter().any(|scope| scope == INTROSPECT_SCOPE);
    let name = resource.name_any();
    let realm = config.realm_of(&resource.namespace().unwrap_or_default());
    Ok(Validated {
        source: fetch::source(resource),
        generation: resource.meta().generation.unwrap_or_default(),
        display_name: spec.display_name.clone().unwrap_or_else(|| name.clone()),
        client_id: client_id(resource),
        scopes,
        audiences: spec.audiences.clone().unwrap_or_default(),
        token_lifetime: spec.token_lifetime.map_or(DEFAULT_TOKEN_LIFETIME, crate::crd::Duration::as_secs),
        expires_at: spec.expires_at.map(|time| time.0),
        revoked: spec.revoked.unwrap_or_default(),
        tokens_not_before: spec.tokens_not_before.map(|time| time.0),
        secret: wanted_secret(resource, observed)?,
        overlap: overlap(resource),
        consumer: Consumer::of(resource, spec.deletion_policy.unwrap_or_default() == DeletionPolicy::Retain),
        keys: keys(resource),
        introspect_audiences: if introspects { verdict.introspect_audiences() } else { None },
        issuer: realm.issuer().to_owned(),
        app_url: realm.app_url().to_owned(),
    })
}

fn policy_of<'a>(
    resource: &AppCredential,
    observed: &Observed<AppCredential>,
    config: &'a Config,
) -> policy::Verdict<'a> {
    let namespace = resource.namespace().unwrap_or_default();
    policy::for_namespace(&config.policy, &namespace, &observed.namespace_labels)
}

fn check_policy(resource: &AppCredential, observed: &Observed<AppCredential>, config: &Config) -> Result<(), Refusal> {
    let verdict = policy_of(resource, observed, config);
    let spec = &resource.spec;
    let check = || -> Result<(), String> {
        verdict.quota(observed.rivals.older_in_namespace)?;
        spec.client_id.iter().try_for_each(|client_id| verdict.client_id(client_id))?;
        spec.scopes.iter().flatten().try_for_each(|scope| verdict.scope(scope))?;
        spec.audiences.iter().flatten().try_for_each(|audience| verdict.audience(audience))
    };
    check().or_else(|message| refuse(Reason::NotAllowedByPolicy, message))
}

/// Whether what the record grants is still allowed: a refused edit leaves the last good state, a changed policy ends it.
#[must_use]
pub fn still_allowed(
    record: &ClientRecord,
    resource: &AppCredential,
    observed: &Observed<AppCredential>,
    config: &Config,
) -> bool {
    let verdict = policy_of(resource, observed, config);
    verdict.quota(observed.rivals.older_in_namespace).is_ok()
        && resource.spec.client_id.iter().all(|client_id| verdict.client_id(client_id).is_ok())
        && record.scopes.iter().all(|scope| verdict.scope(scope).is_ok())
        && record.audiences.iter().all(|audience| verdict.audience(audience).is_ok())
}

fn check_client_id(resource: &AppCredential, observed: &Observed<AppCredential>, _: &Config) -> Result<(), Refusal> {
    let Some(other) = &observed.around.has_client_id else { return Ok(()) };
    refuse(
        Reason::ClientIdTaken,
        format!(
            "spec.clientId: {:?} belongs to {}, which has it or is older; choose another",
            client_id(resource),
            checks::named(resource, other)
        ),
    )
}

fn wanted_secret(resource: &AppCredential, observed: &Observed<AppCredential>) -> Result<WantedSecret, Refusal> {
    let spec = &resource.spec;
    if let Some(from) = &spec.secret_from {
        return own_secret(resource, observed, from).map(WantedSecret::Referenced);
    }
    if let Some(hash) = spec.secret_hash.as_deref().and_then(SecretHash::parse) {
        return Ok(WantedSecret::Declared(hash));
    }
    let rotation = spec.rotation.as_ref();
    Ok(WantedSecret::Generated {
        interval: rotation.and_then(|rotation| rotation.interval).map(Into::into),
        nonce: rotation.and_then(|rotation| rotation.nonce.clone()),
    })
}

fn own_secret(
    resource: &AppCredential,
    observed: &Observed<AppCredential>,
    from: &SecretFrom,
) -> Result<SecretString, Refusal> {
    let value = checks::referenced(resource, observed, "spec.secretFrom", from)?;
    let (name, key) = (&from.secret_key_ref.name, &from.secret_key_ref.key.0);
    if value.len() < MIN_SECRET_CHARS {
        return refuse(
            Reason::SecretTooShort,
            format!(
                "spec.secretFrom: the value under {key:?} in the Secret {name} has fewer than {MIN_SECRET_CHARS} characters and could be guessed; use a longer random one"
            ),
        );
    }
    match std::str::from_utf8(value) {
        Ok(text) if text.len() <= 1024 && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => Ok(text.into()),
        _ => refuse(
            Reason::SecretNotPrintable,
            format!(
                "spec.secretFrom: the value under {key:?} in the Secret {name} must be at most 1024 printable ASCII characters (RFC 6749, appendix A.2)"
            ),
        ),
    }
}

fn overlap(resource: &AppCredential) -> SignedDuration {
    let rotation = resource.spec.rotation.as_ref();
    let interval = rotation.and_then(|rotation| rotation.interval).map(SignedDuration::from);
    let overlap = rotation.and_then(|rotation| rotation.overlap).map_or(DEFAULT_OVERLAP, SignedDuration::from);
    interval.map_or(overlap, |interval| overlap.min(interval))
}

fn keys(resource: &AppCredential) -> Keys {
    let chosen = resource.secret_template().and_then(|template| template.keys.clone()).unwrap_or_default();
    let SecretKeys { client_id, client_secret, client_secret_previous, issuer, token_url, introspection_url, jwks_url } =
        chosen;
    Keys {
        client_id: key(client_id, "client-id"),
        client_secret: key(client_secret, "client-secret"),
        client_secret_previous: key(client_secret_previous, "client-secret-previous"),
        issuer: key(issuer, "issuer"),
        token_url: key(token_url, "token-url"),
        introspection_url: key(introspection_url, "introspection-url"),
        jwks_url: key(jwks_url, "jwks-url"),
    }
}
