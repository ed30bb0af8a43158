//! Flow 1: `spec.verification` of a Webhook: who may post.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    crd::{Duration, SecretFrom},
    record::endpoint::{HmacAlgorithm, HmacEncoding},
};

/// Who may post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSpec {
    /// How a post proves who sent it.
    #[serde(rename = "type")]
    pub type_: VerificationType,
    /// The secret: one that the provider has given out, or one of one's own. Default: generated, in the Secret for the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_from: Option<SecretFrom>,
    /// Type `Hmac`: the header that holds the signature.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Type `Hmac`: the hash. Default: `SHA256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<HmacAlgorithm>,
    /// Type `Hmac`: how the signature is written. Default: `Hex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<HmacEncoding>,
    /// Type `Hmac`: what stands before the signature in its header, such as `sha256=`. Default: nothing.
    #[schemars(length(max = 64), regex(pattern = r"^[\x20-\x7E]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Type `Hmac`: what is signed: text with `{body}`, `{timestamp}` and `{id}`, such as `v0:{timestamp}:{body}`. Default: `{body}`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[\x20-\x7E]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_content: Option<String>,
    /// Type `Hmac`: the header that `{timestamp}` is taken from: Unix time in seconds.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// Type `Hmac`: the header that `{id}` is taken from. Duplicates are told by it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// Type `Hmac`: how far the timestamp may be from now, both ways: 1s to 24h. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Duration>,
    /// Type `Basic`: the user name (RFC 7617); the secret is the password.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[\x20-\x39\x3B-\x7E]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Type `AppCredential`: scopes that the access token must have, all of them.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 128), regex(pattern = r"^[\x21\x23-\x5B\x5D-\x7E]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Type `AppCredential`: the audience that the access token must be for. Default: the issuer, which each `AppCredential` may list in
    /// `spec.audiences`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[\x21-\x7E]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Type `AppCredential`: whose access tokens count, as `namespace/name`; `*` stands for any text. Default: those of all `AppCredentials`
    /// in the Webhook's own namespace.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 3, max = 317), regex(pattern = r"^[a-z0-9*-]+/[a-z0-9.*-]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<Vec<String>>,
}

impl VerificationSpec {
    /// Of a type, and nothing else.
    #[must_use]
    pub fn new(type_: VerificationType) -> Self {
        Self {
            type_,
            secret_from: None,
            header: None,
            algorithm: None,
            encoding: None,
            prefix: None,
            signed_content: None,
            timestamp_header: None,
            id_header: None,
            tolerance: None,
            username: None,
            scopes: None,
            audience: None,
            clients: None,
        }
    }
}

/// How a post proves who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VerificationType {
    /// By knowing the URL, which is then a secret and shown masked.
    None,
    /// `X-Hub-Signature-256`.
    GitHub,
    /// `X-Gitlab-Token`.
    GitLab,
    /// `Stripe-Signature`.
    Stripe,
    /// `X-Slack-Signature` and `X-Slack-Request-Timestamp`.
    Slack,
    /// `X-Shopify-Hmac-Sha256`.
    Shopify,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    StandardWebhooks,
    /// A signature as declared.
    Hmac,
    /// RFC 7617.
    Basic,
    /// The secret as a bearer token (RFC 6750).
    Bearer,
    /// An access token of an `AppCredential`.
    AppCredential,
}

impl VerificationType {
    /// Whether somebody who posts has to know a secret of this Webhook.
    #[must_use]
    pub fn needs_secret(self) -> bool {
        !matches!(self, Self::None | Self::AppCredential)
    }
}
