//! Flow 1, step 2, pure: the resource as types that cannot be wrong, or the refusal. After this nobody looks at the spec again.
//!
//! What the schema and the CEL rules refuse never comes here; this is what needs another object, the configuration, or to be read
//! as the server reads it.

use jiff::SignedDuration;
use kube::{Resource as _, ResourceExt as _};

use super::{
    hook_id::Address,
    route::{self, Asked},
    spec,
    target::{self, Unresolved},
};
use crate::{
    config::{Config, Realm, RealmOf},
    controller::{
        checks,
        consumer::{Consumer, key},
        fetch::{self, Observed},
        policy,
        refusal::{Reason, Refusal, refuse},
    },
    crd::{
        DeletionPolicy, Kind as _, SecretFrom, Webhook,
        webhook::{RouteType, WebhookKeys},
    },
    delivery::inject,
    inbound::{handler::Handler as CompiledHandler, verify},
    record::{
        Confidential, Source,
        endpoint::{Delivery, Handler, InactiveMode, Limits, Verification},
    },
};

const DEFAULT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// Of a secret of one's own.
const MAX_SECRET: usize = 1024;
/// Whoever sees a signed post can try secrets at home.
const MIN_SECRET: usize = 16;

/// A resource that can be built.
pub struct Validated {
    /// The resource.
    pub source: Source,
    /// `metadata.generation`.
    pub generation: i64,
    /// For people.
    pub display_name: String,
    /// Whether posts are taken and delivered.
    pub active: bool,
    /// What becomes of posts while it is not active.
    pub inactive_mode: InactiveMode,
    /// Longer bodies are refused.
    pub max_body_bytes: u32,
    /// What becomes of what is posted.
    pub handler: Handler,
    /// Who may post.
    pub verification: Verification,
    /// Where the secret comes from.
    pub secret: WantedSecret,
    /// Where messages go, and how; not signed yet.
    pub delivery: Delivery,
    /// Why they cannot go there yet.
    pub unresolved: Option<Unresolved>,
    /// Whether calls are signed.
    pub sign: bool,
    /// The URL is replaced when this changes.
    pub url_nonce: Option<String>,
    /// Generated secrets are replaced when this changes.
    pub secret_nonce: Option<String>,
    /// How long what was replaced still works.
    pub overlap: SignedDuration,
    /// The operator's limits.
    pub limits: Limits,
    /// Where it is reached.
    pub address: Address,
    /// How it is reached from outside the cluster.
    pub route: Asked,
    /// The Secret for the app, without its data.
    pub consumer: Consumer,
    /// Names of its keys.
    pub keys: Keys,
}

/// Where the secret comes from.
pub enum WantedSecret {
    /// Nobody has to know one.
    Unneeded,
    /// Generated here.
    Generated,
    /// From a Secret of the user's.
    Referenced(Confidential),
}

/// Names of the keys in the Secret for the app.
pub struct Keys {
    /// Where to post from outside the cluster.
    pub url: String,
    /// Where to post from inside.
    pub internal_url: String,
    /// The secret.
    pub signing_secret: String,
    /// The former secret.
    pub signing_secret_previous: String,
    /// The secret that signs outgoing calls.
    pub delivery_signing_secret: String,
}

/// Checks a resource against everything that was fetched.
///
/// # Errors
/// The first refusal.
pub fn validate(resource: &Webhook, observed: &Observed<Webhook>, config: &Config) -> Result<Validated, Refusal> {
    check_policy(resource, observed, config)?;
    checks::check_secret(resource, observed)?;
    check_url(resource, observed)?;
    let spec = &resource.spec;
    let verification = verification(resource)?;
    let namespace = resource.namespace().unwrap_or_default();
    let (target, unresolved) = target::resolve(&spec.delivery, &namespace, observed.around.service.as_ref())?;
    check_headers(resource)?;
    let rotation = spec.rotation.clone().unwrap_or_default();
    Ok(Validated {
        source: fetch::source(resource),
        generation: resource.meta().generation.unwrap_or_default(),
        display_name: display_name(resource),
        active: spec.active.unwrap_or(true),
        inactive_mode: spec.inactive_mode.unwrap_or_default(),
        max_body_bytes: spec::max_body_bytes(spec.max_body_bytes),
        handler: handler(resource, observed)?,
        secret: wanted_secret(resource, observed, &verification)?,
        verification,
        delivery: spec::delivery(&spec.delivery, target),
        unresolved,
        sign: spec.delivery.sign.unwrap_or_default(),
        url_nonce: rotation.url_nonce,
        secret_nonce: rotation.secret_nonce,
        overlap: rotation.overlap.map_or(DEFAULT_OVERLAP, Into::into),
        limits: policy_of(resource, observed, config).webhook_limits(),
        address: address(resource, config),
        route: route::asked(resource, config),
        consumer: Consumer::of(resource, spec.deletion_policy.unwrap_or_default() == DeletionPolicy::Retain),
        keys: keys(resource),
    })
}

/// A field that a check of the server's refuses, in the words of that check.
pub(super) fn invalid<T>(reason: Reason, field: &str, error: &impl std::fmt::Display) -> Result<T, Refusal> {
    refuse(reason, format!("{field} {error}"))
}

/// For people.
#[must_use]
pub fn display_name(resource: &Webhook) -> String {
    resource.spec.display_name.clone().unwrap_or_else(|| resource.name_any())
}

/// What the policy says about the resource's namespace.
#[must_use]
pub fn policy_of<'a>(resource: &Webhook, observed: &Observed<Webhook>, config: &'a Config) -> policy::Verdict<'a> {
    let namespace = resource.namespace().unwrap_or_default();
    policy::for_namespace(&config.policy, &namespace, &observed.namespace_labels)
}

/// Whether the policy lets the resource be, whatever it asks for.
///
/// # Errors
/// The reason, naming the rule's place.
pub fn check_quota(resource: &Webhook, observed: &Observed<Webhook>, config: &Config) -> Result<(), String> {
    policy_of(resource, observed, config).webhook_quota(observed.rivals.older_in_namespace)
}

fn check_policy(resource: &Webhook, observed: &Observed<Webhook>, config: &Config) -> Result<(), Refusal> {
    let (verdict, route) = (policy_of(resource, observed, config), resource.spec.route.as_ref());
    let own_host = realm(resource, config).reachable().and_then(Realm::hooks_host);
    let mut hosts = route.and_then(|route| route.host.as_ref()).into_iter();
    let annotations = route.into_iter().flat_map(|route| route.annotations.iter().flatten());
    check_quota(resource, observed, config)
        .and_then(|()| check_reachable(resource, config))
        .and_then(|()| {
            hosts.try_for_each(|host| if Some(host) == own_host.as_ref() { Ok(()) } else { verdict.route_host(host) })
        })
        .and_then(|()| annotations.map(|(key, _)| key).try_for_each(|key| verdict.route_annotation(key)))
        .or_else(|message| refuse(Reason::NotAllowedByPolicy, message))
}

fn realm<'a>(resource: &Webhook, config: &'a Config) -> RealmOf<'a> {
    config.realm_of(&resource.namespace().unwrap_or_default())
}

/// Nothing outside a Pod reaches its sidecar.
fn check_reachable(resource: &Webhook, config: &Config) -> Result<(), String> {
    let asked = resource.spec.route.as_ref().filter(|route| route.type_ != RouteType::None);
    match (realm(resource, config), asked) {
        (RealmOf::Sidecar { index, realm }, Some(_)) => Err(format!(
            "spec.route: the namespace {} has a realm of its own (realms[{index}]), whose hooks are served by sidecars that only their own Pods reach; leave it out, or write type: None",
            realm.namespace
        )),
        _ => Ok(()),
    }
}

fn check_url(resource: &Webhook, observed: &Observed<Webhook>) -> Result<(), Refusal> {
    let Some(other) = &observed.around.has_url else { return Ok(()) };
    refuse(
        Reason::UrlTaken,
        format!(
            "the URL in the Secret {} belongs to {}, which has it; delete the Secret, and a new URL is made",
            resource.consumer_name(),
            checks::named(resource, other)
        ),
    )
}

fn verification(resource: &Webhook) -> Result<Verification, Refusal> {
    let verification = spec::verification(&resource.spec.verification);
    verify::check(&verification).or_else(|error| refuse(Reason::VerificationNotAllowed, error.to_string()))?;
    Ok(verification)
}

fn check_headers(resource: &Webhook) -> Result<(), Refusal> {
    resource.spec.delivery.headers.as_ref().map_or(Ok(()), |headers| {
        inject::check_headers(headers).or_else(|(name, error)| {
            invalid(Reason::FieldNotAllowed, &format!("spec.delivery.headers: {name}"), &error)
        })
    })
}

/// Compiling takes its time, so what is in force already is not compiled again.
fn handler(resource: &Webhook, observed: &Observed<Webhook>) -> Result<Handler, Refusal> {
    let handler = spec::handler(resource.spec.handler.as_ref());
    let in_force = observed.prior(&fetch::source(resource)).is_some_and(|prior| prior.handler == handler);
    if !in_force {
        CompiledHandler::compile(&handler).or_else(|error| refuse(Reason::ExpressionNotAllowed, error.to_string()))?;
    }
    Ok(handler)
}

fn wanted_secret(
    resource: &Webhook,
    observed: &Observed<Webhook>,
    verification: &Verification,
) -> Result<WantedSecret, Refusal> {
    let spec = &resource.spec.verification;
    if !spec.type_.needs_secret() {
        return Ok(WantedSecret::Unneeded);
    }
    match &spec.secret_from {
        None => Ok(WantedSecret::Generated),
        Some(from) => own_secret(resource, observed, verification, from).map(WantedSecret::Referenced),
    }
}

fn own_secret(
    resource: &Webhook,
    observed: &Observed<Webhook>,
    verification: &Verification,
    from: &SecretFrom,
) -> Result<Confidential, Refusal> {
    const FIELD: &str = "spec.verification.secretFrom";
    let value = checks::referenced(resource, observed, FIELD, from)?;
    let (name, key) = (&from.secret_key_ref.name, &from.secret_key_ref.key.0);
    let place = format!("{FIELD}: the value under {key:?} in the Secret {name} cannot be used:");
    let text = match std::str::from_utf8(value) {
        Ok(text) if text.len() <= MAX_SECRET => text,
        _ => return refuse(Reason::SecretNotUsable, format!("{place} it must be text of at most {MAX_SECRET} bytes")),
    };
    if text.len() < MIN_SECRET {
        return refuse(
            Reason::SecretTooShort,
            format!("{place} it has fewer than {MIN_SECRET} bytes and could be guessed; use a longer random one"),
        );
    }
    verify::check_secret(verification, text).or_else(|error| invalid(Reason::SecretNotUsable, &place, &error))?;
    Ok(text.to_owned().into())
}

fn address(resource: &Webhook, config: &Config) -> Address {
    let (host, realm) = (resource.spec.route.as_ref().and_then(|route| route.host.as_deref()), realm(resource, config));
    let internal = realm.internal_hooks_url().to_owned();
    let external = match (realm.reachable(), route::kind(resource, &config.routes)) {
        (None, _) | (_, RouteType::None) => internal.clone(),
        (Some(realm), RouteType::Ingress | RouteType::HttpRoute) => realm.hooks_url(host),
    };
    let secret = spec::verification(&resource.spec.verification) == Verification::None;
    Address { external, internal, secret }
}

fn keys(resource: &Webhook) -> Keys {
    let chosen = resource.secret_template().and_then(|template| template.keys.clone()).unwrap_or_default();
    let WebhookKeys { url, internal_url, signing_secret, signing_secret_previous, delivery_signing_secret } = chosen;
    Keys {
        url: key(url, "url"),
        internal_url: key(internal_url, "internal-url"),
        signing_secret: key(signing_secret, "signing-secret"),
        signing_secret_previous: key(signing_secret_previous, "signing-secret-previous"),
        delivery_signing_secret: key(delivery_signing_secret, "delivery-signing-secret"),
    }
}
