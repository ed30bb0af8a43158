//! Flow 2: what the server counts. Every counter is found once, at the start: a request takes no lock for it.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{histogram::Histogram, hooks::Hooks, records};
use crate::store::Store;

/// Why a token request was refused: the label of a counter, so the list is short and fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// Also a wrong media type, and a body that is no form.
    InvalidRequest,
    /// Wrong, unknown, revoked, suspended or expired.
    InvalidClient,
    /// Another grant than client credentials.
    UnsupportedGrantType,
    /// A scope that the client does not have.
    InvalidScope,
    /// A resource that the client does not have.
    InvalidTarget,
    /// A body over the limit.
    TooLarge,
    /// A body that did not come in time.
    Slow,
    /// Too many requests from one address.
    RateLimited,
    /// The records are too old, or there are no keys.
    Stale,
    /// A fault of the server.
    Internal,
}

impl Reason {
    const ALL: [(Self, &'static str); 10] = [
        (Self::InvalidRequest, "invalid_request"),
        (Self::InvalidClient, "invalid_client"),
        (Self::UnsupportedGrantType, "unsupported_grant_type"),
        (Self::InvalidScope, "invalid_scope"),
        (Self::InvalidTarget, "invalid_target"),
        (Self::TooLarge, "too_large"),
        (Self::Slow, "slow"),
        (Self::RateLimited, "rate_limited"),
        (Self::Stale, "stale"),
        (Self::Internal, "internal"),
    ];
}

/// What an introspection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Introspection {
    /// The token counts.
    Active,
    /// It does not, or is not for this caller.
    Inactive,
    /// The request was refused.
    Refused,
}

/// What a check of forward-auth came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ForwardAuth {
    /// The request passes.
    Allowed,
    /// It brings no token.
    NoToken,
    /// What it brings is no token, or more than one.
    Malformed,
    /// Its token does not count, or has another audience.
    InvalidToken,
    /// Its token lacks a scope.
    InsufficientScope,
    /// There is no such policy.
    UnknownPolicy,
    /// Too many requests from one address.
    RateLimited,
    /// The records are too old, or there are no keys.
    Stale,
    /// A fault of the server.
    Internal,
}

impl ForwardAuth {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Allowed, "allowed"),
        (Self::NoToken, "no_token"),
        (Self::Malformed, "malformed"),
        (Self::InvalidToken, "invalid_token"),
        (Self::InsufficientScope, "insufficient_scope"),
        (Self::UnknownPolicy, "unknown_policy"),
        (Self::RateLimited, "rate_limited"),
        (Self::Stale, "stale"),
        (Self::Internal, "internal"),
    ];
}

/// Requests whose duration is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Endpoint {
    /// Issues tokens.
    Token,
    /// Checks tokens.
    Introspect,
    /// Checks tokens for proxies.
    ForwardAuth,
}

/// The server's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    issued: Counter,
    refused: [Counter; Reason::ALL.len()],
    introspections: [Counter; 3],
    forward_auth: [Counter; ForwardAuth::ALL.len()],
    durations: [Histogram; 3],
    hooks: Hooks,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

impl Metrics {
    /// Registers everything, the state of `store` included.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        let mut registry = super::registry();
        let issued = Counter::default();
        registry.register("tokens_issued", "Access tokens issued", issued.clone());

        let refused = Family::<ReasonLabel, Counter>::default();
        registry.register("token_requests_refused", "Requests for a token that were refused", refused.clone());

        let introspections = Family::<ResultLabel, Counter>::default();
        registry.register("introspections", "Requests to check a token", introspections.clone());

        let forward_auth = Family::<ResultLabel, Counter>::default();
        registry.register("forward_auth_checks", "Requests that a proxy had checked", forward_auth.clone());

        let durations = Family::<EndpointLabel, Histogram>::default();
        let help = "Time from a request's headers to its answer, in seconds";
        registry.register("http_request_duration_seconds", help, durations.clone());

        let hooks = Hooks::default();
        hooks.register(&mut registry);
        registry.register_collector(Box::new(records::Collector::new(store)));
        Self {
            issued,
            refused: Reason::ALL.map(|(_, reason)| refused.get_or_create_owned(&ReasonLabel { reason })),
            introspections: ["active", "inactive", "refused"]
                .map(|result| introspections.get_or_create_owned(&ResultLabel { result })),
            forward_auth: ForwardAuth::ALL.map(|(_, result)| forward_auth.get_or_create_owned(&ResultLabel { result })),
            durations: ["token", "introspect", "forward_auth"]
                .map(|endpoint| durations.get_or_create_owned(&EndpointLabel { endpoint })),
            hooks,
            registry,
        }
    }

    /// What is counted of posts and deliveries.
    #[must_use]
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// A token was issued, or why not.
    pub fn token(&self, took: Duration, result: Result<(), Reason>) {
        match result {
            Ok(()) => self.issued.inc(),
            Err(reason) => self.refused[reason as usize].inc(),
        };
        self.durations[Endpoint::Token as usize].observe(took);
    }

    /// A token was checked.
    pub fn introspection(&self, took: Duration, result: Introspection) {
        self.introspections[result as usize].inc();
        self.durations[Endpoint::Introspect as usize].observe(took);
    }

    /// A request was checked for a proxy.
    pub fn forward_auth(&self, took: Duration, result: ForwardAuth) {
        self.forward_auth[result as usize].inc();
        self.durations[Endpoint::ForwardAuth as usize].observe(took);
    }

    /// All metrics in the `OpenMetrics` text format.
    #[must_use]
    pub fn encode(&self) -> String {
        super::encode(&self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_their_places() {
        for (place, (reason, _)) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        for (place, (result, _)) in ForwardAuth::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, place);
        }
    }

    #[test]
    fn all_metrics_are_there_before_anything_happened() {
        let metrics = Metrics::new(Arc::default());
        metrics.token(Duration::from_millis(3), Err(Reason::InvalidScope));
        metrics.introspection(Duration::from_mins(1), Introspection::Active);
        metrics.forward_auth(Duration::from_millis(1), ForwardAuth::InsufficientScope);
        let text = metrics.encode();
        for line in [
            "snaphook_tokens_issued_total 0",
            "snaphook_token_requests_refused_total{reason=\"invalid_scope\"} 1",
            "snaphook_token_requests_refused_total{reason=\"invalid_client\"} 0",
            "snaphook_introspections_total{result=\"active\"} 1",
            "snaphook_forward_auth_checks_total{result=\"insufficient_scope\"} 1",
            "snaphook_forward_auth_checks_total{result=\"allowed\"} 0",
            "snaphook_http_request_duration_seconds_bucket{le=\"0.0025\",endpoint=\"token\"} 0",
            "snaphook_http_request_duration_seconds_bucket{le=\"0.005\",endpoint=\"token\"} 1",
            "snaphook_http_request_duration_seconds_bucket{le=\"5.0\",endpoint=\"introspect\"} 0",
            "snaphook_http_request_duration_seconds_bucket{le=\"+Inf\",endpoint=\"introspect\"} 1",
            "snaphook_records{kind=\"client\"} 0",
            "snaphook_records_invalid 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
