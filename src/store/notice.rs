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
        Notice::Ambiguous(Ambiguity::Endpoint(webhook)) => {
            tracing::error!(%webhook, "several records are of one Webhook: none of them is served");
        }
        Notice::Ambiguous(Ambiguity::Url(_)) => {
            // The id can be a credential, so it is not told.
            tracing::error!("the records of several Webhooks have one id in their URL: it leads nowhere");
        }
        Notice::Ambiguous(Ambiguity::Injection(credential)) => {
            tracing::error!(%credential, "several records are of one WebhookCredential: none of them is used");
        }
    }
}
