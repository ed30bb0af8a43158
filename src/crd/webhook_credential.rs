//! Flow 1: `WebhookCredential`, a credential for the outgoing calls of Webhooks.

#![allow(clippy::duplicated_attributes, reason = "each printcolumn has a type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Binding, Condition, DISPLAY_NAME, KeyName, Kind, Report, SecretFrom, SecretTemplate, condition::Time};
use crate::record::Location;

/// What a user declares: what the server adds to each call of the Webhooks that name it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "snaphook.dev",
    version = "v1alpha1",
    kind = "WebhookCredential",
    namespaced,
    status = "WebhookCredentialStatus",
    shortname = "whcred",
    category = "snaphook",
    doc = "A credential for outgoing calls. The server adds it, in a header or query parameter, to every call of the Webhooks that name it.",
    selectable = ".spec.type",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".status.displayName"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "Field", type_ = "string", json_path = ".spec.fieldName"),
    printcolumn(name = "Used By", type_ = "integer", json_path = ".status.usedBy.count"),
    printcolumn(name = "Modified", type_ = "date", json_path = ".status.lastModified"),
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
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCredentialSpec {
    /// A name for people; several may have the same one. Default: `metadata.name`.
    #[schemars(length(min = 1, max = 128), regex(pattern = DISPLAY_NAME))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What is sent: the client id as it is, or the Base64 of client id and secret. Immutable.
    #[serde(rename = "type")]
    pub type_: CredentialType,
    /// Name of the header or query parameter.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[\x21-\x7E]+$"))]
    pub field_name: String,
    /// Where the value goes in a call.
    pub location: Location,
    /// The client id: printable ASCII without a blank at either end.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client id from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id_from: Option<SecretFrom>,
    /// The client secret from a Secret: with type `ClientIdAndSecret`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_from: Option<SecretFrom>,
    /// How the Secret for the app looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate<InjectionKeys>>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CredentialType {
    /// The client id as it is.
    ClientId,
    /// Standard Base64, with padding, of client id and client secret joined with nothing between them. Not RFC 7617 Basic, which has a
    /// colon there.
    ClientIdAndSecret,
}

/// Other names for the keys of the Secret for the app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InjectionKeys {
    /// Default: `field-name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_name: Option<KeyName>,
    /// Default: `location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<KeyName>,
    /// What is sent. Default: `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<KeyName>,
}

/// What Snaphook reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCredentialStatus {
    /// The `metadata.generation` that this status is about; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` after kstatus. `Ready` says that calls are sent as the spec declares.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// `spec.displayName`, or the resource's name.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The Secret for the app.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The Secret for the app, for Service Binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// When a new spec or referenced value was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Time>,
    /// The Webhooks that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<UsedBy>,
}

/// The Webhooks that name a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsedBy {
    /// How many there are.
    pub count: i64,
    /// The names of the first 50, in alphabetical order.
    #[schemars(length(max = 50), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<String>,
}

impl Kind for WebhookCredential {
    const KIND: &'static str = "WebhookCredential";
    const CONSUMER: &'static str = "webhook-credential";
    const SUFFIX: &'static str = "webhook-credential";
    type Keys = InjectionKeys;

    fn secret_template(&self) -> Option<&SecretTemplate<InjectionKeys>> {
        self.spec.secret_template.as_ref()
    }

    fn references(&self) -> Vec<&SecretFrom> {
        self.spec.client_id_from.iter().chain(&self.spec.client_secret_from).collect()
    }

    fn unreadable(metadata: ObjectMeta) -> Self {
        let spec = WebhookCredentialSpec {
            display_name: None,
            type_: CredentialType::ClientId,
            field_name: String::new(),
            location: Location::Header,
            client_id: None,
            client_id_from: None,
            client_secret_from: None,
            secret_template: None,
        };
        Self { metadata, spec, status: None }
    }
}

impl Report for WebhookCredentialStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn secret_name(&self) -> Option<&str> {
        self.secret_name.as_deref()
    }

    fn is_established(&self) -> bool {
        self.last_modified.is_some()
    }

    fn with_verdict(self, observed_generation: Option<i64>, conditions: Vec<Condition>) -> Self {
        Self { observed_generation, conditions, ..self }
    }
}
