//! Flows 1 and 3: the record of an inbound endpoint, made from a `Webhook`: who may post, what becomes of it, where it goes.

use core::net::IpAddr;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Confidential, Document, Kind, Source};

/// What the server knows about one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointRecord {
    /// Always [`super::VERSION`].
    pub version: u32,
    /// The `Webhook` behind it.
    pub source: Source,
    /// The ids in `/hooks/{id}` that lead here, oldest first; the last one is the current one.
    pub urls: Vec<UrlVersion>,
    /// Whether posts are taken and delivered.
    pub active: bool,
    /// What becomes of posts while it is not active.
    pub inactive_mode: InactiveMode,
    /// Longer bodies are refused.
    pub max_body_bytes: u32,
    /// Who may post.
    pub verification: Verification,
    /// Secrets that [`Self::verification`] accepts, oldest first. Empty where it needs none.
    pub secrets: Vec<EndpointSecret>,
    /// What becomes of what is posted.
    pub handler: Handler,
    /// Where it goes.
    pub delivery: Delivery,
    /// The operator's limits.
    #[serde(default)]
    pub limits: Limits,
}

impl Document for EndpointRecord {
    const KIND: Kind = Kind::Endpoint;

    fn source(&self) -> &Source {
        &self.source
    }
}

/// One id under which an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UrlVersion {
    /// 256 random bits in base64url.
    pub id: Confidential,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is unknown. Absent: the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// `spec.rotation.urlNonce` for which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// One secret of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSecret {
    /// The secret, as the provider has it.
    pub value: Confidential,
    /// Made here, or read from a Secret of the user's.
    pub generated: bool,
    /// When it was made or first seen.
    pub created_at: Timestamp,
    /// From then on it no longer counts. Absent: the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// `spec.rotation.secretNonce` for which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// What becomes of posts to an endpoint that is not active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum InactiveMode {
    /// They are refused with 410.
    #[default]
    Reject,
    /// They are verified, accepted and stored, and delivered once it is active again.
    Hold,
}

/// Who may post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Verification {
    /// Everybody who knows the URL.
    None,
    /// A signature after GitHub's scheme.
    GitHub,
    /// GitLab's token.
    GitLab,
    /// A signature after Stripe's scheme.
    Stripe,
    /// A signature after Slack's scheme.
    Slack,
    /// A signature after Shopify's scheme.
    Shopify,
    /// A signature after the Standard Webhooks specification.
    StandardWebhooks,
    /// A signature as declared.
    Hmac(Hmac),
    /// RFC 7617; the secret is the password.
    Basic {
        /// The user name.
        username: String,
    },
    /// The secret as a bearer token (RFC 6750).
    Bearer,
    /// An access token that this server issued.
    AppCredential(TokenRequirements),
}

/// What an access token needs, so that its bearer may post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequirements {
    /// The token must have all of them.
    pub scopes: Vec<String>,
    /// Whom the token must be for. Absent: the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Whose token it must be: globs of `namespace/name`. Empty: any credential of the Webhook's own namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
}

/// An HMAC signature, as declared in `spec.verification`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hmac {
    /// The header that holds the signature.
    pub header: String,
    /// The hash.
    pub algorithm: HmacAlgorithm,
    /// How the signature is written.
    pub encoding: HmacEncoding,
    /// What stands before it, such as `sha256=`.
    pub prefix: String,
    /// What is signed: text with `{body}`, `{timestamp}` and `{id}`.
    pub signed_content: String,
    /// The header that `{timestamp}` is taken from: Unix time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// The header that `{id}` is taken from. Duplicates are told by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// How far the timestamp may be from now, both ways.
    pub tolerance_seconds: u32,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HmacAlgorithm {
    /// SHA-256.
    #[default]
    SHA256,
    /// SHA-512.
    SHA512,
    /// SHA-1: only for providers that know nothing better.
    SHA1,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HmacEncoding {
    /// Hexadecimal, either case.
    #[default]
    Hex,
    /// Standard Base64 with padding.
    Base64,
}

/// What becomes of what is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Handler {
    /// What the body is.
    #[serde(rename = "type")]
    pub type_: HandlerType,
    /// CEL: false drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// CEL: the new JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// CEL: deliveries of one key keep their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What the body of a post is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HandlerType {
    /// Any bytes.
    Raw,
    /// JSON.
    Json,
    /// CloudEvents 1.0: structured, binary or batched.
    CloudEvents,
    /// A notification of Prometheus Alertmanager.
    Alertmanager,
}

/// Where messages go, and how. Counts at each attempt, for queued messages too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivery {
    /// Where.
    pub target: Target,
    /// The HTTP method.
    pub method: Method,
    /// Headers that are set on each call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Secrets that sign each call after Standard Webhooks, oldest first: several during a rotation. Empty: calls are not signed.
    #[serde(default)]
    pub signing_secrets: Vec<EndpointSecret>,
    /// Name of a `WebhookCredential` in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What happens where that one is missing.
    pub on_missing_credential: OnMissingCredential,
    /// Limit for one call, headers and body.
    pub timeout_seconds: u32,
    /// When to try again.
    pub retry: Retry,
    /// Calls under way at once.
    pub max_in_flight: u32,
    /// Calls in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// After this time since acceptance a message is a dead letter.
    pub expire_after_seconds: u32,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Target {
    /// A URL in canonical form.
    Url(String),
    /// A Service in the same namespace, as the controller resolved it.
    Service {
        /// The value of the `Host` header: `<name>.<namespace>.svc`, with the port where it is not 80.
        host: String,
        /// Its `ClusterIP`.
        address: IpAddr,
        /// Its port.
        port: u16,
        /// Path and query, beginning with a slash.
        path: String,
    },
    /// The Service is not there or cannot be called; messages wait. The text says why.
    Unresolved(String),
}

/// The method of an outgoing call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

/// What happens to a message whose credential is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnMissingCredential {
    /// It is sent without.
    #[default]
    SendUnauthenticated,
    /// It waits for the credential.
    Hold,
    /// It becomes a dead letter.
    DeadLetter,
}

/// When a failed delivery is tried again: exponential with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// Calls in all, the first one included.
    pub attempts: u32,
    /// Upper bound of the first pause.
    pub initial_delay_seconds: u32,
    /// Upper bound of every pause.
    pub max_delay_seconds: u32,
}

/// So many calls in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Calls.
    pub requests: u32,
    /// In this time.
    pub per_seconds: u32,
}

/// The operator's limits on what one endpoint and its namespace may hold and take. Absent: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Queued messages of this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// Bytes of queued bodies of this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Queued messages of all endpoints of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_messages: Option<u64>,
    /// Bytes of queued bodies of all endpoints of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_bytes: Option<u64>,
    /// Posts a second to this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posts_per_second: Option<u32>,
}
