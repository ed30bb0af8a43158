//! Flow 1: the operator's configuration: how Webhooks are reached from outside the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::crd::webhook::{ParentRef, RouteType};

/// How Webhooks are reached from outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Routes {
    /// One route for each, or one for all.
    pub mode: RouteMode,
    /// Of Webhooks that do not say, and of the one for all.
    #[serde(rename = "type")]
    pub type_: RouteType,
    /// The `IngressClass` of Webhooks that do not say. Default: the cluster's.
    pub class_name: Option<String>,
    /// The Gateways of Webhooks that do not say.
    pub parent_refs: Vec<ParentRef>,
    /// Annotations of every route.
    pub annotations: BTreeMap<String, String>,
    /// The Secret in the realm's namespace with the certificate of the realm's host, for an Ingress.
    pub tls_secret: Option<String>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            mode: RouteMode::default(),
            type_: RouteType::Ingress,
            class_name: None,
            parent_refs: Vec::new(),
            annotations: BTreeMap::new(),
            tls_secret: None,
        }
    }
}

/// One route for each Webhook, or one for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RouteMode {
    /// One for each.
    #[default]
    PerWebhook,
    /// One for all, with the prefix `/hooks/`.
    Shared,
}

impl Routes {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { mode, type_, class_name, parent_refs, annotations, tls_secret } = self;
        if *mode == RouteMode::Shared && *type_ == RouteType::None {
            return invalid("routes.type", "must be Ingress or HTTPRoute where routes.mode is shared");
        }
        if *mode == RouteMode::Shared && *type_ == RouteType::HttpRoute && parent_refs.is_empty() {
            return invalid("routes.parentRefs", "must name a Gateway where routes.mode is shared");
        }
        if class_name.as_ref().is_some_and(String::is_empty) {
            return invalid("routes.className", "must not be empty");
        }
        if tls_secret.as_ref().is_some_and(String::is_empty) {
            return invalid("routes.tlsSecret", "must not be empty");
        }
        if let Some(key) = annotations.keys().find(|key| key.starts_with("snaphook.dev/")) {
            return invalid(format!("routes.annotations[{key}]"), "must lie outside snaphook.dev/");
        }
        Ok(())
    }
}
