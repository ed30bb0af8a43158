//! Flow 1: `spec.delivery` of a Webhook: where messages go, and how.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    crd::{Duration, NameRef},
    record::endpoint::{Method, OnMissingCredential},
};

/// Where messages go, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySpec {
    /// Where: an `http` or `https` URL without user name and fragment, the host in lower case.
    #[schemars(
        length(min = 8, max = 2048),
        regex(pattern = r"^https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?][!$-;=?-\[\]_a-z~]*)?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where: a Service of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// A `WebhookCredential` of the same namespace, added to each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_ref: Option<NameRef>,
    /// What happens to a message whose credential is missing. Default: `SendUnauthenticated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_missing_credential: Option<OnMissingCredential>,
    /// The HTTP method. Default: `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Headers that are set on each call. They are no place for secrets: a `WebhookCredential` is.
    #[schemars(schema_with = "headers_schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Sign each call after Standard Webhooks, with a generated secret in the Secret for the app. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<bool>,
    /// Limit for one call, headers and body: 1s to 5m. Default: 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When a failed delivery is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// Calls under way at once: 1 to 100. Default: 8.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<i32>,
    /// So many calls in so much time. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitSpec>,
    /// After this time since acceptance a message is a dead letter: 1m to 720h. Default: 72h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<Duration>,
}

/// A Service of the same namespace. It must have a selector and a `ClusterIP`: another one could point anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRef {
    /// The Service's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// One of its ports.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Path and query. Default: `/`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[!$-;=?-\[\]_a-z~]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// When a failed delivery is tried again: after a random part of a delay that doubles each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetrySpec {
    /// Calls in all, the first one included: 1 to 100. Default: 10.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The first delay: 1s to 1h. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// The longest delay: 1s to 24h, and not less than the first. Default: 10h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
}

/// So many calls in so much time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateLimitSpec {
    /// Calls: 1 to 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub requests: i32,
    /// In this time: 1s to 1h. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Duration>,
}

fn headers_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 32,
        "additionalProperties": {
            "type": "string",
            "maxLength": 1024,
            "pattern": "^([\\x21-\\x7E]([\\x20-\\x7E]*[\\x21-\\x7E])?)?$",
        },
    })
}
