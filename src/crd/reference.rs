//! Flow 1: references to other objects. They never carry a namespace: nobody reaches into another's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a value of one's own comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretFrom {
    /// A key of a Secret in the same namespace that carries the label `snaphook.dev/allow-reference: "true"`.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in its data.
    pub key: KeyName,
}

/// A key in the data of a Secret. Not `.` and not `..`: keys become files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct KeyName(
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$"))] pub String,
);

/// Another resource of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameRef {
    /// The resource's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}
