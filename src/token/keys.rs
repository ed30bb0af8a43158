//! Flow 2, pure: the realm's keys, parsed once, and which of them counts when.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{claims::json_string, key::Key};
use crate::record::{AccessPolicy, SigningKeysRecord};

/// The keys that sign and verify, with the issuer that they belong to, and its policies of forward-auth.
#[derive(Debug)]
pub struct KeySet {
    issuer: String,
    issuer_json: String,
    issuer_path: String,
    policies: BTreeMap<String, AccessPolicy>,
    keys: Vec<Key>,
}

/// Why a key could not be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not a PKCS#8 key of its algorithm.
    #[error("the signing key {kid} is not a PKCS#8 key of its algorithm")]
    Invalid {
        /// The key's id.
        kid: String,
    },
    /// The id belongs to another key.
    #[error("the signing key {kid} has another RFC 7638 thumbprint than its kid says")]
    Kid {
        /// The key's id.
        kid: String,
    },
    /// The library could not make a key.
    #[error("no {algorithm} key could be generated")]
    Generate {
        /// The `alg` that was asked for.
        algorithm: &'static str,
    },
    /// The library could not sign.
    #[error("the signing key {kid} did not sign")]
    Sign {
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
        let SigningKeysRecord { version: _, issuer, policies, keys } = record;
        let keys = keys.iter().map(|entry| Key::new(entry, issuer)).collect::<Result<_, _>>()?;
        let issuer_path = url::Url::parse(issuer).map(|url| url.path().trim_end_matches('/').to_owned());
        Ok(Self {
            issuer_path: issuer_path.unwrap_or_default(),
            issuer: issuer.clone(),
            issuer_json: json_string(issuer),
            policies: policies.clone(),
            keys,
        })
    }

    /// The realm's issuer, exactly as configured.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The issuer as a JSON string, with its quotes.
    pub(super) fn issuer_json(&self) -> &str {
        &self.issuer_json
    }

    /// The path of the issuer without a slash at its end; empty where it has none.
    #[must_use]
    pub fn issuer_path(&self) -> &str {
        &self.issuer_path
    }

    /// The policy of forward-auth with this name.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&AccessPolicy> {
        self.policies.get(name)
    }

    /// The public keys of all tokens that may be valid at `now`, and of those to come: RFC 7517, section 5.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> String {
        let keys: Vec<&str> = self.keys.iter().filter(|key| key.verifies(now)).map(Key::jwk).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// The youngest key whose time to sign has come. With none, the oldest: a clock that is behind must not stop a realm.
    pub(super) fn signing(&self, now: Timestamp) -> Option<&Key> {
        let come = self.keys.iter().filter(|key| key.sign_from <= now).max_by_key(|key| key.sign_from);
        come.or_else(|| self.keys.iter().min_by_key(|key| key.sign_from))
    }

    /// The key with this id, while tokens that it signed count.
    pub(super) fn verifying(&self, kid: &str, now: Timestamp) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid && key.verifies(now))
    }

    /// The `alg` of every key that is in the JWKS at `now`, each once.
    pub(super) fn algorithms(&self, now: Timestamp) -> Vec<&'static str> {
        let mut found = Vec::new();
        for key in self.keys.iter().filter(|key| key.verifies(now)) {
            if !found.contains(&key.algorithm.as_str()) {
                found.push(key.algorithm.as_str());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{Algorithm, SigningKeyEntry, VERSION},
        token::{GeneratedKey, generate},
    };

    #[test]
    fn the_youngest_key_whose_time_has_come_signs() {
        let set = set(&[(100, Some(500)), (200, None), (300, None)]);
        let signing = |second| set.signing(at(second)).map(|key| key.sign_from.as_second());
        assert_eq!(signing(50), Some(100), "none has come: the oldest");
        assert_eq!(signing(100), Some(100));
        assert_eq!(signing(299), Some(200));
        assert_eq!(signing(9_999), Some(300));
    }

    #[test]
    fn a_key_verifies_until_its_end_and_leaves_the_jwks_then() {
        let set = set(&[(100, Some(500)), (200, None)]);
        let kid = set.keys[0].kid.clone();
        assert!(set.verifying(&kid, at(499)).is_some());
        assert!(set.verifying(&kid, at(500)).is_none());
        assert!(set.jwks(at(499)).contains(&kid));
        assert!(!set.jwks(at(500)).contains(&kid));
        assert!(set.jwks(at(0)).contains(&set.keys[1].kid), "keys are published before they sign");
    }

    #[test]
    fn the_jwks_holds_no_private_part() {
        let jwks: serde_json::Value = serde_json::from_str(&set(&[(1, None)]).jwks(at(2))).unwrap();
        let members: Vec<_> = jwks["keys"][0].as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn set(keys: &[(i64, Option<i64>)]) -> KeySet {
        let entry = |&(sign_from, verify_until): &(i64, Option<i64>)| {
            let GeneratedKey { kid, pkcs8 } = generate(Algorithm::EdDSA).unwrap();
            let verify_until = verify_until.map(at);
            let algorithm = Algorithm::EdDSA;
            SigningKeyEntry { kid, algorithm, created_at: at(0), sign_from: at(sign_from), verify_until, pkcs8 }
        };
        let keys = keys.iter().map(entry).collect();
        let (issuer, policies) = ("https://i.test".to_owned(), BTreeMap::new());
        KeySet::new(&SigningKeysRecord { version: VERSION, issuer, policies, keys }).unwrap()
    }
}
