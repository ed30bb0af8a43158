//! Flow 1: the operator's configuration: who may ask for what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::record::endpoint::Limits;

/// Who may ask for what: the first rule that fits a namespace is the only one that counts for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Rules, in order.
    pub rules: Vec<Rule>,
}

/// What some namespaces may ask for. An absent list allows what is allowed without a rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The namespaces that the rule is for.
    pub namespaces: Namespaces,
    /// Globs of scopes. Scopes `snaphook:*` need a glob that begins so. Default: every scope but those.
    pub scopes: Option<Vec<String>>,
    /// Globs of audiences. Default: every audience.
    pub audiences: Option<Vec<String>>,
    /// Globs of explicit client ids. Default: none.
    #[serde(default)]
    pub client_ids: Vec<String>,
    /// A client with the scope `snaphook:introspect` sees only tokens for these audiences. Default: all.
    pub introspect_audiences: Option<Vec<String>>,
    /// How many `AppCredential`s a namespace may have. Default: no limit.
    pub max_app_credentials: Option<u32>,
    /// How many `Webhook`s a namespace may have. Default: no limit.
    pub max_webhooks: Option<u32>,
    /// What a Webhook and its namespace may hold and take. Default: no limit.
    #[serde(default)]
    pub webhook_limits: Limits,
    /// Globs of hosts that routes may have besides the realm's. Default: none.
    #[serde(default)]
    pub route_hosts: Vec<String>,
    /// Globs of annotation keys that routes may have. Default: none.
    #[serde(default)]
    pub route_annotations: Vec<String>,
}

/// Which namespaces a rule is for: those that fit any name and, where labels are given, have all of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Namespaces {
    /// Names or globs (`*` is any text). Default: every name.
    pub names: Option<Vec<String>>,
    /// Labels that the namespace must have.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
}

impl Rule {
    pub(super) fn check(&self, place: &str) -> Result<(), ConfigError> {
        let Self { namespaces, scopes, audiences, client_ids, introspect_audiences, .. } = self;
        let Self { max_app_credentials: _, max_webhooks: _, webhook_limits: _, route_hosts, route_annotations, .. } =
            self;
        let Namespaces { names, match_labels } = namespaces;
        let globs = [
            ("namespaces.names", names.as_deref()),
            ("scopes", scopes.as_deref()),
            ("audiences", audiences.as_deref()),
            ("clientIds", Some(client_ids.as_slice())),
            ("introspectAudiences", introspect_audiences.as_deref()),
            ("routeHosts", Some(route_hosts.as_slice())),
            ("routeAnnotations", Some(route_annotations.as_slice())),
        ];
        for (field, globs) in globs {
            if let Some(index) = globs.unwrap_or_default().iter().position(String::is_empty) {
                return invalid(format!("{place}.{field}[{index}]"), "must not be empty; `*` is every text");
            }
        }
        if names.as_ref().is_some_and(Vec::is_empty) && match_labels.is_empty() {
            return invalid(format!("{place}.namespaces.names"), "names no namespace; leave it out for all of them");
        }
        Ok(())
    }
}
