//! Flow 2, pure: what stands in a token (RFC 9068, section 2.2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The claims of a token that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The realm's issuer.
    pub iss: String,
    /// The client, like `client_id`.
    pub sub: String,
    /// The client.
    pub client_id: String,
    /// For whom the token is.
    pub aud: Audience,
    /// What it allows, separated by spaces.
    pub scope: String,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// The nanoseconds that `iat` leaves out: `tokensNotBefore` may fall into the second of a token, and still divides before from after.
    #[serde(default)]
    pub iat_nanos: i32,
    /// From when on it no longer counts, in seconds.
    pub exp: i64,
    /// 128 random bits in base64url.
    pub jti: String,
    /// The namespace of the credential.
    pub namespace: String,
    /// The generation of the credential.
    pub r#gen: String,
}

impl Claims {
    /// When it was issued, exactly. Nothing where the claims say no moment.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        Timestamp::new(self.iat, self.iat_nanos).ok()
    }

    /// Whether it allows all of these.
    #[must_use]
    pub fn has_scopes(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.scope.split(' ').any(|own| own == scope))
    }
}

/// One audience or several, in the form in which the token has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Audience {
    /// A string.
    One(String),
    /// An array.
    Several(Vec<String>),
}

impl Audience {
    /// Whether `audience` is meant.
    #[must_use]
    pub fn is_for(&self, audience: &str) -> bool {
        match self {
            Self::One(own) => own == audience,
            Self::Several(own) => own.iter().any(|own| own == audience),
        }
    }

    /// Whether one of `audiences` is meant.
    #[must_use]
    pub fn is_among(&self, audiences: &[String]) -> bool {
        match self {
            Self::One(own) => audiences.contains(own),
            Self::Several(own) => own.iter().any(|own| audiences.contains(own)),
        }
    }
}

/// A JSON string, with its quotes.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
