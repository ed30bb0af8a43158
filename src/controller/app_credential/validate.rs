//! Flow 1, step 2, pure: the resource as types that cannot be wrong, or the refusal. After this nobody looks at the spec again.
//!
//! What the schema and the CEL rules refuse never comes here; this is what needs another object or the configuration. The
//! checks run in the order of [`CHECKS`], and the first refusal is the one that is reported.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource as _, ResourceExt as _};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    KIND, Observed,
    fetch::{self, ADOPT_ANNOTATION, allows_reference, consumer_name, owner_mark},
};
use crate::{
    config::Config,
    controller::policy::{self, INTROSPECT_SCOPE},
    crd::{ALLOW_REFERENCE_LABEL, AppCredential, DeletionPolicy, KeyName, SecretTemplate, app_credential::SecretKeys},
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
    /// The Secret for the app.
    pub template: Template,
    /// The Secret stays when the resource goes.
    pub retain: bool,
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

/// The Secret for the app, as the template says.
pub struct Template {
    /// `metadata.name`.
    pub name: String,
    /// `type`.
    pub type_: String,
    /// Labels of the user's.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the user's.
    pub annotations: BTreeMap<String, String>,
    /// Names of the keys.
    pub keys: Keys,
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

/// Why a resource is not built: condition reason, event reason and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Reason {
    /// The operator's policy does not allow it.
    NotAllowedByPolicy,
    /// An older resource has the client id.
    ClientIdTaken,
    /// An older resource has the Secret's name.
    SecretNameTaken,
    /// A Secret of the wanted name is not ours.
    SecretExists,
    /// Our Secret cannot be changed.
    SecretImmutable,
    /// Our Secret has another type.
    SecretTypeMismatch,
    /// Somebody keeps rewriting our Secret.
    SecretContested,
    /// `secretFrom` names a Secret that is not there.
    SecretNotFound,
    /// `secretFrom` names a key that is not there.
    SecretKeyNotFound,
    /// The Secret's owner has not allowed references to it.
    ReferenceNotAllowed,
    /// The secret could be guessed.
    SecretTooShort,
    /// The secret has characters that OAuth does not allow.
    SecretNotPrintable,
    /// Too many secrets work at the same time.
    TooManyVersions,
    /// The API server refused the write for good.
    WriteRefused,
    /// The resource is not of the CRD's shape.
    InvalidResource,
}

impl Reason {
    /// In `PascalCase`, as conditions want it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowedByPolicy => "NotAllowedByPolicy",
            Self::ClientIdTaken => "ClientIdTaken",
            Self::SecretNameTaken => "SecretNameTaken",
            Self::SecretExists => "SecretExists",
            Self::SecretImmutable => "SecretImmutable",
            Self::SecretTypeMismatch => "SecretTypeMismatch",
            Self::SecretContested => "SecretContested",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretKeyNotFound => "SecretKeyNotFound",
            Self::ReferenceNotAllowed => "ReferenceNotAllowed",
            Self::SecretTooShort => "SecretTooShort",
            Self::SecretNotPrintable => "SecretNotPrintable",
            Self::TooManyVersions => "TooManyVersions",
            Self::WriteRefused => "WriteRefused",
            Self::InvalidResource => "InvalidResource",
        }
    }

    /// Waiting ends by itself when something else appears; everything else needs a person.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(
            self,
            Self::SecretNotFound | Self::SecretKeyNotFound | Self::ReferenceNotAllowed | Self::TooManyVersions
        )
    }
}

/// Why a resource is not built, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: the object, the field, the other party and the fix.
    pub message: String,
}

fn refuse<T>(reason: Reason, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason, message: message.into() })
}

type Check = fn(&AppCredential, &Observed, &Config) -> Result<(), Refusal>;

/// The checks, in the order in which they run: what the operator forbids, then what others have, then what stands in the way.
const CHECKS: [Check; 5] = [check_policy, check_rivals, check_foreign, check_own_secret, check_contest];

/// Checks a resource against everything that was fetched.
///
/// # Errors
/// The first refusal.
pub fn validate(resource: &AppCredential, observed: &Observed, config: &Config) -> Result<Validated, Refusal> {
    CHECKS.iter().try_for_each(|check| check(resource, observed, config))?;
    let spec = &resource.spec;
    let verdict = policy_of(resource, observed, config);
    let scopes = spec.scopes.clone().unwrap_or_default();
    let introspects = scopes.iter().any(|scope| scope == INTROSPECT_SCOPE);
    let name = resource.name_any();
    Ok(Validated {
        source: source(resource),
        generation: resource.meta().generation.unwrap_or_default(),
        display_name: spec.display_name.clone().unwrap_or_else(|| name.clone()),
        client_id: fetch::client_id(resource),
        scopes,
        audiences: spec.audiences.clone().unwrap_or_default(),
        token_lifetime: spec.token_lifetime.map_or(DEFAULT_TOKEN_LIFETIME, crate::crd::Duration::as_secs),
        expires_at: spec.expires_at.map(|time| time.0),
        revoked: spec.revoked.unwrap_or_default(),
        tokens_not_before: spec.tokens_not_before.map(|time| time.0),
        secret: wanted_secret(resource, observed)?,
        overlap: overlap(resource),
        template: template(resource),
        retain: spec.deletion_policy.unwrap_or_default() == DeletionPolicy::Retain,
        introspect_audiences: if introspects { verdict.introspect_audiences() } else { None },
        issuer: config.realm.issuer.clone(),
        app_url: config.realm.app_url().to_owned(),
    })
}

/// The resource, as records name it.
#[must_use]
pub fn source(resource: &AppCredential) -> Source {
    Source {
        kind: KIND.to_owned(),
        namespace: resource.namespace().unwrap_or_default(),
        name: resource.name_any(),
        uid: resource.uid().unwrap_or_default(),
    }
}

fn policy_of<'a>(resource: &AppCredential, observed: &Observed, config: &'a Config) -> policy::Verdict<'a> {
    let namespace = resource.namespace().unwrap_or_default();
    policy::for_namespace(&config.policy, &namespace, &observed.namespace_labels)
}

fn check_policy(resource: &AppCredential, observed: &Observed, config: &Config) -> Result<(), Refusal> {
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
pub fn still_allowed(record: &ClientRecord, resource: &AppCredential, observed: &Observed, config: &Config) -> bool {
    let verdict = policy_of(resource, observed, config);
    verdict.quota(observed.rivals.older_in_namespace).is_ok()
        && resource.spec.client_id.iter().all(|client_id| verdict.client_id(client_id).is_ok())
        && record.scopes.iter().all(|scope| verdict.scope(scope).is_ok())
        && record.audiences.iter().all(|audience| verdict.audience(audience).is_ok())
}

fn check_rivals(resource: &AppCredential, observed: &Observed, _: &Config) -> Result<(), Refusal> {
    if let Some(other) = &observed.rivals.client_id {
        return refuse(
            Reason::ClientIdTaken,
            format!(
                "spec.clientId: {:?} belongs to the {KIND} {other}, which has it or is older; choose another",
                fetch::client_id(resource)
            ),
        );
    }
    let has_it = observed.consumer(&consumer_name(resource)).is_some();
    if let Some(other) = observed.rivals.secret_name.as_ref().filter(|_| !has_it) {
        return refuse(
            Reason::SecretNameTaken,
            format!(
                "the Secret {} belongs to the {KIND} {other}, which has it or is older; set spec.secretTemplate.name to another name",
                consumer_name(resource)
            ),
        );
    }
    Ok(())
}

fn check_foreign(resource: &AppCredential, observed: &Observed, _: &Config) -> Result<(), Refusal> {
    let Some(secret) = &observed.foreign else { return Ok(()) };
    let (name, mark) = (secret.name_any(), owner_mark(resource));
    if secret.annotations().get(ADOPT_ANNOTATION) != Some(&mark) {
        return refuse(
            Reason::SecretExists,
            format!(
                "the Secret {name} exists and is not ours: delete it, set spec.secretTemplate.name to another name, or hand it over with: kubectl annotate secret {name} -n {} {ADOPT_ANNOTATION}={mark}",
                resource.namespace().unwrap_or_default()
            ),
        );
    }
    check_changeable(resource, secret)
}

fn check_own_secret(resource: &AppCredential, observed: &Observed, _: &Config) -> Result<(), Refusal> {
    observed.consumer(&consumer_name(resource)).map_or(Ok(()), |secret| check_changeable(resource, secret))
}

/// A Secret can be immutable and still be what it should be; whether it must change is known after `build`.
fn check_changeable(resource: &AppCredential, secret: &Secret) -> Result<(), Refusal> {
    let (name, wanted) = (secret.name_any(), template(resource).type_);
    match secret.type_.as_deref() {
        Some(found) if found != wanted => refuse(
            Reason::SecretTypeMismatch,
            format!(
                "the Secret {name} has type {found}, and {wanted} is wanted; a Secret's type cannot change: delete the Secret, it is made anew"
            ),
        ),
        _ => Ok(()),
    }
}

fn check_contest(resource: &AppCredential, observed: &Observed, _: &Config) -> Result<(), Refusal> {
    let Some(manager) = &observed.contested_by else { return Ok(()) };
    refuse(
        Reason::SecretContested,
        format!(
            "the Secret {} was rewritten by {manager:?} three times within a minute; stop it from managing the Secret's data",
            consumer_name(resource)
        ),
    )
}

fn wanted_secret(resource: &AppCredential, observed: &Observed) -> Result<WantedSecret, Refusal> {
    let spec = &resource.spec;
    if let Some(from) = &spec.secret_from {
        let (name, key) = (&from.secret_key_ref.name, &from.secret_key_ref.key.0);
        return referenced_value(resource, observed, name, key).map(WantedSecret::Referenced);
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

fn referenced_value(
    resource: &AppCredential,
    observed: &Observed,
    name: &str,
    key: &str,
) -> Result<SecretString, Refusal> {
    let namespace = resource.namespace().unwrap_or_default();
    let Some(secret) = &observed.referenced else {
        return refuse(
            Reason::SecretNotFound,
            format!(
                "spec.secretFrom: waiting for the Secret {name} in namespace {namespace}, which does not exist or lacks the label {ALLOW_REFERENCE_LABEL}=true"
            ),
        );
    };
    if !allows_reference(secret) {
        return refuse(
            Reason::ReferenceNotAllowed,
            format!(
                "spec.secretFrom: the owner of the Secret {name} has to allow references to it: kubectl label secret {name} -n {namespace} {ALLOW_REFERENCE_LABEL}=true"
            ),
        );
    }
    let Some(value) = fetch::data(secret).get(key) else {
        return refuse(
            Reason::SecretKeyNotFound,
            format!("spec.secretFrom: waiting for the key {key:?} in the Secret {name}, which has no such key"),
        );
    };
    // `kubectl create secret --from-file` keeps the newline at the end of the file.
    let value = value.0.strip_suffix(b"\n").unwrap_or(&value.0);
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

fn template(resource: &AppCredential) -> Template {
    let SecretTemplate { name: _, type_, labels, annotations, keys } =
        resource.spec.secret_template.clone().unwrap_or_default();
    let SecretKeys { client_id, client_secret, client_secret_previous, issuer, token_url, introspection_url, jwks_url } =
        keys.unwrap_or_default();
    let or = |key: Option<KeyName>, default: &str| key.map_or_else(|| default.to_owned(), |key| key.0);
    Template {
        name: consumer_name(resource),
        type_: type_.unwrap_or_else(|| "Opaque".into()),
        labels: labels.unwrap_or_default(),
        annotations: annotations.unwrap_or_default(),
        keys: Keys {
            client_id: or(client_id, "client-id"),
            client_secret: or(client_secret, "client-secret"),
            client_secret_previous: or(client_secret_previous, "client-secret-previous"),
            issuer: or(issuer, "issuer"),
            token_url: or(token_url, "token-url"),
            introspection_url: or(introspection_url, "introspection-url"),
            jwks_url: or(jwks_url, "jwks-url"),
        },
    }
}
