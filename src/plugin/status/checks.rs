//! `kubectl snaphook status`, pure: one judgement a link of the chain, in the words and by the code of the controller where it has any.

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Secret, Service},
};
use kube::ResourceExt as _;
use serde::Serialize;

use super::is_ready;
use crate::{
    controller::{
        fetch::{allows_reference, data, is_ours},
        report::READY,
        webhook::target,
    },
    crd::{
        ALLOW_REFERENCE_LABEL, Kind, SecretFrom, WebhookCredential,
        condition::ConditionStatus,
        webhook::{DeliverySpec, RouteStatus, RouteType},
    },
    plugin::cluster::Look,
};

/// What one link of the chain is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The object.
    pub(super) subject: String,
    /// Absent where it cannot be told.
    pub(super) ok: Option<bool>,
    /// What is the matter, and how to mend it.
    pub(super) message: String,
}

fn good(subject: String, message: impl Into<String>) -> Check {
    Check { subject, ok: Some(true), message: message.into() }
}

fn bad(subject: String, message: impl Into<String>) -> Check {
    Check { subject, ok: Some(false), message: message.into() }
}

fn unknown(subject: String, message: impl Into<String>) -> Check {
    Check { subject, ok: None, message: message.into() }
}

const FORBIDDEN: &str = "you may not read it, so nothing can be said about it";

/// Whether the controller has looked at the resource as it is now.
pub(super) fn is_seen<K: Kind>(resource: &K) -> bool {
    let generation = resource.meta().generation.unwrap_or_default();
    resource
        .conditions()
        .iter()
        .any(|condition| condition.type_ == READY && condition.observed_generation >= generation)
}

/// What the resource's own metadata tells.
pub(super) fn own<K: Kind>(resource: &K) -> Option<Check> {
    let subject = format!("{} {}", K::KIND, resource.name_any());
    if let Some(since) = &resource.meta().deletion_timestamp {
        let finalizers = resource.finalizers().join(", ");
        let message = format!("is being deleted since {}, and waits for the finalizers: {finalizers}", since.0);
        return Some(bad(subject, message));
    }
    if !is_seen(resource) {
        let generation = resource.meta().generation.unwrap_or_default();
        return Some(bad(subject, format!("no controller has looked at generation {generation} yet")));
    }
    None
}

/// The Secret for the app.
pub(super) fn consumer<K: Kind>(resource: &K, name: &str, secret: &Look<Secret>) -> Check {
    let subject = format!("Secret {name}");
    match secret {
        Look::Forbidden => unknown(subject, FORBIDDEN),
        Look::Missing if is_ready(resource, None) => {
            bad(subject, "was deleted: the controller makes it anew with a new secret")
        }
        Look::Missing => bad(subject, "is not there: it is made when all else is well"),
        Look::Found(secret) if is_ours(secret, resource) => {
            let keys: Vec<&str> = data(secret).keys().map(String::as_str).collect();
            good(subject, format!("holds {}", keys.join(", ")))
        }
        Look::Found(_) => bad(subject, "was not made for this resource: another one's, or somebody's own"),
    }
}

/// A Secret that the spec refers to.
pub(super) fn reference(namespace: &str, from: &SecretFrom, secret: &Look<Secret>) -> Check {
    let (name, key) = (&from.secret_key_ref.name, &from.secret_key_ref.key.0);
    let subject = format!("Secret {name}, key {key}");
    match secret {
        Look::Forbidden => unknown(subject, FORBIDDEN),
        Look::Missing => bad(subject, "does not exist"),
        Look::Found(secret) if !allows_reference(secret) => bad(
            subject,
            format!(
                "its owner has to allow references to it: kubectl label secret {name} -n {namespace} {ALLOW_REFERENCE_LABEL}=true"
            ),
        ),
        Look::Found(secret) if !data(secret).contains_key(key) => bad(subject, "has no such key"),
        Look::Found(_) => good(subject, "is there, and may be referred to"),
    }
}

/// The credential that a Webhook's calls are sent with.
pub(super) fn credential(name: &str, credential: &Look<WebhookCredential>) -> Check {
    let subject = format!("WebhookCredential {name}");
    match credential {
        Look::Forbidden => unknown(subject, FORBIDDEN),
        Look::Missing => bad(subject, "does not exist: calls go out as spec.delivery.onMissingCredential says"),
        Look::Found(credential) if is_ready(credential, None) => good(subject, "is ready"),
        Look::Found(credential) => {
            let ready = credential.conditions().iter().find(|condition| condition.type_ == READY);
            let why = ready.map_or("no controller has looked at it yet".to_owned(), |ready| {
                format!("{}: {}", ready.reason, ready.message)
            });
            bad(subject, format!("is not ready: {why}"))
        }
    }
}

/// The Service that a Webhook delivers to.
pub(super) fn service(delivery: &DeliverySpec, namespace: &str, service: &Look<Service>) -> Check {
    let subject = delivery.service.as_ref().map(|service| format!("Service {}", service.name)).unwrap_or_default();
    let found = match service {
        Look::Forbidden => return unknown(subject, FORBIDDEN),
        Look::Missing => None,
        Look::Found(service) => Some(service),
    };
    match target::resolve(delivery, namespace, found) {
        Ok((_, None)) => good(subject, "can be delivered to"),
        Ok((_, Some(unresolved))) => bad(subject, unresolved.message),
        Err(refusal) => bad(subject, refusal.message),
    }
}

/// How a Webhook is reached from outside, as the controller last saw it.
pub(super) fn route(route: &RouteStatus) -> Check {
    let place = route.namespace.as_deref().zip(route.name.as_deref());
    let place = place.map(|(namespace, name)| format!(" {namespace}/{name}")).unwrap_or_default();
    let kind = match route.kind {
        RouteType::Ingress => "Ingress",
        RouteType::HttpRoute => "HTTPRoute",
        RouteType::None => "Route",
    };
    let parents = route.parents.iter().filter(|parent| parent.accepted != ConditionStatus::True);
    let parents = parents.map(|parent| format!("; {}: {}: {}", parent.parent, parent.reason, parent.message));
    Check {
        subject: format!("{kind}{place}"),
        ok: match route.accepted {
            ConditionStatus::True => Some(true),
            ConditionStatus::False => Some(false),
            ConditionStatus::Unknown => None,
        },
        message: format!("{}: {}{}", route.reason, route.message, parents.collect::<String>()),
    }
}

/// Whether a controller holds its Lease.
pub(super) fn controller(namespace: &str, name: &str, lease: &Look<Lease>, now: Timestamp) -> Check {
    let subject = format!("Lease {namespace}/{name}");
    let spec = match lease {
        Look::Forbidden => return unknown(subject, FORBIDDEN),
        Look::Missing => {
            let message = "does not exist: no controller has run there (--server-namespace names another namespace)";
            return bad(subject, message);
        }
        Look::Found(lease) => lease.spec.clone().unwrap_or_default(),
    };
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let (Some(holder), Some(renewed)) = (holder, spec.renew_time) else {
        return bad(subject, "nobody holds it: no controller runs");
    };
    let age = now.duration_since(renewed.0).as_secs();
    if age > i64::from(spec.lease_duration_seconds.unwrap_or_default()) {
        return bad(subject, format!("{holder} has not renewed it for {age}s: no controller runs"));
    }
    good(subject, format!("the controller {holder} is at work"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::{AppCredential, Webhook};

    fn object<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn credential_with(status: &serde_json::Value, metadata: &serde_json::Value) -> AppCredential {
        let mut resource = json!({"apiVersion": "snaphook.dev/v1alpha1", "kind": "AppCredential", "spec": {},
            "metadata": {"name": "app", "namespace": "ns", "generation": 2}, "status": status});
        resource["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        object(resource)
    }

    fn ready(status: &str, generation: i64) -> serde_json::Value {
        json!({"conditions": [{"type": "Ready", "status": status, "reason": "R", "message": "m",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    }

    fn secret(labels: &serde_json::Value, annotations: &serde_json::Value) -> Look<Secret> {
        Look::Found(object(json!({"metadata": {"name": "s", "labels": labels, "annotations": annotations},
            "data": {"client-secret": "dmFsdWU="}})))
    }

    #[test]
    fn readiness_is_that_of_the_present_generation() {
        for (status, generation, is) in
            [("True", 2, true), ("True", 1, false), ("False", 2, false), ("Unknown", 2, false)]
        {
            let resource = credential_with(&ready(status, generation), &json!({}));
            assert_eq!(is_ready(&resource, None), is, "{status} {generation}");
            assert_eq!(is_seen(&resource), generation == 2);
            assert_eq!(own(&resource).is_some(), generation != 2);
        }
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["snaphook.dev/record"]});
        let going = credential_with(&ready("True", 2), &going);
        assert!(!is_ready(&going, None));
        assert!(own(&going).unwrap().message.contains("snaphook.dev/record"));
    }

    #[test]
    fn the_secret_for_the_app_is_judged_and_its_values_are_not_shown() {
        let resource = credential_with(&ready("True", 2), &json!({}));
        let ours = secret(
            &json!({"snaphook.dev/consumer": "app-credential"}),
            &json!({"snaphook.dev/owner": "AppCredential/app"}),
        );
        let check = consumer(&resource, "s", &ours);
        assert_eq!((check.ok, check.message.as_str()), (Some(true), "holds client-secret"));
        assert_eq!(consumer(&resource, "s", &secret(&json!({}), &json!({}))).ok, Some(false));
        assert!(consumer(&resource, "s", &Look::Missing).message.starts_with("was deleted"));
        assert_eq!(consumer(&resource, "s", &Look::Forbidden).ok, None);
    }

    #[test]
    fn a_referenced_secret_is_there_allowed_and_has_the_key() {
        let from = |key: &str| object::<SecretFrom>(json!({"secretKeyRef": {"name": "own", "key": key}}));
        let allowed = json!({"snaphook.dev/allow-reference": "true"});
        for (look, key, ok, words) in [
            (secret(&allowed, &json!({})), "client-secret", Some(true), "is there"),
            (secret(&allowed, &json!({})), "other", Some(false), "no such key"),
            (
                secret(&json!({}), &json!({})),
                "client-secret",
                Some(false),
                "kubectl label secret own -n ns snaphook.dev/allow-reference=true",
            ),
            (Look::Missing, "client-secret", Some(false), "does not exist"),
            (Look::Forbidden, "client-secret", None, "may not read"),
        ] {
            let check = reference("ns", &from(key), &look);
            assert_eq!(check.ok, ok, "{check:?}");
            assert!(check.message.contains(words), "{check:?}");
        }
    }

    #[test]
    fn what_a_webhook_leans_on_is_judged() {
        let webhook: Webhook = object(json!({"apiVersion": "snaphook.dev/v1alpha1", "kind": "Webhook",
            "metadata": {"name": "wh"}, "spec": {"verification": {"type": "GitHub"}, "delivery": {"service": {"name": "svc", "port": 80}}}}));
        let delivery = &webhook.spec.delivery;
        let with = |spec: serde_json::Value| Look::Found(object::<Service>(json!({"spec": spec})));
        let good = with(json!({"clusterIP": "10.0.0.1", "selector": {"app": "x"}, "ports": [{"port": 80}]}));
        assert_eq!(service(delivery, "ns", &good).ok, Some(true));
        let external = with(json!({"type": "ExternalName", "externalName": "x.test"}));
        assert_eq!(service(delivery, "ns", &external).ok, Some(false));
        assert!(service(delivery, "ns", &Look::Missing).message.contains("does not exist"));
        assert_eq!(credential("c", &Look::Missing).ok, Some(false));

        let status: RouteStatus = object(
            json!({"kind": "HTTPRoute", "name": "r", "namespace": "realm", "accepted": "False",
            "reason": "NotAccepted", "message": "one parent refuses",
            "parents": [{"parent": "infra/gw", "accepted": "False", "reason": "NotAllowedByListeners", "message": "no"}]}),
        );
        let check = route(&status);
        assert_eq!((check.subject.as_str(), check.ok), ("HTTPRoute realm/r", Some(false)));
        assert!(check.message.contains("infra/gw: NotAllowedByListeners"), "{check:?}");
    }

    #[test]
    fn a_lease_that_is_renewed_is_held_by_a_controller_at_work() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let lease = |holder: &str, renewed: &str| {
            Look::Found(object::<Lease>(
                json!({"metadata": {}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}}),
            ))
        };
        let ok = |look: &Look<Lease>| controller("ns", "l", look, now).ok;
        assert_eq!(ok(&lease("a", "2026-01-01T00:00:50.000000Z")), Some(true));
        assert_eq!(ok(&lease("a", "2026-01-01T00:00:40.000000Z")), Some(false));
        assert_eq!(ok(&lease("", "2026-01-01T00:00:50.000000Z")), Some(false));
        assert_eq!((ok(&Look::Missing), ok(&Look::Forbidden)), (Some(false), None));
    }
}
