//! Flow 1, step 5, pure: what to report: status, conditions, and Events on transitions only.

use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use serde::de::{
    DeserializeOwned, IntoDeserializer as _,
    value::{self, StrDeserializer},
};

use super::{
    Entropy, Observed,
    apply::{Desired, Plan, Writes},
    build::{self, News},
    fetch::{client_id, consumer_name},
    validate::{self, Reason, Refusal, Validated},
};
use crate::{
    config::Config,
    crd::{
        AppCredential, AppCredentialStatus, Condition,
        app_credential::{State, VersionStatus},
        condition::{ConditionStatus, Time},
    },
    record::ClientRecord,
};

/// A transition that people should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Something that a person should look at.
    pub warning: bool,
    /// In `PascalCase`.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

/// How soon what no watch tells of is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);
const READY: &str = "Ready";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";

/// The plan for a resource that can be built.
#[must_use]
pub fn plan_of_desired(resource: &AppCredential, valid: &Validated, desired: Desired, now: Timestamp) -> Plan {
    let before = resource.status.clone().unwrap_or_default();
    let state = state(&desired.settled, now);
    let ready = Verdict { status: ConditionStatus::True, reason: state_reason(state), message: state_message(state) };
    let newest = desired.settled.secrets.last();
    let status = AppCredentialStatus {
        observed_generation: Some(valid.generation),
        conditions: conditions(&before, valid.generation, &[(READY, ready)], now),
        display_name: Some(valid.display_name.clone()),
        client_id: Some(valid.client_id.clone()),
        scopes: Some(valid.scopes.join(" ")),
        secret_name: Some(valid.template.name.clone()),
        state: Some(state),
        created_at: resource.meta().creation_timestamp.as_ref().map(|time| Time::new(time.0)),
        expires_at: valid.expires_at.map(Time::new),
        last_rotated_at: newest.filter(|version| version.id > 1).map(|version| Time::new(version.created_at)),
        next_rotation_at: build::next_rotation(valid, &desired.settled, now).map(Time::new),
        versions: desired.settled.secrets.iter().map(version_status).collect(),
    };
    let expired = state == State::Expired && before.state.is_some_and(|before| before != State::Expired);
    let news = desired.news.iter().copied().chain(expired.then_some(News::Expired));
    let notes = news.map(|news| note(news, valid)).collect();
    Plan { status, notes, next: desired.next, writes: Writes::All(Box::new(desired)), doubtful: false }
}

/// The plan for a resource that cannot be built: the last good state stays, less what the spec or the policy takes away.
#[must_use]
pub fn plan_of_refusal(
    resource: &AppCredential,
    observed: &Observed,
    config: &Config,
    refusal: &Refusal,
    now: Timestamp,
    entropy: Entropy,
) -> Plan {
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
pub fn plan_of_report(resource: &AppCredential, observed: &Observed, refusal: &Refusal, now: Timestamp) -> Plan {
    let plan = refused(resource, prior(resource, observed, now), refusal, now);
    Plan { writes: Writes::Nothing, ..plan }
}

/// The status of a resource that does not parse: the conditions; everything else is still as it was reported.
#[must_use]
pub fn of_unreadable(
    resource: &AppCredential,
    before: AppCredentialStatus,
    refusal: &Refusal,
    now: Timestamp,
) -> AppCredentialStatus {
    let resource = AppCredential { status: Some(before.clone()), ..resource.clone() };
    let AppCredentialStatus { observed_generation, conditions, .. } = refused(&resource, None, refusal, now).status;
    AppCredentialStatus { observed_generation, conditions, ..before }
}

/// Type, status and reason of a condition.
pub type Words = (&'static str, &'static str, &'static str);

/// The conditions of a resource that does not parse, and neither does its status.
pub const WORDS_OF_UNREADABLE: [Words; 2] =
    [(READY, "False", Reason::InvalidResource.as_str()), (STALLED, "True", Reason::InvalidResource.as_str())];

/// The conditions in words that this program knows: a status may say anything, and labels of metrics must stay few.
#[must_use]
pub fn words(status: Option<&AppCredentialStatus>) -> Vec<Words> {
    let conditions = status.map(|status| &*status.conditions).unwrap_or_default();
    if conditions.is_empty() {
        return vec![(READY, ConditionStatus::Unknown.as_str(), "Pending")];
    }
    let known = conditions.iter().filter_map(|condition| {
        let type_ = [READY, RECONCILING, STALLED].into_iter().find(|known| *known == condition.type_)?;
        Some((type_, condition.status.as_str(), known_reason(&condition.reason)))
    });
    known.collect()
}

fn known_reason(word: &str) -> &'static str {
    let refusal = known::<Reason>(word).map(Reason::as_str);
    refusal.or_else(|| known(word).map(state_reason)).unwrap_or("Other")
}

/// One of the words of an enum.
fn known<T: DeserializeOwned>(word: &str) -> Option<T> {
    let word: StrDeserializer<'_, value::Error> = word.into_deserializer();
    T::deserialize(word).ok()
}

fn prior(resource: &AppCredential, observed: &Observed, now: Timestamp) -> Option<ClientRecord> {
    let document = observed.record.as_ref()?.document.as_ref()?;
    (document.source == validate::source(resource)).then(|| build::without_leftovers(document, observed, now))
}

fn refused(resource: &AppCredential, record: Option<ClientRecord>, refusal: &Refusal, now: Timestamp) -> Plan {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.meta().generation.unwrap_or_default();
    let verdict = |status| Verdict { status, reason: refusal.reason.as_str(), message: refusal.message.clone() };
    let progress = if refusal.reason.is_waiting() { RECONCILING } else { STALLED };
    let wanted = [(READY, verdict(ConditionStatus::False)), (progress, verdict(ConditionStatus::True))];
    let status = AppCredentialStatus {
        observed_generation: Some(generation),
        conditions: conditions(&before, generation, &wanted, now),
        display_name: Some(resource.spec.display_name.clone().unwrap_or_else(|| resource.name_any())),
        client_id: Some(client_id(resource)),
        scopes: Some(record.as_ref().map(|record| record.scopes.join(" ")).unwrap_or_default()),
        secret_name: before.secret_name.clone().or_else(|| Some(consumer_name(resource))),
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
    let notes = if is_reported(&before, refusal.reason) { Vec::new() } else { vec![warning(refusal)] };
    let writes = record.map_or(Writes::Nothing, |record| Writes::Restrict(Box::new(record)));
    // A Secret without the label is in no cache.
    let doubtful = refusal.reason == Reason::SecretNotFound;
    Plan { writes, status, notes, next, doubtful }
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

struct Verdict {
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

/// The conditions that hold; `lastTransitionTime` moves only when a status does.
fn conditions(
    before: &AppCredentialStatus,
    generation: i64,
    wanted: &[(&str, Verdict)],
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |(type_, verdict): &(&str, Verdict)| {
        let earlier = before.conditions.iter().find(|condition| condition.type_ == *type_);
        let same = earlier.filter(|condition| condition.status == verdict.status);
        Condition {
            type_: (*type_).to_owned(),
            status: verdict.status,
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| Time::new(now), |condition| condition.last_transition_time),
            reason: verdict.reason.to_owned(),
            message: verdict.message.clone(),
        }
    };
    wanted.iter().map(condition).collect()
}

fn is_reported(before: &AppCredentialStatus, reason: Reason) -> bool {
    before.conditions.iter().any(|condition| condition.type_ == READY && condition.reason == reason.as_str())
}

fn warning(refusal: &Refusal) -> Note {
    Note { warning: true, reason: refusal.reason.as_str(), message: refusal.message.clone() }
}

fn note(news: News, valid: &Validated) -> Note {
    let (client_id, secret) = (&valid.client_id, &valid.template.name);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_in_few_words() {
        let condition = |type_: &str, reason: &str| Condition {
            type_: type_.into(),
            status: ConditionStatus::True,
            observed_generation: 1,
            last_transition_time: Time::new(Timestamp::UNIX_EPOCH),
            reason: reason.into(),
            message: String::new(),
        };
        let conditions = vec![
            condition("Ready", "Revoked"),
            condition("Stalled", "SecretTooShort"),
            condition("Reconciling", "team-a"),
            condition("Invented", "Active"),
        ];
        let status = AppCredentialStatus { conditions, ..AppCredentialStatus::default() };
        let expected =
            [("Ready", "True", "Revoked"), ("Stalled", "True", "SecretTooShort"), ("Reconciling", "True", "Other")];
        assert_eq!(words(Some(&status)), expected);
        assert_eq!(words(None), [("Ready", "Unknown", "Pending")]);
    }
}
