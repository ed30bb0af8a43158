//! Flow 3, pure: an endpoint, prepared once from its record.

use super::verify::{Verifier, VerifierError};
use crate::record::EndpointRecord;

/// An endpoint as posts and deliveries need it.
#[derive(Debug)]
pub struct Endpoint {
    record: EndpointRecord,
    verifier: Verifier,
}

/// Why an endpoint cannot be served. Never quotes a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Nobody could reach it.
    #[error("the record has no id for a URL")]
    NoUrl,
    /// Posts to it could not be judged.
    #[error(transparent)]
    Verification(#[from] VerifierError),
}

impl Endpoint {
    /// Prepares an endpoint.
    ///
    /// # Errors
    /// What in the record cannot be served.
    pub fn new(record: EndpointRecord) -> Result<Self, EndpointError> {
        if record.urls.is_empty() {
            return Err(EndpointError::NoUrl);
        }
        let verifier = Verifier::new(&record.verification, &record.secrets)?;
        Ok(Self { record, verifier })
    }

    /// Judges posts.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The record that it was made from.
    #[must_use]
    pub fn record(&self) -> &EndpointRecord {
        &self.record
    }
}
