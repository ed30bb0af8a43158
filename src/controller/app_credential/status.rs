//! Flow 1, step 5, pure: what to report: status, conditions, and Events on transitions only.

use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::{
    build::{self, Built, News},
    fetch::client_id,
    validate::{self, Validated},
};
use crate::{
    config::Config,
    controller::{
        apply::{Plan, Writes},
        fetch::{self, Observed},
        refusal::{Reason, Refusal},
        report::{self, LOOK_AGAIN, Note, READY, Verdict},
        route::RouteWrites,
        steps::Entropy,
    },
    crd::{
        AppCredential, AppCredentialStatus, Kind as _,
        app_credential::{State, VersionStatus},
        condition::{ConditionStatus, Time},
    },
    record::ClientRecord,
};

/// The plan for a resource that can be built.
#[must_use]
pub fn plan_of_built(resource: &AppCredential, valid: &Validated, built: Built, now: Timestamp) -> Plan<AppCredential> {
    let Built { desired, news, next } = built;
    let before = resource.status.clone().unwrap_or_default();
    let state = state(&desired.settled, now);
    let ready = Verdict::new(ConditionStatus::True, state_reason(state), state_message(state));
    let newest = desired.settled.secrets.last();
    let status = AppCredentialStatus {
        observed_generation: Some(valid.generation),
        conditions: report::conditions(&before.conditions, valid.generation, [(READY, ready)], now),
        display_name: Some(valid.display_name.clone()),
        client_id: Some(valid.client_id.clone()),
        scopes: Some(valid.scopes.join(" ")),
        secret_name: Some(valid.consumer.name.clone()),
        binding: Some(valid.consumer.binding()),
        state: Some(state),
        created_at: resource.meta().creation_timestamp.as_ref().map(|time| Time::new(time.0)),
        expires_at: valid.expires_at.map(Time::new),
        last_rotated_at: newest.filter(|version| version.id > 1).map(|version| Time::new(version.created_at)),
        next_rotation_at: build::next_rotation(valid, &desired.settled, now).map(Time::new),
        versions: desired.settled.secrets.iter().map(version_status).collect(),
    };
    let expired = state == State::Expired && before.state.is_some_and(|before| before != State::Expired);
    let news = news.into_iter().chain(expired.then_some(News::Expired));
    let notes = news.map(|news| note(news, valid)).collect();
    let (writes, routes) = (Writes::All(Box::new(desired)), RouteWrites::default());
    Plan { writes, routes, status, notes, next, doubtful: false }
}

/// The plan for a resource that cannot be built: the last good state stays, less what the spec or the policy takes away.
#[must_use]
pub fn plan_of_refusal(
    resource: &AppCredential,
    observed: &Observed<AppCredential>,
    config: &Config,
    refusal: &Refusal,
    now: Timestamp,
    entropy: Entropy,
) -> Plan<AppCredential> {
    if refusal.reason == Reason::ClientIdTaken {
        let withdrawn = prior(resource, observed, now).map(|_| Writes::Withdraw);
        return Plan { writes: withdrawn.unwrap_or(Writes::Nothing), ..refused(resource, None, refusal, now) };
    }
    let restricted = prior(resource, observed, now).map(|record| {
        let suspend = !validate::still_allowed(&record, resource, observed, config);
        build::restrict(&record, &resource.spec, suspend, now, entropy)
    });
    refused(resource, restricted, refusal, now)
}

/// The report of a write that the API server refused: nothing else is touched.
#[must_use]
pub fn plan_of_report(
    resource: &AppCredential,
    observed: &Observed<AppCredential>,
    refusal: &Refusal,
    now: Timestamp,
) -> Plan<AppCredential> {
    let plan = refused(resource, prior(resource, observed, now), refusal, now);
    Plan { writes: Writes::Nothing, ..plan }
}

fn prior(resource: &AppCredential, observed: &Observed<AppCredential>, now: Timestamp) -> Option<ClientRecord> {
    let document = observed.prior(&fetch::source(resource))?;
    Some(build::without_leftovers(document, observed, now))
}

fn refused(
    resource: &AppCredential,
    record: Option<ClientRecord>,
    refusal: &Refusal,
    now: Timestamp,
) -> Plan<AppCredential> {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.meta().generation.unwrap_or_default();
    let wanted = report::conditions_of_refusal(refusal);
    let status = AppCredentialStatus {
        observed_generation: Some(generation),
        conditions: report::conditions(&before.conditions, generation, wanted, now),
        display_name: Some(resource.spec.display_name.clone().unwrap_or_else(|| resource.name_any())),
        client_id: Some(client_id(resource)),
        scopes: Some(record.as_ref().map(|record| record.scopes.join(" ")).unwrap_or_default()),
        secret_name: before.secret_name.clone().or_else(|| Some(resource.consumer_name())),
        binding: before.binding,
        state: record.as_ref().and_then(|record| state_of(record, now)),
        created_at: resource.meta().creation_timestamp.as_ref().map(|time| Time::new(time.0)),
        expires_at: resource.spec.expires_at.map(|time| Time::new(time.0)),
        last_rotated_at: before.last_rotated_at,
        next_rotation_at: None,
        versions: record.iter().flat_map(|record| &record.secrets).map(version_status).collect(),
    };
    let ends = record.iter().flat_map(|record| &record.secrets).filter_map(|version| version.not_after);
    // What stands in the way may be something that no watch shows, such as a foreign Secret.
    let again = now.checked_add(LOOK_AGAIN).ok();
    let next =
        ends.chain(resource.spec.expires_at.map(|time| time.0)).chain(again).filter(|moment| *moment > now).min();
    let notes = report::notes_of_refusal(&before.conditions, refusal);
    let writes = record.map_or(Writes::Nothing, |record| Writes::Restrict(Box::new(record)));
    // A Secret without the label is in no cache.
    let doubtful = refusal.reason == Reason::ReferenceNotAvailable;
    Plan { writes, routes: RouteWrites::default(), status, notes, next, doubtful }
}

fn version_status(version: &crate::record::SecretVersion) -> VersionStatus {
    VersionStatus {
        id: version.id.into(),
        created_at: Time::new(version.created_at),
        not_after: version.not_after.map(Time::new),
    }
}

/// Absent where the policy has suspended the credential: the condition says so.
fn state_of(record: &ClientRecord, now: Timestamp) -> Option<State> {
    (!record.suspended).then(|| state(record, now))
}

fn state(record: &ClientRecord, now: Timestamp) -> State {
    if record.revoked {
        State::Revoked
    } else if record.expires_at.is_some_and(|end| end <= now) {
        State::Expired
    } else {
        State::Active
    }
}

fn state_reason(state: State) -> &'static str {
    match state {
        State::Active => "Active",
        State::Revoked => "Revoked",
        State::Expired => "Expired",
    }
}

fn state_message(state: State) -> String {
    match state {
        State::Active => "tokens are issued".into(),
        State::Revoked => {
            "spec.revoked is true: no token is issued, and every earlier token is inactive for good".into()
        }
        State::Expired => {
            "spec.expiresAt has passed: no token is issued; set a later moment to go on with the same secret".into()
        }
    }
}

fn note(news: News, valid: &Validated) -> Note {
    let (client_id, secret) = (&valid.client_id, &valid.consumer.name);
    let (warning, reason, message) = match news {
        News::Created => (false, "Created", format!("client {client_id}: the Secret {secret} is ready to be mounted")),
        News::Rotated => (
            false,
            "Rotated",
            format!("the Secret {secret} has a new client secret; the former one works until its overlap ends"),
        ),
        News::SecretReplaced => (
            true,
            "SecretReplaced",
            format!(
                "the Secret {secret} was deleted or its value changed by hand: it has a new generated client secret; the former one works until its overlap ends"
            ),
        ),
        News::SecretChanged => (
            false,
            "SecretChanged",
            format!("client {client_id} has the new secret of its owner; the former one works until its overlap ends"),
        ),
        News::Revoked => (false, "Revoked", format!("client {client_id} is revoked: all its tokens are inactive")),
        News::Reinstated => (
            false,
            "Reinstated",
            format!("client {client_id} gets tokens again; those from before its revocation stay inactive"),
        ),
        News::Expired => (true, "Expired", format!("client {client_id} has expired")),
    };
    Note { warning, reason, message }
}
