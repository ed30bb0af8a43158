//! Both flows: the documents in record Secrets, on which controller and server agree.
//!
//! A record Secret lies in the realm's namespace, has the type [`SECRET_TYPE`], the label [`LABEL`] that says which
//! document it holds, and one key, [`DATA_KEY`]. Its name is a pure function of the resource it was made from.

pub mod bundle;
mod client;
mod confidential;
pub mod endpoint;
mod injection;
mod name;
mod signing_keys;

pub use client::{ClientRecord, GenerationId, Origin, SecretHash, SecretVersion};
pub use confidential::Confidential;
pub use endpoint::EndpointRecord;
pub use injection::{InjectionRecord, Location};
pub use name::{file_name, kind_of_file, parse_file_name, secret_name};
pub use signing_keys::{
    AccessPolicy, Algorithm, PrivateKey, SECRET_NAME as SIGNING_KEYS_SECRET, SigningKeyEntry, SigningKeysRecord,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The type of every record Secret.
pub const SECRET_TYPE: &str = "snaphook.dev/record";
/// The label that marks a record Secret; its value is a [`Kind`].
pub const LABEL: &str = "snaphook.dev/record";
/// The label with the namespace of the resource that a record was made from, so that a controller for some namespaces can watch theirs.
pub const NAMESPACE_LABEL: &str = "snaphook.dev/namespace";
/// The only key in a record Secret's data.
pub const DATA_KEY: &str = "record.json";
/// The version of the documents that this program writes and reads.
pub const VERSION: u32 = 1;

/// Which document a record Secret holds: the value of [`LABEL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An OAuth client: [`ClientRecord`].
    Client,
    /// The realm's signing keys, issuer and policies of forward-auth: [`SigningKeysRecord`].
    SigningKeys,
    /// An inbound endpoint: [`EndpointRecord`].
    Endpoint,
    /// A credential for outgoing calls: [`InjectionRecord`].
    Injection,
}

impl Kind {
    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::SigningKeys => "signing-keys",
            Self::Endpoint => "endpoint",
            Self::Injection => "injection",
        }
    }

    /// The kind of record that is made from a kind of resource, if this program knows it.
    #[must_use]
    pub fn made_from(resource: &str) -> Option<Self> {
        match resource {
            "AppCredential" => Some(Self::Client),
            "Webhook" => Some(Self::Endpoint),
            "WebhookCredential" => Some(Self::Injection),
            _ => None,
        }
    }

    /// The kind that a label's value names, if this program knows it.
    #[must_use]
    pub fn from_label(value: &str) -> Option<Self> {
        [Self::Client, Self::SigningKeys, Self::Endpoint, Self::Injection]
            .into_iter()
            .find(|kind| kind.as_str() == value)
    }
}

/// The custom resource that a record was made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The resource's kind, such as `AppCredential`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a resource deleted and made anew is another source.
    pub uid: String,
}

impl Source {
    /// `<namespace>/<name>`: what tells resources of one kind apart at one time.
    #[must_use]
    pub fn path(&self) -> Box<str> {
        format!("{}/{}", self.namespace, self.name).into()
    }
}

/// A document that was made from a resource.
pub trait Document: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Which document it is.
    const KIND: Kind;

    /// The resource.
    fn source(&self) -> &Source;
}

/// Why a record could not be read. Never holds a part of the document: it may be secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// Not JSON, or not of the document's shape.
    #[error("the record does not parse at line {line}, column {column}")]
    Malformed {
        /// Line of the first offence, from 1.
        line: usize,
        /// Column of the first offence, from 1.
        column: usize,
    },
    /// Written by another version of Snaphook.
    #[error(
        "the record has version {found}, this program reads version {VERSION}: upgrade the server before the controller"
    )]
    Version {
        /// The document's version.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Sourced {
    source: Source,
}

/// The resource that a document was made from, whatever its kind; absent where it does not parse.
#[must_use]
pub fn source_of(json: &[u8]) -> Option<Source> {
    parse::<Sourced>(json).ok().map(|sourced| sourced.source)
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a document after checking its version.
///
/// # Errors
/// [`RecordError`], which never quotes the document.
pub fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, RecordError> {
    let malformed = |error: serde_json::Error| RecordError::Malformed { line: error.line(), column: error.column() };
    let Versioned { version } = serde_json::from_slice(json).map_err(malformed)?;
    if version != VERSION {
        return Err(RecordError::Version { found: version });
    }
    serde_json::from_slice(json).map_err(malformed)
}
