//! Flow 2, pure: a client as the token endpoint needs it.

use crate::record::ClientRecord;

/// An OAuth client, prepared once from its record.
#[derive(Debug)]
pub struct Client {
    record: ClientRecord,
}

impl Client {
    /// Prepares a client.
    #[must_use]
    pub fn new(record: ClientRecord) -> Self {
        Self { record }
    }

    /// The OAuth client id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.record.client_id
    }
}
