//! Flow 1, step 5, pure: what to report: status, conditions, and Events on transitions only.

use jiff::{SignedDuration, Timestamp};
use kube::Resource as _;

use super::{
    build::{Built, News},
    route::{self, Outcome},
    target,
    validate::{self, Validated},
};
use crate::{
    config::Config,
    controller::{
        apply::{Plan, Writes},
        fetch::{self, Observed},
        refusal::{Reason, Refusal},
        report::{
            self, AUTHENTICATED, LOOK_AGAIN, Note, READY, RECONCILING, ROUTE_ACCEPTED, STALLED, TARGET_RESOLVED,
            Verdict,
        },
        versions::Version,
    },
    crd::{
        Condition, Kind as _, Webhook, WebhookStatus,
        condition::{ConditionStatus, Time},
        webhook::{EndpointState, RouteStatus},
    },
    record::{
        EndpointRecord,
        endpoint::{InactiveMode, OnMissingCredential},
    },
};

/// Services are no objects of ours, so no watch tells of them.
const LOOK_AT_SERVICE: SignedDuration = SignedDuration::from_mins(1);
/// In place of a credential.
const NO_AUTH: &str = "No Auth";

/// Why a Webhook that was built is not ready.
struct Shortcoming {
    /// What it is besides: that ends by itself, or a person has to do something.
    besides: &'static str,
    reason: String,
    message: String,
}

/// The plan for a resource that can be built.
#[must_use]
pub fn plan_of_built(
    resource: &Webhook,
    valid: &Validated,
    observed: &Observed<Webhook>,
    built: Built,
    now: Timestamp,
) -> Plan<Webhook> {
    let Built { desired, news, next, route } = built;
    let before = resource.status.clone().unwrap_or_default();
    let (state, credential) = (state(&desired.settled), credential(resource, observed));
    let mut wanted = ready(state, valid, shortcoming(valid, &route));
    wanted.extend(credential.as_ref().map(|credential| (AUTHENTICATED, credential.verdict())));
    wanted.extend(target_resolved(resource, valid));
    wanted.extend(route.status.as_ref().map(|it| (ROUTE_ACCEPTED, route_verdict(it))));
    let conditions = report::conditions(&before.conditions, valid.generation, wanted, now);
    let notes = notes(resource, valid, &news, &before.conditions, &conditions);
    let current = desired.settled.urls.last();
    let shown = |base: &str| current.map(|url| valid.address.shown(base, &url.id));
    let status = WebhookStatus {
        observed_generation: Some(valid.generation),
        conditions,
        display_name: Some(valid.display_name.clone()),
        url: shown(&valid.address.external),
        internal_url: shown(&valid.address.internal),
        handler: Some(valid.handler.type_),
        delivery: Some(target::shown(&resource.spec.delivery)),
        auth: Some(auth(credential.as_ref())),
        state: Some(state),
        secret_name: Some(valid.consumer.name.clone()),
        binding: Some(valid.consumer.binding()),
        route: route.status,
        url_rotated_at: rotated_at(&desired.record.urls, |url| url.created_at).or(before.url_rotated_at),
        former_url_until: ends_at(&desired.settled.urls),
        secret_rotated_at: rotated_at(&desired.record.secrets, |secret| secret.created_at).or(before.secret_rotated_at),
        former_secret_until: ends_at(&desired.settled.secrets),
    };
    let look_at_route = route.look_again.then(|| now.checked_add(LOOK_AGAIN).ok()).flatten();
    let next = next.into_iter().chain(look_at_service(resource, valid, now)).chain(look_at_route).min();
    Plan { status, notes, next, writes: Writes::All(Box::new(desired)), routes: route.writes, doubtful: false }
}

/// The plan for a resource that cannot be built: the last good state stays, less what the spec or the policy takes away.
#[must_use]
pub fn plan_of_refusal(
    resource: &Webhook,
    observed: &Observed<Webhook>,
    config: &Config,
    refusal: &Refusal,
    now: Timestamp,
) -> Plan<Webhook> {
    let generation = resource.meta().generation.unwrap_or_default();
    let before = resource.status.clone().unwrap_or_default();
    let restricted = observed.prior(&fetch::source(resource)).map(|prior| restrict(prior, resource, observed, config));
    let (credential, routes) = (credential(resource, observed), route::writes_of_refused(resource, observed, config));
    let mut wanted = Vec::from(report::conditions_of_refusal(refusal));
    wanted.extend(credential.as_ref().map(|credential| (AUTHENTICATED, credential.verdict())));
    let status = WebhookStatus {
        observed_generation: Some(generation),
        conditions: report::conditions(&before.conditions, generation, wanted, now),
        display_name: Some(validate::display_name(resource)),
        auth: Some(auth(credential.as_ref())),
        state: restricted.as_ref().map(state),
        secret_name: before.secret_name.clone().or_else(|| Some(resource.consumer_name())),
        route: before.route.clone().filter(|_| routes.writes.is_empty()),
        ..before.clone()
    };
    Plan {
        status,
        notes: report::notes_of_refusal(&before.conditions, refusal),
        // What stands in the way may be something that no watch shows, such as a foreign Secret.
        next: now.checked_add(LOOK_AGAIN).ok(),
        writes: restricted.map_or(Writes::Nothing, |record| Writes::Restrict(Box::new(record))),
        routes,
        // A Secret without the label is in no cache.
        doubtful: refusal.reason == Reason::ReferenceNotAvailable,
    }
}

/// What an unbuildable resource still takes from its spec and from the policy: that it stops, and the limits.
fn restrict(
    prior: &EndpointRecord,
    resource: &Webhook,
    observed: &Observed<Webhook>,
    config: &Config,
) -> EndpointRecord {
    let allowed = validate::check_quota(resource, observed, config).is_ok();
    EndpointRecord {
        active: prior.active && resource.spec.active.unwrap_or(true) && allowed,
        inactive_mode: if allowed { prior.inactive_mode } else { InactiveMode::Reject },
        limits: validate::policy_of(resource, observed, config).webhook_limits(),
        ..prior.clone()
    }
}

fn state(record: &EndpointRecord) -> EndpointState {
    if record.active { EndpointState::Active } else { EndpointState::Inactive }
}

/// A Service may come by itself. A route that nobody has said anything about, or cannot yet, keeps nobody waiting: the in-cluster URL
/// works, and when the other one will is the business of others. One that was refused is for a person to look at.
fn shortcoming(valid: &Validated, route: &Outcome) -> Option<Shortcoming> {
    let unresolved = valid.unresolved.as_ref().map(|it| Shortcoming {
        besides: RECONCILING,
        reason: it.reason.into(),
        message: it.message.clone(),
    });
    let refused = || {
        let status = route.status.as_ref().filter(|_| route.refused)?;
        Some(Shortcoming { besides: STALLED, reason: status.reason.clone(), message: status.message.clone() })
    };
    unresolved.or_else(refused)
}

fn route_verdict(status: &RouteStatus) -> Verdict {
    Verdict::new(status.accepted, status.reason.clone(), status.message.clone())
}

fn ready(state: EndpointState, valid: &Validated, shortcoming: Option<Shortcoming>) -> Vec<(&'static str, Verdict)> {
    if let Some(Shortcoming { besides, reason, message }) = shortcoming {
        let verdict = |status| Verdict::new(status, reason.clone(), message.clone());
        return vec![(READY, verdict(ConditionStatus::False)), (besides, verdict(ConditionStatus::True))];
    }
    let (reason, message) = match (state, valid.inactive_mode) {
        (EndpointState::Active, _) => ("Active", "posts are taken and delivered"),
        (EndpointState::Inactive, InactiveMode::Reject) => ("Inactive", "spec.active is false: posts are refused"),
        (EndpointState::Inactive, InactiveMode::Hold) => {
            ("Inactive", "spec.active is false: posts are taken and kept until it is active again")
        }
    };
    vec![(READY, Verdict::new(ConditionStatus::True, reason, message))]
}

/// The credential that the spec names, and whether calls are sent with it.
struct Credential<'a> {
    name: &'a str,
    found: bool,
    on_missing: OnMissingCredential,
}

fn credential<'a>(resource: &'a Webhook, observed: &Observed<Webhook>) -> Option<Credential<'a>> {
    let on_missing = resource.spec.delivery.on_missing_credential.unwrap_or_default();
    resource.credential().map(|name| Credential { name, found: observed.around.has_credential, on_missing })
}

fn auth(credential: Option<&Credential<'_>>) -> String {
    let found = credential.filter(|credential| credential.found);
    found.map_or(NO_AUTH, |credential| credential.name).to_owned()
}

impl Credential<'_> {
    fn verdict(&self) -> Verdict {
        let Self { name, found, on_missing } = self;
        if *found {
            return Verdict::new(
                ConditionStatus::True,
                "CredentialFound",
                format!("calls are sent with the WebhookCredential {name}"),
            );
        }
        let effect = match on_missing {
            OnMissingCredential::SendUnauthenticated => "calls are sent without",
            OnMissingCredential::Hold => "messages wait for it",
            OnMissingCredential::DeadLetter => "messages become dead letters",
        };
        Verdict::new(
            ConditionStatus::False,
            "CredentialMissing",
            format!(
                "spec.delivery.credentialRef: there is no WebhookCredential {name} that is ready in this namespace: {effect}"
            ),
        )
    }
}

fn target_resolved(resource: &Webhook, valid: &Validated) -> Option<(&'static str, Verdict)> {
    let service = resource.spec.delivery.service.as_ref()?;
    let verdict = match &valid.unresolved {
        None => Verdict::new(
            ConditionStatus::True,
            "ServiceFound",
            format!("messages are delivered to the Service {}", service.name),
        ),
        Some(unresolved) => Verdict::new(ConditionStatus::False, unresolved.reason, unresolved.message.clone()),
    };
    Some((TARGET_RESOLVED, verdict))
}

fn look_at_service(resource: &Webhook, valid: &Validated, now: Timestamp) -> Option<Timestamp> {
    resource.spec.delivery.service.as_ref()?;
    let pause = if valid.unresolved.is_some() { LOOK_AGAIN } else { LOOK_AT_SERVICE };
    now.checked_add(pause).ok()
}

/// When the current one took the place of another.
fn rotated_at<V: Version>(versions: &[V], created_at: impl Fn(&V) -> Timestamp) -> Option<Time> {
    versions.last().filter(|_| versions.len() > 1).map(|version| Time::new(created_at(version)))
}

/// Until then a former one works.
fn ends_at<V: Version>(versions: &[V]) -> Option<Time> {
    versions.iter().filter_map(Version::not_after).max().map(Time::new)
}

/// One Event for what was made; on what was there, one for each transition.
fn notes(
    resource: &Webhook,
    valid: &Validated,
    news: &[News],
    before: &[Condition],
    conditions: &[Condition],
) -> Vec<Note> {
    let of_news = news.iter().map(|news| note(*news, valid));
    let is_new = resource.status.as_ref().is_none_or(|status| status.url.is_none());
    let changed = conditions.iter().filter(|condition| !is_new && has_turned(condition, before));
    of_news.chain(changed.filter_map(|condition| turned(condition, before))).collect()
}

fn has_turned(condition: &Condition, before: &[Condition]) -> bool {
    let earlier = before.iter().find(|earlier| earlier.type_ == condition.type_);
    earlier.is_some_and(|earlier| earlier.status != condition.status || earlier.reason != condition.reason)
}

fn turned(condition: &Condition, before: &[Condition]) -> Option<Note> {
    if condition.type_ == ROUTE_ACCEPTED {
        return route_turned(condition, before);
    }
    let told = [
        "CredentialFound",
        "CredentialMissing",
        "ServiceFound",
        "ServiceNotFound",
        "ServiceNotAllowed",
        "ServicePortNotFound",
    ];
    let told_by = [AUTHENTICATED, TARGET_RESOLVED].contains(&condition.type_.as_str());
    let reason = told.into_iter().find(|reason| told_by && *reason == condition.reason)?;
    let warning = condition.status != ConditionStatus::True;
    Some(Note { warning, reason, message: condition.message.clone() })
}

/// That a new route is accepted is what everybody expects: only that it is again.
fn route_turned(condition: &Condition, before: &[Condition]) -> Option<Note> {
    let was_refused = before.iter().any(|it| it.type_ == ROUTE_ACCEPTED && it.status == ConditionStatus::False);
    let (warning, reason) = match condition.status {
        ConditionStatus::False => (true, "RouteNotAccepted"),
        ConditionStatus::True if was_refused => (false, ROUTE_ACCEPTED),
        _ => return None,
    };
    Some(Note { warning, reason, message: format!("{}: {}", condition.reason, condition.message) })
}

fn note(news: News, valid: &Validated) -> Note {
    let secret = &valid.consumer.name;
    let (warning, reason, message) = match news {
        News::Created => (false, "Created", format!("the Secret {secret} holds the URL and is ready to be mounted")),
        News::Restored => (false, "Restored", format!("the URL in the Secret {secret}, from before, works again")),
        News::UrlRotated => (
            false,
            "UrlRotated",
            format!("the Secret {secret} holds a new URL; the former one works until its overlap ends"),
        ),
        News::UrlReplaced => (
            true,
            "UrlReplaced",
            format!(
                "the Secret {secret} holds a new URL, and the former one has ended: with spec.verification.type None the URL is a credential, and the former one was shown in the status"
            ),
        ),
        News::SecretRotated => (
            false,
            "SecretRotated",
            format!("the Secret {secret} holds new secrets; the former ones work until their overlap ends"),
        ),
        News::SecretChanged => {
            (false, "SecretChanged", "another secret counts; the former one works until its overlap ends".into())
        }
        News::Activated => (false, "Activated", "posts are taken and delivered".into()),
        News::Deactivated => (true, "Deactivated", "posts are no longer taken and delivered".into()),
    };
    Note { warning, reason, message }
}
