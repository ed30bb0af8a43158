//! Flow 2, pure: a client as the token endpoint needs it, prepared once from its record.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::{claims::json_string, resource::Audiences, scope::ScopeSet};
use crate::record::{ClientRecord, SecretHash};

/// Clients by client id.
pub type Clients = HashMap<Box<str>, Arc<Client>>;

/// An OAuth client, prepared once from its record.
#[derive(Debug)]
pub struct Client {
    pub(super) record: ClientRecord,
    pub(super) scopes: ScopeSet,
    pub(super) audiences: Audiences,
    /// The claims that are the same in all its tokens, as members of a JSON object.
    pub(super) claims: String,
}

impl Client {
    /// Prepares a client.
    #[must_use]
    pub fn new(record: ClientRecord) -> Self {
        let id = json_string(&record.client_id);
        let namespace = json_string(&record.source.namespace);
        let generation = json_string(record.generation.as_str());
        Self {
            scopes: ScopeSet::new(&record.scopes),
            audiences: Audiences::new(&record.audiences),
            claims: format!(r#""sub":{id},"client_id":{id},"namespace":{namespace},"gen":{generation}"#),
            record,
        }
    }

    /// The OAuth client id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.record.client_id
    }

    /// Whether it has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether its tokens count and it gets new ones. By this server's clock alone.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        !self.record.revoked && !self.record.suspended && self.record.expires_at.is_none_or(|end| end > now)
    }

    /// Whether a secret with this hash authenticates it. Every version is compared, and each in constant time.
    pub(super) fn accepts(&self, presented: &SecretHash, now: Timestamp) -> bool {
        self.record.secrets.iter().fold(false, |accepted, version| {
            let current = version.not_after.is_none_or(|end| end > now);
            accepted | (version.hash.matches(presented) & current)
        })
    }
}
