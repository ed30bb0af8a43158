//! Both flows: the realm's issuer, signing keys and policies of forward-auth. The controller makes and rotates the keys; every server chooses
//! by its own clock.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The Secret that holds a [`SigningKeysRecord`].
pub const SECRET_NAME: &str = "snaphook-signing-keys";

/// How tokens are signed (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    ES256,
    /// Ed25519.
    EdDSA,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits: the algorithm that RFC 9068 wants supported; the slowest.
    RS256,
}

impl Algorithm {
    /// The `alg` of RFC 7515.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
        }
    }
}

/// What tokens of this realm are issued as, and the keys that sign them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningKeysRecord {
    /// Always [`super::VERSION`].
    pub version: u32,
    /// The realm's issuer, exactly as configured.
    pub issuer: String,
    /// What requests through a proxy must show, by the name that the proxy calls it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, AccessPolicy>,
    /// Keys, oldest first.
    pub keys: Vec<SigningKeyEntry>,
}

/// What a token must be for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessPolicy {
    /// The token has this audience.
    pub audience: String,
    /// The token has all of these scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// One key pair.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningKeyEntry {
    /// RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// When the controller published it.
    pub created_at: Timestamp,
    /// It signs from then on, until a younger key does.
    pub sign_from: Timestamp,
    /// Tokens that it signed are refused from then on. Absent while it has no successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_until: Option<Timestamp>,
    /// The private key: PKCS#8 DER in standard Base64.
    pub pkcs8: PrivateKey,
}

impl fmt::Debug for SigningKeyEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, algorithm, created_at, sign_from, verify_until, pkcs8: _ } = self;
        formatter
            .debug_struct("SigningKeyEntry")
            .field("kid", kid)
            .field("algorithm", algorithm)
            .field("created_at", created_at)
            .field("sign_from", sign_from)
            .field("verify_until", verify_until)
            .finish_non_exhaustive()
    }
}

/// A private key in PKCS#8 DER, as Base64 on the wire. Wiped when dropped, not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Vec<u8>);

impl PrivateKey {
    /// Takes over PKCS#8 DER.
    #[must_use]
    pub fn from_der(der: Vec<u8>) -> Self {
        Self(der)
    }

    /// PKCS#8 DER.
    #[must_use]
    pub fn expose_der(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Serialize for PrivateKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        let mut text = base64::engine::general_purpose::STANDARD.encode(&self.0);
        let result = serializer.serialize_str(&text);
        text.zeroize();
        result
    }
}

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        let decoded = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
        decoded.map(Self).map_err(|_| serde::de::Error::custom("expected Base64"))
    }
}
