//! Flow 1, step 5, pure: what the reports of all kinds have in common: conditions, and Events on transitions only.

use jiff::{SignedDuration, Timestamp};
use serde::de::value::{self, StrDeserializer};
use serde::{Deserialize as _, de::IntoDeserializer as _};

use super::{
    refusal::{Reason, Refusal},
    steps::StatusOf,
};
use crate::crd::{
    Condition, Kind, Report as _,
    condition::{ConditionStatus, Time},
};

/// What the spec declares is in force.
pub const READY: &str = "Ready";
/// It will be by itself, after kstatus.
pub const RECONCILING: &str = "Reconciling";
/// A person has to do something, after kstatus.
pub const STALLED: &str = "Stalled";
/// Calls are sent with the credential that is named.
pub const AUTHENTICATED: &str = "Authenticated";
/// Messages can be delivered to the Service that is named.
pub const TARGET_RESOLVED: &str = "TargetResolved";
/// The Webhook is reached from outside the cluster by the route that is asked for.
pub const ROUTE_ACCEPTED: &str = "RouteAccepted";
/// How soon what no watch tells of is looked at again.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

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

/// What a condition is to say.
pub struct Verdict {
    /// Whether it holds.
    pub status: ConditionStatus,
    /// In `PascalCase`.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Verdict {
    /// With its parts in this order.
    pub fn new(status: ConditionStatus, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), message: message.into() }
    }
}

/// The conditions that hold; `lastTransitionTime` moves only when a status does.
#[must_use]
pub fn conditions(
    before: &[Condition],
    generation: i64,
    wanted: impl IntoIterator<Item = (&'static str, Verdict)>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |(type_, verdict): (&'static str, Verdict)| {
        let earlier = before.iter().find(|condition| condition.type_ == type_);
        let same = earlier.filter(|condition| condition.status == verdict.status);
        Condition {
            type_: type_.to_owned(),
            status: verdict.status,
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| Time::new(now), |condition| condition.last_transition_time),
            reason: verdict.reason,
            message: verdict.message,
        }
    };
    wanted.into_iter().map(condition).collect()
}

/// The conditions of a resource that is not built.
#[must_use]
pub fn conditions_of_refusal(refusal: &Refusal) -> [(&'static str, Verdict); 2] {
    let verdict = |status| Verdict::new(status, refusal.reason.as_str(), refusal.message.clone());
    let progress = if refusal.reason.is_waiting() { RECONCILING } else { STALLED };
    [(READY, verdict(ConditionStatus::False)), (progress, verdict(ConditionStatus::True))]
}

/// The Event about a refusal: none where it was told before.
#[must_use]
pub fn notes_of_refusal(before: &[Condition], refusal: &Refusal) -> Vec<Note> {
    let reason = refusal.reason.as_str();
    if before.iter().any(|condition| condition.type_ == READY && condition.reason == reason) {
        return Vec::new();
    }
    vec![Note { warning: true, reason, message: refusal.message.clone() }]
}

/// The status of a resource that does not parse: the conditions; everything else is still as it was reported.
#[must_use]
pub fn of_unreadable<K: Kind>(resource: &K, before: StatusOf<K>, refusal: &Refusal, now: Timestamp) -> StatusOf<K> {
    let generation = resource.meta().generation.unwrap_or_default();
    let conditions = conditions(before.conditions(), generation, conditions_of_refusal(refusal), now);
    before.with_verdict(Some(generation), conditions)
}

/// Type, status and reason of a condition.
pub type Words = (&'static str, &'static str, &'static str);

/// The conditions of a resource that does not parse, and neither does its status.
pub const WORDS_OF_UNREADABLE: [Words; 2] =
    [(READY, "False", Reason::InvalidResource.as_str()), (STALLED, "True", Reason::InvalidResource.as_str())];

const TYPES: [&str; 6] = [READY, RECONCILING, STALLED, AUTHENTICATED, TARGET_RESOLVED, ROUTE_ACCEPTED];
/// Reasons of conditions that are no refusals.
const REASONS: [&str; 28] = [
    "Active",
    "Revoked",
    "Expired",
    "Inactive",
    "CredentialFound",
    "CredentialMissing",
    "ServiceFound",
    "ServiceNotFound",
    "ServiceNotAllowed",
    "ServicePortNotFound",
    "Accepted",
    "Pending",
    "RouteApiUnavailable",
    "RouteNotConfigured",
    "NoParentRefs",
    "RouteExists",
    "RouteNotWritten",
    "RouteContested",
    // Of the Gateway API.
    "NotAllowedByListeners",
    "NoMatchingListenerHostname",
    "NoMatchingParent",
    "UnsupportedValue",
    "IncompatibleFilters",
    "RefNotPermitted",
    "InvalidKind",
    "BackendNotFound",
    "UnsupportedProtocol",
    "UnresolvedRefs",
];

/// The conditions in words that this program knows: a status may say anything, and labels of metrics must stay few.
#[must_use]
pub fn words(conditions: &[Condition]) -> Vec<Words> {
    if conditions.is_empty() {
        return vec![(READY, ConditionStatus::Unknown.as_str(), "Pending")];
    }
    let known = conditions.iter().filter_map(|condition| {
        let type_ = TYPES.into_iter().find(|known| *known == condition.type_)?;
        Some((type_, condition.status.as_str(), known_reason(&condition.reason)))
    });
    known.collect()
}

fn known_reason(word: &str) -> &'static str {
    let refusal: StrDeserializer<'_, value::Error> = word.into_deserializer();
    let other = || REASONS.into_iter().find(|known| *known == word);
    Reason::deserialize(refusal).ok().map(Reason::as_str).or_else(other).unwrap_or("Other")
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
        let conditions = [
            condition("Ready", "Revoked"),
            condition("Stalled", "SecretTooShort"),
            condition("Reconciling", "team-a"),
            condition("Invented", "Active"),
        ];
        let expected =
            [("Ready", "True", "Revoked"), ("Stalled", "True", "SecretTooShort"), ("Reconciling", "True", "Other")];
        assert_eq!(words(&conditions), expected);
        assert_eq!(words(&[]), [("Ready", "Unknown", "Pending")]);
    }
}
