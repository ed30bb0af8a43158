//! Flow 2, pure: what a token says, who gets one, and whether one is good. No client, no socket, no clock, no random source.

mod bearer;
mod check;
mod claims;
mod client;
mod client_auth;
mod form;
mod issue;
mod key;
mod keys;
mod metadata;
mod refusal;
mod resource;
mod scope;

pub use bearer::{BearerError, bearer};
pub use check::{PostError, Verified, verify};
pub use claims::{Audience, Claims};
pub use client::{Client, Clients};
pub use client_auth::authenticate;
pub use form::Form;
pub use issue::{Grant, IssueError, issue};
pub use key::{GeneratedKey, generate};
pub use keys::{KeySet, KeysError};
pub use metadata::{FORWARD_AUTH_PATH, INTROSPECTION_PATH, JWKS_PATH, METADATA_PATH, TOKEN_PATH, metadata};
pub use refusal::{Code, Refusal};
pub use scope::{INTROSPECT, is_scope};

#[cfg(test)]
mod test {
    //! A client and keys to try things with.

    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::{Client, GeneratedKey, KeySet, generate};
    use crate::record::{
        Algorithm, ClientRecord, GenerationId, Origin, SecretHash, SecretVersion, SigningKeyEntry, SigningKeysRecord,
        Source, VERSION,
    };

    pub(super) const SECRET: &str = "snaphook-test-secret-of-more-than-32-characters";
    pub(super) const ISSUER: &str = "https://issuer.test";

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    pub(super) fn client(id: &str, change: impl FnOnce(&mut ClientRecord)) -> Client {
        let source = Source {
            kind: "AppCredential".to_owned(),
            namespace: "ns".to_owned(),
            name: id.trim_start_matches("ns.").to_owned(),
            uid: "uid".to_owned(),
        };
        let secret = SecretVersion {
            id: 1,
            hash: SecretHash::of(SECRET.as_bytes()),
            created_at: at(0),
            not_after: None,
            origin: Origin::Generated,
            nonce: None,
            confirmed: true,
        };
        let mut record = ClientRecord {
            version: VERSION,
            source,
            client_id: id.to_owned(),
            generation: GenerationId::from_random([7; 16]),
            secrets: vec![secret],
            scopes: vec!["orders:read".to_owned(), "invoices:write".to_owned()],
            audiences: vec![],
            token_lifetime_seconds: 300,
            expires_at: None,
            tokens_not_before: None,
            revoked: false,
            suspended: false,
            introspect_audiences: None,
        };
        change(&mut record);
        Client::new(record)
    }

    pub(super) fn keys(change: impl FnOnce(&mut SigningKeysRecord)) -> KeySet {
        let GeneratedKey { kid, pkcs8 } = generate(Algorithm::EdDSA).unwrap();
        let algorithm = Algorithm::EdDSA;
        let key = SigningKeyEntry { kid, algorithm, created_at: at(0), sign_from: at(0), verify_until: None, pkcs8 };
        let (issuer, policies) = (ISSUER.to_owned(), BTreeMap::new());
        let mut record = SigningKeysRecord { version: VERSION, issuer, policies, keys: vec![key] };
        change(&mut record);
        KeySet::new(&record).unwrap()
    }
}
