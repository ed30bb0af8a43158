//! Flow 1, step 2, pure: parts of the spec as the record has them, with every default written out.

use crate::{
    crd::{
        Duration,
        webhook::{DeliverySpec, HandlerSpec, RateLimitSpec, RetrySpec, VerificationSpec, VerificationType},
    },
    record::endpoint::{
        Delivery, Handler, HandlerType, Hmac, RateLimit, Retry, Target, TokenRequirements, Verification,
    },
};

const TOLERANCE: u32 = 300;
const TIMEOUT: u32 = 15;
const ATTEMPTS: u32 = 10;
const INITIAL_DELAY: u32 = 5;
const MAX_DELAY: u32 = 10 * 3600;
const MAX_IN_FLIGHT: u32 = 8;
const EXPIRE_AFTER: u32 = 72 * 3600;
const MAX_BODY: u32 = 1024 * 1024;

/// What becomes of what is posted.
#[must_use]
pub fn handler(spec: Option<&HandlerSpec>) -> Handler {
    let Some(HandlerSpec { type_, filter, transform, key }) = spec else {
        return Handler { type_: HandlerType::Raw, filter: None, transform: None, key: None };
    };
    Handler { type_: *type_, filter: filter.clone(), transform: transform.clone(), key: key.clone() }
}

/// Who may post.
#[must_use]
pub fn verification(spec: &VerificationSpec) -> Verification {
    match spec.type_ {
        VerificationType::None => Verification::None,
        VerificationType::GitHub => Verification::GitHub,
        VerificationType::GitLab => Verification::GitLab,
        VerificationType::Stripe => Verification::Stripe,
        VerificationType::Slack => Verification::Slack,
        VerificationType::Shopify => Verification::Shopify,
        VerificationType::StandardWebhooks => Verification::StandardWebhooks,
        VerificationType::Hmac => Verification::Hmac(hmac(spec)),
        VerificationType::Basic => Verification::Basic { username: spec.username.clone().unwrap_or_default() },
        VerificationType::Bearer => Verification::Bearer,
        VerificationType::AppCredential => Verification::AppCredential(TokenRequirements {
            scopes: spec.scopes.clone().unwrap_or_default(),
            audience: spec.audience.clone(),
            clients: spec.clients.clone().unwrap_or_default(),
        }),
    }
}

fn hmac(spec: &VerificationSpec) -> Hmac {
    Hmac {
        header: spec.header.clone().unwrap_or_default(),
        algorithm: spec.algorithm.unwrap_or_default(),
        encoding: spec.encoding.unwrap_or_default(),
        prefix: spec.prefix.clone().unwrap_or_default(),
        signed_content: spec.signed_content.clone().unwrap_or_else(|| "{body}".into()),
        timestamp_header: spec.timestamp_header.clone(),
        id_header: spec.id_header.clone(),
        tolerance_seconds: seconds(spec.tolerance, TOLERANCE),
    }
}

/// How messages go where they go; not signed yet.
#[must_use]
pub fn delivery(spec: &DeliverySpec, target: Target) -> Delivery {
    let RetrySpec { attempts, initial_delay, max_delay } = spec.retry.clone().unwrap_or_default();
    let rate_limit = |RateLimitSpec { requests, per }: &RateLimitSpec| RateLimit {
        requests: count(Some(*requests), 1),
        per_seconds: seconds(*per, 1),
    };
    Delivery {
        target,
        method: spec.method.unwrap_or_default(),
        headers: spec.headers.clone().unwrap_or_default(),
        signing_secrets: Vec::new(),
        credential: spec.credential_ref.as_ref().map(|credential| credential.name.clone()),
        on_missing_credential: spec.on_missing_credential.unwrap_or_default(),
        timeout_seconds: seconds(spec.timeout, TIMEOUT),
        retry: Retry {
            attempts: count(attempts, ATTEMPTS),
            initial_delay_seconds: seconds(initial_delay, INITIAL_DELAY),
            max_delay_seconds: seconds(max_delay, MAX_DELAY),
        },
        max_in_flight: count(spec.max_in_flight, MAX_IN_FLIGHT),
        rate_limit: spec.rate_limit.as_ref().map(rate_limit),
        expire_after_seconds: seconds(spec.expire_after, EXPIRE_AFTER),
    }
}

/// Longer bodies are refused.
#[must_use]
pub fn max_body_bytes(spec: Option<i32>) -> u32 {
    count(spec, MAX_BODY)
}

fn seconds(duration: Option<Duration>, default: u32) -> u32 {
    duration.map_or(default, Duration::as_secs)
}

/// The CRD lets no negative number pass.
fn count(number: Option<i32>, default: u32) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
}
