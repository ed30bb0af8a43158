//! Flow 2, pure: one record, parsed once for all snapshots to come.

use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};

use crate::{
    inbound::{Endpoint, EndpointError},
    record::{self, ClientRecord, EndpointRecord, InjectionRecord, Kind, RecordError, SigningKeysRecord},
    token::{Client, KeySet, KeysError},
};

/// A record as its source holds it.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// Which of the source's records this is.
    pub key: &'a str,
    /// The kind that its source tells, and the JSON text; or why the source itself refuses it.
    pub content: Result<(Kind, &'a [u8]), Refusal>,
}

/// Why a source refuses a record without having looked into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The Secret's type.
    #[error("the Secret is not of type {}: delete it, a Secret's type cannot change", record::SECRET_TYPE)]
    SecretType,
    /// The Secret's label.
    #[error("the label {} names no kind of record that this program knows", record::LABEL)]
    UnknownKind,
    /// The Secret's data.
    #[error("the Secret has no readable key {}", record::DATA_KEY)]
    NoDocument,
    /// The object itself.
    #[error("the object has not the shape of a Secret")]
    NotASecret,
}

/// Why a record is not served.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Its source refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not parse.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It parses, and its keys do not.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// It parses, and cannot be served.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Tells whether a record is the one that was parsed before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    Refused(Refusal),
    Json(Kind, [u8; 32]),
}

impl Document<'_> {
    pub(super) fn given(&self) -> Given {
        match self.content {
            Err(refusal) => Given::Refused(refusal),
            Ok((kind, json)) => {
                let mut hash = [0; 32];
                hash.copy_from_slice(digest::digest(&SHA256, json).as_ref());
                Given::Json(kind, hash)
            }
        }
    }
}

/// What a record is good for.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Client(Arc<Client>),
    SigningKeys(Arc<KeySet>),
    Endpoint(Arc<Endpoint>),
    Injection(Arc<InjectionRecord>),
    /// Of a kind that this server does not serve.
    Unneeded,
    Unusable,
}

impl Content {
    pub(super) fn parse(kind: Kind, json: &[u8]) -> Result<Self, Problem> {
        Ok(match kind {
            Kind::Client => Self::Client(Arc::new(Client::new(record::parse::<ClientRecord>(json)?))),
            Kind::SigningKeys => Self::SigningKeys(Arc::new(KeySet::new(&record::parse::<SigningKeysRecord>(json)?)?)),
            Kind::Endpoint => Self::Endpoint(Arc::new(Endpoint::new(record::parse::<EndpointRecord>(json)?)?)),
            Kind::Injection => Self::Injection(Arc::new(record::parse::<InjectionRecord>(json)?)),
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Client(_) | Self::SigningKeys(_) | Self::Endpoint(_) | Self::Injection(_) | Self::Unneeded => true,
            Self::Unusable => false,
        }
    }
}
