//! Flow 2: says in the log what became of records, once a change and without their content.

use super::records::{Ambiguity, Notice};

pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::Unusable { source, key, problem } => {
            tracing::error!(%source, %key, %problem, "a record is not served");
        }
        Notice::Usable { source, key } => tracing::info!(%source, %key, "the record is served again"),
        Notice::Ambiguous(Ambiguity::ClientId(client_id)) => {
            tracing::error!(%client_id, "several records have one client id: none of them is served");
        }
        Notice::Ambiguous(Ambiguity::SigningKeys) => {
            tracing::error!("several records hold signing keys: none of them is served");
        }
    }
}
