//! Flow 1: `AppCredential`, an OAuth 2.0 client for server-to-server calls.

#![allow(clippy::duplicated_attributes, reason = "each printcolumn has a type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Binding, Condition, DISPLAY_NAME, DeletionPolicy, Duration, KeyName, Kind, Report, SecretFrom, SecretTemplate,
    condition::Time,
};

/// What a user declares: an OAuth 2.0 client for server-to-server calls (RFC 6749, section 4.4).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "snaphook.dev",
    version = "v1alpha1",
    kind = "AppCredential",
    namespaced,
    status = "AppCredentialStatus",
    shortname = "appcred",
    category = "snaphook",
    doc = "An OAuth 2.0 client for server-to-server calls. Snaphook writes its client id and secret into a Secret that an app mounts, and issues access tokens for it.",
    selectable = ".status.state",
    selectable = ".status.clientId",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".status.displayName"),
    printcolumn(name = "Client ID", type_ = "string", json_path = ".status.clientId"),
    printcolumn(name = "Scopes", type_ = "string", json_path = ".status.scopes"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
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
    printcolumn(name = "Created", type_ = "string", json_path = ".status.createdAt", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct AppCredentialSpec {
    /// A name for people. Default: `metadata.name`.
    #[schemars(length(min = 1, max = 128), regex(pattern = DISPLAY_NAME))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Scopes that the client may ask for (RFC 6749, section 3.3). A token request without a scope gets all of them.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128), regex(pattern = r"^[\x21\x23-\x5B\x5D-\x7E]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Audiences that the client may ask for as `resource` (RFC 8707): absolute URIs without a fragment. Default: the issuer.
    #[schemars(
        length(max = 16),
        inner(
            length(min = 3, max = 512),
            regex(pattern = r"^[A-Za-z][A-Za-z0-9+.-]*:[\x21\x24-\x3B\x3D\x3F-\x5B\x5D\x5F\x61-\x7A\x7E]+$")
        )
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// Life of an access token: 30s to 24h. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<Duration>,
    /// From then on the client gets no token, and none of its tokens is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// True ends every token of the client at once, for good, and refuses new ones until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
    /// Tokens issued before this moment are dead, for good. A moment in the future takes effect when it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_not_before: Option<Time>,
    /// An OAuth client id of one's own choice, where the operator's policy allows it. Default: `<namespace>.<name>`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_~-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Bring a client secret of one's own instead of a generated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_from: Option<SecretFrom>,
    /// Only the hash of a client secret that is kept elsewhere: `sha256:` and the SHA-256 of the secret in lower-case hex.
    #[schemars(length(min = 71, max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<String>,
    /// How a generated client secret is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How the Secret for the app looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate<SecretKeys>>,
    /// What happens to the Secret when this resource is deleted. Default: `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// How a generated client secret is replaced. The old one works beside the new one until the overlap ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Replace the secret when it is this old: at least 1m. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long the old secret still works, at most 8760h and not longer than the interval. Default: 24h, or the interval where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
    /// Changing this text replaces the secret now.
    #[schemars(length(min = 1, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// Other names for the keys of the Secret for the app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeys {
    /// Default: `client-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<KeyName>,
    /// Default: `client-secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<KeyName>,
    /// The former secret during a rotation's overlap. Default: `client-secret-previous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_previous: Option<KeyName>,
    /// Default: `issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<KeyName>,
    /// Default: `token-url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<KeyName>,
    /// Default: `introspection-url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_url: Option<KeyName>,
    /// Default: `jwks-url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<KeyName>,
}

/// What Snaphook reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppCredentialStatus {
    /// The `metadata.generation` that this status is about; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` after kstatus. `Ready` says that what the spec declares is in force; whether
    /// tokens are issued is in `state`.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// `spec.displayName`, or the resource's name.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The OAuth client id.
    #[schemars(length(max = 320))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The scopes, joined by spaces.
    #[schemars(length(max = 8320))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// The Secret for the app.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The Secret for the app, for Service Binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Whether tokens are issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// When the credential was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the current secret took the place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotated_at: Option<Time>,
    /// When the secret is replaced next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_at: Option<Time>,
    /// The secrets that authenticate the client, oldest first.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionStatus>,
}

/// One secret that authenticates the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// Counts up from 1.
    pub id: i64,
    /// When it was made or first seen.
    pub created_at: Time,
    /// When it stops working; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// Whether a client gets tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// It does.
    Active,
    /// `spec.revoked` is true.
    Revoked,
    /// `spec.expiresAt` has passed.
    Expired,
}

impl Kind for AppCredential {
    const KIND: &'static str = "AppCredential";
    const CONSUMER: &'static str = "app-credential";
    const SUFFIX: &'static str = "credential";
    type Keys = SecretKeys;

    fn secret_template(&self) -> Option<&SecretTemplate<SecretKeys>> {
        self.spec.secret_template.as_ref()
    }

    fn references(&self) -> Vec<&SecretFrom> {
        self.spec.secret_from.iter().collect()
    }

    fn unreadable(metadata: ObjectMeta) -> Self {
        Self { metadata, spec: AppCredentialSpec::default(), status: None }
    }
}

impl Report for AppCredentialStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn secret_name(&self) -> Option<&str> {
        self.secret_name.as_deref()
    }

    fn is_established(&self) -> bool {
        !self.versions.is_empty()
    }

    fn with_verdict(self, observed_generation: Option<i64>, conditions: Vec<Condition>) -> Self {
        Self { observed_generation, conditions, ..self }
    }
}
