//! Flow 1: the custom resources as users write them, and the CRDs generated from them.

pub mod app_credential;
pub mod check;
pub mod condition;
pub mod duration;
mod generate;
mod kind;
mod reference;
mod rules;
mod secret_template;
pub mod webhook;
pub mod webhook_credential;

pub use app_credential::{AppCredential, AppCredentialSpec, AppCredentialStatus};
pub use condition::Condition;
pub use duration::Duration;
pub use generate::{
    all, app_credential as app_credential_crd, to_yaml, webhook as webhook_crd,
    webhook_credential as webhook_credential_crd,
};
pub use kind::{Kind, Report};
pub use reference::{KeyName, NameRef, SecretFrom, SecretKeyRef};
pub use secret_template::{Binding, DeletionPolicy, SecretTemplate, ServiceBinding};
pub use webhook::{Webhook, WebhookSpec, WebhookStatus};
pub use webhook_credential::{WebhookCredential, WebhookCredentialSpec, WebhookCredentialStatus};

/// The API group of every kind.
pub const GROUP: &str = "snaphook.dev";
/// A Secret that a resource refers to must carry this label with the value `true`, set by whoever owns the Secret.
pub const ALLOW_REFERENCE_LABEL: &str = "snaphook.dev/allow-reference";
/// The field manager of everything that the controller writes.
pub const FIELD_MANAGER: &str = "snaphook";
/// The pattern of `spec.displayName`: no control characters, C1 among them, and none that turn the direction of text around: it is
/// shown on terminals.
const DISPLAY_NAME: &str = r"^[^\x00-\x1f\x7f-\x9f\x{061c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]+$";
