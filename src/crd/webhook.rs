//! Flow 1: `Webhook`, an inbound endpoint: who may post to it, what becomes of what is posted, and where it goes on.

#![allow(clippy::duplicated_attributes, reason = "each printcolumn has a type")]

pub mod delivery;
pub mod route;
pub mod status;
pub mod verification;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    delivery::{DeliverySpec, RateLimitSpec, RetrySpec, ServiceRef},
    route::{ParentRef, RouteSpec, RouteType},
    status::{EndpointState, ParentStatus, RouteStatus, WebhookStatus},
    verification::{VerificationSpec, VerificationType},
};
use super::{DISPLAY_NAME, DeletionPolicy, Duration, KeyName, Kind, SecretFrom, SecretTemplate};
use crate::record::endpoint::{HandlerType, InactiveMode};

/// What a user declares: an endpoint with a URL of its own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "snaphook.dev",
    version = "v1alpha1",
    kind = "Webhook",
    namespaced,
    status = "WebhookStatus",
    shortname = "wh",
    category = "snaphook",
    doc = "An inbound endpoint with a URL of its own. What is posted there is verified, kept on disk, and delivered.",
    selectable = ".status.state",
    selectable = ".status.auth",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".status.displayName"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Handler", type_ = "string", json_path = ".status.handler"),
    printcolumn(name = "Delivery", type_ = "string", json_path = ".status.delivery"),
    printcolumn(name = "Auth", type_ = "string", json_path = ".status.auth"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName", priority = 1),
    printcolumn(name = "Route", type_ = "string", json_path = ".status.route.reason", priority = 1),
    printcolumn(name = "Internal URL", type_ = "string", json_path = ".status.internalUrl", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    /// A name for people. Default: `metadata.name`.
    #[schemars(length(min = 1, max = 128), regex(pattern = DISPLAY_NAME))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// False stops it: nothing is delivered, and what is posted is refused or held. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// What becomes of posts while it is not active. Default: `Reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_mode: Option<InactiveMode>,
    /// What becomes of what is posted. Default: type `Raw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<HandlerSpec>,
    /// Who may post here. `None` has to be written out: it is never what a mistake falls back to.
    pub verification: VerificationSpec,
    /// Where it goes, and how.
    pub delivery: DeliverySpec,
    /// Changing a nonce replaces what it stands for; the old one works beside the new one until the overlap ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<WebhookRotation>,
    /// How it is reached from outside the cluster. Default: as the operator's configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteSpec>,
    /// Longer bodies are refused: 1 to 10485760 (10 MiB). Default: 1048576 (1 MiB).
    #[schemars(range(min = 1, max = 10_485_760))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<i32>,
    /// How the Secret for the app looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate<WebhookKeys>>,
    /// What happens to the Secret when this resource is deleted. With `Retain` a resource of the same name that is applied later keeps
    /// the URL that is registered at the provider. Default: `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What becomes of what is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandlerSpec {
    /// What the body is.
    #[serde(rename = "type")]
    pub type_: HandlerType,
    /// CEL over `headers`, `query` and `body`. Where it is false the message is accepted, dropped and counted.
    #[schemars(length(min = 1, max = 2048))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// CEL over `headers`, `query` and `body`: the new JSON body.
    #[schemars(length(min = 1, max = 8192))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// CEL over `headers`, `query` and `body`: deliveries of one key keep their order.
    #[schemars(length(min = 1, max = 2048))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// How the URL and the generated secrets are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookRotation {
    /// Changing this text replaces the URL now.
    #[schemars(length(min = 1, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_nonce: Option<String>,
    /// Changing this text replaces the generated secrets now.
    #[schemars(length(min = 1, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_nonce: Option<String>,
    /// How long what was replaced still works, at most 8760h. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
}

/// Other names for the keys of the Secret for the app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookKeys {
    /// Default: `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<KeyName>,
    /// Default: `internal-url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_url: Option<KeyName>,
    /// Default: `signing-secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<KeyName>,
    /// The former secret during a rotation's overlap. Default: `signing-secret-previous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret_previous: Option<KeyName>,
    /// The secret that signs outgoing calls. Default: `delivery-signing-secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_signing_secret: Option<KeyName>,
}

impl Kind for Webhook {
    const KIND: &'static str = "Webhook";
    const CONSUMER: &'static str = "webhook";
    const SUFFIX: &'static str = "webhook";
    type Keys = WebhookKeys;

    fn secret_template(&self) -> Option<&SecretTemplate<WebhookKeys>> {
        self.spec.secret_template.as_ref()
    }

    fn references(&self) -> Vec<&SecretFrom> {
        self.spec.verification.secret_from.iter().collect()
    }

    fn credential(&self) -> Option<&str> {
        self.spec.delivery.credential_ref.as_ref().map(|credential| credential.name.as_str())
    }

    fn unreadable(metadata: ObjectMeta) -> Self {
        let spec = WebhookSpec {
            display_name: None,
            active: None,
            inactive_mode: None,
            handler: None,
            verification: VerificationSpec::new(VerificationType::AppCredential),
            delivery: DeliverySpec::default(),
            rotation: None,
            route: None,
            max_body_bytes: None,
            secret_template: None,
            deletion_policy: None,
        };
        Self { metadata, spec, status: None }
    }
}
