//! Flow 1: what users say about the Secret for their app, whatever its kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the Secret for the app looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate<Keys> {
    /// The Secret's name. Default: the resource's, and `-credential`, `-webhook` or `-webhook-credential` after its kind.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The Secret's type. Default: `Opaque`. Immutable, as in Kubernetes.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Labels of the Secret.
    #[schemars(schema_with = "labels_schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the Secret.
    #[schemars(schema_with = "annotations_schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Other names for the Secret's keys, such as `clientId: CLIENT_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// What the Secret says of itself, for apps and frameworks that look for it (servicebinding.io).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_binding: Option<ServiceBinding>,
}

/// Entries that the Service Binding Specification for Kubernetes (1.0, "Provisioned Service") wants in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceBinding {
    /// The entry `type`: what is bound to, in the words of whoever looks for it, such as `oauth2`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[serde(rename = "type")]
    pub type_: String,
    /// The entry `provider`, which tells services of one type apart. Default: no such entry.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// The Secret for the app, where Service Binding looks for it: the resource is a "Provisioned Service" of that specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Binding {
    /// Its name, once it is written.
    #[schemars(length(max = 253))]
    pub name: String,
}

fn labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        },
    })
}

fn annotations_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
    })
}

/// What happens to the Secret when this resource is deleted. Default: `Delete`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It goes with the resource.
    #[default]
    Delete,
    /// It stays, and a resource of the same name that is applied later takes its value over.
    Retain,
}
