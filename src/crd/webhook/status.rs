//! Flow 1: what Snaphook reports of a Webhook.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::route::RouteType;
use crate::{
    crd::{
        Binding, Condition, Report,
        condition::{ConditionStatus, Time},
    },
    record::endpoint::HandlerType,
};

/// What Snaphook reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    /// The `metadata.generation` that this status is about; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` after kstatus; `Authenticated` where a credential is named; `RouteAccepted` where there is
    /// a route; `TargetResolved` where a Service is named. `Ready` says that what the spec declares is in force.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// `spec.displayName`, or the resource's name.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where to post from outside the cluster. Masked where `spec.verification.type` is `None`: the URL is then a secret.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where to post from inside the cluster. Masked as `url` is.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_url: Option<String>,
    /// `spec.handler.type`, or its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<HandlerType>,
    /// Where messages go: scheme and host of the URL, whose path may be a secret, or the Service.
    #[schemars(length(max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// The `WebhookCredential` that calls are sent with, or `No Auth`.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Whether posts are taken and delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EndpointState>,
    /// The Secret for the app.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The Secret for the app, for Service Binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// How it is reached from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStatus>,
    /// When the URL took the place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rotated_at: Option<Time>,
    /// Until then the former URL works as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_url_until: Option<Time>,
    /// When the signing secret took the place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_rotated_at: Option<Time>,
    /// Until then the former signing secret works as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_secret_until: Option<Time>,
}

/// Whether posts are taken and delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndpointState {
    /// They are.
    Active,
    /// `spec.active` is false: see `spec.inactiveMode`.
    Inactive,
}

/// How a Webhook is reached from outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// What was made.
    pub kind: RouteType,
    /// Its name.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its namespace: the realm's.
    #[schemars(length(max = 63))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The host that it is for.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether it is in force: of an Ingress that a load balancer has an address for it, of an `HTTPRoute` that every parent has accepted
    /// it as it is now.
    pub accepted: ConditionStatus,
    /// One word for programs.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// Of an Ingress: the addresses of its load balancer.
    #[schemars(length(max = 16), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Of an `HTTPRoute`: what each parent says.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ParentStatus>,
}

/// What one parent of an `HTTPRoute` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParentStatus {
    /// `namespace/name`, and after a slash the listener where one is named.
    #[schemars(length(max = 640))]
    pub parent: String,
    /// Whether it takes the route as it is now.
    pub accepted: ConditionStatus,
    /// The parent's own word, such as `NotAllowedByListeners`.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// The parent's own sentence.
    #[schemars(length(max = 32768))]
    pub message: String,
}

impl Report for WebhookStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn secret_name(&self) -> Option<&str> {
        self.secret_name.as_deref()
    }

    fn is_established(&self) -> bool {
        self.url.is_some()
    }

    fn with_verdict(self, observed_generation: Option<i64>, conditions: Vec<Condition>) -> Self {
        Self { observed_generation, conditions, ..self }
    }
}
