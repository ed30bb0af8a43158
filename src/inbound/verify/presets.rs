//! Flow 3, pure: what is known about providers. A new one is a few lines here, and a row in the tests.

use super::{
    delivery_id::IdSource,
    key::Method,
    place::Encoding,
    scheme::{Declaration, TimeSource},
};
use crate::record::endpoint::{Hmac, HmacEncoding, Verification};

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. A redelivery keeps its id.
const GITHUB: &[Declaration<'static>] = &[Declaration {
    header: "x-hub-signature-256",
    prefix: "sha256=",
    id: IdSource::Header("x-github-delivery"),
    ..Declaration::HMAC_OF_BODY
}];

/// <https://docs.gitlab.com/user/project/integrations/webhooks/>: a signing token makes the headers of Standard Webhooks, a
/// secret token goes along as it is. Whoever has the one could send the other, so either is enough. `Idempotency-Key` stays the
/// same over retries.
const GITLAB: &[Declaration<'static>] = &[
    STANDARD_HMAC,
    Declaration { header: "x-gitlab-token", id: IdSource::Header("idempotency-key"), ..Declaration::SECRET },
];

/// <https://docs.stripe.com/webhooks#verify-manually>. The key is the whole text, `whsec_` included. Elements of other schemes
/// than `v1` count for nothing.
const STRIPE: &[Declaration<'static>] = &[Declaration {
    header: "stripe-signature",
    separator: Some(b','),
    prefix: "v1=",
    signed: "{timestamp}.{body}",
    time: Some(TimeSource::Element("t=")),
    id: IdSource::Body("id"),
    ..Declaration::HMAC_OF_BODY
}];

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>. Events have an `event_id`; commands have none.
const SLACK: &[Declaration<'static>] = &[Declaration {
    header: "x-slack-signature",
    prefix: "v0=",
    signed: "v0:{timestamp}:{body}",
    time: Some(TimeSource::Header("x-slack-request-timestamp")),
    id: IdSource::Body("event_id"),
    ..Declaration::HMAC_OF_BODY
}];

/// <https://shopify.dev/docs/apps/build/webhooks/subscribe/https>, and for the id
/// <https://shopify.dev/docs/apps/build/webhooks/ignore-duplicates>: it is the event's, and one event may be told under several topics.
const SHOPIFY: &[Declaration<'static>] = &[Declaration {
    header: "x-shopify-hmac-sha256",
    encoding: Encoding::Base64,
    id: IdSource::Within { header: "x-shopify-event-id", topic: "x-shopify-topic" },
    ..Declaration::HMAC_OF_BODY
}];

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, version 1.0.0.
const STANDARD_WEBHOOKS: &[Declaration<'static>] =
    &[STANDARD_HMAC, Declaration { prefix: "v1a,", method: Method::StandardEd25519, ..STANDARD_HMAC }];

const STANDARD_HMAC: Declaration<'static> = Declaration {
    header: "webhook-signature",
    separator: Some(b' '),
    prefix: "v1,",
    encoding: Encoding::Base64,
    method: Method::StandardHmac,
    signed: "{id}.{timestamp}.{body}",
    time: Some(TimeSource::Header("webhook-timestamp")),
    id: IdSource::Header("webhook-id"),
    ..Declaration::HMAC_OF_BODY
};

/// RFC 6750, section 2.1.
pub(super) const BEARER: Declaration<'static> =
    Declaration { header: "authorization", prefix: "Bearer ", ..Declaration::SECRET };

/// RFC 6750, section 3.
pub(super) const BEARER_CHALLENGE: &str = r#"Bearer realm="webhook""#;
/// RFC 7617, section 2.1.
const BASIC_CHALLENGE: &str = r#"Basic realm="webhook", charset="UTF-8""#;

/// What a 401 asks for, where HTTP has a word for it.
pub(super) fn challenge(declaration: &Declaration<'_>) -> Option<&'static str> {
    match declaration.method {
        Method::Secret { user: Some(_) } => Some(BASIC_CHALLENGE),
        Method::Secret { user: None } if declaration.header == BEARER.header => Some(BEARER_CHALLENGE),
        _ => None,
    }
}

/// RFC 7617.
fn basic(username: &str) -> Declaration<'_> {
    let method = Method::Secret { user: Some(username) };
    Declaration { prefix: "Basic ", encoding: Encoding::Base64, method, ..BEARER }
}

fn hmac(hmac: &Hmac) -> Declaration<'_> {
    let Hmac { header, algorithm, encoding, prefix, signed_content, timestamp_header, id_header, tolerance_seconds } =
        hmac;
    Declaration {
        header,
        separator: None,
        prefix,
        encoding: match encoding {
            HmacEncoding::Hex => Encoding::Hex,
            HmacEncoding::Base64 => Encoding::Base64,
        },
        method: Method::Hmac(*algorithm),
        signed: signed_content,
        time: timestamp_header.as_deref().map(TimeSource::Header),
        tolerance: *tolerance_seconds,
        id: id_header.as_deref().map_or(IdSource::None, IdSource::Header),
    }
}

/// Every way in which a sender may prove who he is; one is enough. Nothing where there is no secret to know.
pub(super) fn declarations(verification: &Verification) -> Vec<Declaration<'_>> {
    match verification {
        Verification::None | Verification::AppCredential(_) => Vec::new(),
        Verification::GitHub => GITHUB.to_vec(),
        Verification::GitLab => GITLAB.to_vec(),
        Verification::Stripe => STRIPE.to_vec(),
        Verification::Slack => SLACK.to_vec(),
        Verification::Shopify => SHOPIFY.to_vec(),
        Verification::StandardWebhooks => STANDARD_WEBHOOKS.to_vec(),
        Verification::Hmac(declared) => vec![hmac(declared)],
        Verification::Basic { username } => vec![basic(username)],
        Verification::Bearer => vec![BEARER],
    }
}
