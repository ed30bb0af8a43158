//! Flows 1 and 3: the record of a credential for outgoing calls, made from a `WebhookCredential`.

use serde::{Deserialize, Serialize};

use super::{Confidential, Document, Kind, Source};

/// What the server adds to each call of the Webhooks that name the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InjectionRecord {
    /// Always [`super::VERSION`].
    pub version: u32,
    /// The `WebhookCredential` behind it.
    pub source: Source,
    /// Where the value goes.
    pub location: Location,
    /// Name of the header or query parameter, as the user wrote it.
    pub field_name: String,
    /// What is sent, already encoded as the credential's type says.
    pub value: Confidential,
}

impl Document for InjectionRecord {
    const KIND: Kind = Kind::Injection;

    fn source(&self) -> &Source {
        &self.source
    }
}

/// Where a credential goes in an outgoing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Location {
    /// A header of that name.
    Header,
    /// A parameter of that name in the URL's query.
    QueryParam,
}
