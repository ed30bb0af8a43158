//! Flow 1: the operator's configuration: what the server asks of requests that proxies show it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, check_label, invalid};
use crate::{record::AccessPolicy, token::is_scope};

/// They travel in one record.
const MAX_POLICIES: usize = 1_000;
const MAX_SCOPES: usize = 100;

/// Policies by the name that a proxy calls them by: the last part of `/oauth/forward-auth/{policy}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardAuth {
    /// What a token must be for.
    pub policies: BTreeMap<String, AccessPolicy>,
}

impl ForwardAuth {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { policies } = self;
        if policies.len() > MAX_POLICIES {
            return invalid("forwardAuth.policies", format!("must be at most {MAX_POLICIES}"));
        }
        for (name, AccessPolicy { audience, scopes }) in policies {
            let place = format!("forwardAuth.policies.{name}");
            check_label(&place, name, "a policy")?;
            if audience.is_empty() || audience.len() > 512 {
                return invalid(format!("{place}.audience"), "must have 1 to 512 characters");
            }
            if scopes.len() > MAX_SCOPES {
                return invalid(format!("{place}.scopes"), format!("must be at most {MAX_SCOPES}"));
            }
            if let Some(index) = scopes.iter().position(|scope| !is_scope(scope)) {
                return invalid(format!("{place}.scopes[{index}]"), "is no scope by RFC 6749, section 3.3");
            }
        }
        Ok(())
    }
}
