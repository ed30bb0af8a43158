//! Flow 3, pure: an endpoint, prepared once from its record.

use super::{
    handler::{Handler, HandlerError},
    verify::{Verifier, VerifierError},
};
use crate::record::EndpointRecord;

/// An endpoint as posts and deliveries need it.
#[derive(Debug)]
pub struct Endpoint {
    record: EndpointRecord,
    verifier: Verifier,
    handler: Handler,
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
    /// Nothing could be made of posts to it.
    #[error(transparent)]
    Handler(#[from] HandlerError),
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
        let hidden = verifier.proof_headers().cloned();
        let handler = hidden.fold(Handler::compile(&record.handler)?, Handler::hiding);
        Ok(Self { record, verifier, handler })
    }

    /// Judges posts.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Says what becomes of posts.
    #[must_use]
    pub fn handler(&self) -> &Handler {
        &self.handler
    }

    /// The record that it was made from.
    #[must_use]
    pub fn record(&self) -> &EndpointRecord {
        &self.record
    }
}
