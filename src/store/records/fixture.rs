//! Unit tests only: record documents.

use serde_json::json;

/// A client's record.
pub(in crate::store) fn client(client_id: &str) -> String {
    json!({
        "version": 1,
        "source": {"kind": "AppCredential", "namespace": "team-a", "name": client_id, "uid": "uid-1"},
        "clientId": client_id,
        "generation": "generation-1",
        "secrets": [],
        "tokenLifetimeSeconds": 300,
    })
    .to_string()
}

/// The realm's signing keys: none, but with an issuer.
pub(in crate::store) fn signing_keys(issuer: &str) -> String {
    json!({"version": 1, "issuer": issuer, "keys": []}).to_string()
}
