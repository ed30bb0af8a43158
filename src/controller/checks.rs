//! Flow 1, step 2, pure: the checks that all kinds have in common, on their Secrets and on those that they refer to.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::{
    consumer::type_of,
    fetch::{self, ADOPT_ANNOTATION, OWNER_ANNOTATION, Observed, allows_reference},
    refusal::{Reason, Refusal, refuse},
    steps::Steps,
};
use crate::crd::{ALLOW_REFERENCE_LABEL, Kind, SecretFrom};

/// Nobody else stands in the way of the Secret for the app.
///
/// # Errors
/// The first refusal.
pub fn check_secret<K: Steps>(resource: &K, observed: &Observed<K>) -> Result<(), Refusal> {
    check_rival(resource, observed)?;
    check_foreign(resource, observed)?;
    check_own(resource, observed)?;
    check_contest(resource, observed)
}

fn check_rival<K: Steps>(resource: &K, observed: &Observed<K>) -> Result<(), Refusal> {
    let name = resource.consumer_name();
    let has_it = observed.consumer(&name).is_some();
    let Some(other) = observed.rivals.secret_name.as_ref().filter(|_| !has_it) else { return Ok(()) };
    refuse(
        Reason::SecretNameTaken,
        format!(
            "the Secret {name} belongs to the {} {other}, which has it or is older; set spec.secretTemplate.name to another name",
            K::KIND
        ),
    )
}

/// Another resource of the kind, `namespace/name`, in a message to whoever has this one. What is in other namespaces is not theirs to know.
#[must_use]
pub fn named<K: Kind>(resource: &K, other: &str) -> String {
    let own = resource.namespace().unwrap_or_default();
    match other.split_once('/') {
        Some((namespace, name)) if namespace == own => format!("the {} {name}", K::KIND),
        _ => format!("{} {} of another namespace", article(K::KIND), K::KIND),
    }
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

fn check_foreign<K: Steps>(resource: &K, observed: &Observed<K>) -> Result<(), Refusal> {
    let Some(secret) = &observed.foreign else { return Ok(()) };
    let (name, mark) = (secret.name_any(), resource.owner_mark());
    if secret.annotations().get(ADOPT_ANNOTATION) == Some(&mark) {
        return check_changeable(resource, secret);
    }
    let of = secret.annotations().get(OWNER_ANNOTATION).map_or(String::new(), |owner| format!(" but that of {owner}"));
    refuse(
        Reason::SecretExists,
        format!(
            "the Secret {name} exists and is not ours{of}: delete it, set spec.secretTemplate.name to another name, or hand it over with: kubectl annotate secret {name} -n {} {ADOPT_ANNOTATION}={mark}",
            resource.namespace().unwrap_or_default()
        ),
    )
}

fn check_own<K: Steps>(resource: &K, observed: &Observed<K>) -> Result<(), Refusal> {
    observed.consumer(&resource.consumer_name()).map_or(Ok(()), |secret| check_changeable(resource, secret))
}

/// A Secret can be immutable and still be what it should be; whether it must change is known after `build`.
fn check_changeable<K: Steps>(resource: &K, secret: &Secret) -> Result<(), Refusal> {
    let (name, wanted) = (secret.name_any(), type_of(resource));
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

fn check_contest<K: Steps>(resource: &K, observed: &Observed<K>) -> Result<(), Refusal> {
    let Some(manager) = &observed.contested_by else { return Ok(()) };
    refuse(
        Reason::SecretContested,
        format!(
            "the Secret {} was rewritten by {manager:?} three times within a minute; stop it from managing the Secret's data",
            resource.consumer_name()
        ),
    )
}

/// The value that a reference in `field` leads to, without the newline at the end of a file: `kubectl create secret --from-file` keeps it.
///
/// # Errors
/// Why there is none.
pub fn referenced<'a, K: Steps>(
    resource: &K,
    observed: &'a Observed<K>,
    field: &str,
    from: &SecretFrom,
) -> Result<&'a [u8], Refusal> {
    let namespace = resource.namespace().unwrap_or_default();
    let (name, key) = (&from.secret_key_ref.name, &from.secret_key_ref.key.0);
    // Nobody learns by a reference whether a Secret is there that its owner has not opened.
    let Some(secret) = observed.references.get(name).filter(|secret| allows_reference(secret)) else {
        return refuse(
            Reason::ReferenceNotAvailable,
            format!(
                "{field}: waiting for the Secret {name}; if it is there, its owner has to allow references to it: kubectl label secret {name} -n {namespace} {ALLOW_REFERENCE_LABEL}=true"
            ),
        );
    };
    let Some(value) = fetch::data(secret).get(key) else {
        return refuse(
            Reason::SecretKeyNotFound,
            format!("{field}: waiting for the key {key:?} in the Secret {name}, which has no such key"),
        );
    };
    Ok(value.0.strip_suffix(b"\n").unwrap_or(&value.0))
}
